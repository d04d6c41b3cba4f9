// Heads of requests, byte for byte: what is malformed is refused, the connection ends, and nothing
// behind it is taken for a request. Each is sent at once and again cut in two at every byte.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiKey } from '../support/stack.mjs';
import { comparable, converse, readAnswers, sendInEveryWay } from '../support/raw.mjs';

const KIB = 1024;
const BEHIND = 'GET /behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';
const first = (line, ...lines) => [line, 'Host: x', ...lines, '', ''].join('\r\n');
const get = (target, ...lines) => first(`GET ${target} HTTP/1.1`, ...lines);
const named = (messages, status, code) => Object.entries(messages).map(([name, message]) => ({ name, message, status, code }));

function mustBeRefused({ name, status, code }, { bytes, state }) {
  const answers = readAnswers(bytes);
  assert.equal(state, 'ended', name);
  assert.equal(answers.length, 1, `${name}: one answer, and none to what is behind it`);
  const [{ json, headers, body }] = answers;
  assert.deepEqual([answers[0].status, json.code], [status, code], `${name}: ${body}`);
  assert.deepEqual(Object.keys(json), ['error', 'code', 'requestId'], name);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['x-request-id'], json.requestId);
  assert.equal(headers.connection, 'close', name);
}

// The request and the one behind it are both answered: statuses of the two.
function mustBeTaken({ name, statuses, code }, { bytes, state }) {
  const answers = readAnswers(bytes);
  assert.equal(state, 'ended', name);
  assert.deepEqual(answers.map(({ status }) => status), statuses, `${name}: ${bytes}`);
  assert.equal(answers[0].json?.code, code, name);
}

const inEveryWay = (cases, check, more) => sendInEveryWay(cases.map((each) => ({ tail: BEHIND, ...each })), {
  readable: comparable, check, ...more,
});
const refuses = (title, cases, more) => test(title, () => inEveryWay(cases, mustBeRefused, more));
const NOT_FOUND = [404, 404];
function takes(title, messages, statuses = NOT_FOUND, code = statuses === NOT_FOUND ? 'not_found' : undefined) {
  const cases = Object.entries(messages).map(([name, message]) => ({ name, message, statuses, code }));
  test(title, () => inEveryWay(cases, mustBeTaken));
}

refuses('a method that is none', named({
  'in small letters': first('get / HTTP/1.1'),
  'with a digit': first('G3T / HTTP/1.1'),
  'with a sign': first('GET@ / HTTP/1.1'),
  'of 17 letters': first(`${'A'.repeat(17)} / HTTP/1.1`),
  'empty': first(' / HTTP/1.1'),
  'the beginning of TLS': Buffer.from('160301020001000', 'hex'),
}, 400, 'bad_request_line'), { single: (name) => name === 'of 17 letters' });

refuses('a method that nobody knows', named({
  'a made-up one': first('FOO / HTTP/1.1'),
  'of 16 letters': first(`${'A'.repeat(16)} / HTTP/1.1`),
}, 501, 'method_unknown'));

refuses('a method that is not ours, without an echo', named({
  TRACE: first('TRACE /openapi.json HTTP/1.1', 'X-Secret: parrot'),
  CONNECT: first('CONNECT example.com:443 HTTP/1.1'),
  PROPFIND: first('PROPFIND / HTTP/1.1'),
}, 405, 'method_not_allowed'));

test('a method that the address does not have, with those that it has', async () => {
  const [{ bytes }] = await converse([[first('DELETE /health HTTP/1.1') + BEHIND]]);
  const [refused, next] = readAnswers(bytes);
  assert.deepEqual([refused.status, refused.json.code, refused.headers.allow], [405, 'method_not_allowed', 'GET, HEAD']);
  assert.equal(next.status, 404);
  const [{ bytes: traced }] = await converse([[first('TRACE / HTTP/1.1', 'X-Secret: parrot')]]);
  assert.match(readAnswers(traced)[0].headers.allow, /GET/);
  assert.doesNotMatch(traced.toString(), /parrot/);
});

refuses('parts of the request line that are not one space apart', named({
  'two spaces behind the method': first('GET  / HTTP/1.1'),
  'two spaces before the version': first('GET /  HTTP/1.1'),
  'a space in front': first(' GET / HTTP/1.1'),
  'a space behind': first('GET / HTTP/1.1 '),
  'a tab': first('GET\t/ HTTP/1.1'),
  'no version': first('GET /'),
  'no version, as of old': 'GET /\r\n',
  'no target': first('GET HTTP/1.1'),
  'a space in the target': first('GET /a b HTTP/1.1'),
}, 400, 'bad_request_line'));

refuses('a tab before the version', named({ tab: first('GET /\tHTTP/1.1') }, 400, 'bad_request_line'));

refuses('a version that is none', named({
  'one number': first('GET / HTTP/1'),
  'three numbers': first('GET / HTTP/1.1.1'),
  'no dot': first('GET / HTTP/11'),
  'two digits': first('GET / HTTP/1.10'),
  'small letters': first('GET / http/1.1'),
  'no number': first('GET / HTTP/x.1'),
  'another protocol': first('GET / HTTPS/1.1'),
}, 400, 'bad_request_line'));

refuses('another major version', named({
  '2.0': first('GET / HTTP/2.0'),
  '0.9': first('GET / HTTP/0.9'),
  '3.0': first('GET / HTTP/3.0'),
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
}, 505, 'version_not_supported'));

takes('a later minor version is 1.1', { 1.2: first('GET /x HTTP/1.2'), 1.9: first('GET /x HTTP/1.9') });

takes('two empty lines in front are skipped', { one: `\r\n${get('/x')}`, two: `\r\n\r\n${get('/x')}` });
refuses('three empty lines in front', named({ three: `\r\n\r\n\r\n${get('/x')}` }, 400, 'bad_request_line'));

const long = (length) => `/${'a'.repeat(length - 1)}`;
takes('a target of 8 KiB', { path: get(long(8 * KIB)), query: get(`/?${long(8 * KIB - 2)}`) });
refuses('a longer target', named({ 'by a byte': get(long(8 * KIB + 1)), 'by far': get(long(30 * KIB)) }, 414, 'target_too_long'));

refuses('a target of another form', named({
  'no slash': get('health'),
  'another scheme': get('ftp://x/health'),
  'the asterisk': get('*'),
  'an authority': get('example.com:80'),
  'no host': get('http:///health'),
  'a user': get('http://me@x/health'),
  'a port that is none': get('http://x:99999/health'),
}, 400, 'bad_target'));
takes('the absolute form', { http: get('http://localhost/x'), https: get('HTTPS://x:1/x?y'), 'no path': get('http://x?y') });
takes('the asterisk of OPTIONS', { '*': first('OPTIONS * HTTP/1.1') });

const odd = {
  NUL: '\0', 'a control byte': '\x01', escape: '\x1b', DEL: '\x7f', 'a byte above ASCII': '\x80', 'a last byte': '\xff',
  'a backslash': '\\', 'a number sign': '#',
};
const inTarget = Object.entries(odd).flatMap(([name, c]) => [[name, get(`/a${c}b`)], [`${name} in the query`, get(`/?a${c}`)]]);
refuses('a byte that a target may not have', named(Object.fromEntries(inTarget), 400, 'bad_target'));

takes('escapes that are bad, in a path or a query', {
  'cut short': get('/a%2'), 'none': get('/%'), 'not hexadecimal': get('/%zz'), 'of NUL': get('/a%00b'),
  'of half a character': get('/%c3'), 'of bad UTF-8': get('/%c3%28'), 'overlong': get('/%c0%af'),
  'of a surrogate': get('/%ed%a0%80'),
  'in the query': get('/?a=%4'), 'of NUL in the query': get('/?a=%00'), 'of bad UTF-8 in the query': get('/?a=%ff'),
}, [400, 404], 'bad_target');

takes('dot segments, plain or escaped', {
  'one dot': get('/./health'), 'two dots': get('/a/../health'), 'at the end': get('/sandbox/..'),
  'escaped': get('/%2e%2e/health'),
  'half escaped': get('/.%2E/health'), 'with escaped slashes': get('/a%2f..%2fhealth'), 'one escaped': get('/%2e/health'),
}, [400, 404], 'bad_target');

takes('an escaped slash or backslash in a name of the path', {
  'a slash': get('/sandbox/a%2fb/status', `X-API-Key: ${apiKey}`),
  'in capitals': get('/sandbox/a%2Fb/ports', `X-API-Key: ${apiKey}`),
  'a backslash': get('/sandbox/a%5Cb/status', `X-API-Key: ${apiKey}`),
}, [400, 404], 'bad_target');

takes('escapes are decoded once', { dots: get('/%252e%252e/health'), NUL: get('/%2500'), slash: get('/a%252fb') });

refuses('a line that does not end in CR LF', named({
  'the request line': 'GET / HTTP/1.1\nHost: x\r\n\r\n',
  'a header line': 'GET / HTTP/1.1\r\nHost: x\n\r\n',
  'the empty line': 'GET / HTTP/1.1\r\nHost: x\r\n\n',
  'a bare CR in the request line': 'GET /\r HTTP/1.1\r\nHost: x\r\n\r\n',
  'a bare CR in a header': get('/', 'X-A: b\rX-C: d'),
  'a bare CR before the end of a line': 'GET / HTTP/1.1\r\r\nHost: x\r\n\r\n',
  'a bare CR as a line end': 'GET / HTTP/1.1\rHost: x\r\r',
  'an empty line of LF in front': `\n${get('/')}`,
}, 400, 'bad_line_end'), { single: (name) => name === 'a bare CR in a header' });

refuses('a control byte in a header value', named({
  NUL: get('/', 'X-A: b\0c'), 'a low one': get('/', 'X-A: \x01'), escape: get('/', 'X-A: b\x1b'),
  'a vertical tab': get('/', 'X-A: \x0bb'),
  DEL: get('/', 'X-A: \x7f'),
}, 400, 'bad_header'));
takes('a tab and bytes above ASCII in a header value', {
  tab: get('/x', 'X-A: b\tc'), high: get('/x', 'X-A: \xe4\xff'), empty: get('/x', 'X-A:'),
});

refuses('a header line that is none', named({
  'a space before the colon': get('/', 'X-A : b'),
  'a tab before the colon': get('/', 'X-A\t: b'),
  'the length with a space before the colon': get('/', 'Content-Length : 5'),
  'no name': get('/', ': b'),
  'a space in the name': get('/', 'X A: b'),
  'a bracket in the name': get('/', 'X-A(: b'),
  'NUL in the name': get('/', 'X\0A: b'),
  'a byte above ASCII in the name': get('/', 'X-\xe4: b'),
  'no colon': get('/', 'X-A'),
  'a space in front of the first': 'GET / HTTP/1.1\r\n Host: x\r\n\r\n',
  'a tab in front of the first': 'GET / HTTP/1.1\r\n\tHost: x\r\n\r\n',
}, 400, 'bad_header'));

refuses('a folded line', named({
  'by a space': get('/', 'X-A: b', ' c'),
  'by a tab': get('/', 'X-A: b', '\tc'),
  'of a coding': get('/', 'Transfer-Encoding:', ' chunked'),
  'of nothing': get('/', 'X-A: b', ' '),
}, 400, 'bad_header'));

const sized = (bytes) => `X-A: ${'b'.repeat(bytes - 'X-A: '.length)}`;
const lines = (count) => Array.from({ length: count }, (_, i) => `X-${i}: a`);
const section = (bytes) => { // of all header lines with their ends: two long ones, and what is left
  const left = bytes - 'Host: x\r\n'.length - 2 * (7 * KIB + 2);
  return get('/x', sized(7 * KIB), sized(7 * KIB), sized(left - 2));
};
takes('as much header as there may be', {
  'a line of 8 KiB': get('/x', sized(8 * KIB)), 'a hundred lines': get('/x', ...lines(99)), '16 KiB in all': section(16 * KIB),
});
refuses('more header than there may be', named({
  'a longer line': get('/x', sized(8 * KIB + 1)),
  'a hundred and one lines': get('/x', ...lines(100)),
  'a byte over 16 KiB': section(16 * KIB + 1),
  'a line without end': get('/x', sized(30 * KIB)),
}, 431, 'headers_too_large'));

const withHost = (...hosts) => `GET /x HTTP/1.1\r\n${hosts.map((host) => `Host: ${host}\r\n`).join('')}\r\n`;
refuses('a host that is missing, repeated or none', named({
  missing: withHost(), twice: withHost('x', 'x'), 'two of them': withHost('x', 'y'), empty: withHost(''),
  'with a space': withHost('x y'), 'with a path': withHost('x/y'), 'with a user': withHost('me@x'), 'a list': withHost('x,y'),
  'a port that is none': withHost('x:y'), 'an empty port': withHost('x:'), 'a port too high': withHost('x:65536'),
  'an address that does not end': withHost('[::1'), 'an address that is none': withHost('[::g]'),
  'a byte above ASCII': withHost('\xe4'),
  'in other letters': 'GET /x HTTP/1.1\r\nHost: x\r\nhOST: x\r\n\r\n',
}, 400, 'bad_host'));
takes('a host with and without its port', {
  name: withHost('x'), port: withHost('example.com:8080'), 'an IPv6 address': withHost('[::1]:80'),
  'an IPv4 address': withHost('127.0.0.1'),
});

const single = {
  'Content-Length': '0', 'Transfer-Encoding': 'chunked', Authorization: 'Bearer x', 'X-API-Key': 'x', 'Content-Type': 'a/b',
  Origin: 'http://x', 'Sec-WebSocket-Key': 'x', 'Sec-WebSocket-Version': '13',
};
refuses('a header twice that may come once', named(Object.fromEntries(Object.entries(single).map(([name, value]) => [
  name, get('/x', `${name}: ${value}`, 'X-Between: y', `${name.toLowerCase()}: ${value}`),
])), 400, 'header_repeated'));

test('requests in a row are answered in their order, however many', async () => {
  const asked = Array.from({ length: 100 }, (_, i) => `number-${i}`);
  const all = asked.map((id) => get('/openapi.json', `X-Request-Id: ${id}`)).join('') + BEHIND;
  const [{ bytes }] = await converse([[all]]);
  const answers = readAnswers(bytes);
  assert.deepEqual(answers.slice(0, -1).map(({ headers }) => headers['x-request-id']), asked);
  assert.ok(answers.slice(0, -1).every(({ status }) => status === 200));
});

test('HEAD is GET without the body', async () => {
  const ask = async (method) => {
    const [{ bytes }] = await converse([[first(`${method} /openapi.json HTTP/1.1`) + BEHIND]]);
    const [answer, next] = readAnswers(bytes, method === 'HEAD' ? [0] : []);
    assert.equal(next.status, 404);
    const { date, 'x-request-id': id, ...headers } = answer.headers;
    return [answer, headers];
  };
  const [[got, headers], [asked, theirs]] = [await ask('GET'), await ask('HEAD')];
  assert.deepEqual(theirs, headers);
  assert.deepEqual([asked.status, asked.body, Number(theirs['content-length'])], [200, '', got.body.length]);
});

test('a connection ends when one side says so', async () => {
  const ends = {
    'Connection: close': first('GET /x HTTP/1.1', 'Connection: close'),
    'close in a list': first('GET /x HTTP/1.1', 'Connection: x-a, Close'),
    '1.0': 'GET /x HTTP/1.0\r\n\r\n',
    '1.0 with a host': first('GET /x HTTP/1.0'),
  };
  await inEveryWay(Object.entries(ends).map(([name, message]) => ({
    name, message, status: 404, code: 'not_found',
  })), mustBeRefused);
});

test('1.0 goes on when it asks for it', async () => {
  const [{ bytes }] = await converse([[first('GET /x HTTP/1.0', 'Connection: keep-alive') + BEHIND]]);
  assert.deepEqual(readAnswers(bytes).map(({ status, headers }) => [status, headers.connection]), [
    [404, 'keep-alive'], [404, 'close'],
  ]);
});

takes('an upgrade to something else is not looked at', {
  h2c: get('/openapi.json', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA'),
  'something made up': get('/openapi.json', 'Connection: upgrade', 'Upgrade: foo/2'),
  'WebSocket, where there is none': get('/openapi.json', 'Connection: upgrade', 'Upgrade: websocket'),
}, [200, 404]);

test('a request id of the client is kept if it is one, and never splits the answer', async () => {
  const [{ bytes }] = await converse([[get('/x', 'X-Request-Id: mine-1') + get('/x', 'X-Request-Id: a b; c') + BEHIND]]);
  const [mine, other] = readAnswers(bytes);
  assert.deepEqual([mine.headers['x-request-id'], mine.json.requestId], ['mine-1', 'mine-1']);
  assert.notEqual(other.headers['x-request-id'], 'a b; c');
});
