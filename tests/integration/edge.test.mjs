// What every answer carries, what browsers are told, how requests are recognized in the logs, and
// requests that come again.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, makeUser, sandboxFor } from '../support/api.mjs';
import { gatewayBeside } from '../support/gateway.mjs';
import { apiUrl, sql, stateDir, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const PAGE = 'https://app.example.org';
const CREATE = { template: 'tiny', network: 'none', timeoutMs: 600_000 };
const create = (key, headers, body = CREATE) => call('POST', '/sandbox/create', { key, body, headers });

// One of each kind: open, refused before and behind the key, unknown, malformed.
const answers = {
  'an open route': ['GET', '/health', {}, 200],
  'a request without a key': ['GET', '/sandbox', { key: null }, 401],
  'an unknown address': ['GET', '/nowhere', {}, 404],
  'a malformed target': ['GET', '/sandbox/%zz', {}, 400],
  'a list': ['GET', '/sandbox?limit=1', {}, 200],
};
const policy = "default-src 'self';base-uri 'self';font-src 'self' https: data:;form-action 'self';frame-ancestors 'self';"
  + "img-src 'self' data: https:;object-src 'none';script-src 'self';script-src-attr 'none';style-src 'self' 'unsafe-inline'";
const securityHeaders = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'origin-agent-cluster': '?1',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
  'x-dns-prefetch-control': 'off',
  'x-download-options': 'noopen',
  'x-frame-options': 'SAMEORIGIN',
  'x-permitted-cross-domain-policies': 'none',
  'x-xss-protection': '0',
};
for (const [name, [method, url, options, status]] of Object.entries(answers)) {
  test(`${name} has the headers that every answer has`, async () => {
    const { headers, ...reply } = await call(method, url, { ...options, headers: { Origin: PAGE } });
    assert.equal(reply.status, status, reply.text);
    for (const [header, value] of Object.entries(securityHeaders)) {
      assert.equal(headers[header], value, header);
    }
    assert.equal(headers['content-security-policy'], policy);
    assert.equal(headers['strict-transport-security'], undefined, 'not without TLS');
    assert.equal(headers['x-powered-by'], undefined);
    assert.equal(headers.server, undefined);
    assert.equal(headers['access-control-allow-origin'], '*');
    assert.equal(headers['access-control-allow-credentials'], undefined);
    assert.match(headers['access-control-expose-headers'], /Retry-After, X-Request-Id/);
    assert.ok(headers['x-request-id']);
  });
}

test('a browser may ask without a key what it may send', async () => {
  const reply = await fetch(new URL('/sandbox/create', apiUrl), {
    method: 'OPTIONS',
    headers: {
      Origin: PAGE, 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-api-key',
    },
  });
  assert.equal(reply.status, 204);
  assert.equal(reply.headers.get('access-control-allow-origin'), '*');
  assert.match(reply.headers.get('access-control-allow-methods'), /\bPOST\b/);
  assert.match(reply.headers.get('access-control-allow-headers'), /\bX-API-Key\b/);
  assert.equal(reply.headers.get('access-control-max-age'), '600');
});

const LISTED = ['https://a.example.org', 'http://localhost:8080'];
const UNLISTED = [
  'null', 'https://a.example.org.evil.test', 'https://evil-a.example.org', 'https://x.a.example.org', 'http://a.example.org',
  'https://a.example.org:8443', 'https://A.example.org', 'https://a.example.or', 'http://localhost',
];
const PREFLIGHT = { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'x-api-key' };
const permissionsIn = ({ headers }) => Object.fromEntries(
  Object.entries(headers).filter(([name]) => name.startsWith('access-control-allow') || name === 'vary'),
);

test('with a list of origins their pages are let in, and no others', async (t) => {
  const { port } = await gatewayBeside(t, { ALLOWED_ORIGINS: LISTED.join(', ') });
  const base = `http://127.0.0.1:${port}`;
  const ask = (headers, options) => call('GET', '/sandbox?limit=1', { base, agent: false, headers, ...options });
  const askFirst = async (headers) => {
    const reply = await fetch(`${base}/sandbox`, { method: 'OPTIONS', headers });
    return { status: reply.status, headers: Object.fromEntries(reply.headers) };
  };
  for (const Origin of LISTED) {
    const own = { 'access-control-allow-origin': Origin, 'access-control-allow-credentials': 'true', vary: 'Origin' };
    assert.deepEqual(permissionsIn(await ask({ Origin })), own);
    assert.deepEqual(permissionsIn(await ask({ Origin }, { key: null })), own, 'an error can be read too');
    const preflight = await askFirst({ Origin, ...PREFLIGHT });
    assert.equal(preflight.status, 204);
    assert.deepEqual(permissionsIn(preflight), {
      ...own, 'access-control-allow-headers': 'Authorization, Content-Type, X-API-Key, Idempotency-Key',
      'access-control-allow-methods': 'GET, HEAD, POST, PUT, PATCH, DELETE',
    });
  }
  for (const Origin of UNLISTED) {
    const reply = await ask({ Origin });
    assert.equal(reply.status, 200, 'it is the browser that keeps the page from reading it');
    assert.deepEqual(permissionsIn(reply), { vary: 'Origin' }, Origin);
    const preflight = await askFirst({ Origin, ...PREFLIGHT });
    assert.deepEqual([preflight.status, permissionsIn(preflight)], [204, { vary: 'Origin' }], Origin);
  }
  assert.equal((await askFirst({ Origin: LISTED[0] })).status, 405, 'no preflight: nothing is asked');
});

test('a socket is opened by pages on the list, and by what is no page', async (t) => {
  const { port } = await gatewayBeside(t, { ALLOWED_ORIGINS: LISTED.join(', ') });
  const base = `ws://127.0.0.1:${port}`;
  const id = await sandboxFor(t);
  for (const headers of [{}, ...LISTED.map((Origin) => ({ Origin }))]) {
    await (await openClient(id, { base, headers })).close();
  }
  for (const Origin of UNLISTED) {
    assertError(await refusal(`/client/${id}`, { base, headers: { Origin } }), 403, 'origin_not_allowed');
  }
  await (await openClient(id, { headers: { Origin: PAGE } })).close(); // where there is no list
});

test('a request id that is not well-formed is replaced', async () => {
  for (const bad of ['a b', 'x'.repeat(65), 'a/b', 'ä', '"', 'a;b']) {
    const { headers } = await call('GET', '/health', { key: null, headers: { 'X-Request-Id': Buffer.from(bad).toString('latin1') } });
    assert.match(headers['x-request-id'], /^[A-Za-z0-9._-]{1,64}$/);
    assert.notEqual(headers['x-request-id'], bad);
  }
  const longest = 'A-z0.9_'.padEnd(64, 'x');
  assert.equal((await call('GET', '/health', { key: null, headers: { 'X-Request-Id': longest } })).headers['x-request-id'], longest);
});

test('a request id of the client stays, in answers, errors and logs', async (t) => {
  const requestId = `edge-${randomBytes(8).toString('hex')}`;
  const traceId = randomBytes(16).toString('hex');
  const headers = { 'X-Request-Id': requestId, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-01` };
  const reply = await create(undefined, headers);
  assert.equal(reply.status, 200, reply.text);
  t.after(() => destroySandbox(reply.json.sandboxId));
  assert.equal(reply.headers['x-request-id'], requestId);
  const refused = await create(undefined, headers, { template: 7 });
  assert.equal(assertError(refused, 400, 'validation_failed').requestId, requestId);
  const events = await until('the sandbox-service has told of it', async () => {
    const text = await readFile(path.join(stateDir, 'log/sandbox/current'), 'utf8');
    const lines = text.split('\n').filter((line) => line.includes(requestId)).map((line) => JSON.parse(line));
    return lines.some(({ event }) => event === 'sandbox.started') && lines;
  }, 5000);
  assert.ok(events.some(({ event }) => event === 'sandbox.create'));
  for (const line of events) {
    assert.equal(line.trace_id, traceId, JSON.stringify(line));
  }
});

test('a create that comes again makes nothing more', async () => {
  const key = await makeUser('pro');
  const headers = { 'Idempotency-Key': randomUUID() };
  const first = await create(key, headers);
  assert.equal(first.status, 200, first.text);
  const again = await create(key, headers);
  assert.equal(again.status, 200, again.text);
  assert.deepEqual(again.json, first.json);
  assertError(await create(key, headers, { ...CREATE, timeoutMs: 700_000 }), 409, 'idempotency_key_reused');
  const { json: { sandboxes } } = await call('GET', '/sandbox', { key });
  assert.deepEqual(sandboxes.map(({ sandboxId }) => sandboxId), [first.json.sandboxId]);
  await destroySandbox(first.json.sandboxId, key);
  const late = await create(key, headers);
  assert.deepEqual(late.json, first.json, 'the answer stays what it was');
});

test('of several at a time one creates', async () => {
  const key = await makeUser('pro');
  const headers = { 'Idempotency-Key': randomUUID() };
  const replies = await Promise.all(Array.from({ length: 5 }, () => create(key, headers)));
  const made = replies.filter(({ status }) => status === 200);
  assert.ok(made.length >= 1);
  for (const reply of replies.filter(({ status }) => status !== 200)) {
    assertError(reply, 409, 'idempotency_in_progress');
    assert.equal(reply.headers['retry-after'], '1');
  }
  const { json: { sandboxes } } = await call('GET', '/sandbox', { key });
  assert.equal(sandboxes.length, 1);
  await destroySandbox(sandboxes[0].sandboxId, key);
});

test('a create that failed gives its key back', async () => {
  const key = await makeUser('free');
  const headers = { 'Idempotency-Key': randomUUID() };
  const taken = [await createSandbox({}, key), await createSandbox({}, key)];
  assertError(await create(key, headers), 429, 'quota_exceeded');
  await destroySandbox(taken[0].sandboxId, key);
  const reply = await create(key, headers);
  assert.equal(reply.status, 200, reply.text);
  await Promise.all([taken[1], reply.json].map(({ sandboxId }) => destroySandbox(sandboxId, key)));
});

test('ports and URLs of files come again too', async (t) => {
  const id = await sandboxFor(t);
  for (const [url, body] of [
    [`/sandbox/${id}/expose`, { containerPort: 8000 }],
    [`/sandbox/${id}/files/url`, { path: 'a', op: 'download' }],
  ]) {
    const headers = { 'Idempotency-Key': randomUUID() };
    const first = await call('POST', url, { body, headers });
    assert.equal(first.status, 200, first.text);
    const again = await call('POST', url, { body, headers });
    assert.equal(again.text, first.text);
    assert.equal(again.headers['cache-control'], 'no-store');
  }
});

// Keys of somebody new, who asks with the first of them.
async function keyMaker() {
  const key = await makeUser('pro');
  const ask = (headers, body = {}, by = key) => call('POST', '/api/keys', { key: by, body, headers });
  const list = async () => (await call('GET', '/api/keys', { key })).json.apiKeys;
  return { key, ask, list };
}
const serves = async (key) => (await call('GET', '/sandbox?limit=1', { key })).status === 200;

test('an API key is made once, and its secret told to who asked first', async () => {
  const { key, ask, list } = await keyMaker();
  const headers = { 'Idempotency-Key': randomUUID() };
  const first = await ask(headers, { name: 'once' });
  assert.equal(first.status, 201, first.text);
  const again = await ask(headers, { name: 'once' });
  assert.equal(again.status, 201, again.text);
  assert.equal(again.text, first.text);
  assert.equal(again.headers['cache-control'], 'no-store');
  assert.deepEqual((await list()).map(({ id }) => id), [first.json.apiKey.id]);
  assertError(await ask(headers, { name: 'twice' }), 409, 'idempotency_key_reused');
  // Another key of the same user, which may do less, does not get it by guessing.
  const { json: { apiKey: narrow } } = await ask({}, { scopes: ['keys'] });
  assertError(await ask(headers, { name: 'once' }, narrow.key), 409, 'idempotency_key_reused');
  assert.ok(await serves(key) && await serves(first.json.apiKey.key));
});

test('of several at a time one makes a key', async () => {
  const { ask, list } = await keyMaker();
  const headers = { 'Idempotency-Key': randomUUID() };
  const replies = await Promise.all(Array.from({ length: 5 }, () => ask(headers)));
  const made = replies.filter(({ status }) => status === 201);
  assert.ok(made.length >= 1);
  replies.filter(({ status }) => status !== 201).forEach((reply) => assertError(reply, 409, 'idempotency_in_progress'));
  assert.equal((await list()).length, 1);
});

test('a key is rotated once', async () => {
  const { key, ask, list } = await keyMaker();
  const { json: { apiKey: former } } = await ask({});
  const headers = { 'Idempotency-Key': randomUUID() };
  const rotate = () => call('POST', `/api/keys/${former.id}/rotate`, { key, body: {}, headers });
  const first = await rotate();
  assert.equal(first.status, 201, first.text);
  assert.equal((await rotate()).text, first.text);
  assert.equal((await list()).length, 2);
});

// As when the gateway or the auth-service dies between the making of a key and its answer.
test('a key whose maker heard no answer gets another secret, and stays one', async () => {
  const { ask, list } = await keyMaker();
  const headers = { 'Idempotency-Key': randomUUID() };
  const first = await ask(headers);
  assert.equal(first.status, 201, first.text);
  const { id, key: lost } = first.json.apiKey;
  await sql(`UPDATE idempotency SET status = NULL, answer = NULL, claimed_until = now() WHERE resource_id = '${id}'`);
  const again = await ask(headers);
  assert.equal(again.status, 201, again.text);
  assert.equal(again.json.apiKey.id, id);
  assert.notEqual(again.json.apiKey.key, lost);
  assert.ok(await serves(again.json.apiKey.key));
  assert.deepEqual((await list()).map((one) => one.id), [id]);
  assert.equal((await ask(headers)).text, again.text);
});
