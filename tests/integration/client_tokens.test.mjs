// Tokens for pages of browsers: one sandbox, a few scopes, a short life.
import assert from 'node:assert/strict';
import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, createSandbox, exec, sandboxFor } from '../support/api.mjs';
import { gatewayBeside } from '../support/gateway.mjs';
import { sessionToken, webhook } from '../support/session.mjs';
import { apiKey, sql, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const ALL = ['sandbox:read', 'sandbox:write', 'exec', 'files'];
const SOON_MS = 3000; // a second and what a busy machine takes
const TRUE = { cmd: 'true', args: [] };
const bearer = (token) => ({ Authorization: `Bearer ${token}` });

const askFor = (id, body, options) => call('POST', `/sandbox/${id}/token`, { body, ...options });
async function tokenFor(id, body, options) {
  const reply = await askFor(id, body, options);
  assert.equal(reply.status, 201, reply.text);
  return reply.json.token;
}
const withToken = (token, method, url, body, more) => call(method, url, { key: null, headers: bearer(token), body, ...more });
const statusOf = (id, token) => withToken(token, 'GET', `/sandbox/${id}/status`);
const withoutId = ({ status, text }) => [status, text.replace(/"requestId":"[^"]*"/, '')];

async function makeKey(body = {}, options = {}) {
  const reply = await call('POST', '/api/keys', { body, ...options });
  assert.equal(reply.status, 201, reply.text);
  return reply.json.apiKey;
}

// Somebody new, with a key of a session.
async function person() {
  const sub = `user_${randomBytes(12).toString('hex')}`;
  const sid = `sess_${randomBytes(12).toString('hex')}`;
  const headers = bearer(await sessionToken({ sub, sid }));
  return { sub, sid, headers, ...(await makeKey({}, { key: null, headers })) };
}

function assertMissing(reply, scope) {
  assert.ok(assertError(reply, 403, 'missing_scope').error.includes(`"${scope}"`), reply.text);
}

const payloadOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

test('a token says what it is good for, and for how long', async (t) => {
  const id = await sandboxFor(t);
  const began = Date.now();
  const reply = await askFor(id, { scopes: ['files', 'exec', 'files'] });
  assert.equal(reply.status, 201, reply.text);
  assert.equal(reply.headers['cache-control'], 'no-store');
  const { token, expiresAt, ...rest } = reply.json;
  assert.deepEqual(rest, { scopes: ['exec', 'files'], sandboxId: id });
  const left = Date.parse(expiresAt) - began;
  assert.ok(left > 295_000 && left < 305_000, `five minutes unless said otherwise, not ${left} ms`);
  assert.equal(payloadOf(token).exp, Date.parse(expiresAt) / 1000);
  assert.notEqual(await tokenFor(id, { scopes: ['exec'] }), await tokenFor(id, { scopes: ['exec'] }));
});

for (const [name, body, path] of [
  ['no scopes', {}, 'scopes'],
  ['an empty list of scopes', { scopes: [] }, 'scopes'],
  ['a scope that no sandbox has', { scopes: ['exec', 'keys'] }, 'scopes[1]'],
  ['the scope of administrators', { scopes: ['admin'] }, 'scopes[0]'],
  ['no time at all', { scopes: ['exec'], ttlS: 0 }, 'ttlS'],
  ['more than an hour', { scopes: ['exec'], ttlS: 3601 }, 'ttlS'],
]) {
  test(`${name} can't be asked for`, async (t) => {
    const { details } = assertError(await askFor(await sandboxFor(t), body), 400, 'validation_failed');
    assert.deepEqual(details.map((detail) => detail.path), [path]);
  });
}

test('a token ends with its sandbox or its key at the latest', async (t) => {
  const short = await sandboxFor(t, { timeoutMs: 60_000 });
  const { json: { expiresAt } } = await askFor(short, { scopes: ['exec'], ttlS: 3600 });
  assert.ok(Date.parse(expiresAt) <= Date.now() + 60_000);
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const { key, id: keyId } = await makeKey({ expiresInDays: 1 }, { key: user.key });
  await sql(`UPDATE api_keys SET expires_at = now() + interval '100 seconds' WHERE id = '${keyId}'`);
  const ofKey = await askFor(id, { scopes: ['exec'], ttlS: 3600 }, { key });
  const left = Date.parse(ofKey.json.expiresAt) - Date.now();
  assert.ok(left > 0 && left <= 100_000, `${left}`);
});

test('a token does in its sandbox what its scopes are for', async (t) => {
  const id = await sandboxFor(t);
  const uses = {
    'sandbox:read': [['GET', `/sandbox/${id}/status`], ['GET', `/sandbox/${id}/ports`]],
    'sandbox:write': [['POST', `/sandbox/${id}/expose`, { containerPort: 8000 }], ['DELETE', `/sandbox/${id}/ports/8000`]],
    exec: [['POST', `/sandbox/${id}/exec`, TRUE], ['GET', `/sandbox/${id}/processes`]],
    files: [['GET', `/sandbox/${id}/files?path=/etc/passwd`], ['PUT', `/sandbox/${id}/files?path=a`, 'b']],
  };
  for (const scope of ALL) {
    const token = await tokenFor(id, { scopes: [scope] });
    for (const [needed, requests] of Object.entries(uses)) {
      for (const [method, url, body] of requests) {
        const reply = await withToken(token, method, url, body);
        if (needed === scope) {
          assert.ok(reply.status >= 200 && reply.status < 300, `${method} ${url}: ${reply.text}`);
        } else {
          assertMissing(reply, needed);
        }
      }
    }
    if (scope !== 'sandbox:write') {
      assertMissing(await withToken(token, 'DELETE', `/sandbox/${id}`), 'sandbox:write');
    }
  }
});

test('a token with sandbox:write destroys its sandbox, and is gone with it', async () => {
  const { sandboxId } = await createSandbox();
  const token = await tokenFor(sandboxId, { scopes: ALL });
  const socket = await openClient(sandboxId, { key: null, query: `?token=${token}` });
  assert.equal((await withToken(token, 'POST', `/sandbox/${sandboxId}/destroy`)).status, 200);
  assert.equal((await socket.closed).code, 4404);
  assertError(await statusOf(sandboxId, token), 401, 'invalid_token');
  assertError(await askFor(sandboxId, { scopes: ['exec'] }), 409, 'sandbox_ended');
});

test('every other sandbox is unknown to it', async (t) => {
  const user = await person();
  const [mine, other] = [await sandboxFor(t, {}, user.key), await sandboxFor(t, {}, user.key)];
  const foreign = await sandboxFor(t);
  const token = await tokenFor(mine, { scopes: ALL }, { key: user.key });
  const unknown = withoutId(await statusOf(randomUUID(), token));
  assert.deepEqual([404, true], [unknown[0], unknown[1].includes('sandbox_not_found')]);
  for (const id of [other, foreign]) {
    assert.deepEqual(withoutId(await statusOf(id, token)), unknown);
    assert.deepEqual(withoutId(await withToken(token, 'POST', `/sandbox/${id}/exec`, TRUE)), unknown);
    assert.deepEqual(withoutId(await withToken(token, 'DELETE', `/sandbox/${id}`)), unknown);
    assert.deepEqual(withoutId(await askFor(id, { scopes: ['exec'] }, { key: null, headers: bearer(token) })), unknown);
    assert.deepEqual(withoutId(await refusal(`/client/${id}?token=${token}`, { key: null })), unknown);
  }
  assertError(await askFor(foreign, { scopes: ['exec'] }, { key: user.key }), 404, 'sandbox_not_found');
});

test('a token is for nothing but its sandbox', async (t) => {
  const id = await sandboxFor(t);
  const token = await tokenFor(id, { scopes: ALL });
  for (const [method, url, body] of [
    ['GET', '/sandbox'], ['POST', '/sandbox/create', {}], ['GET', '/api/users/me/sandboxes'],
    ['GET', '/api/keys'], ['POST', '/api/keys', {}], ['DELETE', `/api/keys/${randomUUID()}`], ['GET', '/api/users/me'],
    ['GET', '/api/audit'], ['POST', `/sandbox/${id}/token`, { scopes: ['exec'] }],
  ]) {
    assertError(await withToken(token, method, url, body), 403, 'client_token_refused');
  }
});

test('a token has no scope that its maker lacks', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const { key } = await makeKey({ scopes: ['files'] }, { key: user.key });
  assertMissing(await askFor(id, { scopes: ['files', 'exec'] }, { key }), 'exec');
  const token = await tokenFor(id, { scopes: ['files'] }, { key });
  assertMissing(await withToken(token, 'POST', `/sandbox/${id}/exec`, TRUE), 'exec');
});

test('a WebSocket takes it in a header, in the query and as a sub-protocol', async (t) => {
  const id = await sandboxFor(t);
  const token = await tokenFor(id, { scopes: ['exec'] });
  for (const options of [
    { headers: bearer(token) },
    { query: `?session=${randomUUID()}&token=${token}` },
    { protocols: ['insien', `insien.token.${token}`] },
  ]) {
    const socket = await openClient(id, { key: null, ...options });
    assert.equal((await socket.request({ type: 'exec', ...TRUE })).exitCode, 0);
    assert.equal((await socket.request({ type: 'read', path: '/etc/passwd' })).code, 'missing_scope');
    await socket.close();
  }
});

test('an address takes no token of a session, and no other does', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const session = await sessionToken({ sub: user.sub });
  for (const bad of [session, user.key, 'x', '']) {
    assertError(await refusal(`/client/${id}?token=${bad}`, { key: null }), 401, 'invalid_token');
  }
  const ofSession = await refusal(`/client/${id}`, { key: null, protocols: ['insien', `insien.token.${session}`] });
  assert.match(assertError(ofSession, 401, 'invalid_token').error, /token makes one/, 'says how to come by a token that serves here');
  const token = await tokenFor(id, { scopes: ALL }, { key: user.key });
  assertError(await call('GET', `/sandbox/${id}/status?token=${token}`, { key: null }), 401, 'unauthenticated');
  assertError(await call('GET', `/sandbox/${id}/status`, { key: token }), 401, 'invalid_api_key');
});

test('a token that was changed, made up or meant for something else is none', async (t) => {
  const id = await sandboxFor(t);
  const token = await tokenFor(id, { scopes: ['sandbox:read'] });
  const [header, payload, signature] = token.split('.');
  const sign = (text, secret) => `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  const wider = encode({ ...payloadOf(token), scopes: ALL });
  const forged = [
    `${header}.${wider}.${signature}`,
    `${header}.${payload}.`,
    `${header}.${payload}.${signature.slice(0, -1)}`,
    `${header}.${payload}.${signature}A`,
    sign(`${header}.${wider}`, ''),
    sign(`${header}.${wider}`, 'secret'),
    `${encode({ typ: 'insien-client+jwt', alg: 'none' })}.${wider}.`,
    `${encode({ alg: 'HS256', typ: 'insien-client+jwt' })}.${payload}.${signature}`,
    sign(`${encode({ alg: 'HS256', typ: 'JWT' })}.${payload}`, 'secret'),
  ];
  for (const text of forged) {
    const reply = await statusOf(id, text);
    assert.equal(reply.status, 401, text);
    assert.ok(['invalid_token', 'invalid_session'].includes(reply.json.code), reply.text);
  }
  assert.equal((await statusOf(id, token)).status, 200);

  // Nor is it good where other secrets are asked for.
  assert.equal((await refusal(`/agent/${id}`, { key: null, headers: bearer(token) })).status, 401);
  const url = `/files/${id}?op=download&path=/etc/passwd&exp=${payloadOf(token).exp}&sig=${signature}`;
  assertError(await call('GET', url, { key: null }), 403, 'url_invalid');
  const session = await sessionToken({ header: { typ: 'insien-client+jwt' } });
  assert.equal((await statusOf(id, session)).status, 401);
});

test('a token of a preview opens no API, and the other way round', async (t) => {
  const id = await sandboxFor(t);
  const { json: port } = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort: 8000 } });
  const token = await tokenFor(id, { scopes: ALL });
  assert.equal((await call('GET', port.previewPath, { key: null, headers: { 'X-Preview-Token': token } })).status, 401);
  assert.equal((await statusOf(id, port.token)).status, 401);
});

test('addresses of files that a token makes end with it', async (t) => {
  const id = await sandboxFor(t);
  const { json: { token, expiresAt } } = await askFor(id, { scopes: ['files'], ttlS: 60 });
  const body = { path: 'a', op: 'upload', ttlS: 86_400 };
  const reply = await withToken(token, 'POST', `/sandbox/${id}/files/url`, body);
  assert.equal(reply.status, 200, reply.text);
  assert.equal(Date.parse(reply.json.expiresAt), Date.parse(expiresAt));
  const shorter = await withToken(token, 'POST', `/sandbox/${id}/files/url`, { ...body, ttlS: 1 });
  assert.ok(Date.parse(shorter.json.expiresAt) < Date.parse(expiresAt));
});

test('at its end requests are refused, streams are cut and sockets close', async (t) => {
  const id = await sandboxFor(t);
  const { json: { token, expiresAt } } = await askFor(id, { scopes: ['exec', 'sandbox:read'], ttlS: 3 });
  const socket = await openClient(id, { key: null, query: `?token=${token}` });
  const stream = withToken(token, 'POST', `/sandbox/${id}/exec`, { cmd: 'sleep', args: ['30'] },
    { headers: { ...bearer(token), Accept: 'application/x-ndjson' }, timeoutMs: 20_000 });
  const cut = stream.then(() => 'whole', () => Date.now());
  assert.equal((await statusOf(id, token)).status, 200);
  const { code, reason } = await socket.closed;
  const late = Date.now() - Date.parse(expiresAt);
  assert.deepEqual([code, reason], [1008, 'the token has expired']);
  assert.ok(late >= 0 && late < SOON_MS, `${late} ms behind its end`);
  const cutAt = await cut;
  assert.ok(cutAt - Date.parse(expiresAt) < SOON_MS, `the stream: ${cutAt}`);
  assertError(await statusOf(id, token), 401, 'token_expired');
  assertError(await refusal(`/client/${id}?token=${token}`, { key: null }), 401, 'token_expired');
});

// Resolves when both a request and a socket of the token have heard of its end.
async function heardOf(id, token, socket, code = 'invalid_token') {
  const began = performance.now();
  assert.equal((await socket.closed).code, 1008);
  await until('the token is refused', async () => (await statusOf(id, token)).json.code === code, SOON_MS);
  assert.ok(performance.now() - began < SOON_MS);
}

test('a token ends with the key that made it, and with the one above that', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const above = await makeKey({}, { key: user.key });
  const below = await makeKey({}, { key: above.key });
  const [first, second] = await Promise.all([above, below].map(({ key }) => tokenFor(id, { scopes: ALL }, { key })));
  const sockets = await Promise.all([first, second].map((token) => openClient(id, { key: null, query: `?token=${token}` })));
  assert.equal((await statusOf(id, second)).status, 200);
  assert.equal((await call('DELETE', `/api/keys/${above.id}`, { key: user.key })).status, 200);
  await Promise.all([heardOf(id, first, sockets[0]), heardOf(id, second, sockets[1])]);
});

test('a token ends with the session that made it, long after that one\'s own tokens', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const ask = { key: null, headers: user.headers };
  const [token, unused] = [await tokenFor(id, { scopes: ALL }, ask), await tokenFor(id, { scopes: ALL, ttlS: 3600 }, ask)];
  const ofKey = await tokenFor(id, { scopes: ALL }, { key: user.key });
  const socket = await openClient(id, { key: null, query: `?token=${token}` });
  assert.equal((await statusOf(id, token)).status, 200);
  assert.equal((await webhook({ type: 'session.revoked', sessionId: user.sid })).status, 200);
  await heardOf(id, token, socket);
  // What gateways and Redis remember of the session is not what refuses this one.
  assertError(await statusOf(id, unused), 401, 'invalid_token');
  assert.equal((await statusOf(id, ofKey)).status, 200);
});

test('a token ends with its user', async () => {
  const user = await person();
  const { sandboxId } = await createSandbox({}, user.key);
  const token = await tokenFor(sandboxId, { scopes: ALL }, { key: user.key });
  const socket = await openClient(sandboxId, { key: null, query: `?token=${token}` });
  assert.equal((await statusOf(sandboxId, token)).status, 200);
  assert.equal((await webhook({ type: 'user.deleted', userId: user.sub })).status, 200);
  await heardOf(sandboxId, token, socket);
});

test('requests with it count for the key that made it', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const { key } = await makeKey({ requestsPerMinute: 1 }, { key: user.key });
  const tokens = [await tokenFor(id, { scopes: ALL }, { key }), await tokenFor(id, { scopes: ALL }, { key })];
  const { port } = await gatewayBeside(t, { RATE_LIMIT_EXEMPT: '' });
  const base = `http://127.0.0.1:${port}`;
  const statuses = [];
  for (const token of [...tokens, ...tokens]) {
    statuses.push((await withToken(token, 'GET', `/sandbox/${id}/status`, undefined, { base, agent: false })).status);
  }
  assert.ok(statuses.includes(429), `${statuses}`);
  assert.equal(statuses[0], 200);
});

test('making one is in the audit trail, and so is a token that is refused', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const token = await tokenFor(id, { scopes: ALL, ttlS: 1 }, { key: user.key });
  const { jti } = payloadOf(token);
  const records = (action) => sql(`SELECT result || ' ' || target || ' ' || actor_key || ' ' || detail
    FROM audit_log WHERE action = '${action}' AND target = '${id}'`);
  await until('it is recorded', async () => (await records('token.made')) !== '', SOON_MS);
  assert.equal(await records('token.made'), `ok ${id} ${user.id} {"tokenId": "${jti}"}`);
  await until('it has expired', async () => (await statusOf(id, token)).status === 401, SOON_MS);
  await until('that is recorded', async () => (await records('token.refused')) !== '', SOON_MS);
  assert.equal((await records('token.refused')).split('\n')[0], `refused ${id} ${user.id} {"reason": "token_expired"}`);
});

test('a request for one that comes again gets the same, but by the same key alone', async (t) => {
  const user = await person();
  const id = await sandboxFor(t, {}, user.key);
  const narrow = await makeKey({ scopes: ['files'] }, { key: user.key });
  const headers = { 'Idempotency-Key': randomUUID() };
  const body = { scopes: ['exec'] };
  const first = await askFor(id, body, { key: user.key, headers });
  const again = await askFor(id, body, { key: user.key, headers });
  assert.equal(again.status, 201);
  assert.equal(again.text, first.text);
  assert.equal(again.headers['cache-control'], 'no-store');
  assertError(await askFor(id, body, { key: narrow.key, headers }), 409, 'idempotency_key_reused');
  assertError(await askFor(id, { scopes: ['files'] }, { key: user.key, headers }), 409, 'idempotency_key_reused');
});

test('what a token did goes on without it', async (t) => {
  const id = await sandboxFor(t);
  const token = await tokenFor(id, { scopes: ['exec'], ttlS: 1 });
  const { json: { pid } } = await withToken(token, 'POST', `/sandbox/${id}/exec`, { cmd: 'sleep', args: ['60'], background: true });
  await until('the token has expired', async () => (await withToken(token, 'GET', `/sandbox/${id}/processes`)).status === 401, SOON_MS);
  const { json: { processes } } = await call('GET', `/sandbox/${id}/processes`, { key: apiKey });
  assert.equal(processes.find((process) => process.pid === pid)?.running, true);
  assert.equal((await exec(id, 'kill', [`${pid}`])).exitCode, 0);
});
