// A person's own account: seen, changed, ended.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, makeUser, sandboxFor } from '../support/api.mjs';
import { describeUser, sessionToken, webhook } from '../support/session.mjs';
import { sql, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const unknown = '00000000-0000-4000-8000-000000000000';
const newSubject = () => `user_${randomBytes(12).toString('hex')}`;
const bearer = async (options) => ({ Authorization: `Bearer ${await sessionToken(options)}` });

// As that person, signed in.
const as = async (sub, method, url, body, more) => call(method, url, { key: null, body, headers: await bearer({ sub, ...more }) });
const seen = (reply) => {
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
};
const me = async (sub) => seen(await as(sub, 'GET', '/api/users/me'));
const leave = async (sub, id, more) => as(sub, 'DELETE', `/api/users/me?confirm=${id}`, undefined, more);

async function makeKey(sub, body = {}) {
  const reply = await as(sub, 'POST', '/api/keys', body);
  assert.equal(reply.status, 201, reply.text);
  return reply.json.apiKey;
}

test('a person sees the account and the session', async () => {
  const sub = newSubject();
  const sid = `sess_${randomBytes(8).toString('hex')}`;
  await describeUser({ id: sub, first_name: 'Cleo', last_name: 'Ash', updated_at: Date.now() });
  const { id, createdAt, limits, ...rest } = seen(await as(sub, 'GET', '/api/users/me', undefined, { sid }));
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.ok(Math.abs(Date.parse(createdAt) - Date.now()) < 60_000);
  assert.ok(limits.sandboxes > 0 && limits.memoryMB > 0 && limits.lifetimeHours > 0 && limits.requestsPerMinute > 0);
  assert.equal(rest.tier, 'free');
  assert.equal(rest.role, 'user');
  assert.deepEqual(rest.caller, {
    apiKeyId: null, sessionId: sid, impersonator: null, maxSandboxes: null, requestsPerMinute: null,
    scopes: ['sandbox:read', 'sandbox:write', 'exec', 'files', 'keys'],
  });
  const named = await until('the name is there', async () => {
    const account = await me(sub);
    return account.displayName !== null && account;
  }, 5000);
  assert.equal(named.displayName, 'Cleo Ash');
  assert.equal(named.email, `${sub}@sandbox.test`);
});

test('a key sees the account it belongs to, whatever it may do', async () => {
  const sub = newSubject();
  const { id, key } = await makeKey(sub, { scopes: ['exec'], maxSandboxes: 1, requestsPerMinute: 50 });
  const account = seen(await call('GET', '/api/users/me', { key }));
  assert.equal(account.id, (await me(sub)).id);
  assert.deepEqual(account.caller, {
    apiKeyId: id, sessionId: null, impersonator: null, scopes: ['exec'], maxSandboxes: 1, requestsPerMinute: 50,
  });
  const pro = seen(await call('GET', '/api/users/me', { key: await makeUser('pro') }));
  assert.equal(pro.tier, 'pro');
  assert.ok(pro.limits.sandboxes > account.limits.sandboxes);
});

test('what a person chooses stays when Clerk tells something else, and can be taken back', async () => {
  const sub = newSubject();
  await me(sub);
  const changed = seen(await as(sub, 'PATCH', '/api/users/me', { displayName: 'Änne', avatarUrl: 'https://a.example/p.png' }));
  assert.equal(changed.displayName, 'Änne');
  assert.equal((await webhook({ type: 'user.updated', userId: sub, patch: { first_name: 'Bea', last_name: null, updated_at: Date.now() + 1000 } })).status, 200);
  const kept = await me(sub);
  assert.deepEqual([kept.displayName, kept.avatarUrl], ['Änne', 'https://a.example/p.png']);
  assert.equal(kept.email, `${sub}@sandbox.test`);
  const back = seen(await as(sub, 'PATCH', '/api/users/me', { displayName: null }));
  assert.deepEqual([back.displayName, back.avatarUrl], ['Bea', 'https://a.example/p.png']);
  assert.deepEqual(seen(await as(sub, 'PATCH', '/api/users/me', {})), back);
});

test('nothing else can be changed, nor by just any key', async () => {
  const sub = newSubject();
  const { key } = await makeKey(sub, { scopes: ['sandbox:read', 'sandbox:write', 'exec', 'files'] });
  assertError(await call('PATCH', '/api/users/me', { key, body: { displayName: 'X' } }), 403, 'missing_scope');
  for (const body of [{ tier: 'pro' }, { role: 'admin' }, { email: 'a@b.example' }, { metadata: {} },
    { displayName: 'x'.repeat(101) }, { avatarUrl: 'http://a.example/' }, { avatarUrl: `https://a.example/${'x'.repeat(2048)}` }]) {
    const { details } = assertError(await as(sub, 'PATCH', '/api/users/me', body), 400, 'validation_failed');
    assert.deepEqual(details.map((detail) => detail.path), Object.keys(body));
  }
  assert.equal((await me(sub)).tier, 'free');
});

test('an account does not end by mistake, by a key that a key made, or by somebody else in its name', async () => {
  const sub = newSubject();
  const { id } = await me(sub);
  assertError(await as(sub, 'DELETE', '/api/users/me'), 400, 'validation_failed');
  assertError(await leave(sub, unknown), 400, 'validation_failed');
  assertError(await leave(sub, id, { claims: { act: { sub: 'user_support' } } }), 403, 'impersonated');
  const parent = await makeKey(sub);
  const child = await call('POST', '/api/keys', { key: parent.key, body: {} });
  assertError(await call('DELETE', `/api/users/me?confirm=${id}`, { key: child.json.apiKey.key }), 403, 'child_key');
  const weak = await makeKey(sub, { scopes: ['sandbox:write'] });
  assertError(await call('DELETE', `/api/users/me?confirm=${id}`, { key: weak.key }), 403, 'missing_scope');
  assert.equal((await me(sub)).id, id);
});

test('with an account go the keys, the sessions, the sockets and the sandboxes, and it does not come back', async () => {
  const sub = newSubject();
  const { id } = await me(sub);
  await as(sub, 'PATCH', '/api/users/me', { displayName: 'Ann' });
  const parent = await makeKey(sub, { name: 'of mine' });
  const child = (await call('POST', '/api/keys', { key: parent.key, body: {} })).json.apiKey;
  const { sandboxId } = await createSandbox({ metadata: { mine: true }, env: { MINE: 'yes' } }, parent.key);
  const sockets = await Promise.all([
    openClient(sandboxId, { key: child.key }),
    openClient(sandboxId, { key: null, headers: await bearer({ sub }) }),
  ]);
  const before = await bearer({ sub });
  const began = performance.now();
  assert.equal((await call('DELETE', `/api/users/me?confirm=${id}`, { key: null, headers: before })).status, 204);
  const closed = await Promise.all(sockets.map((socket) => socket.closed));
  assert.ok(performance.now() - began < 1000, 'within a second');
  assert.deepEqual(closed.map(({ code }) => code), [1008, 1008]);
  for (const { key } of [parent, child]) {
    assertError(await call('GET', '/sandbox', { key }), 401, 'invalid_api_key');
  }
  assertError(await call('GET', '/sandbox', { key: null, headers: before }), 401, 'invalid_session');
  assertError(await leave(sub, id), 401, 'invalid_session');
  await until('the sandbox is gone', async () => (
    await sql(`SELECT concat_ws(' ', status, end_reason, env, metadata) FROM sandboxes WHERE id = '${sandboxId}'`)) === 'destroyed user {} {}', 15_000);
  assert.equal((await webhook({ type: 'user.updated', userId: sub })).status, 200);
  assertError(await as(sub, 'GET', '/api/users/me'), 401, 'invalid_session');
  assert.equal(await sql(`SELECT count(*) FROM identities WHERE subject = '${sub}'`), '0');
  assert.equal(await sql(`SELECT num_nonnulls(email, display_name, avatar_url, chosen_name, chosen_avatar_url) FROM users WHERE id = '${id}'`), '0');
  assert.equal(await sql(`SELECT count(name) FROM api_keys WHERE user_id = '${id}'`), '0');
});

test('the trail of somebody who left leads to nobody', async () => {
  const sub = newSubject();
  const { id } = await me(sub);
  await makeKey(sub);
  const personal = () => sql(`SELECT count(*) FROM audit_personal p JOIN audit_log l ON l.id = p.audit_id WHERE l.actor_user = '${id}'`);
  await until('there is something personal', async () => Number(await personal()) > 0, 10_000);
  assert.equal((await leave(sub, id)).status, 204);
  await until('it is erased', async () => await personal() === '0' && await sql(`SELECT erased_at IS NOT NULL FROM users WHERE id = '${id}'`) === 't', 10_000);
  await until('the end is recorded', async () => await sql(
    `SELECT count(*) FROM audit_log WHERE actor_user = '${id}' AND action = 'user.deleted' AND target = '${id}' AND result = 'ok'`) === '1', 10_000);
  assert.equal(await personal(), '0');
});

test('a person who is not of Clerk leaves with the first key', async () => {
  const key = await makeUser('free');
  const { id } = seen(await call('GET', '/api/users/me', { key }));
  assert.equal((await call('DELETE', `/api/users/me?confirm=${id}`, { key })).status, 204);
  assertError(await call('DELETE', `/api/users/me?confirm=${id}`, { key }), 401, 'invalid_api_key');
});

test('a person has the sandboxes of all keys', async (t) => {
  const sub = newSubject();
  const [one, two] = [await makeKey(sub), await makeKey(sub)];
  const first = await sandboxFor(t, {}, one.key);
  const second = await sandboxFor(t, {}, two.key);
  const list = async (query = '') => seen(await as(sub, 'GET', `/api/users/me/sandboxes${query}`)).sandboxes.map((box) => box.sandboxId);
  assert.deepEqual(await list(), [second, first]);
  await destroySandbox(first, one.key);
  assert.deepEqual(await list('?status=running'), [second]);
  const ended = await until('it has ended', async () => {
    const { sandboxes } = seen(await as(sub, 'GET', '/api/users/me/sandboxes?status=destroyed'));
    return sandboxes.length === 1 && sandboxes[0];
  }, 15_000);
  assert.deepEqual([ended.sandboxId, ended.endReason], [first, 'user']);
});
