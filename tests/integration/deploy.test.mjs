// The commands of deploy/ on a deployment that runs.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { call, createSandbox, destroySandbox, exec, isHealthy, whenHealthy, whenUsable } from '../support/api.mjs';
import {
  apiKey, apiUrl, kill9, nothingIsOrphaned, pidOf, root, run, serviceSettings, stateDir,
  supervise, until, wsUrl,
} from '../support/stack.mjs';

const deploy = (command, ...args) => run(path.join(root, 'deploy', command), args, { timeoutMs: 300_000 });
const envFile = path.join(stateDir, 'env');

test('status shows each part and ends well', async () => {
  const { code, stdout } = await deploy('status');
  assert.equal(code, 0, stdout);
  for (const part of ['docker', 'postgres', 'redis', 'auth', 'sandbox', 'gateway', 'network']) {
    assert.match(stdout, new RegExp(part), part);
  }
});

test('status says what is not well', async () => {
  await supervise('down', 'auth');
  try {
    await until('health notices', async () => !await isHealthy(), 30_000);
    const { code, stdout } = await deploy('status');
    assert.notEqual(code, 0);
    assert.match(stdout, /auth.*down/);
  } finally {
    await supervise('up', 'auth');
    await whenHealthy();
  }
});

test('the facts of the connection stand in one file, for its owner alone', () => {
  assert.equal(statSync(envFile).mode & 0o777, 0o600);
  assert.match(readFileSync(envFile, 'utf8'), /^INSIEN_API_URL=.*\nINSIEN_WS_URL=.*\nINSIEN_API_KEY=.*\n$/);
  assert.match(apiUrl, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.match(wsUrl, /^ws:\/\/127\.0\.0\.1:\d+$/);
});

test('key prints a key that serves and nothing else, and knows its user again', async () => {
  const email = `twice-${Date.now()}@example.test`;
  for (const tier of ['free', 'pro']) {
    const { code, stdout } = await deploy('key', email, '--tier', tier);
    assert.equal(code, 0);
    assert.match(stdout, /^isk_[0-9a-f]{64}\n$/);
    const key = stdout.trim();
    const { sandboxId, ...created } = await createSandbox({}, key);
    assert.equal(created.tier, tier);
    await destroySandbox(sandboxId, key);
    assert.ok((await call('GET', '/sandbox', { key })).json.sandboxes.length >= 1);
  }
});

for (const args of [[], ['nobody'], ['a@example.test', '--tier', 'gold'], ['a@example.test', '--nonsense']]) {
  test(`key ${args.join(' ')} says what is wrong`, async () => {
    const { code, stdout, stderr } = await deploy('key', ...args);
    assert.notEqual(code, 0);
    assert.equal(stdout, '');
    assert.match(stderr, /\w+ .*\w+/);
  });
}

test('up again is quick, restarts nothing and keeps the key', async () => {
  const before = await Promise.all(['gateway', 'auth', 'sandbox', 'postgres', 'redis'].map(pidOf));
  const began = performance.now();
  const { code, stdout, stderr } = await deploy('up');
  const seconds = (performance.now() - began) / 1000;
  assert.equal(code, 0, stderr);
  assert.ok(seconds < 60, `${seconds} s`);
  assert.deepEqual(await Promise.all(['gateway', 'auth', 'sandbox', 'postgres', 'redis'].map(pidOf)), before);
  assert.ok(stdout.includes(apiUrl) && stdout.includes(apiKey));
});

test('the line that up prints creates a sandbox and runs a command in it', async () => {
  const { stdout } = await deploy('up');
  const line = stdout.split('\n').find((text) => text.startsWith('curl '));
  const result = await run('sh', ['-c', line]);
  assert.equal(result.code, 0, result.stderr);
  assert.match(JSON.parse(result.stdout).stdout, /^Linux /);
  const { json } = await call('GET', '/sandbox?limit=1');
  await destroySandbox(json.sandboxes[0].sandboxId);
});

test('a killed service is back at once', async () => {
  for (const service of ['gateway', 'auth', 'sandbox', 'redis']) {
    await whenHealthy();
    await until('it has run for a while', async () => {
      const { stdout } = await run('sv', ['status', path.join(stateDir, 'service', service)]);
      return Number(/\) (\d+)s/.exec(stdout)?.[1]) >= 2;
    }, 30_000);
    const began = performance.now();
    await kill9(service);
    const ms = performance.now() - began;
    assert.ok(ms < 5000, `${service}: ${ms} ms`);
  }
  await whenHealthy();
});

test('no secret stands in an argument, an environment or a log', async () => {
  const database = readFileSync(serviceSettings('sandbox').DATABASE_URL_FILE, 'utf8').trim();
  const agentSecret = readFileSync(serviceSettings('sandbox').AGENT_JWT_SECRET_FILE, 'utf8').trim();
  const secrets = [apiKey, agentSecret, /:([^:@]+)@/.exec(database)[1]];
  const logs = await run('sh', ['-c', `cat '${stateDir}'/log/*/current '${stateDir}'/log/deploy.log`]);
  for (const pid of await Promise.all(['gateway', 'auth', 'sandbox'].map(pidOf))) {
    logs.stdout += readFileSync(`/proc/${pid}/cmdline`) + readFileSync(`/proc/${pid}/environ`);
  }
  assert.deepEqual(secrets.filter((secret) => logs.stdout.includes(secret)).length, 0);
});

test('down and up keep sandboxes, keys and their processes', async () => {
  const { sandboxId } = await createSandbox({ timeoutMs: 3_600_000 });
  await exec(sandboxId, 'sh', ['-c', 'echo kept > /tmp/kept; exec sleep 3600'], { background: true });
  const down = await deploy('down');
  assert.equal(down.code, 0, down.stderr);
  assert.equal(await isHealthy(), false);
  assert.notEqual((await deploy('status')).code, 0);
  const up = await deploy('up');
  assert.equal(up.code, 0, up.stderr);
  await whenUsable(sandboxId);
  assert.equal((await exec(sandboxId, 'cat', ['/tmp/kept'])).stdout, 'kept\n');
  assert.equal((await exec(sandboxId, 'pidof', ['sleep'])).exitCode, 0);
  await destroySandbox(sandboxId);
  await nothingIsOrphaned();
});

test('the private stores listen on no network', async () => {
  for (const service of ['postgres', 'redis', 'auth', 'sandbox']) {
    const { stdout } = await run('ss', ['-Hltnp']);
    assert.ok(!stdout.includes(`pid=${await pidOf(service)},`), service);
  }
});
