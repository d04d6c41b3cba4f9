import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  assertError, createSandbox, destroySandbox, exec, sandboxFor, shell, shellOutput, tryExec,
} from '../support/api.mjs';
import { until } from '../support/stack.mjs';

describe('exec', () => {
  let id;

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base', env: { FROM_CREATE: 'yes', BOTH: 'create' } }));
  });
  after(() => destroySandbox(id));

  it('answers with these members', async () => {
    const { durationMs, ...rest } = await shell(id, 'echo out; echo err >&2');
    assert.deepEqual(rest, {
      stdout: 'out\n', stderr: 'err\n', exitCode: 0, signal: null, reason: 'exited', truncated: false,
    });
    assert.ok(Number.isInteger(durationMs) && durationMs >= 0, `${durationMs}`);
  });

  it('tells an exit code as it is', async () => {
    for (const code of [0, 1, 126, 127, 255]) {
      const result = await shell(id, `exit ${code}`);
      assert.deepEqual([result.exitCode, result.signal, result.reason], [code, null, 'exited']);
    }
  });

  for (const signal of ['SIGTERM', 'SIGKILL', 'SIGSEGV', 'SIGUSR1']) {
    it(`tells ${signal} and no exit code`, async () => {
      const result = await exec(id, 'bash', ['-c', `kill -${signal.slice(3)} $$`]);
      assert.deepEqual([result.exitCode, result.signal, result.reason], [null, signal, 'signaled']);
    });
  }

  it('measures how long it took', async () => {
    const began = performance.now();
    const { durationMs } = await exec(id, 'sleep', ['0.5']);
    assert.ok(durationMs >= 490 && durationMs <= performance.now() - began + 1, `${durationMs}`);
  });

  it('kills the whole process group when the time is over, and says so', async () => {
    const result = await shell(id, 'echo begun; sleep 4321 & sleep 4322', { timeoutMs: 1500 });
    assert.deepEqual([result.stdout, result.exitCode, result.signal, result.reason],
      ['begun\n', null, 'SIGKILL', 'timeout']);
    assert.ok(result.durationMs >= 1490, `${result.durationMs}`);
    assert.equal((await exec(id, 'pgrep', ['-f', 'sleep 432'])).stdout, '');
  });

  it('takes a program that ignores SIGTERM all the same', async () => {
    const result = await shell(id, 'trap "" TERM INT HUP; while :; do sleep 1; done', { timeoutMs: 300 });
    assert.equal(result.reason, 'timeout');
  });

  it('reads zero as no timeout', async () => {
    assert.equal((await exec(id, 'sleep', ['0.2'], { timeoutMs: 0 })).reason, 'exited');
  });

  it('puts U+FFFD where output is not UTF-8', async () => {
    const { stdout } = await exec(id, 'printf', ['a\\377b\\303(\\342\\202z\\360\\237\\230\\200']);
    assert.equal(stdout, 'a\ufffdb\ufffd(\ufffdz😀');
  });

  it('gives bytes as they are in base64', async () => {
    const { stdout } = await exec(id, 'printf', ['a\\377\\000b'], { outputEncoding: 'base64' });
    assert.deepEqual(Buffer.from(stdout, 'base64'), Buffer.from([0x61, 0xff, 0, 0x62]));
  });

  it('keeps a mebibyte of each stream and says that there was more', async () => {
    const result = await shell(id, 'head -c 3000000 /dev/zero | tr "\\0" x; echo short >&2');
    assert.equal(result.stdout.length, 1 << 20);
    assert.deepEqual([result.stderr, result.exitCode, result.truncated], ['short\n', 0, true]);
  });

  it('keeps as much as asked for', async () => {
    const result = await exec(id, 'echo', ['1234567890'], { maxOutputBytes: 4 });
    assert.deepEqual([result.stdout, result.truncated], ['1234', true]);
  });

  it('feeds stdin, whole, and ends it', async () => {
    const text = 'line\n'.repeat(100_000);
    assert.equal((await exec(id, 'cat', [], { stdin: text })).stdout, text);
    assert.equal((await exec(id, 'cat')).stdout, '', 'without stdin there is nothing to read');
  });

  it('minds no program that leaves its stdin unread', async () => {
    assert.equal((await exec(id, 'true', [], { stdin: 'x'.repeat(500_000) })).exitCode, 0);
  });

  it('passes arguments as they are', async () => {
    const args = ['', ' ', '$HOME', '*', '"', "'", '\n', 'ü😀', '--', '-e'];
    const { stdout } = await exec(id, 'python3', ['-c', 'import sys, json; print(json.dumps(sys.argv[1:]))', ...args]);
    assert.deepEqual(JSON.parse(stdout), args);
  });

  it('gives the environment of the image, of create, and of the call, in that order', async () => {
    const variables = await shellOutput(id, 'echo $FROM_CREATE $BOTH $LANG $HOME $USER $(id -un)', { env: { BOTH: 'call' } });
    assert.equal(variables, 'yes call C.UTF-8 /home/user user user');
    assert.equal(await shellOutput(id, 'env | grep -c INSIEN || true'), '0');
  });

  it('starts in the work folder, or where it is told to', async () => {
    assert.equal(await shellOutput(id, 'pwd'), '/app');
    assert.equal(await shellOutput(id, 'pwd', { cwd: '/tmp' }), '/tmp');
    await shell(id, 'mkdir -p inner');
    assert.equal(await shellOutput(id, 'pwd', { cwd: 'inner' }), '/app/inner');
    assert.equal(await shellOutput(id, 'pwd', { cwd: '~' }), '/home/user');
  });

  it('acts as who is named', async () => {
    assert.equal(await shellOutput(id, 'id -un; id -gn; pwd'), 'user\nuser\n/app');
    assert.equal(await shellOutput(id, 'id -un; echo $HOME', { user: 'root' }), 'root\n/root');
    assert.equal(await shellOutput(id, 'id -u', { user: '1000' }), '1000');
    assert.equal(await shellOutput(id, 'id -un', { user: 'nobody' }), 'nobody');
  });

  it('starts in the background and answers at once', async () => {
    const reply = await exec(id, 'sleep', ['54321'], { background: true });
    assert.deepEqual([reply.background, reply.exitCode, reply.stdout], [true, null, '']);
    assert.equal(await shellOutput(id, `cat /proc/${reply.pid}/cmdline | tr "\\0" " "`), 'sleep 54321');
    await exec(id, 'kill', [`${reply.pid}`]);
    await until('it is reaped', async () => (await exec(id, 'test', ['-e', `/proc/${reply.pid}`])).exitCode === 1, 30_000);
  });

  it('answers although a child keeps the output open', async () => {
    const result = await shell(id, 'sleep 98765 & echo hi');
    assert.deepEqual([result.stdout, result.exitCode, result.outputOpen], ['hi\n', 0, true]);
    await exec(id, 'pkill', ['-f', 'sleep 98765']);
  });

  it('waits for what a child still writes', async () => {
    const result = await shell(id, '(for i in 1 2 3; do sleep 0.3; echo $i; done) & echo 0');
    assert.deepEqual([result.stdout, result.outputOpen ?? false], ['0\n1\n2\n3\n', false]);
  });

  it('leaves no zombies', async () => {
    await shell(id, 'for i in 1 2 3 4 5 6 7 8; do (sleep 0.05 &) ; done');
    await until('orphans are reaped', async () => await shellOutput(id, 'ps -eo stat | grep -c ^Z || true') === '0', 30_000);
  });

  it('runs a hundred at once, each with its own answer', async () => {
    const results = await Promise.all(Array.from({ length: 100 }, (_, i) => shell(id, `sleep 0.2; echo ${i}`)));
    results.forEach((result, i) => assert.equal(result.stdout, `${i}\n`));
  });

  const refusals = [
    ['a program that does not exist', { cmd: 'no-such-program' }, 400, 'command_not_found'],
    ['a path that does not exist', { cmd: '/no/such/program' }, 400, 'command_not_found'],
    ['a file that is no program', { cmd: '/etc/passwd' }, 400, 'permission_denied'],
    ['a work folder that does not exist', { cmd: 'true', cwd: '/no/such' }, 400, 'cwd_not_found'],
    ['a user that does not exist', { cmd: 'true', user: 'nemo' }, 400, 'user_not_found'],
  ];
  for (const [name, body, status, code] of refusals) {
    it(`refuses ${name}`, async () => {
      assertError(await tryExec(id, body), status, code);
    });
  }

  it('ends what ate all the memory, says why, and goes on', async (t) => {
    const small = await sandboxFor(t, { template: 'base-locked' });
    const result = await exec(small, 'python3', ['-c', 'x = bytearray(3 << 30); print(len(x))']);
    assert.deepEqual([result.exitCode, result.signal, result.reason], [null, 'SIGKILL', 'oom']);
    assert.equal((await exec(small, 'echo', ['alive'])).stdout, 'alive\n');
  });
});
