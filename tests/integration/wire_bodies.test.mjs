// Bodies of requests, byte for byte: where a body ends is never in doubt. What is malformed is
// refused, the connection ends, and nothing behind it is taken for a request. Each is sent at once
// and again cut in two at every byte, to an address that collects the body and to one that passes
// it on as it comes.
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { createSandbox, destroySandbox, shellOutput } from '../support/api.mjs';
import { comparable, converse, RawSocket, readAnswers, sendInEveryWay } from '../support/raw.mjs';
import { apiKey } from '../support/stack.mjs';

const KIB = 1024;
const MIB = KIB * KIB;
const BEHIND = 'GET /behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
const HOSTILE = 'TRACE / HTTP/1.1\r\nHost: x\r\n\r\n'; // as a body: taken for a request it would be a 405
const KEY = `X-API-Key: ${apiKey}`;
const JSON_TYPE = 'Content-Type: application/json';
const CHUNKED = 'Transfer-Encoding: chunked';
const WRONG = '{"timeoutMs":1}'; // so that the answer shows that all of it was read

const head = (line, ...lines) => [`${line} HTTP/1.1`, 'Host: x', ...lines, '', ''].join('\r\n');
const create = (lines, body) => head('POST /sandbox/create', KEY, JSON_TYPE, ...lines) + body;
const chunk = (text, extension = '') => `${text.length.toString(16)}${extension}\r\n${text}\r\n`;
const chunked = (body) => create([CHUNKED], body);
const END = '0\r\n\r\n';

function mustBeRefused({ name, status, code }, { bytes, state }) {
  const answers = readAnswers(bytes);
  assert.equal(state, 'ended', name);
  assert.deepEqual(answers.map((answer) => [answer.status, answer.json?.code]), [[status, code]], `${name}: ${bytes}`);
  assert.equal(answers[0].headers.connection, 'close', name);
}

// Both are answered, first the one with the body.
function mustBeTaken({ name, code = 'validation_failed' }, { bytes, state }) {
  const answers = readAnswers(bytes);
  assert.equal(state, 'ended', name);
  assert.deepEqual(answers.map((answer) => answer.json?.code), [code, 'not_found'], `${name}: ${bytes}`);
}

// Heads that say nothing of the body's end are cut by other tests: here only behind them.
const firstCut = (message) => (message.startsWith('POST /x') ? 0 : message.indexOf('\r\n\r\n'));
const inEveryWay = (cases, check, more) => sendInEveryWay(cases.map((each) => ({
  tail: BEHIND, from: firstCut(each.message), ...each,
})), { readable: comparable, check, ...more });
const named = (messages, status, code) => Object.entries(messages).map(([name, message]) => ({ name, message, status, code }));
const refuses = (title, messages, status, code, more) => test(title, () => inEveryWay(
  named(messages, status, code), mustBeRefused, more,
));
const takes = (title, messages, more) => test(title, () => inEveryWay(named(messages), mustBeTaken, more));

const frame = (...lines) => head('POST /x', ...lines);
refuses('a length together with a coding', {
  'the length first': frame('Content-Length: 5', CHUNKED) + END,
  'the coding first': frame(CHUNKED, 'Content-Length: 5') + END,
  'in other letters': frame('transfer-ENCODING: chunked', 'content-length: 0') + END,
  'a length of nothing': frame('Content-Length: 0', CHUNKED) + END,
  'a coding that nobody knows': frame('Content-Length: 5', 'Transfer-Encoding: identity'),
  'far apart': frame('Content-Length: 5', 'X-A: b', 'X-B: c', CHUNKED) + END,
}, 400, 'bad_framing', { single: (name) => name === 'in other letters' });

refuses('a length that is no number', Object.fromEntries([
  '+5', '-5', '0x5', '5 5', '5,5', '5, 5', '', '5.0', '5e0', '"5"', '5;',
].map((value) => [`'${value}'`, frame(`Content-Length: ${value}`)])), 400, 'bad_content_length');
refuses('a length beyond 2^63', {
  '2^63': frame('Content-Length: 9223372036854775808'), '2^64': frame('Content-Length: 18446744073709551616'),
  'wrapping to 5': frame('Content-Length: 18446744073709551621'), '20 digits': frame(`Content-Length: ${'0'.repeat(19)}5`),
}, 400, 'bad_content_length');
refuses('a length with a form feed', { 'in front': frame('Content-Length: \x0c5') }, 400, 'bad_header');

refuses('a length over the limit, without a byte of the body', {
  'a byte more': create([`Content-Length: ${MIB + 1}`], ''), 'very many': create(['Content-Length: 9223372036854775807'], ''),
}, 413, 'payload_too_large');

refuses('a coding that nobody knows', {
  identity: frame('Transfer-Encoding: identity'), xchunked: frame('Transfer-Encoding: xchunked'),
  gzip: frame('Transfer-Encoding: gzip'),
  'gzip, chunked': frame('Transfer-Encoding: gzip, chunked'), 'chunked, gzip': frame('Transfer-Encoding: chunked, gzip'),
  'chunked, chunked': frame('Transfer-Encoding: chunked, chunked') + END,
  'chunked, identity': frame('Transfer-Encoding: chunked, identity'),
}, 501, 'transfer_encoding_unknown', { single: (name) => name === 'gzip, chunked' });
refuses('a coding that is malformed', {
  quoted: frame('Transfer-Encoding: "chunked"'), empty: frame('Transfer-Encoding:'),
  'a comma': frame('Transfer-Encoding: ,chunked'),
  'a comma behind': frame('Transfer-Encoding: chunked,'), 'a parameter': frame('Transfer-Encoding: chunked;q=1'),
  'in brackets': frame('Transfer-Encoding: [chunked]'),
  'two words': frame('Transfer-Encoding: chun ked'),
}, 400, 'bad_transfer_encoding');
refuses('a coding with a control byte', {
  'a vertical tab': frame('Transfer-Encoding: \x0bchunked'), NUL: frame('Transfer-Encoding: chunked\0'),
}, 400, 'bad_header');
refuses('a coding in HTTP/1.0', { chunked: `POST /x HTTP/1.0\r\n${CHUNKED}\r\n\r\n${END}` }, 400, 'bad_framing');

takes('chunks, in any letters and sizes', {
  'one chunk': chunked(chunk(WRONG) + END),
  'chunks of a byte': chunked(Array.from(WRONG, (c) => chunk(c)).join('') + END),
  'the name in capitals': create(['TRANSFER-ENCODING: CHUNKED'], chunk(WRONG) + END),
  'a size in capitals, with zeros': chunked(`00000000000000F\r\n${WRONG}\r\n${END}`),
  'zeros for the end': chunked(`${chunk(WRONG)}0000\r\n\r\n`),
  'an extension': chunked(chunk(WRONG, ';name="value";x=y;z') + END),
  'an extension of 256 bytes': chunked(chunk(WRONG, `;${'x'.repeat(256)}`) + END),
  'trailers': chunked(`${chunk(WRONG)}0\r\nX-Checksum: 5\r\nX-More:\r\n\r\n`),
  'trailers that would mean something as headers': chunked(
    `${chunk(WRONG)}0\r\nHost: y\r\nX-API-Key: y\r\nConnection: close, Upgrade\r\nUpgrade: x\r\nExpect: x\r\n\r\n`,
  ),
}, { single: (name) => name === 'trailers' });

refuses('a chunk size that is none', {
  none: chunked(`\r\n${WRONG}\r\n${END}`), 'no digit': chunked(`;x\r\n${END}`), 'not hexadecimal': chunked(`g\r\n${END}`),
  'with a prefix': chunked(`0xf\r\n${WRONG}\r\n${END}`), 'with a plus': chunked(`+f\r\n${WRONG}\r\n${END}`),
  'with a minus': chunked(`-f\r\n${END}`),
  'a space in front': chunked(` f\r\n${WRONG}\r\n${END}`), 'a space behind': chunked(`f \r\n${WRONG}\r\n${END}`),
  'a tab behind': chunked(`f\t\r\n${WRONG}\r\n${END}`),
  '17 digits': chunked(`${'0'.repeat(16)}f\r\n${WRONG}\r\n${END}`),
  'wrapping': chunked(`1000000000000000f\r\n${WRONG}\r\n${END}`),
}, 400, 'bad_chunk', { single: (name) => name === 'a tab behind' });
refuses('a chunk larger than what is left of the limit', {
  'at once': chunked('100001\r\n'), 'by its sum': chunked(`${chunk('x'.repeat(50))}fffff\r\n`),
  'at 32 bits': chunked('100000000\r\n'), 'at 64 bits': chunked('ffffffffffffffff\r\n'),
  'a sum that would wrap': chunked(`${chunk('x')}ffffffffffffffff\r\n`),
}, 413, 'payload_too_large');
refuses('a chunk extension that is too long or malformed', {
  '257 bytes': chunked(chunk(WRONG, `;${'x'.repeat(257)}`)), 'a bare LF': chunked(`f;x\n${WRONG}\r\n${END}`),
  'a bare CR': chunked(`f;x\ry\r\n${WRONG}\r\n${END}`),
  NUL: chunked(`f;x\0\r\n${WRONG}\r\n${END}`), '4 KiB in all': chunked(chunk(' ', `;${'x'.repeat(250)}`).repeat(17)),
}, 400, 'bad_chunk');
refuses('chunk data that does not end in CR LF', {
  'no end': chunked(`f\r\n${WRONG}${END}`), 'LF': chunked(`f\r\n${WRONG}\n${END}`), 'CR': chunked(`f\r\n${WRONG}\r${END}`),
  'too much data': chunked(`e\r\n${WRONG}\r\n${END}`),
  'two ends': chunked(`f\r\n${WRONG}\r\n\r\n${END}`),
}, 400, 'bad_chunk');
refuses('a size line that ends in LF or CR', {
  'the first': chunked(`f\n${WRONG}\r\n${END}`), 'the last': chunked(`${chunk(WRONG)}0\n\r\n`),
  'in CR': chunked(`f\r${WRONG}\r\n${END}`), 'in CR CR LF': chunked(`f\r\r\n${WRONG}\r\n${END}`),
  'the very end in CR CR': chunked(`${chunk(WRONG)}0\r\n\r\r`),
}, 400, 'bad_chunk');
refuses('an end in LF', { 'where a trailer could be': chunked(`${chunk(WRONG)}0\r\n\n`) }, 400, 'bad_header');
const trailer = (text) => chunked(`${chunk(WRONG)}0\r\n${text}\r\n`);
refuses('a trailer that is malformed', {
  'no colon': trailer('X-A\r\n'), 'a space before the colon': trailer('X-A : b\r\n'), folded: trailer('X-A: b\r\n c\r\n'),
  'no name': trailer(': b\r\n'),
  NUL: trailer('X-A: \0\r\n'), 'a space in front': trailer(' X-A: b\r\n'),
  'a bare LF in the value': trailer('X-A: b\nX-C: d\r\n'),
}, 400, 'bad_header');
refuses('a trailer that speaks of the length', {
  'a length': trailer('Content-Length: 500\r\n'), 'a coding': trailer('Transfer-Encoding: chunked\r\n'),
}, 400, 'bad_chunk');
refuses('trailers in a line that does not end in CR LF', { 'a bare CR': trailer('X-A: b\rX-C: d\r\n') }, 400, 'bad_chunk');
refuses('more trailer than there may be', {
  'a long line': trailer(`X-A: ${'b'.repeat(8 * KIB)}\r\n`),
  'many lines': trailer(Array.from({ length: 97 }, (_, i) => `X-${i}: a\r\n`).join('')),
  'in all': trailer(`X-A: ${'b'.repeat(8000)}\r\nX-B: ${'b'.repeat(8000)}\r\nX-C: ${'b'.repeat(500)}\r\n`),
}, 431, 'headers_too_large');

test('a body that nobody wants never becomes a request', async () => {
  const withBody = (line, ...more) => head(line, `Content-Length: ${HOSTILE.length}`, ...more) + HOSTILE;
  const inChunks = (line) => head(line, CHUNKED) + chunk(HOSTILE) + END;
  const cases = Object.fromEntries(['GET /openapi.json', 'HEAD /openapi.json', 'DELETE /x', 'GET /x', 'POST /x', 'OPTIONS /x']
    .flatMap((line) => [[line, withBody(line)], [`${line} in chunks`, inChunks(line)]]));
  const check = ({ name }, { bytes, state }) => {
    const answers = readAnswers(bytes, name.startsWith('HEAD') ? [0] : []);
    assert.equal(state, 'ended');
    assert.ok(answers.every(({ status }) => status === 200 || status === 404), `${name}: ${bytes}`);
    assert.ok(answers.length === 2 || (answers.length === 1 && answers[0].headers.connection === 'close'), name);
  };
  // Cut, it may be answered and closed before the rest is there: that is right too.
  const talks = named(cases).map(({ message }) => [message + BEHIND]);
  const cut = named(cases).map(({ message }) => [message.slice(0, -3), message.slice(-3) + BEHIND]);
  const whole = await converse(talks);
  const inTwo = await converse(cut);
  named(cases).forEach((each, i) => {
    check(each, whole[i]);
    check(each, inTwo[i]);
  });
});

test('continue is said when the body is wanted, and only then', async () => {
  const EXPECT = 'Expect: 100-continue';
  const length = `Content-Length: ${WRONG.length}`;
  const ask = async (message) => {
    const socket = await RawSocket.open();
    await socket.write(message);
    await socket.when(({ received }) => received.includes('\r\n\r\n'));
    return socket;
  };
  const wanted = await ask(create([length, EXPECT, 'Connection: close'], ''));
  assert.equal(wanted.received.toString(), 'HTTP/1.1 100 Continue\r\n\r\n');
  await wanted.write(WRONG);
  await wanted.whenOver();
  assert.deepEqual(readAnswers(wanted.received).map(({ status }) => status), [100, 400]);

  const unwanted = {
    'no key': [head('POST /sandbox/create', JSON_TYPE, length, EXPECT), 401],
    'a length over the limit': [create([`Content-Length: ${MIB + 1}`, EXPECT], ''), 413],
    'another type': [head('POST /sandbox/create', KEY, 'Content-Type: text/plain', length, EXPECT), 415],
    'no such address': [head('POST /x', length, EXPECT), 404],
    'another expectation': [create([length, 'Expect: 200-ok'], ''), 417],
    'two expectations': [create([length, 'Expect: 100-continue, x'], ''), 417],
  };
  for (const [name, [message, status]] of Object.entries(unwanted)) {
    const socket = await ask(message);
    await socket.whenOver();
    assert.deepEqual(readAnswers(socket.received).map((answer) => [
      answer.status, answer.headers.connection,
    ]), [[status, 'close']], name);
    socket.destroy();
  }
  wanted.destroy();
});

test('HTTP/1.0 knows no expectations', async () => {
  const lines = [KEY, JSON_TYPE, `Content-Length: ${WRONG.length}`, 'Expect: 100-continue'];
  const message = ['POST /sandbox/create HTTP/1.0', ...lines, '', ''].join('\r\n');
  const [{ bytes }] = await converse([[message, WRONG]]);
  assert.deepEqual(readAnswers(bytes).map(({ json }) => json.code), ['validation_failed']);
});

test('the body may come with the expectation', async () => {
  const message = create([`Content-Length: ${WRONG.length}`, 'Expect: 100-continue'], WRONG) + BEHIND;
  const [{ bytes }] = await converse([[message]]);
  assert.deepEqual(readAnswers(bytes).map(({ status }) => status).filter((status) => status !== 100), [400, 404]);
});

test('an answer before the end of the body is not lost in a reset', async () => {
  const socket = await RawSocket.open();
  await socket.write(head('POST /sandbox/create', JSON_TYPE, 'Content-Length: 40000'));
  await socket.when(({ received }) => received.includes('"code"'));
  for (let i = 0; i < 4; i += 1) {
    await socket.write('x'.repeat(10_000)); // what it had still to send
  }
  await socket.write(BEHIND);
  await socket.whenOver();
  assert.equal(socket.state, 'ended', 'the end, not a reset');
  assert.deepEqual(readAnswers(socket.received).map(({ status, headers }) => [status, headers.connection]), [[401, 'close']]);
  socket.destroy();
});

test('a body that ends early is refused, or told by nothing', async () => {
  for (const message of [create(['Content-Length: 50'], WRONG), chunked(chunk(WRONG)), chunked('f\r\n{')]) {
    const socket = await RawSocket.open();
    await socket.write(message);
    socket.end();
    await socket.whenOver();
    assert.deepEqual(readAnswers(socket.received).map(({ json }) => json.code), ['body_incomplete']);
    socket.destroy();
  }
});

describe('an upload that is passed on as it comes', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
  });
  after(() => destroySandbox(id));

  let count = 0;
  const put = (lines, body) => {
    count += 1;
    return head(`PUT /sandbox/${id}/files?path=up-${count}`, KEY, ...lines) + body;
  };
  const contents = 'all of it';

  it('is whole however it is cut', async () => {
    const forms = [
      put([`Content-Length: ${contents.length}`], contents),
      put([CHUNKED], chunk(contents) + END),
      put([CHUNKED], Array.from(contents, (c) => chunk(c, ';x=y')).join('') + `0\r\nX-A: b\r\n\r\n`),
    ];
    for (const form of forms) {
      const start = form.indexOf('\r\n\r\n') + 4;
      const cuts = Array.from({ length: form.length - start }, (_, i) => start + i);
      const all = cuts.map((cut, i) => form.replace(/path=up-\d+/, `path=cut-${i}-`).replace('path=cut-', `path=${count}/cut-`))
        .map((text, i) => [text, cuts[i] + text.length - form.length]);
      const results = await converse(all.map(([text, cut]) => [text.slice(0, cut), text.slice(cut) + BEHIND]));
      results.forEach(({ bytes }) => {
        assert.deepEqual(readAnswers(bytes).map(({ status }) => status), [201, 404], bytes.toString());
      });
      assert.equal(await shellOutput(id, `cat ${count}/* | sed 's/${contents}/\\n/g' | sort -u`), '');
      count += 1;
    }
  });

  const bad = {
    'a chunk that does not end': [[CHUNKED], `${chunk(contents)}3\r\nabcd\r\n`, 400, 'bad_chunk'],
    'a size that is none': [[CHUNKED], `${chunk(contents)}0x3\r\nabc\r\n`, 400, 'bad_chunk'],
    'a trailer that is none': [[CHUNKED], `${chunk(contents)}0\r\nX\r\n\r\n`, 400, 'bad_header'],
    'a size beyond 64 bits': [[CHUNKED], `${chunk(contents)}fffffffffffffffff\r\n`, 400, 'bad_chunk'],
    'a size over the limit': [[CHUNKED], `${chunk(contents)}ffffffffffffffff\r\n`, 413, 'payload_too_large'],
    'a length over the limit': [[`Content-Length: ${2 ** 34 + 1}`], '', 413, 'payload_too_large'],
    'a length that is none': [['Content-Length: 1,1'], '', 400, 'bad_content_length'],
  };
  for (const [name, [lines, body, status, code]] of Object.entries(bad)) {
    it(`${name} is refused, and leaves no file`, async () => {
      const message = put(lines, body);
      const path = `up-${count}`;
      await inEveryWay([{ name, message, status, code }], mustBeRefused);
      assert.equal(await shellOutput(id, `ls -A | grep -c '^${path}$' || true`), '0');
    });
  }

  it('does not end with its connection', async () => {
    const message = put([CHUNKED], chunk(contents));
    const path = `up-${count}`;
    const socket = await RawSocket.open();
    await socket.write(message);
    socket.end();
    await socket.whenOver();
    assert.deepEqual(readAnswers(socket.received).map(({ json }) => json.code), ['body_incomplete']);
    assert.equal(await shellOutput(id, `ls -A | grep -c '^${path}$' || true`), '0');
    socket.destroy();
  });

  it('is continued only where it is wanted', async () => {
    const ask = async (line, ...lines) => {
      const socket = await RawSocket.open();
      await socket.write(head(line, `Content-Length: ${contents.length}`, 'Expect: 100-continue', 'Connection: close', ...lines));
      await socket.when(({ received }) => received.includes('\r\n\r\n'));
      const first = Number(socket.received.toString().split(' ')[1]);
      await socket.write(contents);
      await socket.whenOver();
      socket.destroy();
      return [first, readAnswers(socket.received).at(-1).status];
    };
    assert.deepEqual(await ask(`PUT /sandbox/${id}/files?path=continued`, KEY), [100, 201]);
    assert.deepEqual(await ask(`PUT /sandbox/${id}/files?path=continued`), [401, 401]);
    assert.deepEqual(await ask(`PUT /sandbox/${id}/files`, KEY), [400, 400]);
  });

  it('is answered 304 without a body or a length when it has not changed', async () => {
    const line = `GET /sandbox/${id}/files?path=continued`;
    const [{ bytes }] = await converse([[head(line, KEY, 'Connection: close')]]);
    const { etag } = readAnswers(bytes)[0].headers;
    const [{ bytes: again }] = await converse([[head(line, KEY, `If-None-Match: ${etag}`) + BEHIND]]);
    assert.deepEqual(readAnswers(again).map(({ status, body }) => [status, body === '']), [[304, true], [404, false]]);
  });
});
