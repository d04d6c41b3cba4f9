// Clerk tells by itself what happens to users and sessions; here the stand-in does.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox } from '../support/api.mjs';
import { describeUser, sessionToken, webhook } from '../support/session.mjs';
import { sql, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const newSubject = () => `user_${randomBytes(12).toString('hex')}`;
const listKeys = async (options) => call('GET', '/api/keys', {
  key: null, headers: { Authorization: `Bearer ${await sessionToken(options)}` },
});
const userOf = (sub, columns) => sql(`SELECT ${columns} FROM users JOIN identities ON user_id = users.id WHERE subject = '${sub}'`);

async function makeKey(sub) {
  const reply = await call('POST', '/api/keys', {
    key: null, body: {}, headers: { Authorization: `Bearer ${await sessionToken({ sub })}` },
  });
  assert.equal(reply.status, 201, reply.text);
  return reply.json.apiKey.key;
}

test('a user who was made or changed there is so here', async () => {
  const userId = newSubject();
  const taken = await webhook({ type: 'user.created', userId, patch: { first_name: 'Ann', last_name: 'Lee', updated_at: 1000 } });
  assert.equal(taken.status, 200);
  assert.equal(await userOf(userId, 'display_name'), 'Ann Lee');
  assert.equal((await webhook({ type: 'user.updated', userId, patch: { first_name: 'Bea', last_name: null, updated_at: 2000 } })).status, 200);
  assert.equal((await webhook({ type: 'user.updated', userId, patch: { first_name: 'Old', updated_at: 1500 } })).status, 200);
  assert.equal(await userOf(userId, 'display_name'), 'Bea');
});

test('a webhook that comes again has no effect again', async () => {
  const userId = newSubject();
  const { id } = await webhook({ type: 'user.created', userId, patch: { first_name: 'Ann', last_name: null, updated_at: 1000 } });
  const again = await webhook({ id, type: 'user.updated', userId, patch: { first_name: 'Bea', last_name: null, updated_at: 2000 } });
  assert.equal(again.status, 200);
  assert.equal(await userOf(userId, 'display_name'), 'Ann');
});

test('what nobody signed is refused', async () => {
  const userId = newSubject();
  const forged = { type: 'user.created', userId };
  assert.equal((await webhook({ ...forged, secret: 'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX' })).status, 400);
  const now = Math.floor(Date.now() / 1000);
  assert.equal((await webhook({ ...forged, timestamp: now - 400 })).status, 400);
  assert.equal((await webhook({ ...forged, timestamp: now + 400 })).status, 400);
  assert.equal(await userOf(userId, 'count(*)'), '0');
  assertError(await call('POST', '/webhooks/clerk', { key: null, body: {} }), 400, 'webhook_refused');
});

test('an event that does not concern us is taken', async () => {
  assert.equal((await webhook({ type: 'organization.created', userId: 'org_1' })).status, 200);
});

test('with a user go the keys, the sockets and the sandboxes', async () => {
  const sub = newSubject();
  const key = await makeKey(sub);
  const { sandboxId } = await createSandbox({}, key);
  const socket = await openClient(sandboxId, { key });
  const began = performance.now();
  assert.equal((await webhook({ type: 'user.deleted', userId: sub })).status, 200);
  const { code } = await socket.closed;
  assert.equal(code, 1008);
  assert.ok(performance.now() - began < 1000, 'within a second');
  assertError(await call('GET', '/sandbox', { key }), 401, 'invalid_api_key');
  await until('the sandbox is gone', async () => (
    await sql(`SELECT status || ' ' || end_reason FROM sandboxes WHERE id = '${sandboxId}'`)) === 'destroyed user', 15_000);
  assertError(await listKeys({ sub }), 401, 'invalid_session');
  assert.equal((await webhook({ type: 'user.updated', userId: sub })).status, 200);
  assert.equal(await userOf(sub, 'count(*)'), '0', 'what comes late makes nobody again');
});

test('a banned user is suspended', async () => {
  const sub = newSubject();
  const key = await makeKey(sub);
  assert.equal((await webhook({ type: 'user.updated', userId: sub, patch: { banned: true } })).status, 200);
  await until('the key is refused', async () => (await call('GET', '/sandbox', { key })).status === 401, 1000);
  assertError(await listKeys({ sub }), 403, 'account_suspended');
});

test('the tokens of a session that was ended are refused, those of another are not', async () => {
  const sub = newSubject();
  const sid = `sess_${randomBytes(8).toString('hex')}`;
  assert.equal((await listKeys({ sub, sid })).status, 200);
  assert.equal((await webhook({ type: 'session.revoked', userId: sub, sessionId: sid })).status, 200);
  await until('the session is refused', async () => (await listKeys({ sub, sid })).status === 401, 1000);
  assertError(await listKeys({ sub, sid }), 401, 'invalid_session');
  assert.equal((await listKeys({ sub, sid: `${sid}2` })).status, 200);
});

test('with a session go its sockets, and no others', async () => {
  const sub = newSubject();
  const key = await makeKey(sub);
  const sids = [1, 2].map(() => `sess_${randomBytes(8).toString('hex')}`);
  const { sandboxId } = await createSandbox({}, key);
  const [gone, stays] = await Promise.all(sids.map(async (sid) => openClient(sandboxId, {
    key: null, headers: { Authorization: `Bearer ${await sessionToken({ sub, sid })}` },
  })));
  const ofKey = await openClient(sandboxId, { key });
  assert.equal((await webhook({ type: 'session.revoked', userId: sub, sessionId: sids[0] })).status, 200);
  assert.equal((await gone.closed).code, 1008);
  for (const socket of [stays, ofKey]) {
    assert.ok(Array.isArray((await socket.request({ type: 'ps' })).processes));
    await socket.close();
  }
  await destroySandbox(sandboxId, key);
});

test('who signs in for the first time gets the name that Clerk knows', async () => {
  const sub = newSubject();
  await describeUser({ id: sub, first_name: 'Cleo', last_name: 'Ash', updated_at: Date.now() });
  assert.equal((await listKeys({ sub })).status, 200);
  await until('the profile is there', async () => await userOf(sub, 'display_name') === 'Cleo Ash', 5000);
  assert.equal(await userOf(sub, 'email'), `${sub}@sandbox.test`);
});

test('people of another issuer sign in too, and are others', async () => {
  const sub = newSubject();
  assert.equal((await listKeys({ sub })).status, 200);
  assert.equal((await listKeys({ sub, key: 'oidc' })).status, 200);
  assert.equal((await listKeys({ sub, key: 'oidcEc' })).status, 200, 'ES256');
  assertError(await listKeys({ sub, key: 'oidcEc', header: { alg: 'RS256' } }), 401, 'invalid_session');
  assert.equal(await userOf(sub, 'count(DISTINCT users.id)'), '2');
  assertError(await listKeys({ sub, key: 'oidc', claims: { aud: 'https://other.example.com' } }), 401, 'invalid_session');
});
