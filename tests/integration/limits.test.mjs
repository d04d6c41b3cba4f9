// How many requests each caller may make. The deployment exempts this machine; the gateways here don't.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, makeUser, sandboxFor } from '../support/api.mjs';
import { gatewayBeside } from '../support/gateway.mjs';
import { RawSocket, readAnswers } from '../support/raw.mjs';
import { apiKey } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const RATES = 'free=1/4,enterprise=6000/600,address=1/3,preview=1/2'; // small bursts, that hardly refill
const limited = { RATE_LIMIT_EXEMPT: '', RATE_LIMITS: RATES };
const someAddress = () => `127.${randomInt(1, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
const baseOf = ({ port }) => `http://127.0.0.1:${port}`;
const list = (gateway, key, headers) => call('GET', '/sandbox?limit=1', { key, headers, base: baseOf(gateway), agent: false });
const statusAndLeft = ({ status, headers }) => [status, headers['ratelimit-remaining']];

// One request of that address, with those header lines.
async function from(localAddress, gateway, target, ...lines) {
  const socket = await RawSocket.open({ port: gateway.port, localAddress });
  await socket.write([`GET ${target} HTTP/1.1`, 'Host: x', ...lines, 'Connection: close', '', ''].join('\r\n'));
  await socket.whenOver();
  socket.destroy();
  return readAnswers(socket.received)[0];
}

test('a user has so many requests, whichever gateway they go to', async (t) => {
  const [one, other] = await Promise.all([
    gatewayBeside(t, limited), gatewayBeside(t, { ...limited, PORT_STEP: 2 }),
  ]);
  const key = await makeUser('free');
  const seen = [];
  for (const gateway of [one, other, one, other]) {
    seen.push(statusAndLeft(await list(gateway, key)));
  }
  assert.deepEqual(seen, [[200, '3'], [200, '2'], [200, '1'], [200, '0']]);
  for (const gateway of [one, other]) {
    const refused = await list(gateway, key);
    assertError(refused, 429, 'rate_limited');
    const { headers } = refused;
    assert.ok(Number(headers['retry-after']) > 30, headers['retry-after']);
    assert.equal(headers['ratelimit-limit'], '4');
    assert.equal(headers['ratelimit-remaining'], '0');
    assert.ok(Number(headers['ratelimit-reset']) > 180, headers['ratelimit-reset']);
    assert.equal(headers['ratelimit-policy'], '"user";q=4;w=240');
    assert.match(headers.ratelimit, /^"user";r=0;t=\d+$/);
  }
  assert.equal((await list(one, await makeUser('free'))).status, 200, 'another user');
});

test('keys that came of a key stay together within its limit', async (t) => {
  const gateway = await gatewayBeside(t, limited);
  const made = async (key, body) => {
    const reply = await call('POST', '/api/keys', { key, body });
    assert.equal(reply.status, 201, reply.text);
    return reply.json.apiKey.key;
  };
  const user = await makeUser('enterprise');
  const parent = await made(user, { requestsPerMinute: 4 });
  const [child, narrow] = [await made(parent, {}), await made(parent, { requestsPerMinute: 2 })];
  const seen = [];
  for (const key of [parent, child, narrow, narrow, narrow, child, parent]) {
    seen.push(statusAndLeft(await list(gateway, key)));
  }
  assert.deepEqual(seen, [[200, '3'], [200, '2'], [200, '1'], [200, '0'], [429, '0'], [429, '0'], [429, '0']]);
  const { status, headers } = await list(gateway, user);
  assert.deepEqual([status, headers['ratelimit-policy']], [200, '"user";q=600;w=6'], 'the limit of the user is not spent');
});

test('a WebSocket counts when it opens, and tells so', async (t) => {
  const gateway = await gatewayBeside(t, limited);
  const key = await makeUser('free');
  const id = await sandboxFor(t, {}, key);
  const lines = [`X-API-Key: ${key}`];
  assert.deepEqual(statusAndLeft(await from('127.0.0.1', gateway, `/sandbox/${id}/status`, ...lines)), [200, '3']);
  const socket = await RawSocket.open({ port: gateway.port });
  await socket.write([
    `GET /client/${id} HTTP/1.1`, 'Host: x', ...lines, 'Upgrade: websocket', 'Connection: Upgrade',
    'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', '',
  ].join('\r\n'));
  await socket.when(({ received }) => received.includes('\r\n\r\n'));
  socket.destroy();
  const answer = socket.received.toString();
  assert.match(answer, /^HTTP\/1.1 101 /);
  assert.match(answer, /^RateLimit-Remaining: 2\r$/m);
});

test('messages of a WebSocket count like requests, and a socket that has none left stays', async (t) => {
  const gateway = await gatewayBeside(t, limited);
  const key = await makeUser('free');
  const id = await sandboxFor(t, {}, key);
  const client = await openClient(id, { key, base: `ws://127.0.0.1:${gateway.port}` }); // the first of four
  t.after(() => client.close());
  const ask = () => client.request({ type: 'unwatch', streamId: 1 }); // what the gateway itself answers
  for (let i = 0; i < 3; i++) {
    assert.equal((await ask()).code, 'stream_not_open');
  }
  const refused = await ask();
  assert.deepEqual([refused.type, refused.code], ['error', 'rate_limited']);
  assert.ok(refused.retryAfterMs > 30_000 && refused.retryAfterMs <= 60_000, refused.retryAfterMs);
  assertError(await list(gateway, key), 429, 'rate_limited');
  const many = await Promise.all(Array.from({ length: 255 }, ask));
  assert.ok(many.every(({ code }) => code === 'rate_limited'));
  client.send('{}');
  assert.deepEqual(await client.closed, { code: 1008, reason: 'too many requests' });
});

test('what leads nowhere counts by address', async (t) => {
  const gateway = await gatewayBeside(t, limited);
  const address = someAddress();
  assert.deepEqual(statusAndLeft(await from(address, gateway, '/nowhere', `X-API-Key: ${apiKey}`)), [404, '2']);
  const socket = await RawSocket.open({ port: gateway.port, localAddress: address });
  const preflight = ['OPTIONS /sandbox HTTP/1.1', 'Host: x', 'Origin: https://a.example', 'Access-Control-Request-Method: GET', '', ''].join('\r\n');
  const wrongMethod = ['DELETE /sandbox HTTP/1.1', 'Host: x', 'Connection: close', '', ''].join('\r\n');
  await socket.write(`${preflight}${wrongMethod}`);
  await socket.whenOver();
  assert.deepEqual(readAnswers(socket.received).map(statusAndLeft), [[204, '1'], [405, '0']]);
  assert.equal((await from(address, gateway, '/nowhere')).status, 429);
});

test('requests without a good key count by address', async (t) => {
  const gateway = await gatewayBeside(t, limited);
  const [address, another] = [someAddress(), someAddress()];
  assert.equal((await list(gateway, apiKey)).status, 200);
  const wrong = 'X-API-Key: isk_' + '0'.repeat(64);
  const seen = [
    await from(address, gateway, '/sandbox'),
    await from(address, gateway, '/sandbox', wrong),
    await from(address, gateway, '/openapi.json'),
  ];
  assert.deepEqual(seen.map(statusAndLeft), [[401, '2'], [401, '1'], [200, '0']]);
  const refused = await from(address, gateway, '/sandbox', wrong);
  assert.deepEqual([refused.status, refused.json.code], [429, 'rate_limited']);
  assert.equal((await from(another, gateway, '/sandbox')).status, 401, 'another address');
  assert.equal((await from(address, gateway, '/sandbox', `X-API-Key: ${apiKey}`)).status, 200, 'a good key that is known');
});

test('previews and signed URLs count by address, on their own', async (t) => {
  const gateway = await gatewayBeside(t, limited);
  const address = someAddress();
  const preview = '/preview/00000000-0000-4000-8000-000000000000/80/';
  const seen = [
    await from(address, gateway, preview, 'Accept: application/json'),
    await from(address, gateway, '/files/x'),
    await from(address, gateway, preview, 'Accept: application/json'),
  ];
  assert.deepEqual(seen.map(({ status, headers }) => [status, headers['ratelimit-policy']]), [404, 403, 429].map((status) => [status, '"preview";q=2;w=120']));
  assert.equal(seen[2].json.code, 'rate_limited');
  assert.equal((await from(address, gateway, '/openapi.json')).status, 200);
});

test('exempt addresses are not counted', async (t) => {
  const address = someAddress();
  const gateway = await gatewayBeside(t, { ...limited, RATE_LIMIT_EXEMPT: `${address}/32` });
  for (let i = 0; i < 6; i++) {
    const { status, headers } = await from(address, gateway, '/sandbox');
    assert.deepEqual([status, headers['ratelimit-limit']], [401, undefined]);
  }
});

test('a trusted proxy says who asks, and nobody else', async (t) => {
  const [proxy, stranger] = [someAddress(), someAddress()];
  const client = `198.51.${randomInt(256)}.${randomInt(1, 255)}`;
  const gateway = await gatewayBeside(t, { ...limited, TRUSTED_PROXIES: `${proxy}/32` });
  const ask = (address, ...hops) => from(address, gateway, '/openapi.json', ...hops.map((hop) => `X-Forwarded-For: ${hop}`));
  const named = [];
  for (const hops of [client, `203.0.113.7, ${client}`, `${client}:4711`, client]) {
    named.push(statusAndLeft(await ask(proxy, hops)));
  }
  assert.deepEqual(named, [[200, '2'], [200, '1'], [200, '0'], [429, '0']]);
  assert.deepEqual(statusAndLeft(await ask(proxy, someAddress())), [200, '2'], 'another client of the proxy');
  const claimed = [];
  for (const last of [1, 2, 3, 4]) {
    claimed.push((await ask(stranger, `192.0.2.${last}`)).status);
  }
  assert.deepEqual(claimed, [200, 200, 200, 429]);
});
