import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError, call, exec, sandboxFor, shellOutput } from '../support/api.mjs';

test('base is what people expect of a Linux box', async (t) => {
  const id = await sandboxFor(t, { template: 'base' });
  const programs = ['bash', 'git', 'curl', 'python3', 'python', 'pip', 'node', 'npm', 'gcc', 'make', 'sudo', 'ps',
    'tput', 'tar'];
  for (const name of programs) {
    assert.equal((await exec(id, 'bash', ['-c', `command -v ${name}`])).exitCode, 0, name);
  }
  assert.equal(await shellOutput(id, 'id -un; id -u; pwd; echo $HOME'), 'user\n1000\n/app\n/home/user');
  assert.equal(await shellOutput(id, 'stat -c %U /app /home/user'), 'user\nuser');
  assert.equal(await shellOutput(id, 'locale charmap 2>/dev/null || python3 -c "import sys; print(sys.getfilesystemencoding().upper())"'), 'UTF-8');
  assert.equal(await shellOutput(id, 'test -s /etc/ssl/certs/ca-certificates.crt && echo yes'), 'yes');
});

test('base compiles and runs programs in three languages', async (t) => {
  const id = await sandboxFor(t, { template: 'base' });
  assert.equal(await shellOutput(id, 'python -c "print(6*7)"'), '42');
  assert.equal(await shellOutput(id, 'node -p 6*7'), '42');
  const c = 'int puts(const char *); int main(void) { return puts("42") < 0; }';
  assert.equal(await shellOutput(id, 'gcc -x c - -o answer && ./answer', { stdin: c }), '42');
  assert.equal(await shellOutput(id, 'python -m venv v && v/bin/pip --version | cut -d" " -f1'), 'pip');
  assert.equal(await shellOutput(id, 'git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline | wc -l'), '1');
});

test('base lets its user become root without a password and without a complaint', async (t) => {
  const id = await sandboxFor(t, { template: 'base' });
  const result = await exec(id, 'sudo', ['id', '-u']);
  assert.deepEqual([result.stdout, result.stderr, result.exitCode], ['0\n', '', 0]);
});

test('base-locked is the same image without a way to more', async (t) => {
  const id = await sandboxFor(t, { template: 'base-locked' });
  assert.equal(await shellOutput(id, 'id -un; pwd; python3 -c "print(1)"'), 'user\n/app\n1');
  const result = await exec(id, 'sudo', ['id', '-u']);
  assert.notEqual(result.exitCode, 0);
  assert.equal(result.stdout, '');
});

test('tiny shows that an image without user, bash and libc serves', async (t) => {
  const id = await sandboxFor(t, { template: 'tiny' });
  assert.equal(await shellOutput(id, 'id -u; pwd; echo $HOME'), '0\n/\n/root');
  assert.equal((await exec(id, 'ls', ['/bin/bash', '/lib'])).exitCode, 1);
});

test('an unknown template is 404', async () => {
  const reply = await call('POST', '/sandbox/create', { body: { template: 'windows' } });
  assertError(reply, 404, 'template_not_found');
});
