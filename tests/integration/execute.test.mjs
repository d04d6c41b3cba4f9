import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, it } from 'node:test';
import { assertError, call, makeUser } from '../support/api.mjs';
import { person } from '../support/people.mjs';
import { until } from '../support/stack.mjs';

const execute = (body, options) => call('POST', '/sandbox/execute', { body, ...options });
const batch = (items, options) => call('POST', '/sandbox/execute/batch', { body: { items }, ...options });
const live = async (key) => (await call('GET', '/sandbox?limit=100', { key })).json.sandboxes
  .filter(({ status }) => ['creating', 'running'].includes(status)).length;
const nothingIsLeft = (key) => until('no sandbox is left', async () => (await live(key)) === 0, 10_000);

// Those that the image `base` has; a template of its own would serve them the same.
const doubles = {
  python: 'print(int(input()) * 2)',
  javascript: 'process.stdin.on("data", (text) => console.log(Number(text) * 2));',
  c: '#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d\\n", n * 2); return 0; }',
  cpp: '#include <iostream>\nint main() { int n; std::cin >> n; std::cout << n * 2 << std::endl; }',
  bash: 'read -r n; echo $((n * 2))',
};
// Those whose template a deployment may lack.
const elsewhere = {
  typescript: 'declare const process: any; process.stdin.on("data", (text: unknown) => console.log(Number(text) * 2));',
  java: 'public class Double { public static void main(String[] a) { System.out.println(new java.util.Scanner(System.in).nextInt() * 2); } }',
  go: 'package main\nimport "fmt"\nfunc main() { var n int; fmt.Scan(&n); fmt.Println(n * 2) }',
  rust: 'fn main() { let mut s = String::new(); std::io::stdin().read_line(&mut s).unwrap(); println!("{}", s.trim().parse::<i64>().unwrap() * 2); }',
};
const compiled = ['c', 'cpp', 'typescript', 'java', 'go', 'rust'];

describe('one-shot execution', () => {
  for (const [language, code] of Object.entries({ ...doubles, ...elsewhere })) {
    it(`runs ${language}`, async (t) => {
      const key = await makeUser('pro');
      const { status, json, text } = await execute({ language, code, input: '21\n' }, { key });
      if (json.code === 'language_unavailable' && language in elsewhere) {
        t.skip(json.error);
        return;
      }
      assert.equal(status, 200, text);
      assert.deepEqual([json.success, json.language, json.stdout, json.exitCode, json.reason], [true, language, '42\n', 0, 'exited'], text);
      assert.ok(json.cpuMs >= 0 && json.peakMemoryBytes > 0);
      assert.equal(json.compileResult !== null, compiled.includes(language));
      await nothingIsLeft(key);
    });
  }

  it('gives a verdict a test', async () => {
    const key = await makeUser('pro');
    const code = 'n = int(input())\nif n == 3: raise SystemExit(1)\nif n == 4:\n  while True: pass\nprint(n * 2)';
    const tests = [['1', '2'], ['2', '5'], ['3', ''], ['4', '8']].map(([input, expected]) => ({ input, expected }));
    const { json } = await execute({ language: 'py', code, tests, timeout: 1000 }, { key });
    assert.deepEqual(json.tests.map(({ verdict }) => verdict), ['accepted', 'wrong_answer', 'runtime_error', 'time_limit']);
    assert.deepEqual([json.success, json.verdict], [false, 'wrong_answer']);
    await nothingIsLeft(key);
  });

  it('ends what a test left running before the next', async () => {
    const key = await makeUser('pro');
    // Out of its session and its group, deaf to hang-ups, with nothing of its open: nobody hears of it.
    const code = `read -r word
      if [ "$word" = leave ]; then
        setsid sh -c 'trap "" HUP TERM; (sleep 100; true) & sleep 100; true' </dev/null >/dev/null 2>&1 &
        until pgrep -x sleep >/dev/null; do :; done
      fi
      pgrep -xc sleep || true`;
    const tests = [{ input: 'leave\n' }, { input: 'count\n', expected: '0\n' }].map((test) => ({ expected: '', ...test }));
    const { status, json, text } = await execute({ language: 'bash', code, tests, timeout: 10_000 }, { key });
    assert.equal(status, 200, text);
    assert.notEqual(json.tests[0].stdout, '0\n', 'something was left');
    assert.equal(json.tests[1].verdict, 'accepted', text);
    await nothingIsLeft(key);
  });

  it('says what does not compile', async () => {
    const { status, json } = await execute({ language: 'c', code: 'int main(void) { return x; }' });
    assert.equal(status, 200);
    assert.deepEqual([json.success, json.error], [false, 'Compilation failed']);
    assert.match(json.compileResult.stderr, /undeclared/);
  });

  it('ends with the time that it may take', async () => {
    const { status, json } = await execute({ language: 'bash', code: 'echo begun; sleep 60', timeout: 500 });
    assert.deepEqual([status, json.success, json.reason, json.stdout], [200, false, 'timeout', 'begun\n']);
  });

  it('has its files and its environment, and no network', async () => {
    const { json } = await execute({
      language: 'bash', code: 'cat data/a.txt; echo "$WORD"; ls /sys/class/net', files: { 'data/a.txt': 'text\n' }, env: { WORD: 'here' },
    });
    assert.equal(json.stdout, 'text\nhere\nlo\n', json.stderr);
  });

  it('is for who may make a sandbox and run commands', async () => {
    const { make } = await person();
    for (const scope of ['sandbox:write', 'exec']) {
      const { key } = await make({ scopes: [scope] });
      assertError(await execute({ language: 'bash', code: 'true' }, { key }), 403, 'missing_scope');
    }
  });

  it('refuses what it does not know', async () => {
    assertError(await execute({ language: 'cobol', code: '1' }), 400, 'unsupported_language');
    assertError(await execute({ language: 'python' }), 400, 'validation_failed');
    assertError(await execute({ language: 'python', code: '1', env: { PATH: '/nope' } }), 400, 'validation_failed');
    assertError(await batch([]), 400, 'validation_failed');
  });

  it('runs once what is sent again with its Idempotency-Key', async () => {
    const key = await makeUser('pro');
    const headers = { 'Idempotency-Key': randomUUID() };
    const program = { language: 'bash', code: 'sleep 1; cat /proc/sys/kernel/random/uuid' };
    // Of two at a time one is refused, or comes so late that the other is over.
    const [first, other] = (await Promise.all([1, 2].map(() => execute(program, { key, headers }))))
      .sort((a, b) => a.status - b.status);
    const { status, json, text } = first;
    assert.equal(status, 200, text);
    if (other.status !== 200) assertError(other, 409, 'idempotency_in_progress');
    assert.match(json.stdout, /^[0-9a-f-]{36}\n$/);
    assert.equal((await execute(program, { key, headers })).text, text);
    assertError(await execute({ ...program, code: 'true' }, { key, headers }), 409, 'idempotency_key_reused');
    await nothingIsLeft(key);
  });

  it('runs one behind another with a key that may have one', async () => {
    const { make } = await person();
    const { key } = await make({ maxSandboxes: 1, scopes: ['sandbox:write', 'exec'] });
    const words = ['1', '2', '3'];
    const { json } = await batch(words.map((word) => ({ language: 'bash', code: `echo ${word}` })), { key });
    assert.deepEqual(json.results.map(({ stdout }) => stdout), words.map((word) => `${word}\n`));
    for (const word of words) {
      assert.equal((await execute({ language: 'bash', code: `echo ${word}` }, { key })).json.stdout, `${word}\n`);
    }
  });

  it('runs a batch within the quota', async () => {
    const key = await makeUser('free'); // two at a time
    const { status, json } = await batch(['1', '2', '3', '4', '5'].map((word) => ({ language: 'bash', code: `echo ${word}` })), { key });
    assert.equal(status, 200);
    assert.deepEqual(json.results.map(({ stdout }) => stdout), ['1\n', '2\n', '3\n', '4\n', '5\n']);
    await nothingIsLeft(key);
  });

  it('cuts what a batch has no room to tell, and answers', async () => {
    const key = await makeUser('pro');
    // Each of these bytes takes six in the answer: 12 MiB an item.
    const code = 'head -c 1048576 /dev/zero | tee /dev/stderr';
    const { status, json, text } = await batch(Array(3).fill({ language: 'bash', code }), { key });
    assert.equal(status, 200, text.slice(0, 500));
    for (const { exitCode, stdout, stderr, truncated } of json.results) {
      assert.deepEqual([exitCode, truncated], [0, true]);
      assert.ok(stdout.length > 500_000 && stderr.length > 500_000, `${stdout.length}, ${stderr.length}`);
      assert.match(stdout + stderr, /^\0*$/);
    }
    await nothingIsLeft(key);
  });
});
