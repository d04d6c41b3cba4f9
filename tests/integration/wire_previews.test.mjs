// What a program behind a preview gets, byte for byte, and what its own bytes become: the target as
// it was sent, no header that is for one hop only, and framing that is ours on both sides.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { comparable, converse, readAnswers, sendInEveryWay } from '../support/raw.mjs';
import { apiKey, until } from '../support/stack.mjs';

// Answers with the request as it came, or with the bytes that /answer/ has in hexadecimal.
const SERVER = `
import socket, threading
def more(peer, data):
    piece = peer.recv(65536)
    if not piece: raise EOFError
    return data + piece
def is_whole(body, at=0):
    while True:
        end = body.find(b'\\r\\n', at)
        if end < 0: return False
        size, at = int(body[at:end], 16), end + 2
        at += size + 2
        if at > len(body) or size == 0: return at <= len(body)
def serve(peer):
    data = b''
    while b'\\r\\n\\r\\n' not in data: data = more(peer, data)
    head, body = data.split(b'\\r\\n\\r\\n', 1)
    fields = dict(line.lower().split(b': ', 1) for line in head.split(b'\\r\\n')[1:])
    if fields.get(b'transfer-encoding') == b'chunked':
        while not is_whole(body): body = more(peer, body)
    while len(body) < int(fields.get(b'content-length', b'0')): body = more(peer, body)
    path, seen = head.split(b' ')[1], head + b'\\r\\n\\r\\n' + body
    if path.startswith(b'/answer/'): peer.sendall(bytes.fromhex(path[8:].decode()))
    else: peer.sendall(b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\nConnection: close\\r\\n\\r\\n' % len(seen) + seen)
    peer.close()
def guard(peer):
    try: serve(peer)
    except (EOFError, OSError): peer.close()
server = socket.create_server(('127.0.0.1', 8000), backlog=128)
while True: threading.Thread(target=guard, args=(server.accept()[0],), daemon=True).start()
`;

const MADE_TRACE = /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/;

describe('a preview', () => {
  let id;
  let host;
  let prefix;

  const message = (line, lines = [], body = '') => [`${line} HTTP/1.1`, `Host: ${host}`, ...lines, '', body].join('\r\n');
  const behind = () => message('GET /behind', ['Connection: close']);
  const ask = async (...messages) => {
    const results = await converse(messages.map((text) => [Buffer.from(text + behind(), 'latin1')]));
    return results.map(({ bytes }) => readAnswers(bytes));
  };
  // {line, headers, body} of the request that the program got.
  const seenIn = ({ status, body }) => {
    assert.equal(status, 200, body);
    const [head, ...rest] = body.split('\r\n\r\n');
    const [line, ...lines] = head.split('\r\n');
    const headers = {};
    lines.forEach((text) => {
      const at = text.indexOf(': ');
      const name = text.slice(0, at).toLowerCase();
      headers[name] = name in headers ? [headers[name], text.slice(at + 2)].flat() : text.slice(at + 2);
    });
    return { line, headers, body: rest.join('\r\n\r\n') };
  };
  const unchunked = (text) => {
    let [body, left] = ['', text];
    for (;;) {
      const [, digits] = /^([0-9a-f]+)\r\n/.exec(left) ?? assert.fail(`a chunk without an extension: ${left}`);
      const size = parseInt(digits, 16);
      const piece = left.slice(digits.length + 2, digits.length + 2 + size);
      left = left.slice(digits.length + 2 + size);
      assert.ok(left.startsWith('\r\n'));
      left = left.slice(2);
      if (size === 0) {
        assert.equal(left, '', 'no trailers, and nothing behind');
        return body;
      }
      body += piece;
    }
  };

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    await exec(id, 'python3', ['-c', SERVER], { background: true, timeoutMs: 0 });
    const { json } = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort: 8000, visibility: 'public' } });
    host = new URL(json.previewUrl).host;
    prefix = json.previewPath;
    await until('the program listens', async () => (await ask(message('GET /')))[0][0].status === 200, 10_000);
  });
  after(() => destroySandbox(id));

  it('passes the target on as it was sent', async () => {
    const targets = [
      '/', '/a?b=c', '/?', '/a?', '//', '//x//y/', '/a/../b', '/./a', '/%2e%2e/%2E', '/a%2fb%5Cc', '/%', '/%zz', '/%00',
      '/%ff%c3', '/a+b;c=d,e', '/?a=%&b=%zz&&c', '/a?b?c=/d',
      `/${'x'.repeat(8000)}`, '/[x]{y}|"<>^`\'',
    ];
    const answers = await ask(...targets.map((target) => message(`GET ${target}`)));
    assert.deepEqual(answers.map(([first]) => seenIn(first).line), targets.map((target) => `GET ${target} HTTP/1.1`));
    const asPath = (target) => message(`GET ${prefix.slice(0, -1)}${target}`).replace(`Host: ${host}`, 'Host: localhost');
    const below = await ask(...targets.map(asPath));
    assert.deepEqual(below.map(([first]) => seenIn(first).line), targets.map((target) => `GET ${target} HTTP/1.1`));
  });

  it('passes no target on that is none', async () => {
    const bad = ['/a\x01', '/a\x7f', '/\xe4', '/a\\b', '/a#b', '/a b', 'x', '*'].map((target) => message(`GET ${target}`));
    (await ask(...bad)).forEach((answers) => assert.deepEqual(answers.map(({ status }) => status), [400]));
  });

  it('goes by the host of the absolute form', async () => {
    const [[answer]] = await ask(message(`GET http://${host}/x?y`).replace(`Host: ${host}`, 'Host: example.com'));
    const { line, headers } = seenIn(answer);
    assert.deepEqual([line, headers.host, headers['x-forwarded-host']], ['GET /x?y HTTP/1.1', host, host]);
    const [[other]] = await ask(message('GET http://localhost/x'));
    assert.deepEqual([other.status, other.json.code], [404, 'not_found']);
  });

  it('passes every method on that is ours', async () => {
    const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
    const answers = await ask(...methods.map((method) => message(`${method} /`)));
    assert.deepEqual(answers.map(([first]) => seenIn(first).line.split(' ')[0]), methods);
  });

  it('keeps the headers of one hop, and what is ours, from the program', async () => {
    const hop = [
      'Connection: X-Hop, keep-alive', 'Connection: x-other', 'X-Hop: 1', 'X-OTHER: 2', 'Keep-Alive: timeout=5',
      'Proxy-Authorization: x', 'Proxy-Connection: keep-alive', 'TE: trailers', 'Trailer: X-A', 'Upgrade: h2c',
    ];
    const ours = [
      `X-API-Key: ${apiKey}`, `Authorization: Bearer ${apiKey}`, 'X-Forwarded-For: 1.2.3.4', 'X-Forwarded-Proto: gopher',
      'X-Forwarded-Host: evil', 'X-Real-IP: 1.2.3.4', 'Forwarded: for=1.2.3.4', 'X-Preview-Token: x',
    ];
    const theirs = ['X-Own: a', 'X-Own: b', 'Accept: */*', 'X-Empty:', 'Cookie: a=b'];
    const [[answer]] = await ask(message('GET /', [...hop, ...theirs, ...ours]));
    const { 'x-forwarded-port': port, traceparent, ...headers } = seenIn(answer).headers;
    assert.deepEqual(headers, {
      host, accept: '*/*', cookie: 'a=b', 'x-own': ['a', 'b'], 'x-empty': '', 'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': host, 'x-forwarded-proto': 'http',
    });
    assert.match(port, /^\d+$/);
    assert.match(traceparent, MADE_TRACE);
    const [[own]] = await ask(message('GET /', ['Authorization: Bearer of-the-program']));
    assert.equal(seenIn(own).headers.authorization, 'Bearer of-the-program');
  });

  it('passes a trace on, and begins one where there is none', async () => {
    const theirs = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
    const state = 'tracestate: vendor=1';
    const brought = await ask(...[[`traceparent: ${theirs}`, state], ['traceparent: 00-0-0-00', state], [state]].map((lines) => (
      message('GET /', lines))));
    const [good, bad, none] = brought.map(([first]) => seenIn(first).headers);
    assert.deepEqual([good.traceparent, good.tracestate], [theirs, 'vendor=1']);
    for (const { traceparent, tracestate } of [bad, none]) {
      assert.match(traceparent, MADE_TRACE);
      assert.equal(tracestate, undefined, 'the state of a trace that there is not');
    }
  });

  const BODY = 'the whole body\r\n0\r\n\r\nof it';
  const chunk = (text, extension = '') => `${text.length.toString(16).toUpperCase()}${extension}\r\n${text}\r\n`;

  it('writes the framing of a body anew, however it comes', async () => {
    const chunked = (body) => message('POST /', ['Transfer-Encoding: CHUNKED', 'Trailer: X-A', 'Connection: close'], body);
    const cases = [
      { name: 'one chunk', message: chunked(`${chunk(BODY)}0\r\n\r\n`) },
      { name: 'many chunks', message: chunked(`${Array.from(BODY, (c) => chunk(c)).join('')}000\r\n\r\n`) },
      { name: 'extensions and trailers', message: chunked(`${chunk(BODY, ';a=b')}0;c\r\nX-A: b\r\nContent-Type: evil\r\n\r\n`) },
    ].map((each) => ({ ...each, from: each.message.indexOf('\r\n\r\n') }));
    const seen = (bytes) => {
      const { headers, body } = seenIn(readAnswers(bytes)[0]);
      assert.deepEqual([
        headers['transfer-encoding'], headers['content-length'], headers.trailer, headers['x-a'], headers['content-type'],
      ], ['chunked', undefined, undefined, undefined, undefined]);
      return unchunked(body);
    };
    await sendInEveryWay(cases, {
      readable: seen, check: (each, { bytes }) => assert.equal(seen(bytes), BODY), single: (name) => name === 'one chunk',
    });
    const counted = message('PUT /', [`Content-Length: ${BODY.length}`, 'Connection: close'], BODY);
    await sendInEveryWay([{ name: 'a length', message: counted, from: counted.indexOf('\r\n\r\n') }], {
      readable: comparable, check: (each, { bytes }) => {
        const { headers, body } = seenIn(readAnswers(bytes)[0]);
        assert.deepEqual([headers['content-length'], headers['transfer-encoding'], body], [`${BODY.length}`, undefined, BODY]);
      },
    });
  });

  it('passes nothing on whose end is in doubt', async () => {
    const bad = [
      ['Transfer-Encoding: chunked', 'Content-Length: 5'], ['Content-Length: 5', 'Content-Length: 5'], ['Content-Length: +5'],
      ['Transfer-Encoding: gzip, chunked'], ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'],
    ].map((lines) => message('POST /', lines, 'hello'));
    bad.push(...[
      '0x5\r\nhello\r\n0\r\n\r\n', '5 \r\nhello\r\n0\r\n\r\n', '5\nhello\r\n0\r\n\r\n', '5\r\nhello0\r\n\r\n',
      '5\r\nhello\r\n0\r\nX\r\n\r\n',
    ].map((body) => message('POST /', ['Transfer-Encoding: chunked'], body)));
    (await ask(...bad)).forEach((answers, i) => {
      assert.equal(answers.length, 1, bad[i]);
      assert.ok([400, 501].includes(answers[0].status), `${answers[0].status} to ${bad[i]}`);
    });
  });

  const answer = (text, lines) => message(`GET /answer/${Buffer.from(text, 'latin1').toString('hex')}`, lines);
  const OK = 'HTTP/1.1 200 OK\r\n';

  it('writes the framing of an answer anew', async () => {
    const good = {
      'a length': `${OK}Content-Length: 5\r\n\r\nhello`,
      chunks: `${OK}Transfer-Encoding: Chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n`,
      'until the end': `${OK}\r\nhello`,
      '1.0 until the end': 'HTTP/1.0 200 OK\r\n\r\nhello',
      'an early hint before': `HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n${OK}Content-Length: 5\r\n\r\nhello`,
      'bytes behind': `${OK}Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil`,
      'headers of one hop': [
        'HTTP/1.1 200 OK', 'Connection: X-Hop, close', 'X-Hop: 1', 'Keep-Alive: x', 'Proxy-Authenticate: x', 'Trailer: x',
        'Upgrade: h2c', 'Content-Length: 5', '', 'hello',
      ].join('\r\n'),
    };
    const answers = await ask(...Object.values(good).map((text) => answer(text)));
    Object.keys(good).forEach((name, i) => {
      const last = answers[i].at(-2);
      assert.deepEqual([name, last.status, last.body], [name, 200, 'hello']);
      for (const header of ['x-hop', 'keep-alive', 'proxy-authenticate', 'trailer', 'upgrade', 'x-trailer']) {
        assert.equal(last.headers[header], undefined, `${name}: ${header}`);
      }
      assert.match(seenIn(answers[i].at(-1)).line, /^GET \/behind /, name);
    });
  });

  it('an answer that has no body has none, whatever follows it', async () => {
    const withBody = (status) => answer(`HTTP/1.1 ${status}\r\nContent-Length: 5\r\n\r\nhello`);
    const answers = await ask(withBody('204 No Content'), withBody('304 Not Modified'));
    assert.deepEqual(answers.map(([first, next]) => [first.status, first.body, next.status]), [[204, '', 200], [304, '', 200]]);
  });

  it('an answer whose end is in doubt is none', async () => {
    const bad = {
      'a length and a coding': `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
      'two lengths': `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!`,
      'a length that is none': `${OK}Content-Length: +5\r\n\r\nhello`,
      'a list of lengths': `${OK}Content-Length: 5, 6\r\n\r\nhello`,
      'another coding': `${OK}Transfer-Encoding: gzip\r\n\r\nhello`,
      'two codings': `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
      'a coding twice': `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      'a folded line': `${OK}X-A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello`,
      'a space before the colon': `${OK}Content-Length : 5\r\n\r\nhello`, 'a NUL': `${OK}X-A: \0\r\n\r\n`,
      'a bare CR': `${OK}X-A: b\rX-C: d\r\n\r\n`,
      'no status line': 'hello\r\n\r\n', 'another protocol': 'SSH-2.0-x\r\n\r\n',
      'a status that is none': 'HTTP/1.1 99 X\r\n\r\n', 'a status of four digits': 'HTTP/1.1 2000 X\r\n\r\n',
      'another version': 'HTTP/2.0 200 OK\r\n\r\n',
      'a switch that nobody asked for': 'HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n', nothing: '',
      'half a head': `${OK}X-A: b\r\n`,
    };
    const answers = await ask(...Object.values(bad).map((text) => answer(text, ['Accept: application/json'])));
    Object.keys(bad).forEach((name, i) => {
      assert.deepEqual([name, answers[i][0].status, answers[i][0].json?.code], [name, 502, 'bad_answer']);
    });
  });

  it('an answer that is cut is seen to be cut', async () => {
    const cut = {
      'short of its length': `${OK}Content-Length: 50\r\n\r\nhello`,
      'in a chunk': `${OK}Transfer-Encoding: chunked\r\n\r\n50\r\nhello`,
      'before its last chunk': `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`,
      'a chunk that does not end': `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n`,
    };
    const results = await converse(Object.values(cut).map((text) => [answer(text) + behind()]));
    results.forEach(({ bytes }, i) => {
      const text = bytes.toString();
      if (!text.startsWith('HTTP/1.1 502 ')) { // as long as nothing of it was passed on
        assert.throws(() => readAnswers(bytes), Object.keys(cut)[i]);
        assert.ok(!text.includes('/behind'), `nothing is answered behind it: ${text}`);
      }
    });
  });
});
