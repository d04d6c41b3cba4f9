// What a key may do, the keys it makes, and how one takes the place of another.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, sandboxFor } from '../support/api.mjs';
import { sessionToken } from '../support/session.mjs';
import { sql, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const SOON_MS = 3000; // a second and what a busy machine takes
const DEFAULT_SCOPES = ['sandbox:read', 'sandbox:write', 'exec', 'files', 'keys'];

// Somebody new, who asks by a session.
async function person() {
  const token = await sessionToken({ sub: `user_${randomBytes(12).toString('hex')}` });
  const headers = { Authorization: `Bearer ${token}` };
  return {
    headers,
    ask: (method, url, body) => call(method, url, { key: null, body, headers }),
    make: (body) => made(call('POST', '/api/keys', { key: null, body, headers })),
  };
}

async function made(answer) {
  const reply = await answer;
  assert.equal(reply.status, 201, reply.text);
  return reply.json.apiKey;
}

const makeWith = (key, body = {}) => made(call('POST', '/api/keys', { key, body }));
const list = (key) => call('GET', '/sandbox?limit=1', { key });
const isRefused = async (key) => (await list(key)).json?.code === 'invalid_api_key';

function assertMissing(reply, scope) {
  const { error } = assertError(reply, 403, 'missing_scope');
  assert.ok(error.includes(`"${scope}"`), error);
}

test('a key has all scopes but admin and no limits unless asked for others', async () => {
  const { make, ask } = await person();
  const plain = await make();
  const narrow = await make({ scopes: ['exec', 'sandbox:read', 'exec'], maxSandboxes: 1, requestsPerMinute: 1000 });
  const rights = ({ scopes, maxSandboxes, requestsPerMinute, parentId }) => [scopes, maxSandboxes, requestsPerMinute, parentId];
  assert.deepEqual(rights(plain), [DEFAULT_SCOPES, null, null, null]);
  assert.deepEqual(rights(narrow), [['sandbox:read', 'exec'], 1, 1000, null]);
  const { apiKeys } = (await ask('GET', '/api/keys')).json;
  assert.deepEqual(apiKeys.map(rights), [narrow, plain].map(rights));
});

test('admin is for administrators', async () => {
  const { make, ask } = await person();
  assertError(await ask('POST', '/api/keys', { scopes: ['admin'] }), 403, 'key_rights_exceeded');
  const { id } = await make();
  await sql(`UPDATE users SET role = 'admin' WHERE id = (SELECT user_id FROM api_keys WHERE id = '${id}')`);
  assert.deepEqual((await make({ scopes: ['admin'] })).scopes, ['admin']);
});

for (const [name, body, path] of [
  ['no scope at all', { scopes: [] }, 'scopes'],
  ['a scope that is none', { scopes: ['exec', 'root'] }, 'scopes[1]'],
  ['a scope as text', { scopes: 'exec' }, 'scopes'],
  ['no sandbox at all', { maxSandboxes: 0 }, 'maxSandboxes'],
  ['too many requests', { requestsPerMinute: 1_000_001 }, 'requestsPerMinute'],
]) {
  test(`${name} is refused`, async () => {
    const { ask } = await person();
    const { details } = assertError(await ask('POST', '/api/keys', body), 400, 'validation_failed');
    assert.deepEqual(details.map((detail) => detail.path), [path]);
  });
}

// One of each kind; the unit tests have every route and message.
test('what a key may not do is 403 and names the scope', async (t) => {
  const { make } = await person();
  const { key: owner } = await make();
  const id = await sandboxFor(t, {}, owner);
  const cases = [
    ['sandbox:read', 'GET', '/sandbox'],
    ['sandbox:read', 'GET', `/sandbox/${id}/status`],
    ['sandbox:write', 'POST', '/sandbox/create', {}],
    ['sandbox:write', 'DELETE', `/sandbox/${id}`],
    ['exec', 'POST', `/sandbox/${id}/exec`, { cmd: 'true' }],
    ['files', 'GET', `/sandbox/${id}/files?path=/etc/passwd`],
    ['files', 'POST', `/sandbox/${id}/files/url`, { path: 'a', op: 'download' }],
    ['keys', 'GET', '/api/keys'],
    ['keys', 'POST', '/api/keys', {}],
  ];
  for (const [scope, method, url, body] of cases) {
    const { key } = await make({ scopes: DEFAULT_SCOPES.filter((other) => other !== scope) });
    assertMissing(await call(method, url, { key, body }), scope);
  }
  const { key } = await make({ scopes: ['exec'] });
  assert.equal((await call('POST', `/sandbox/${id}/exec`, { key, body: { cmd: 'true' } })).status, 200);
  assertMissing(await call('GET', `/sandbox/${randomUUID()}/status`, { key }), 'sandbox:read');
});

test('each message of a socket needs its scope', async (t) => {
  const { make } = await person();
  const { key: owner } = await make();
  const id = await sandboxFor(t, {}, owner);
  const sockets = await Promise.all(['exec', 'files'].map(async (scope) => openClient(id, { key: (await make({ scopes: [scope] })).key })));
  const [runner, keeper] = sockets;
  assert.equal((await runner.request({ type: 'exec', cmd: 'true', args: [] })).exitCode, 0);
  assert.equal((await runner.request({ type: 'read', path: '/etc/passwd' })).code, 'missing_scope');
  assert.equal((await keeper.request({ type: 'read', path: '/etc/passwd' })).type, 'readResponse');
  assert.equal((await keeper.request({ type: 'exec', cmd: 'true', args: [] })).code, 'missing_scope');
  await Promise.all(sockets.map((socket) => socket.close()));
});

test('a key makes keys with no more than it has', async () => {
  const { make } = await person();
  const { key, id, expiresAt } = await make({ scopes: ['keys', 'exec'], maxSandboxes: 1, requestsPerMinute: 600, expiresInDays: 2 });
  const child = await makeWith(key);
  assert.deepEqual([child.parentId, child.scopes, child.maxSandboxes, child.requestsPerMinute, child.expiresAt],
    [id, ['exec', 'keys'], 1, 600, expiresAt]);
  for (const more of [
    { scopes: ['files'] }, { scopes: ['admin'] }, { maxSandboxes: 2 }, { requestsPerMinute: 601 }, { expiresInDays: 3 },
  ]) {
    assertError(await call('POST', '/api/keys', { key: child.key, body: more }), 403, 'key_rights_exceeded');
  }
  const grandchild = await makeWith(child.key, { scopes: ['exec'], expiresInDays: 1 });
  assert.ok(Date.parse(grandchild.expiresAt) < Date.parse(expiresAt));
  assertMissing(await call('POST', '/api/keys', { key: grandchild.key, body: {} }), 'keys');
});

test('a key sees and revokes what came of it, a person all', async () => {
  const { make, ask } = await person();
  const top = await make();
  const sibling = await make();
  const child = await makeWith(top.key);
  const grandchild = await makeWith(child.key);
  const seen = async (answer) => (await answer).json.apiKeys.map(({ id }) => id).sort();
  const ids = (...keys) => keys.map(({ id }) => id).sort();
  assert.deepEqual(await seen(call('GET', '/api/keys', { key: top.key })), ids(child, grandchild));
  assert.deepEqual(await seen(call('GET', '/api/keys', { key: grandchild.key })), []);
  assert.deepEqual(await seen(ask('GET', '/api/keys')), ids(top, sibling, child, grandchild));

  for (const { id } of [top, sibling, child]) {
    assertError(await call('DELETE', `/api/keys/${id}`, { key: child.key }), 404, 'api_key_not_found');
    assertError(await call('POST', `/api/keys/${id}/rotate`, { key: child.key, body: {} }), 404, 'api_key_not_found');
  }
  assert.equal((await call('DELETE', `/api/keys/${grandchild.id}`, { key: top.key })).status, 200);
  await until('the grandchild is refused', () => isRefused(grandchild.key), SOON_MS);
  assert.equal((await list(child.key)).status, 200);
});

test('revoking a key ends all that came of it, open sockets too', async () => {
  const { make, ask } = await person();
  const top = await make();
  const child = await makeWith(top.key);
  const grandchild = await makeWith(child.key);
  const { sandboxId } = await createSandbox({}, grandchild.key);
  const sockets = await Promise.all([child, grandchild].map(({ key }) => openClient(sandboxId, { key })));
  const survivor = await openClient(sandboxId, { key: top.key });
  const began = performance.now();
  assert.equal((await ask('DELETE', `/api/keys/${child.id}`)).status, 200);
  for (const { closed } of sockets) {
    assert.equal((await closed).code, 1008);
  }
  assert.ok(performance.now() - began < SOON_MS);
  for (const { key } of [child, grandchild]) {
    assertError(await list(key), 401, 'invalid_api_key');
  }
  assert.equal((await survivor.request({ type: 'stat', path: '/' })).type, 'statResponse');
  await survivor.close();
  await destroySandbox(sandboxId, top.key);
});

test('the sandboxes of a key and of what came of it count together', async () => {
  const { make } = await person();
  const top = await make({ maxSandboxes: 1 });
  const child = await makeWith(top.key);
  const other = await make();
  const { sandboxId } = await createSandbox({}, child.key);
  const again = (key) => call('POST', '/sandbox/create', { key, body: { template: 'tiny', network: 'none' } });
  for (const { key } of [top, child]) {
    assertError(await again(key), 429, 'key_quota_exceeded');
  }
  const beside = await createSandbox({}, other.key);
  assertError(await again(other.key), 429, 'quota_exceeded'); // the tier's
  await destroySandbox(beside.sandboxId, other.key);
  await destroySandbox(sandboxId, top.key);
  await destroySandbox((await createSandbox({}, top.key)).sandboxId, top.key);
});

test('a rotated key has a successor of its name and rights', async () => {
  const { make, ask } = await person();
  const former = await make({ name: 'ci', scopes: ['keys', 'sandbox:read'], maxSandboxes: 1, expiresInDays: 5 });
  const child = await makeWith(former.key);
  assert.equal((await list(former.key)).status, 200);
  const successor = await made(ask('POST', `/api/keys/${former.id}/rotate`));
  const rights = ({ name, scopes, maxSandboxes, requestsPerMinute, parentId }) => [name, scopes, maxSandboxes, requestsPerMinute, parentId];
  assert.deepEqual(rights(successor), rights(former));
  assert.notEqual(successor.key, former.key);
  await until('the former key is refused', () => isRefused(former.key), SOON_MS);
  assert.equal((await list(successor.key)).status, 200);
  assert.equal((await list(child.key)).status, 200);
  assertError(await ask('POST', `/api/keys/${former.id}/rotate`), 409, 'api_key_ended');
  const { apiKeys } = (await call('GET', '/api/keys', { key: successor.key })).json;
  assert.deepEqual(apiKeys.map(({ id }) => id).sort(), [former.id, child.id].sort());
});

test('with an overlap both serve, until the former ends with what it has open', async () => {
  const { make, ask } = await person();
  const former = await make();
  const id = (await createSandbox({}, former.key)).sandboxId;
  const socket = await openClient(id, { key: former.key });
  const began = performance.now();
  const successor = await made(ask('POST', `/api/keys/${former.id}/rotate`, { overlapS: 4 }));
  assert.equal((await list(former.key)).status, 200);
  assert.equal((await list(successor.key)).status, 200);
  assert.equal((await socket.closed).code, 1008);
  const afterMs = performance.now() - began;
  assert.ok(afterMs > 3500 && afterMs < 4000 + SOON_MS, `${afterMs} ms`);
  assertError(await list(former.key), 401, 'invalid_api_key');
  assert.equal((await list(successor.key)).status, 200);
  await destroySandbox(id, successor.key);
});

test('a key that is about to end makes nothing that goes on, by rotating neither', async () => {
  const { make, ask } = await person();
  const former = await make();
  const child = await makeWith(former.key);
  assert.equal(child.expiresAt, null);
  await made(ask('POST', `/api/keys/${former.id}/rotate`, { overlapS: 60 }));
  const latest = Date.now() + 60_000;
  const successor = await made(call('POST', `/api/keys/${child.id}/rotate`, { key: former.key, body: {} }));
  for (const { expiresAt } of [successor, await makeWith(former.key)]) {
    assert.ok(Date.parse(expiresAt) <= latest, expiresAt);
  }
});

test('an address of a file ends with the key that makes it', async (t) => {
  const { make, ask } = await person();
  const { key: owner } = await make();
  const id = await sandboxFor(t, {}, owner);
  const former = await make();
  await made(ask('POST', `/api/keys/${former.id}/rotate`, { overlapS: 60 }));
  const { json } = await call('POST', `/sandbox/${id}/files/url`, { key: former.key, body: { path: 'a', op: 'upload', ttlS: 3600 } });
  assert.ok(Date.parse(json.expiresAt) <= Date.now() + 60_000, json.expiresAt);
});

test('an overlap is a day at most', async () => {
  const { make, ask } = await person();
  const { id } = await make();
  for (const overlapS of [-1, 86_401, 0.5, '1']) {
    const { details } = assertError(await ask('POST', `/api/keys/${id}/rotate`, { overlapS }), 400, 'validation_failed');
    assert.deepEqual(details.map(({ path }) => path), ['overlapS']);
  }
  assertError(await ask('POST', `/api/keys/${randomUUID()}/rotate`), 404, 'api_key_not_found');
  assertError(await ask('POST', '/api/keys/none/rotate'), 404, 'api_key_not_found');
});

test('a session serves wherever a key does', async () => {
  const { headers, ask } = await person();
  const created = await ask('POST', '/sandbox/create', { template: 'tiny', network: 'none' });
  assert.equal(created.status, 200, created.text);
  const { sandboxId } = created.json;
  assert.equal((await ask('POST', `/sandbox/${sandboxId}/exec`, { cmd: 'true' })).json.exitCode, 0);
  assert.equal((await ask('GET', '/sandbox')).json.sandboxes[0].sandboxId, sandboxId);
  const socket = await openClient(sandboxId, { key: null, headers });
  assert.equal((await socket.request({ type: 'stat', path: '/' })).type, 'statResponse');
  await socket.close();
  assert.equal((await ask('DELETE', `/sandbox/${sandboxId}`)).status, 200);
});

test('a session that is none, expired or of a suspended user is refused', async () => {
  const bearer = (token) => ({ key: null, headers: { Authorization: `Bearer ${token}` } });
  assertError(await call('GET', '/sandbox', bearer(await sessionToken({ key: 'attacker' }))), 401, 'invalid_session');
  assertError(await call('GET', '/sandbox', bearer(await sessionToken({ ttl: -60 }))), 401, 'token_expired');
  assertError(await refusal(`/client/${randomUUID()}`, bearer('a.b.c')), 401, 'invalid_session');
  const sub = `user_${randomBytes(12).toString('hex')}`;
  assert.equal((await call('GET', '/sandbox', bearer(await sessionToken({ sub })))).status, 200);
  await sql(`UPDATE users SET suspended_at = now() FROM identities WHERE user_id = users.id AND subject = '${sub}'`);
  const fresh = await sessionToken({ sub, ttl: 59 }); // known to no cache
  assertError(await call('GET', '/sandbox', bearer(fresh)), 403, 'account_suspended');
});
