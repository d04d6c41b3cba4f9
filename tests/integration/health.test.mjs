import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError, call } from '../support/api.mjs';
import { apiUrl, wsUrl } from '../support/stack.mjs';

const httpOnWsPort = wsUrl.replace(/^ws/, 'http');

test('health names every part and needs no key', async () => {
  const reply = await call('GET', '/health', { key: null });
  assert.equal(reply.status, 200, reply.text);
  const { timestamp, ...rest } = reply.json;
  assert.deepEqual(rest, {
    status: 'ok',
    services: { postgres: true, redis: true, docker: true, auth: true, sandbox: true },
  });
  assert.ok(Math.abs(Date.parse(timestamp) - Date.now()) < 10_000, timestamp);
});

test('HEAD gives the headers of GET and no body', async () => {
  const get = await call('GET', '/health', { key: null });
  const head = await call('HEAD', '/health', { key: null });
  assert.equal(head.status, 200);
  assert.equal(head.text, '');
  assert.equal(head.headers['content-length'], get.headers['content-length']);
  assert.deepEqual(Object.keys(head.headers).sort(), Object.keys(get.headers).sort());
});

for (const base of [apiUrl, httpOnWsPort]) {
  test(`both ports serve HTTP: ${new URL(base).port}`, async () => {
    const reply = await call('GET', '/health', { key: null, base });
    assert.equal(reply.status, 200);
  });
}

test('every answer wears the security headers and no version', async () => {
  for (const url of ['/health', '/no-such-route']) {
    const { headers } = await call('GET', url, { key: null });
    assert.equal(headers['x-content-type-options'], 'nosniff', url);
    assert.equal(headers['x-frame-options'], 'SAMEORIGIN', url);
    assert.equal(headers['referrer-policy'], 'no-referrer', url);
    assert.match(headers['content-security-policy'], /default-src 'self'/, url);
    assert.equal(headers['x-powered-by'], undefined, url);
    assert.doesNotMatch(headers.server ?? '', /\d/, url);
  }
});

test('an unknown route is 404 and a wrong method 405 with Allow', async () => {
  assertError(await call('GET', '/no-such-route'), 404, 'not_found');
  const reply = await call('PUT', '/health', { key: null });
  assertError(reply, 405, 'method_not_allowed');
  assert.match(reply.headers.allow, /GET/);
  assertError(await call('GET', '/sandbox/create'), 405, 'method_not_allowed');
});
