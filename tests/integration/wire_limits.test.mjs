// What takes too long or is too much, on the wire. Most of it is waiting: all at the same time.
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { setTimeout as pass } from 'node:timers/promises';
import { call, createSandbox, destroySandbox, shell } from '../support/api.mjs';
import { closeFrame, frame, PING, PONG, readFrames, TEXT } from '../support/frames.mjs';
import { gatewayBeside } from '../support/gateway.mjs';
import { RawSocket, readAnswers } from '../support/raw.mjs';
import { sessionToken } from '../support/session.mjs';
import { apiKey } from '../support/stack.mjs';

const KIB = 1024;
const isLong = process.env.LONG === 'yes';
const lasting = (name, run) => it(name, { skip: isLong ? false : 'takes more than a minute: tests/run --long' }, run);
const KEY = `X-API-Key: ${apiKey}`;
const head = (line, ...lines) => [`${line} HTTP/1.1`, 'Host: x', ...lines, '', ''].join('\r\n');
const create = (...lines) => head('POST /sandbox/create', KEY, 'Content-Type: application/json', ...lines);
const framesOf = (socket) => readFrames(socket.received).frames;
const closeOf = (socket) => framesOf(socket).find(({ close }) => close !== undefined);

async function secondsUntilOver(socket, timeoutMs = 20_000) {
  const began = performance.now();
  await socket.whenOver(timeoutMs);
  return (performance.now() - began) / 1000;
}

function assertBetween(low, value, high) {
  assert.ok(low <= value && value <= high, `${value} is not between ${low} and ${high}`);
}

function assertTimeout(socket) {
  const answers = readAnswers(socket.received).filter(({ status }) => status !== 404);
  assert.deepEqual(answers.map(({ status, json, headers }) => [
    status, json.code, headers.connection,
  ]), [[408, 'request_timeout', 'close']]);
  assert.equal(socket.state, 'ended');
}

// Sends the pieces one each everyMs, until the other side has enough.
async function trickle(socket, pieces, everyMs) {
  for (const piece of pieces) {
    if (socket.state !== 'open') {
      return;
    }
    await socket.write(piece);
    await pass(everyMs);
  }
}
const endless = function* endless(piece) {
  for (;;) {
    yield piece;
  }
};

async function openClientSocket(id, { key = apiKey, ...options } = {}) {
  const socket = await RawSocket.open(options);
  await socket.write(head(`GET /client/${id}`, `X-API-Key: ${key}`, 'Upgrade: websocket', 'Connection: Upgrade',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13'));
  await socket.when(({ received }) => received.includes('\r\n\r\n'));
  assert.match(socket.received.toString(), /^HTTP\/1\.1 101 /);
  socket.forget();
  return socket;
}

describe('in its own time', { concurrency: true }, () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
  });
  after(() => destroySandbox(id));

  it('two hundred trickling connections slow nobody down and are gone in 15 seconds', async () => {
    const began = performance.now();
    const sockets = await Promise.all(Array.from({ length: 200 }, () => RawSocket.open()));
    const trickles = Promise.all(sockets.map((socket) => trickle(socket, [
      ...'GET / HTTP/1.1\r\nX-A: ', ...'b'.repeat(200),
    ], 250)));
    const times = [];
    while (sockets.some(({ state }) => state === 'open') && performance.now() - began < 20_000) {
      const asked = performance.now();
      assert.equal((await call('GET', '/health', { key: null })).status, 200);
      times.push(performance.now() - asked);
      await pass(100);
    }
    assertBetween(9, (performance.now() - began) / 1000, 15);
    await trickles;
    times.sort((a, b) => a - b);
    assertBetween(0, times[Math.floor(times.length / 2)], 100);
    sockets.forEach((socket) => {
      assertTimeout(socket);
      socket.destroy();
    });
  });

  it('a silent connection is closed without an answer', async () => {
    const socket = await RawSocket.open();
    assertBetween(9, await secondsUntilOver(socket), 12);
    assert.deepEqual([socket.state, socket.received.length], ['ended', 0]);
    socket.destroy();
  });

  it('half a head is refused', async () => {
    const socket = await RawSocket.open();
    await socket.write('GET / HTTP/1.1\r\nHost: x\r\n');
    assertBetween(9, await secondsUntilOver(socket), 12);
    assertTimeout(socket);
    socket.destroy();
  });

  it('half a head behind a request is refused', async () => {
    const socket = await RawSocket.open();
    await socket.write(`${head('GET /x')}GET /`);
    assertBetween(9, await secondsUntilOver(socket), 12);
    assertTimeout(socket);
    socket.destroy();
  });

  const bodies = {
    'that is collected': (...lines) => create(...lines),
    'that is passed on': (...lines) => head(`PUT /sandbox/${id}/files?path=slow`, KEY, ...lines),
  };
  for (const [name, request] of Object.entries(bodies)) {
    it(`a body ${name} and pauses is refused`, async () => {
      const socket = await RawSocket.open();
      await socket.write(request('Content-Length: 5000') + ' '.repeat(4000));
      assertBetween(3, await secondsUntilOver(socket), 14);
      assertTimeout(socket);
      socket.destroy();
    });

    it(`a body ${name} and comes too slowly is refused`, async () => {
      const socket = await RawSocket.open();
      const began = performance.now();
      await socket.write(request('Transfer-Encoding: chunked'));
      await trickle(socket, endless(`40\r\n${' '.repeat(64)}\r\n`), 250);
      await socket.whenOver();
      assertBetween(4.5, (performance.now() - began) / 1000, 9);
      assertTimeout(socket);
      socket.destroy();
    });

    it(`a body ${name} and comes fast enough is taken`, async () => {
      const socket = await RawSocket.open();
      await socket.write(request('Transfer-Encoding: chunked', 'Connection: close'));
      await trickle(socket, Array(8).fill(`c00\r\n${' '.repeat(3 * KIB)}\r\n`), 1000);
      await socket.write('b\r\n{"env":"x"}\r\n0\r\n\r\n');
      await socket.whenOver();
      const [{ status, json }] = readAnswers(socket.received);
      assert.ok(status === 201 || json.code === 'validation_failed', `${status}`);
      socket.destroy();
    });
  }

  it('an answer before the end of the body is followed by the end of the connection', async () => {
    const socket = await RawSocket.open();
    await socket.write(head('POST /x', 'Content-Length: 1000000'));
    await socket.when(({ received }) => received.includes('"requestId"'));
    const began = performance.now();
    // While it lingers it takes what comes; then it is gone.
    while (!socket.isBroken && performance.now() - began < 5000) {
      await socket.write('x'.repeat(100));
      await pass(50);
    }
    assertBetween(0.5, (performance.now() - began) / 1000, 3);
    assert.deepEqual(readAnswers(socket.received).map(({ status }) => status), [404]);
    socket.destroy();
  });

  it('a WebSocket is pinged, and lives when it answers', async () => {
    const socket = await openClientSocket(id);
    await socket.when(() => framesOf(socket).some(({ ping }) => ping !== undefined), 25_000);
    const { ping } = framesOf(socket)[0];
    await socket.write(Buffer.concat([frame(PONG, ping), frame(TEXT, 'x')]));
    await socket.when(() => framesOf(socket).some(({ text }) => text !== undefined));
    assert.equal(closeOf(socket), undefined);
    socket.destroy();
  });

  it('the end of a sandbox closes with 4404, and five seconds are given for the answer', async () => {
    const { sandboxId } = await createSandbox();
    const [silent, answering] = await Promise.all([openClientSocket(sandboxId), openClientSocket(sandboxId)]);
    await destroySandbox(sandboxId);
    const began = performance.now();
    await Promise.all([silent, answering].map((socket) => socket.when(closeOf)));
    assert.deepEqual([closeOf(silent).close, closeOf(answering).close], [4404, 4404]);
    await answering.write(closeFrame(4404));
    await answering.whenOver();
    assertBetween(0, (performance.now() - began) / 1000, 3);
    await silent.write(frame(PING)); // is no answer, and gets none
    await silent.whenOver();
    assertBetween(4, (performance.now() - began) / 1000, 7);
    assert.equal(framesOf(silent).length, 1);
    [silent, answering].forEach((socket) => socket.destroy());
  });

  it('the end of a key closes with 1008, and only its own sockets', async () => {
    const token = await sessionToken({});
    const asPerson = (method, url, body) => call(method, url, { key: null, body, headers: { Authorization: `Bearer ${token}` } });
    const keys = await Promise.all([1, 2].map(async () => (await asPerson('POST', '/api/keys', {})).json.apiKey));
    const { sandboxId } = await createSandbox({}, keys[0].key);
    const [dead, alive] = await Promise.all(keys.map(({ key }) => openClientSocket(sandboxId, { key })));
    assert.equal((await asPerson('DELETE', `/api/keys/${keys[0].id}`)).status, 200);
    await dead.when(closeOf, 2000);
    assert.equal(closeOf(dead).close, 1008);
    await alive.write(frame(TEXT, 'x'));
    await alive.when(() => framesOf(alive).length > 0);
    assert.notEqual(framesOf(alive)[0].text, undefined);
    await destroySandbox(sandboxId, keys[1].key);
    [dead, alive].forEach((socket) => socket.destroy());
  });

  it('a WebSocket that takes no answers is given up', async () => {
    await shell(id, 'head -c 8000000 /dev/zero | tr "\\0" x > large');
    const socket = await openClientSocket(id);
    socket.pause();
    const ask = (i) => frame(TEXT, JSON.stringify({ id: `${i}`, type: 'read', path: 'large' }));
    await socket.write(Buffer.concat(Array.from({ length: 4 }, (_, i) => ask(i))));
    await pass(14_000);
    const before_ = performance.now();
    socket.resume();
    await socket.whenOver();
    assertBetween(0, (performance.now() - before_) / 1000, 3);
    assert.ok(framesOf(socket).filter(({ text }) => text !== undefined).length < 4, 'not all of it came');
    socket.destroy();
  });

  lasting('an idle connection is closed', async () => {
    const socket = await RawSocket.open();
    await socket.write(head('GET /x'));
    assertBetween(70, await secondsUntilOver(socket, 120_000), 100);
    assert.deepEqual(readAnswers(socket.received).map(({ status }) => status), [404]);
    assert.equal(socket.state, 'ended');
    socket.destroy();
  });

  lasting('a WebSocket that says nothing is closed with 1001', async () => {
    const socket = await openClientSocket(id);
    await socket.when(closeOf, 70_000);
    assert.equal(closeOf(socket).close, 1001);
    socket.destroy();
  });

  lasting('a body that is collected has a minute in all', async () => {
    const socket = await RawSocket.open();
    const began = performance.now();
    await socket.write(create('Transfer-Encoding: chunked'));
    await trickle(socket, endless(`800\r\n${' '.repeat(2 * KIB)}\r\n`), 1000);
    assertBetween(58, (performance.now() - began) / 1000, 70);
    assertTimeout(socket);
    socket.destroy();
  });

  lasting('an answer that nobody reads ends in a reset', async () => {
    const socket = await RawSocket.open();
    socket.pause();
    const began = performance.now();
    await socket.write(head('GET /openapi.json').repeat(400)); // more than the kernel keeps for both sides
    while (socket.state === 'open' && performance.now() - began < 90_000) {
      await pass(1000);
      await socket.write('x');
    }
    // Half a minute in which nothing was taken.
    assertBetween(25, (performance.now() - began) / 1000, 50);
    assert.equal(socket.state, 'reset');
    socket.destroy();
  });
});

test('connections have limits, in all and for each address, and who is over them hears so', async (t) => {
  const { port } = await gatewayBeside(t, {
    MAX_CONNECTIONS: 16, MAX_CONNECTIONS_PER_ADDRESS: 4, RATE_LIMIT_EXEMPT: '127.0.0.9/32',
  });
  const open = (localAddress) => RawSocket.open({ port, localAddress });
  const works = async (socket) => {
    await socket.write(head('GET /x'));
    await socket.when(({ received }) => received.includes('"requestId"'));
    return readAnswers(socket.received)[0].status;
  };
  const refusal = async (socket) => {
    await socket.write(head('GET /x'));
    await socket.whenOver();
    assert.equal(socket.state, 'ended');
    socket.destroy();
    return readAnswers(socket.received).map(({ status, json, headers }) => [
      status, json.code, headers.connection, headers['retry-after'],
    ]);
  };
  const four = await Promise.all([2, 2, 2, 2].map(() => open('127.0.0.2')));
  assert.deepEqual(await Promise.all(four.map(works)), [404, 404, 404, 404]);
  assert.deepEqual(await refusal(await open('127.0.0.2')), [[429, 'too_many_connections', 'close', '1']]);
  assert.equal(await works(await open('127.0.0.3').then((socket) => (four.push(socket), socket))), 404, 'another address');
  const many = await Promise.all(Array.from({ length: 11 }, () => open('127.0.0.9')));
  assert.deepEqual(await Promise.all(many.map(works)), many.map(() => 404));
  assert.deepEqual(await refusal(await open('127.0.0.9')), [[503, 'overloaded', 'close', '1']]);
  [...four, ...many].forEach((socket) => socket.destroy());
});

test('a gateway that stops says 1012 to each WebSocket, and then leaves', async (t) => {
  const { port, stop } = await gatewayBeside(t, {});
  const { sandboxId } = await createSandbox();
  t.after(() => destroySandbox(sandboxId));
  const sockets = await Promise.all(Array.from({ length: 5 }, () => openClientSocket(sandboxId, { port })));
  const [idle, halfway] = await Promise.all([RawSocket.open({ port }), RawSocket.open({ port })]);
  await idle.write(head('GET /x'));
  await idle.when(({ received }) => received.includes('"requestId"'));
  await halfway.write(head('GET /x').slice(0, 20));
  const exit = stop('SIGTERM');
  await Promise.all(sockets.map((socket) => socket.when(closeOf)));
  assert.deepEqual(sockets.map((socket) => closeOf(socket).close), sockets.map(() => 1012));
  await Promise.all(sockets.map((socket) => socket.write(closeFrame(1012))));
  await idle.whenOver();
  await halfway.write(head('GET /x').slice(20));
  await Promise.all([...sockets, halfway].map((socket) => socket.whenOver()));
  assert.deepEqual(readAnswers(halfway.received).map(({ status, headers }) => [status, headers.connection]), [[404, 'close']]);
  assert.equal(await exit, 0);
  [...sockets, idle, halfway].forEach((socket) => socket.destroy());
});
