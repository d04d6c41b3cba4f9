// A deployment whose services speak mutual TLS with each other: all goes through, and nobody else
// gets in.
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import {
  apiUrl, kill9, pidOf, readFacts, root, run, stateDir,
} from '../support/stack.mjs';
import {
  call, createSandbox, destroySandbox, exec, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { openClient } from '../support/websocket.mjs';

const AUTH_PORT = Number(new URL(apiUrl).port) + 40;
const SANDBOX_PORT = AUTH_PORT + 1;
const certs = path.join(stateDir, 'data/certs');
const settings = {
  AUTH_LISTEN: `tls+tcp://127.0.0.1:${AUTH_PORT}`,
  SANDBOX_LISTEN: `tls+tcp://127.0.0.1:${SANDBOX_PORT}`,
  AUTH_IPC: `tls+tcp://127.0.0.1:${AUTH_PORT}`,
  SANDBOX_IPC: `tls+tcp://127.0.0.1:${SANDBOX_PORT}`,
};
const deploy = (command, more = {}) => run(path.join(root, 'deploy', command), [], {
  env: { ...process.env, ...more }, timeoutMs: 300_000,
});

async function deployWith(more) {
  const { code, stderr } = await deploy('up', more);
  assert.equal(code, 0, stderr);
  readFacts();
  await whenHealthy(30_000);
}

// Shakes hands and sends a frame of a call. Resolves to whether anything came back before the end.
function knock(port, options) {
  return new Promise((resolve) => {
    const socket = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...options });
    let heard = false;
    socket.on('secureConnect', () => socket.write(Buffer.alloc(12)));
    socket.on('data', () => {
      heard = true;
      socket.destroy();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(heard));
  });
}

const certificateOf = (folder, role) => ({
  cert: readFileSync(path.join(folder, `${role}.pem`)), key: readFileSync(path.join(folder, `${role}.key`)),
});

describe('services that speak TLS with each other', () => {
  let id;
  before(async () => {
    await deployWith(settings);
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
  });
  after(async () => {
    await destroySandbox(id);
    await deployWith({});
  });

  it('do all that they did', async () => {
    assert.equal((await exec(id, 'echo', ['hello'])).stdout, 'hello\n');
    const client = await openClient(id);
    client.close();
    assert.equal((await call('GET', '/sandbox?limit=1')).status, 200);
    assert.equal((await call('GET', '/sandbox?limit=1', { key: `isk_${'0'.repeat(64)}` })).status, 401);
    const { stdout } = await run('ss', ['-Hltnp']);
    for (const [service, port] of [['auth', AUTH_PORT], ['sandbox', SANDBOX_PORT]]) {
      assert.match(stdout, new RegExp(`127\\.0\\.0\\.1:${port} .*pid=${await pidOf(service)},`));
    }
  });

  it('find each other again when one was killed', async () => {
    for (const service of ['auth', 'sandbox', 'gateway']) {
      await kill9(service);
      await whenHealthy(30_000);
    }
    await whenUsable(id);
    assert.equal((await exec(id, 'echo', ['again'])).stdout, 'again\n');
  });

  it('keep their keys from all but root', () => {
    for (const name of ['ca.key', 'gateway.key', 'auth.key', 'sandbox.key']) {
      const { uid, mode } = statSync(path.join(certs, name));
      assert.deepEqual([uid, mode & 0o777], [0, 0o600], name);
    }
  });

  it('answer the gateway alone, with a certificate of their authority', async (t) => {
    const others = path.join(stateDir, 'other-certs');
    t.after(() => run('rm', ['-rf', others]));
    const made = await run(path.join(root, 'deploy/certs'), [others]);
    assert.equal(made.code, 0, made.stderr);
    for (const port of [AUTH_PORT, SANDBOX_PORT]) {
      assert.equal(await knock(port, certificateOf(certs, 'gateway')), true, 'the gateway is greeted');
      assert.equal(await knock(port, {}), false, 'no certificate');
      assert.equal(await knock(port, certificateOf(others, 'gateway')), false, 'of another authority');
      assert.equal(await knock(port, certificateOf(certs, 'auth')), false, 'of another role');
      assert.equal(await knock(port, certificateOf(certs, 'sandbox')), false, 'of another role');
    }
    await whenHealthy();
  });

  it('go on with certificates that were made anew', async () => {
    const before = readFileSync(path.join(certs, 'auth.pem'), 'utf8');
    const ca = readFileSync(path.join(certs, 'ca.pem'), 'utf8');
    const same = await deploy('certs');
    assert.equal(same.code, 0, same.stderr);
    assert.equal(readFileSync(path.join(certs, 'auth.pem'), 'utf8'), before, 'there was no need');
    const renewed = await run(path.join(root, 'deploy/certs'), ['--renew']);
    assert.equal(renewed.code, 0, renewed.stderr);
    assert.notEqual(readFileSync(path.join(certs, 'auth.pem'), 'utf8'), before);
    assert.equal(readFileSync(path.join(certs, 'ca.pem'), 'utf8'), ca);
    await deployWith(settings);
    await whenUsable(id);
    assert.equal((await exec(id, 'echo', ['anew'])).stdout, 'anew\n');
  });

  it('do not start for an address that leaves the machine in the clear', async () => {
    const { code, stderr } = await deploy('up', { ...settings, AUTH_LISTEN: 'tcp://0.0.0.0:7001' });
    assert.notEqual(code, 0);
    assert.match(stderr, /tls\+tcp:\/\/host:port/);
  });
});
