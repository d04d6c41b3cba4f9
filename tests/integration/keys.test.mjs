// People sign in with Clerk and make keys; here a stand-in signs.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox } from '../support/api.mjs';
import { noSignIn, startBeside } from '../support/beside.mjs';
import { sessionToken } from '../support/session.mjs';
import { sql, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const SOON_MS = 5000; // long before anything remembered ends by itself

const newSubject = () => `user_${randomBytes(12).toString('hex')}`;

async function signIn(sub = newSubject()) {
  const token = await sessionToken({ sub });
  return {
    sub,
    keys: (method, path = '', body = undefined) => call(method, `/api/keys${path}`, {
      key: null, body, headers: { Authorization: `Bearer ${token}` },
    }),
  };
}

const serves = async (key) => (await call('GET', '/sandbox?limit=1', { key })).status === 200;

test('a new person makes a key, and it serves', async () => {
  const { keys, sub } = await signIn();
  const reply = await keys('POST', '', { name: 'Läptop', expiresInDays: 30 });
  assert.equal(reply.status, 201, reply.text);
  assert.equal(reply.headers['cache-control'], 'no-store');
  const { success, message, apiKey: made, ...rest } = reply.json;
  assert.deepEqual([success, rest], [true, {}]);
  assert.ok(message.length > 3);
  const { id, key, createdAt, expiresAt, ...named } = made;
  assert.deepEqual(named, {
    prefix: key.slice(0, 12), name: 'Läptop', parentId: null, maxSandboxes: null, requestsPerMinute: null,
    scopes: ['sandbox:read', 'sandbox:write', 'exec', 'files', 'keys'],
  });
  assert.match(key, /^isk_[0-9a-f]{64}$/);
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal(Math.round((Date.parse(expiresAt) - Date.parse(createdAt)) / 86_400_000), 30);
  assert.ok(await serves(key));
  assert.equal(await sql(`SELECT tier FROM users JOIN identities ON user_id = users.id WHERE subject = '${sub}'`), 'free');
});

test('name and end are optional', async () => {
  const { keys } = await signIn();
  for (const body of [undefined, {}]) {
    const { status, json } = await keys('POST', '', body);
    assert.equal(status, 201);
    assert.deepEqual([json.apiKey.name, json.apiKey.expiresAt], [null, null]);
  }
});

test('the list shows what each key is and never the key', async () => {
  const { keys } = await signIn();
  const { apiKey: first } = (await keys('POST', '', { name: 'first' })).json;
  const { apiKey: second } = (await keys('POST', '', { name: 'second' })).json;
  const reply = await keys('GET');
  assert.equal(reply.status, 200);
  assert.equal(reply.json.success, true);
  assert.deepEqual(reply.json.apiKeys, [second, first].map(({ key, ...shown }) => ({
    ...shown, lastUsedAt: null, expiresAt: null, revokedAt: null, isActive: true,
  })));
  assert.ok(!reply.text.includes(first.key.slice(12)));
});

test('two people at their first sight at once are two users, one of them once', async () => {
  const sub = newSubject();
  const people = await Promise.all(Array.from({ length: 6 }, () => signIn(sub)));
  await Promise.all(people.map(({ keys }) => keys('POST', '', {})));
  assert.equal(await sql(`SELECT count(DISTINCT user_id) FROM identities WHERE subject = '${sub}'`), '1');
  const { json } = await people[0].keys('GET');
  assert.equal(json.apiKeys.length, 6);
});

test('a revoked key serves nothing any more, at once', async () => {
  const { keys } = await signIn();
  const { apiKey: made } = (await keys('POST', '', {})).json;
  const { sandboxId } = await createSandbox({}, made.key);
  assert.ok(await serves(made.key), 'it is in every cache now');
  const began = performance.now();
  const reply = await keys('DELETE', `/${made.id}`);
  assert.deepEqual([reply.status, reply.json.success], [200, true]);
  await until('the key is refused', async () => !await serves(made.key), SOON_MS);
  assert.ok(performance.now() - began < SOON_MS);
  assertError(await call('GET', `/sandbox/${sandboxId}/status`, { key: made.key }), 401, 'invalid_api_key');
  assertError(await refusal(`/client/${sandboxId}`, { key: made.key }), 401, 'invalid_api_key');

  const { apiKeys: [listed] } = (await keys('GET')).json;
  assert.equal(listed.isActive, false);
  assert.ok(Date.parse(listed.revokedAt) > 0);
  assert.equal((await keys('DELETE', `/${made.id}`)).status, 200, 'again is no error');

  const { apiKey: other } = (await keys('POST', '', {})).json;
  const socket = await openClient(sandboxId, { key: other.key });
  await socket.close();
  await destroySandbox(sandboxId, other.key);
});

test('who makes many keys at once holds up nobody who has one', async () => {
  const { keys } = await signIn();
  const { json: { apiKey: { key } } } = await keys('POST');
  const hostile = await signIn();
  const making = Array.from({ length: 60 }, () => hostile.keys('POST', `/${randomUUID()}/rotate`)); // each costs a bcrypt
  assert.equal((await making[0]).status, 404); // so the others wait by now
  const began = performance.now();
  assert.equal(await serves(key), true);
  const tookMs = performance.now() - began;
  assert.ok(tookMs < SOON_MS, `${tookMs} ms`);
  await Promise.all(making);
});

test('a key of somebody else can not be revoked and looks like none', async () => {
  const owner = await signIn();
  const stranger = await signIn();
  const { apiKey: made } = (await owner.keys('POST', '', {})).json;
  for (const id of [made.id, '00000000-0000-4000-8000-000000000000', 'no-id']) {
    assertError(await stranger.keys('DELETE', `/${id}`), 404, 'api_key_not_found');
  }
  assert.ok(await serves(made.key));
});

for (const [name, body, path] of [
  ['an empty name', { name: '' }, 'name'],
  ['a name too long', { name: 'x'.repeat(256) }, 'name'],
  ['a name that is no text', { name: 5 }, 'name'],
  ['no day at all', { expiresInDays: 0 }, 'expiresInDays'],
  ['a day as text', { expiresInDays: '1' }, 'expiresInDays'],
  ['half a day', '{"expiresInDays":0.5}', 'expiresInDays'],
]) {
  test(`${name} is refused`, async () => {
    const { keys } = await signIn();
    const { details } = assertError(await keys('POST', '', body), 400, 'validation_failed');
    assert.deepEqual(details.map((detail) => detail.path), [path]);
  });
}

const badTokens = {
  'of another key': { key: 'attacker' },
  'of another issuer': { claims: { iss: 'https://clerk.evil.example' } },
  'for another site': { claims: { azp: 'https://evil.example' } },
  'of an unknown key id': { header: { kid: 'ins_unknown' } },
  'without a signature': { header: { alg: 'none' } },
  'that names HMAC': { header: { alg: 'HS256' } },
  'not valid yet': { claims: { nbf: Math.floor(Date.now() / 1000) + 300 } },
  'of a pending session': { claims: { sts: 'pending' } },
};
for (const [name, options] of Object.entries(badTokens)) {
  test(`a token ${name} is 401 and tells nothing`, async () => {
    const token = await sessionToken(options);
    for (const method of ['GET', 'POST']) {
      const reply = await call(method, '/api/keys', { key: null, headers: { Authorization: `Bearer ${token}` } });
      const { error } = assertError(reply, 401, 'invalid_session');
      assert.equal(error, 'Invalid or expired session');
    }
  });
}

test('an expired token says so', async () => {
  const token = await sessionToken({ ttl: -60 });
  const reply = await call('GET', '/api/keys', { key: null, headers: { Authorization: `Bearer ${token}` } });
  assertError(reply, 401, 'token_expired');
});

test('what is no session token is 401', async () => {
  assertError(await call('GET', '/api/keys', { key: null }), 401, 'unauthenticated');
  for (const [text, code] of [
    ['a.b.c', 'invalid_session'], [`a.b.${'x'.repeat(8100)}`, 'invalid_session'],
    ['x', 'invalid_api_key'], ['x'.repeat(8100), 'invalid_api_key'],
  ]) {
    const reply = await call('GET', '/api/keys', { key: null, headers: { Authorization: `Bearer ${text}` } });
    assertError(reply, 401, code);
  }
});

test('without Clerk the keys\' routes say what to set, and keys go on serving', async (t) => {
  const base = await startBeside(t, { name: 'bare', step: 90, change: noSignIn });
  const token = await sessionToken({});
  const reply = await call('GET', '/api/keys', { base, key: null, headers: { Authorization: `Bearer ${token}` } });
  const { error } = assertError(reply, 503, 'clerk_not_configured');
  assert.match(error, /CLERK_PUBLISHABLE_KEY.*AUTH_ISSUER/);
});
