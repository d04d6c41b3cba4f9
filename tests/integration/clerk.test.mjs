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
import { person } from '../support/people.mjs';
import { standIn } from '../support/session.mjs';
import { apiKey, root, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const issuer = 'https://clerk.example.com';
const parties = 'https://app.example.com';
const COLD_MS = 6000; // until who waits for Clerk hears that it does not answer
const RECOVERS_MS = 15_000; // the longest pause before Clerk is asked again, and how long an answer may take

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
const startService = (t, name, step, clerk) => startBeside(t, {
  name, step, change: { ...noSignIn, CLERK_JWKS_URL: clerk.url, CLERK_ISSUER: issuer, CLERK_AUTHORIZED_PARTIES: parties },
});

const ask = (base, token) => call('GET', '/api/keys', { base, key: null, headers: { Authorization: `Bearer ${token}` } });

test('made-up keys of tokens make no flood of questions', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startService(t, 'kids', 92, clerk);
  assert.equal((await ask(base, await clerk.token({}))).status, 200);
  const before = (await clerk.hits()).jwks;
  const tokens = await Promise.all(Array.from({ length: 1000 }, () => clerk.token({ header: { kid: `ins_${randomBytes(6).toString('hex')}` } })));
  const replies = await Promise.all(tokens.map((token) => ask(base, token)));
  replies.forEach((reply) => assertError(reply, 401, 'invalid_session'));
  assert.ok((await clerk.hits()).jwks - before <= 2);
  assert.equal((await ask(base, await clerk.token({}))).status, 200);
});

test('nobody notices that the keys change', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startService(t, 'rotates', 94, clerk);
  const old = await clerk.token({});
  assert.equal((await ask(base, old)).status, 200);
  await clerk.rotate();
  assert.equal((await ask(base, await clerk.token({}))).status, 200);
  assert.equal((await ask(base, old)).status, 200);
  assertError(await ask(base, await clerk.token({ key: 'attacker' })), 401, 'invalid_session');
});

// What Clerk may do wrong, each to a service that has heard nothing yet and to one that has.
const badDays = {
  'does not answer': 'timeout', 'never ends its answer': 'drip', 'breaks its answer off': 'cut', 'fails': '500', 'has enough of us': '429',
  'talks of something else': 'garbage', 'has no keys': 'empty', 'has keys of wrong types': 'types', 'sends too much': 'huge',
  'sends us elsewhere': 'redirect',
};
for (const [name, fault] of Object.entries(badDays)) {
  test(`when Clerk ${name}, one hears so at once, API keys serve, and who is known stays known`, async (t) => {
    const clerk = await startStandIn(t);
    await clerk.fault({ jwks: fault });
    const base = await startService(t, `clerk-${fault}`, 98, clerk);
    const began = performance.now();
    const reply = await ask(base, await clerk.token({}));
    assertError(reply, 503, 'clerk_unavailable');
    assert.equal(reply.headers['retry-after'], '5');
    assert.ok(performance.now() - began < COLD_MS);
    assert.equal((await call('GET', '/sandbox?limit=1', { base, key: apiKey })).status, 200);
    await clerk.fault({});
    const token = await clerk.token({});
    await until('it asks Clerk again', async () => (await ask(base, token)).status === 200, RECOVERS_MS);

    await clerk.fault({ jwks: fault });
    const before = (await clerk.hits()).jwks;
    // A key nobody knows makes the service ask, and get no good answer.
    const strange = ask(base, await clerk.token({ header: { kid: `ins_${fault}` } }));
    await until('it asks', async () => (await clerk.hits()).jwks > before, 5000);
    const warm = performance.now();
    assert.equal((await ask(base, await clerk.token({}))).status, 200);
    assert.ok(performance.now() - warm < 1000);
    assert.ok([401, 503].includes((await strange).status));
    const fresh = await clerk.token({});
    await clerk.stop();
    assert.equal((await ask(base, fresh)).status, 200, 'dead');
  });
}

test('a slow Clerk makes the first who sign in wait, and nobody else', async (t) => {
  const clerk = await startStandIn(t);
  await clerk.fault({ jwks: 'slow' });
  const base = await startService(t, 'clerk-slow', 98, clerk);
  const tokens = await Promise.all(Array.from({ length: 4 }, () => clerk.token({})));
  const first = Promise.all(tokens.map((token) => ask(base, token)));
  const began = performance.now();
  assert.equal((await call('GET', '/sandbox?limit=1', { base, key: apiKey })).status, 200);
  assert.ok(performance.now() - began < 1000);
  (await first).forEach(({ status }) => assert.equal(status, 200));
  assert.equal((await clerk.hits()).jwks, 1);
});

test('keys that nobody should use are not used', async (t) => {
  const clerk = await startStandIn(t);
  await clerk.fault({ jwks: 'hostile' });
  const base = await startService(t, 'clerk-hostile', 98, clerk);
  const { status } = await ask(base, await clerk.token({}));
  assert.ok([401, 503].includes(status), status);
});

test('a key that was withdrawn serves until the next look, and not after it', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startService(t, 'withdrawn', 98, clerk);
  const old = await clerk.token({});
  assert.equal((await ask(base, old)).status, 200);
  await clerk.rotate({ withdraw: true });
  assert.equal((await ask(base, await clerk.token({}))).status, 200, 'the new key is looked for at once');
  assertError(await ask(base, await clerk.token({ key: 'primary' })), 401, 'invalid_session');
});

test('a session that ends at Clerk ends its sockets, though no webhook tells; one that Clerk is silent about stays', async (t) => {
  const clerk = await startStandIn(t);
  const base = await startBeside(t, {
    name: 'watch', step: 88, change: {
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

// A token of five seconds has five of grace.
test('what was opened or made with a short token outlives it: a socket, and a key', async () => {
  const { headers, make } = await person({ seconds: 5 });
  const { key } = await make();
  const { sandboxId } = await createSandbox({}, key);
  const sockets = await Promise.all([{ key: null, headers }, { key }].map((options) => openClient(sandboxId, options)));
  await until('the token has expired', async () => (await call('GET', '/api/keys', { key: null, headers })).json.code === 'token_expired', 20_000);
  for (const socket of sockets) {
    assert.equal((await socket.request({ type: 'stat', path: '/' })).type, 'statResponse');
    await socket.close();
  }
  await destroySandbox(sandboxId, key);
});
