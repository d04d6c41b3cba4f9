// WebSockets byte for byte: the handshake, and frames that are right and wrong. Each is sent at once
// and again cut in two at every byte.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createSandbox, destroySandbox } from '../support/api.mjs';
import { BINARY, CLOSE, closeFrame, frame, PING, PONG, readFrames, TEXT } from '../support/frames.mjs';
import { comparable, converse, RawSocket, readAnswers, sendInEveryWay } from '../support/raw.mjs';
import { apiKey } from '../support/stack.mjs';

const MIB = 1 << 20;
const MESSAGE_MAX = 16 * MIB;
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='; // of that key, as RFC 6455 has it
const BYE = closeFrame(1000);
// What the gateway answers at once: to a text that is no message, and to a message of no type.
const PROBE = frame(TEXT, '{"id":"probe","type":"teleport"}');
const all = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));

let id;
before(async () => {
  ({ sandboxId: id } = await createSandbox());
});
after(() => destroySandbox(id));

const upgrade = {
  Host: 'x', 'X-API-Key': apiKey, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': KEY,
  'Sec-WebSocket-Version': '13',
};
// changed: headers with other values; undefined leaves one out.
function handshake(changed = {}, line = `GET /client/${id} HTTP/1.1`) {
  const headers = Object.entries({ ...upgrade, ...changed }).filter(([, value]) => value !== undefined);
  return [line, ...headers.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n');
}

// What comes before is cut by the plain one alone.
const behindKey = (message) => message.indexOf('\r\n', message.indexOf('X-API-Key'));
const headEnd = (bytes) => bytes.indexOf('\r\n\r\n') + 4;
const framesBehindHead = (bytes) => readFrames(bytes.subarray(headEnd(bytes))).frames;
const isClosed = (socket) => framesBehindHead(socket.received).some(({ close }) => close !== undefined);

describe('a handshake', () => {
  const good = {
    plain: {}, 'in other letters': { Upgrade: 'WebSocket', Connection: 'upgrade' },
    'in a list': { Connection: 'keep-alive, Upgrade' },
    'with sub-protocols that nobody knows': { 'Sec-WebSocket-Protocol': 'chat, superchat' },
    'with extensions': { 'Sec-WebSocket-Extensions': 'permessage-deflate; client_max_window_bits' },
    'with an origin': { Origin: 'https://app.example.com' },
  };
  for (const [name, changed] of Object.entries(good)) {
    it(`${name} opens, and the bytes behind it are frames`, async () => {
      const message = all(handshake(changed), PROBE, BYE);
      await sendInEveryWay([{ name, message, from: name === 'plain' ? 0 : behindKey(message) }], {
        readable: comparable, onData: isClosed, check: (each, { bytes }) => {
          const [{ status, headers }] = readAnswers(bytes.subarray(0, headEnd(bytes)));
          const { 'x-request-id': _, ...rest } = headers;
          assert.equal(status, 101);
          assert.deepEqual(rest, { upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-accept': ACCEPT });
          const [answer, close, ...more] = framesBehindHead(bytes);
          assert.equal(JSON.parse(answer.text).code, 'unknown_type');
          assert.deepEqual([close, more], [{ close: 1000, reason: '' }, []]);
        },
      });
    });
  }

  const none = '00000000-0000-4000-8000-000000000000';
  const bad = {
    'without Upgrade': [{ Upgrade: undefined }, 400],
    'to something else': [{ Upgrade: 'h2c' }, 400],
    'without Connection': [{ Connection: undefined }, 400],
    'with another Connection': [{ Connection: 'keep-alive' }, 400],
    'without a version': [{ 'Sec-WebSocket-Version': undefined }, 426],
    'of an older version': [{ 'Sec-WebSocket-Version': '8' }, 426],
    'of a later version': [{ 'Sec-WebSocket-Version': '14' }, 426],
    'of several versions': [{ 'Sec-WebSocket-Version': '13, 8' }, 426],
    'without a key': [{ 'Sec-WebSocket-Key': undefined }, 400],
    'with an empty key': [{ 'Sec-WebSocket-Key': '' }, 400],
    'with a key of 15 bytes': [{ 'Sec-WebSocket-Key': Buffer.alloc(15).toString('base64') }, 400],
    'with a key of 17 bytes': [{ 'Sec-WebSocket-Key': Buffer.alloc(17).toString('base64') }, 400],
    'with a key that is no base64': [{ 'Sec-WebSocket-Key': '!!!!!!!!!!!!!!!!!!!!!!==' }, 400],
    'in HTTP/1.0': [{}, 400, () => `GET /client/${id} HTTP/1.0`],
    'by POST': [{}, 405, () => `POST /client/${id} HTTP/1.1`],
    'with a body': [{ 'Content-Length': '5' }, 400],
    'without an API key': [{ 'X-API-Key': undefined }, 401],
    'with a wrong API key': [{ 'X-API-Key': `isk_${'0'.repeat(64)}` }, 401],
    'for no sandbox': [{}, 404, () => `GET /client/${none} HTTP/1.1`],
    'for what is no id': [{}, 404, () => 'GET /client/me HTTP/1.1'],
    'elsewhere': [{}, 404, () => 'GET /elsewhere HTTP/1.1'],
    'of an agent without its token': [{ 'X-API-Key': undefined }, 401, () => `GET /agent/${id} HTTP/1.1`],
  };
  it('that is none is refused as plain HTTP, before anything is opened', async () => {
    const cases = Object.entries(bad).map(([name, [changed, status, line]]) => {
      const message = handshake(changed, line?.());
      return { name, status, message, from: behindKey(message) };
    });
    await sendInEveryWay(cases, {
      readable: comparable, onData: ({ received }) => received.includes('"requestId"'), check: ({ name, status }, { bytes }) => {
        const answers = readAnswers(bytes);
        assert.deepEqual(answers.map((answer) => answer.status), [status], name);
        assert.deepEqual(Object.keys(answers[0].json), ['error', 'code', 'requestId'], name);
        assert.equal(answers[0].headers['sec-websocket-version'], status === 426 ? '13' : undefined, name);
      },
    });
  });
});

// On a socket that is open already.
const greet = async (socket) => {
  await socket.write(handshake());
  await socket.when(({ received }) => received.includes('\r\n\r\n'));
  assert.match(socket.received.toString(), /^HTTP\/1\.1 101 /);
  socket.forget();
};
const closes = (socket) => readFrames(socket.received).frames.some(({ close }) => close !== undefined);
const readable = (bytes) => {
  const { frames, rest } = readFrames(bytes);
  assert.equal(rest, 0, 'whole frames');
  return JSON.stringify(frames);
};
const inEveryWay = (cases, check, more) => sendInEveryWay(cases, { greet, readable, check, onData: closes, ...more });
const named = (messages, expected) => Object.entries(messages).map(([name, message]) => ({ name, message, expected }));

// Nothing is answered but the close, and nothing behind it.
const breaks = (code, title, messages, more) => it(title, () => inEveryWay(
  named(messages).map((each) => ({ tail: all(PROBE, PROBE), ...each })), ({ name }, { bytes }) => {
    const { frames } = readFrames(bytes);
    assert.deepEqual(frames.map(({ close }) => close), [code], `${name}: ${JSON.stringify(frames)}`);
    assert.ok(frames[0].reason.length > 3, 'says why');
  }, more,
));
// Answered as expected, and the socket lives on until it is closed.
const passes = (title, cases, more) => it(title, () => inEveryWay(
  cases.map((each) => ({ tail: BYE, ...each })), ({ name, expected }, { bytes }) => {
    const { frames } = readFrames(bytes);
    assert.deepEqual(frames.pop(), { close: 1000, reason: '' }, name);
    assert.deepEqual(frames.map(({ text, ...rest }) => (text === undefined ? rest : JSON.parse(text).code)), expected, name);
  }, more,
));
const NOT_JSON = 'invalid_message';

describe('a frame', () => {
  breaks(1002, 'that is not masked', {
    text: frame(TEXT, 'hello', { mask: null }), ping: frame(PING, '', { mask: null }),
    close: closeFrame(1000, '', { mask: null }),
  });
  breaks(1002, 'with reserved bits', Object.fromEntries([1, 2, 4, 7].flatMap((rsv) => [
    [`${rsv} of a text`, frame(TEXT, 'hello', { rsv })], [`${rsv} of a ping`, frame(PING, '', { rsv })],
  ])));
  breaks(1002, 'with an opcode that nobody knows', Object.fromEntries([
    3, 4, 5, 6, 7, 11, 12, 13, 14, 15,
  ].map((opcode) => [opcode, frame(opcode, 'x')])), {
    single: (name) => name === '3',
  });
  breaks(1002, 'of control in fragments', {
    ping: frame(PING, 'x', { fin: false }), pong: frame(PONG, '', { fin: false }), close: frame(CLOSE, '', { fin: false }),
  });
  breaks(1002, 'of control with more than 125 bytes', {
    ping: frame(PING, 'x'.repeat(126)), pong: frame(PONG, 'x'.repeat(126)), close: closeFrame(1000, 'x'.repeat(124)),
    'a long coding': frame(PING, 'x', { coding: 16 }),
  });
  breaks(1002, 'whose length has its top bit set', {
    'alone': frame(TEXT, '', { length: 1n << 63n }), 'all bits': frame(BINARY, '', { length: (1n << 64n) - 1n }),
  });
  breaks(1009, 'over the limit, told by its header', {
    'by a byte': frame(TEXT, '', { length: MESSAGE_MAX + 1 }), 'by far': frame(BINARY, '', { length: 1n << 40n }),
    'to the end': frame(TEXT, '', { length: (1n << 63n) - 1n }),
  });
  breaks(1002, 'whose length is not written in the shortest way', {
    '125 in 16 bits': frame(TEXT, 'x'.repeat(125), { coding: 16 }), 'nothing in 16 bits': frame(TEXT, '', { coding: 16 }),
    '125 in 64 bits': frame(TEXT, 'x'.repeat(125), { coding: 64 }),
    '65535 in 64 bits': frame(TEXT, '', { coding: 64, length: 65535 }),
  });
  passes('whose length is written in any of the three ways', [
    { name: 'no byte', message: frame(TEXT, ''), expected: [NOT_JSON] },
    { name: '125', message: frame(TEXT, 'x'.repeat(125)), expected: [NOT_JSON] },
    { name: '126', message: frame(TEXT, 'x'.repeat(126)), expected: [NOT_JSON] },
    { name: '65535', message: frame(TEXT, 'x'.repeat(65535)), expected: [NOT_JSON] },
    { name: '65536', message: frame(TEXT, 'x'.repeat(65536)), expected: [NOT_JSON] },
  ]);
});

describe('fragments', () => {
  const part = (text, fin = false) => frame(0, text, { fin });
  const begin = (text, opcode = TEXT) => frame(opcode, text, { fin: false });

  breaks(1002, 'of nothing', {
    last: part('x', true), first: part('x'), 'behind a whole message': all(frame(PONG), part('', true)),
  });
  breaks(1002, 'with a message inside', {
    'a text': all(begin('x'), frame(TEXT, 'y')), 'a binary': all(begin('x'), part('y'), frame(BINARY, 'y')),
    'in fragments itself': all(begin('x'), begin('y')),
  }, { single: (name) => name === 'a text' });
  breaks(1009, 'over the limit by their sum', {
    'the second': all(begin('x'.repeat(10)), frame(0, '', { length: MESSAGE_MAX - 9 })),
    'the third': all(begin('x'), part('y'), frame(0, '', { length: MESSAGE_MAX - 1 })),
    'wrapping': all(begin('x'.repeat(10)), frame(0, '', { length: (1n << 63n) - 5n })),
  });
  it('of which there are 16,384 make a message, and one more closes with 1008', async () => {
    const many = (count) => all(begin(''), ...Array.from({ length: count - 2 }, () => part('')), part('x', true), BYE);
    const [enough, tooMany] = (await converse([
      [many(16_384)], [many(16_385)],
    ], { greet, onData: closes })).map(({ bytes }) => readFrames(bytes).frames);
    assert.deepEqual([JSON.parse(enough[0].text).code, enough[1].close], [NOT_JSON, 1000]);
    assert.deepEqual(tooMany.map(({ close }) => close), [1008]);
  });
  passes('make one message', [
    { name: 'two', message: all(begin('{"id":"a","ty'), part('pe":"teleport"}', true)), expected: ['unknown_type'] },
    {
      name: 'many', expected: ['unknown_type'],
      message: all(begin(''), ...Array.from('{"id":"a","type":"x"}', (c) => part(c)), part('', true)),
    },
    {
      name: 'with pings between', expected: [{ pong: 'in' }, 'unknown_type'],
      message: all(begin('{"id":"a",'), frame(PING, 'in'), part(''), frame(PONG, 'x'), part('"type":"x"}', true)),
    },
  ], { single: (name) => name === 'with pings between' });
});

describe('a text', () => {
  const bad = {
    'a stray continuation': [0x80], 'an overlong slash': [0xc0, 0xaf], 'an overlong NUL': [0xc1, 0x80],
    'overlong in three': [0xe0, 0x80, 0xaf], 'overlong in four': [0xf0, 0x80, 0x80, 0xaf],
    'a high surrogate': [0xed, 0xa0, 0x80], 'a low surrogate': [0xed, 0xbf, 0xbf], 'above U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
    'a byte of no character': [0xf5, 0x80, 0x80, 0x80],
    '0xff': [0xff], 'cut after one of two': [0xc3], 'cut after two of three': [0xe2, 0x82],
    'cut after three of four': [0xf0, 0x9f, 0x98], 'cut by an ASCII byte': [0xe2, 0x82, 0x41],
  };
  const inText = (bytes) => Buffer.concat([Buffer.from('ä'), Buffer.from(bytes)]);
  breaks(1007, 'that is not UTF-8', Object.fromEntries(Object.entries(bad).map(([name, bytes]) => [
    name, frame(TEXT, inText(bytes)),
  ])));
  breaks(1007, 'that is not UTF-8, wherever its fragments end', Object.fromEntries(Object.entries(bad).flatMap(([
    name, bytes,
  ]) => {
    const text = inText(bytes);
    return Array.from({ length: text.length }, (_, cut) => [`${name}, ${cut}`, all(
      frame(TEXT, text.subarray(0, cut), { fin: false }), frame(0, text.subarray(cut)),
    )]);
  })));
  const good = Buffer.from('ä€𝄞\u{10ffff}\u07ff\u0800\uffff');
  passes('is UTF-8 wherever its fragments end', [
    ...Array.from({ length: good.length + 1 }, (_, cut) => ({
      name: `${cut}`, expected: [NOT_JSON],
      message: all(frame(TEXT, good.subarray(0, cut), { fin: false }), frame(0, good.subarray(cut))),
    })),
    {
      name: 'each byte', expected: [NOT_JSON],
      message: all(
        frame(TEXT, '', { fin: false }),
        ...Array.from(good, (byte) => frame(0, Buffer.from([byte]), { fin: false })),
        frame(0, ''),
      ),
    },
  ], { single: (name) => name === 'each byte' });
});

describe('a ping', () => {
  const twenty = Array.from({ length: 20 }, (_, i) => i);
  passes('is answered with what it carries', [
    { name: 'nothing', message: frame(PING), expected: [{ pong: '' }] },
    { name: '125 bytes', message: frame(PING, 'x'.repeat(125)), expected: [{ pong: 'x'.repeat(125) }] },
    { name: 'twenty', message: all(...twenty.map((i) => frame(PING, `${i}`))), expected: twenty.map((i) => ({ pong: `${i}` })) },
  ]);
  passes('that nobody sent may be answered', [{
    name: 'pongs', message: all(frame(PONG), frame(PONG, 'x'.repeat(125)), PROBE), expected: ['unknown_type'],
  }]);
  it('too many in a second closes with 1008', async () => {
    const [{ bytes }] = await converse([[all(...Array.from({ length: 21 }, () => frame(PING)), PROBE)]], {
      greet, onData: closes,
    });
    const { frames } = readFrames(bytes);
    assert.equal(frames.filter(({ pong }) => pong === '').length, 20);
    assert.deepEqual(frames.slice(20).map(({ close }) => close), [1008]);
  });
});

describe('a close', () => {
  const codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4404, 4999];
  it('is answered with its code, and nothing behind it is', () => inEveryWay([
    ...codes.map((code) => ({ name: `${code}`, message: closeFrame(code), code })),
    { name: 'with a reason', message: closeFrame(1000, 'grüße'), code: 1000 },
    { name: 'with the longest reason', message: closeFrame(1000, 'x'.repeat(123)), code: 1000 },
    { name: 'with nothing', message: frame(CLOSE), code: null },
  ].map((each) => ({ tail: all(PROBE, frame(PING), closeFrame(1001)), ...each })), ({ name, code }, { bytes, state }) => {
    assert.deepEqual(readFrames(bytes).frames, [{ close: code, reason: '' }], name);
    assert.equal(state, 'ended');
  }, { single: (name) => name === 'with a reason' }));
  breaks(1002, 'with a code that is none', {
    'half a code': frame(CLOSE, Buffer.from([3])),
    ...Object.fromEntries([
      0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ].map((code) => [code, closeFrame(code)])),
  });
  breaks(1007, 'with a reason that is not UTF-8', {
    overlong: closeFrame(1000, Buffer.from([0xc0, 0xaf])), cut: closeFrame(1000, Buffer.from([0x61, 0xe2, 0x82])),
    surrogate: closeFrame(3000, Buffer.from([0xed, 0xa0, 0x80])),
  });
  it('ends the connection within a second, though the other side keeps it', async () => {
    const socket = await RawSocket.open();
    await greet(socket);
    const began = performance.now();
    await socket.write(BYE);
    await socket.whenOver(1500);
    assert.ok(performance.now() - began < 1200, `${performance.now() - began} ms`);
    socket.destroy();
  });
});

describe('a binary frame', () => {
  const DATA = 0, STDOUT = 1, STDERR = 2, WINDOW = 3, FIN = 4, RESET = 5;
  const stream = (streamId, kind, payload = '', zero = [0, 0, 0]) => {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(streamId);
    header.set([kind, ...zero], 4);
    return frame(BINARY, all(header, payload));
  };
  const reset = `0000000705000000${Buffer.from('stream_not_open').toString('hex')}`;

  breaks(1002, 'that is no stream frame', {
    'nothing': frame(BINARY), 'seven bytes': frame(BINARY, Buffer.alloc(7)), 'an unknown kind': stream(7, 6),
    'a far kind': stream(7, 255),
    ...Object.fromEntries([0, 1, 2].map((i) => [`padding ${i}`, stream(7, DATA, 'x', Object.assign([0, 0, 0], { [i]: 1 }))])),
    'a window of three bytes': stream(7, WINDOW, 'abc'), 'a window of nothing': stream(7, WINDOW),
    'an end with bytes': stream(7, FIN, 'x'),
    'output, which only programs have': stream(7, STDOUT, 'x'), 'errors, which only programs have': stream(7, STDERR, 'x'),
  });
  passes('of a stream that is not open is answered with its reset, and the socket stays', [
    { name: 'data', message: all(stream(7, DATA, 'x'), PROBE), expected: [{ binary: reset }, 'unknown_type'] },
    { name: 'an end', message: all(stream(7, FIN), PROBE), expected: [{ binary: reset }, 'unknown_type'] },
    { name: 'a window', message: all(stream(7, WINDOW, Buffer.from([0, 0, 1, 0])), PROBE), expected: ['unknown_type'] },
    { name: 'a reset', message: all(stream(7, RESET, 'x'), PROBE), expected: ['unknown_type'] },
    { name: 'in fragments', message: all(frame(BINARY, Buffer.from([0, 0, 0]), { fin: false }), frame(0, Buffer.from([
      7, 0, 0, 0, 0, 1,
    ]))), expected: [{ binary: reset }] },
  ]);
  it('beyond the credit of its stream closes with 1008', async () => {
    const socket = await RawSocket.open();
    await greet(socket);
    await socket.write(frame(TEXT, JSON.stringify({
      id: '1', type: 'exec', cmd: 'sleep', args: ['60'], stream: true, streamId: 1, stdinOpen: true,
    })));
    await socket.when(({ received }) => received.includes('"execResponse"'));
    const piece = stream(1, DATA, 'x'.repeat(60_000));
    await socket.write(all(...Array.from({ length: 40 }, () => piece)));
    await socket.when(closes);
    assert.equal(readFrames(socket.received).frames.at(-1).close, 1008);
    socket.destroy();
  });
});
