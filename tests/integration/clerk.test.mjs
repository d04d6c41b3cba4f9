// Clerk on a bad day: dead, slow, lying, and changing its keys. Each test has a stand-in and an
// auth-service of its own.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox } from '../support/api.mjs';
import { noSignIn, startBeside } from '../support/beside.mjs';
import { sessionToken, standIn } from '../support/session.mjs';
import { apiKey, root, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const issuer = 'https://clerk.example.com';
const parties = 'https://app.example.com';

// Resolves to what standIn says, with its address and stop(), which resolves when it is dead.
async function startStandIn(t) {
  const child = spawn(process.execPath, [path.join(root, 'tests/support/clerk/server.mjs'), '0'], {
    env: { ...process.env, CLERK_ISSUER: issuer, CLERK_AUTHORIZED_PARTIES: parties }, stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await once(child.stdout, 'data');
  const { port } = JSON.parse(line);
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
  };
  t.after(stop);
  return { ...standIn(port), url: `http://127.0.0.1:${port}/.well-known/jwks.json`, stop };
}

// An auth-service that believes that stand-in alone, behind a gateway of its own.
const startService = (t, name, port, clerk) => startBeside(t, {
  name, port, change: { ...noSignIn, CLERK_JWKS_URL: clerk.url, CLERK_ISSUER: issuer, CLERK_AUTHORIZED_PARTIES: parties },
});

const ask = (base, token) => call('GET', '/api/keys', { base, key: null, headers: { Authorization: `Bearer ${token}` } });

test('made-up keys of tokens make no flood of questions', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startService(t, 'kids', 4392, clerk);
  assert.equal((await ask(base, await clerk.token({}))).status, 200);
  const before = (await clerk.hits()).jwks;
  const tokens = await Promise.all(Array.from({ length: 200 }, () => clerk.token({ header: { kid: `ins_${randomBytes(6).toString('hex')}` } })));
  for (let round = 0; round < 5; round += 1) {
    const replies = await Promise.all(tokens.map((token) => ask(base, token)));
    assert.ok(replies.every(({ status }) => status === 401));
  }
  assert.ok((await clerk.hits()).jwks - before <= 2);
  assert.equal((await ask(base, await clerk.token({}))).status, 200);
});

test('nobody notices that the keys change', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startService(t, 'rotates', 4394, clerk);
  const old = await clerk.token({});
  assert.equal((await ask(base, old)).status, 200);
  await clerk.rotate();
  assert.equal((await ask(base, await clerk.token({}))).status, 200);
  assert.equal((await ask(base, old)).status, 200);
  assertError(await ask(base, await clerk.token({ key: 'attacker' })), 401, 'invalid_session');
});

test('who is known stays known while Clerk is slow, lies or is dead', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startService(t, 'warm', 4396, clerk);
  const tokens = await Promise.all(Array.from({ length: 6 }, () => clerk.token({})));
  assert.equal((await ask(base, tokens[0])).status, 200);
  for (const fault of ['timeout', '500', 'garbage', 'empty']) {
    await clerk.fault({ jwks: fault });
    // A key nobody knows makes the service ask, and get no good answer.
    const strange = ask(base, await clerk.token({ header: { kid: `ins_${fault}` } }));
    const began = performance.now();
    assert.equal((await ask(base, tokens.pop())).status, 200, fault);
    assert.ok(performance.now() - began < 1000, fault);
    assert.ok([401, 503].includes((await strange).status), fault);
  }
  await clerk.stop();
  assert.equal((await ask(base, tokens[0])).status, 200, 'dead');
});

test('before the first answer of Clerk one hears soon that it does not answer, and API keys serve', async (t) => {
  const clerk = await startStandIn(t);
  await clerk.fault({ jwks: 'timeout' });
  const base = await startService(t, 'cold', 4398, clerk);
  const began = performance.now();
  assertError(await ask(base, await clerk.token({})), 503, 'clerk_unavailable');
  assert.ok(performance.now() - began < 6000);
  assert.equal((await call('GET', '/sandbox?limit=1', { base, key: apiKey })).status, 200);
});

test('a session that ends at Clerk ends its sockets, though no webhook tells; one that Clerk is silent about stays', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startBeside(t, {
    name: 'watch', port: 4388, change: {
      ...noSignIn, CLERK_JWKS_URL: clerk.url, CLERK_ISSUER: issuer, CLERK_AUTHORIZED_PARTIES: parties,
      CLERK_API_URL: new URL(clerk.url).origin, CLERK_SECRET_KEY: 'sk_test_standIn', CLERK_SESSION_CHECK_S: '1',
    },
  });
  const sub = `user_${randomBytes(8).toString('hex')}`;
  const sids = [1, 2, 3].map(() => `sess_${randomBytes(8).toString('hex')}`);
  const tokens = await Promise.all(sids.map((sid) => clerk.token({ sub, sid })));
  const made = await call('POST', '/api/keys', { base, key: null, body: {}, headers: { Authorization: `Bearer ${tokens[0]}` } });
  const { key } = made.json.apiKey;
  const { sandboxId } = await createSandbox({}, key);
  t.after(() => destroySandbox(sandboxId, key));
  const [revoked, unknown, stays] = await Promise.all(tokens.map((token) => openClient(sandboxId, {
    key: null, headers: { Authorization: `Bearer ${token}` }, base: base.replace('http', 'ws'),
  })));
  await until('all are asked for', async () => (await clerk.hits()).sessions >= 3, 20_000);
  await clerk.fault({ sessions: '500' });
  await clerk.describeSession({ id: sids[0], status: 'revoked' });
  const early = await Promise.race([revoked.closed, new Promise((resolve) => setTimeout(resolve, 3000, 'open'))]);
  assert.equal(early, 'open', 'a Clerk that fails says nothing');
  await clerk.fault({});
  assert.equal((await revoked.closed).code, 1008);
  assertError(await ask(base, tokens[0]), 401, 'invalid_session');
  await clerk.describeSession({ id: sids[1] });
  assert.equal((await unknown.closed).code, 1008);
  assert.equal((await stays.request({ type: 'unwatch', streamId: 1 })).code, 'stream_not_open');
  assert.equal((await ask(base, tokens[2])).status, 200);
  await stays.close();
});

test('a key that was made by somebody with a short token outlives it, and so does its socket', async () => {
  const reply = await call('POST', '/api/keys', {
    key: null, body: {}, headers: { Authorization: `Bearer ${await sessionToken({ sub: `user_${randomBytes(8).toString('hex')}`, ttl: 1 })}` },
  });
  assert.equal(reply.status, 201);
  const { key } = reply.json.apiKey;
  const { sandboxId } = await createSandbox({}, key);
  const socket = await openClient(sandboxId, { key });
  const outcome = await Promise.race([socket.closed, new Promise((resolve) => setTimeout(resolve, 7000, 'open'))]);
  assert.equal(outcome, 'open');
  await socket.close();
  await destroySandbox(sandboxId, key);
});
