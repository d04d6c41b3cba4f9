// JSON from outside, and how errors look, as bytes on the wire.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it, test } from 'node:test';
import { createSandbox, destroySandbox, makeUser } from '../support/api.mjs';
import { frame, readFrames, TEXT } from '../support/frames.mjs';
import { comparable, converse, readAnswers } from '../support/raw.mjs';
import { apiKey } from '../support/stack.mjs';

const BEHIND = 'GET /behind HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n';

// key, type and other headers: null for none.
function request(line, body, { key = apiKey, type = 'application/json', ...headers } = {}) {
  const bytes = Buffer.from(body ?? '');
  const all = { Host: 'x', 'X-API-Key': key, 'Content-Type': type, 'Content-Length': bytes.length, ...headers };
  const lines = Object.entries(all).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}`);
  return Buffer.concat([Buffer.from(`${line} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`), bytes]);
}

// The answers to each, in order; each on a connection of its own, which goes on behind it.
async function answersTo(requests) {
  const results = await converse(requests.map((bytes) => [Buffer.concat([bytes, Buffer.from(BEHIND)])]));
  return results.map(({ bytes }) => {
    const [answer, next, ...more] = readAnswers(bytes);
    assert.deepEqual([next?.status, more], [404, []], `the connection goes on: ${bytes}`);
    return answer;
  });
}

function assertError({ status, headers, body, json }, wanted, code) {
  assert.deepEqual([status, json?.code], [wanted, code], body);
  const { error, requestId, details, ...rest } = json;
  assert.deepEqual(rest, { code });
  assert.ok(typeof error === 'string' && error.length > 3);
  assert.equal(requestId, headers['x-request-id']);
  assert.equal(headers['content-type'], 'application/json');
  assert.equal(headers['retry-after'] !== undefined, [429, 503].includes(status));
  assert.equal(headers['www-authenticate'] !== undefined, status === 401);
}

// The members of create, none of which makes a sandbox: the time is too short.
const members = (text) => `{"timeoutMs":1,${text}}`;
const nested = (depth) => members(`"metadata":${'{"a":'.repeat(depth - 2)}{}${'}'.repeat(depth - 2)}`);
const listed = (depth) => members(`"metadata":{"a":${'['.repeat(depth - 2)}${']'.repeat(depth - 2)}}`);
const wide = (count) => members(`"metadata":{${Array.from({ length: count }, (_, i) => `"${i}":1`).join(',')}}`);
const number = (bytes) => members(`"metadata":{"a":1.${'0'.repeat(bytes - 2)}}`);

const noJson = {
  'a byte that is no UTF-8': Buffer.from(members('"metadata":{"a":"\xff"}'), 'latin1'),
  'an overlong character': Buffer.concat([Buffer.from('{"metadata":{"a":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}}')]),
  'a raw surrogate': Buffer.concat([Buffer.from('{"metadata":{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}}')]),
  'a byte order mark': '\ufeff{}',
  'a NUL behind the document': '{}\0',
  'a NUL in a string': '{"template":"a\0"}',
  'a control byte in a string': '{"template":"a\x01"}',
  'half a surrogate pair': '{"template":"\\ud83d"}',
  'the other half': '{"template":"\\ude00"}',
  'the halves the wrong way round': '{"template":"\\ude00\\ud83d"}',
  'half a pair in a name': '{"\\ud83d":1}',
  'a member twice': '{"timeoutMs":1,"timeoutMs":2}',
  'a member twice, once escaped': '{"timeoutMs":1,"\\u0074imeoutMs":2}',
  'a member twice inside': members('"metadata":{"a":1,"b":2,"a":3}'),
  'an unknown member twice': members('"x":1,"x":1'),
  'another document behind': '{}{}',
  'a comma behind': '{},',
  'a word behind': '{} null',
  'NaN': members('"metadata":{"a":NaN}'),
  'Infinity': members('"metadata":{"a":Infinity}'),
  'minus Infinity': members('"metadata":{"a":-Infinity}'),
  'a number with a plus': '{"timeoutMs":+1}',
  'a number with zeros in front': '{"timeoutMs":01}',
  'a number that begins with a dot': '{"timeoutMs":.5}',
  'a number in hexadecimal': '{"timeoutMs":0x10}',
  'an escape that is none': '{"template":"\\x"}',
  'a document that does not end': '{"timeoutMs":1',
  'white space of another kind': '{\u00a0"timeoutMs":1}',
  'a depth of 33': nested(33),
  'a depth of 33 in lists': listed(33),
  'a depth of very many': `${'['.repeat(100_000)}`,
  'more than 1024 members': wide(1025),
  'a number of 65 bytes': number(65),
};
test('what is no JSON, or too much of it, is invalid_json', async () => {
  const answers = await answersTo(Object.values(noJson).map((body) => request('POST /sandbox/create', body)));
  Object.keys(noJson).forEach((name, i) => {
    assert.deepEqual([name, answers[i].status, answers[i].json.code], [name, 400, 'invalid_json']);
    assertError(answers[i], 400, 'invalid_json');
  });
});

const pathsOf = ({ json }) => [...new Set(json.details.map(({ path }) => path))].sort();

test('a number too long to be read back is refused, and breaks no list', async () => {
  const bodies = ['{"metadata":{"a":1e999}}', '{"metadata":{"a":1e-100}}', '{"metadata":{"a":-1e131000}}'];
  const answers = await answersTo(bodies.map((body) => request('POST /sandbox/create', body)));
  answers.forEach((answer) => assertError(answer, 400, 'validation_failed'));
  const { sandboxId } = await createSandbox({ metadata: { a: 1e62, b: -1e-60, c: 0.1 } });
  const [status, list] = await answersTo([request(`GET /sandbox/${sandboxId}/status`), request('GET /sandbox?limit=1')]);
  await destroySandbox(sandboxId);
  assert.deepEqual([status.status, list.status], [200, 200]);
});

test('what is just within the limits is read', async () => {
  const bodies = {
    'a depth of 32': nested(32), 'a depth of 32 in lists': listed(32), '1024 members': wide(1024),
    'a number of 64 bytes': number(64),
    'a pair of surrogates': members('"metadata":{"a":"\\ud83d\\ude00"}'), 'white space': ' \t\r\n{ "timeoutMs" : 1 } \n',
    'an escaped name': '{"\\u0074imeoutMs":1}',
    'NUL in what is only kept': members('"metadata":{"a":"\\u0000"}'),
    'unknown members': members('"fromTheFuture":{"a":[1,null]},"x":true'),
  };
  const answers = await answersTo(Object.values(bodies).map((body) => request('POST /sandbox/create', body)));
  Object.keys(bodies).forEach((name, i) => {
    assert.deepEqual([name, answers[i].json.code, pathsOf(answers[i])], [name, 'validation_failed', ['timeoutMs']]);
  });
});

test('a document that is no object is refused where one is wanted', async () => {
  const answers = await answersTo([
    '[]', '"x"', '1', 'null', 'true', '[{}]',
  ].map((body) => request('POST /sandbox/create', body)));
  answers.forEach((answer) => assertError(answer, 400, answer.json.code));
  assert.ok(answers.every(({ json }) => ['invalid_json', 'validation_failed'].includes(json.code)));
});

test('an integer is written as one', async () => {
  const texts = [
    '60000.0', '"60000"', '6e4', '60000.5', '9007199254740993', '-9007199254740993', '99999999999999999999', 'true', '[60000]',
    '{}', '-0', '-60000',
  ];
  const answers = await answersTo(texts.map((text) => request('POST /sandbox/create', `{"timeoutMs":${text}}`)));
  texts.forEach((text, i) => {
    assert.deepEqual([text, answers[i].json.code, pathsOf(answers[i])], [text, 'validation_failed', ['timeoutMs']]);
  });
});

test('only JSON is taken for JSON', async () => {
  const types = {
    'application/json': 400, 'Application/JSON': 400, 'application/json; charset=utf-8': 400,
    'application/json;charset="UTF-8"': 400,
    'application/json; charset=latin1': 415, 'text/json': 415, 'application/jsonp': 415, 'application/json, text/plain': 415,
    'multipart/form-data; boundary=x': 415, '': 415,
  };
  const ask = (each) => answersTo(each.map((headers) => request('POST /sandbox/create', '{"timeoutMs":1}', headers)));
  const answers = await ask(Object.keys(types).map((type) => ({ type })));
  Object.entries(types).forEach(([type, status], i) => assert.deepEqual([type, answers[i].status], [type, status]));
  const encodings = { gzip: 415, deflate: 415, br: 415, 'identity, gzip': 415, x: 415, identity: 400, Identity: 400 };
  const encoded = await ask(Object.keys(encodings).map((name) => ({ 'Content-Encoding': name })));
  Object.entries(encodings).forEach(([name, status], i) => assert.deepEqual([name, encoded[i].status], [name, status]));
  assertError((await ask([{ type: null }]))[0], 415, 'unsupported_media_type');
});

describe('in a sandbox', () => {
  let id;
  let stranger;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
    stranger = await makeUser('free');
  });
  after(() => destroySandbox(id));

  it('a NUL in a name, a path or a variable is named', async () => {
    const cases = [
      ['exec', { cmd: 'a\0b' }, 'cmd'], ['exec', { cmd: 'true', args: ['a\0'] }, 'args[0]'],
      ['exec', { cmd: 'true', cwd: '/\0' }, 'cwd'],
      ['exec', { cmd: 'true', user: '\0' }, 'user'], ['exec', { cmd: 'true', env: { A: 'b\0' } }, 'env.A'],
      ['exec', { cmd: 'true', tag: 'a\0' }, 'tag'],
      ['entries', { op: 'mkdir', path: 'a\0b' }, 'path'], ['entries', { op: 'rename', path: 'a', to: '\0' }, 'to'],
      ['search', { path: '\0', name: '*' }, 'path'],
      ['files/url', { path: 'a\0', op: 'download' }, 'path'],
    ];
    const answers = await answersTo(cases.map(([path, body]) => request(`POST /sandbox/${id}/${path}`, JSON.stringify(body))));
    cases.forEach(([path, body, member], i) => {
      assert.deepEqual([path, body, answers[i].json.code, pathsOf(answers[i])], [path, body, 'validation_failed', [member]]);
    });
    const queries = await answersTo([
      'files?path=a%00b', 'entries?path=%00', 'archive?path=%00',
    ].map((path) => request(`GET /sandbox/${id}/${path}`, undefined)));
    queries.forEach((answer) => assertError(answer, 400, 'bad_target'));
  });

  it('a port is an integer from 1 to 65535', async () => {
    const bad = ['0', '65536', '-1', '8080.0', '"8080"', '80e2', 'null', 'true', '[80]', '4294967376', '18446744073709551696'];
    const answers = await answersTo(bad.map((port) => request(`POST /sandbox/${id}/expose`, `{"containerPort":${port}}`)));
    bad.forEach((port, i) => assert.deepEqual([
      port, answers[i].json.code, pathsOf(answers[i]),
    ], [port, 'validation_failed', ['containerPort']]));
    const good = await answersTo([
      '1', '65535',
    ].map((port) => request(`POST /sandbox/${id}/expose`, `{"containerPort":${port}}`)));
    assert.deepEqual(good.map(({ status }) => status), [200, 200]);
  });

  it('a message that is no JSON is answered without an id, and the socket stays', async () => {
    const texts = Object.values(noJson).filter((body) => typeof body === 'string');
    const handshake = request(`GET /client/${id}`, undefined, {
      'Content-Length': null, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    });
    const messages = texts.map((text) => frame(TEXT, text.replace('{', '{"id":"1","type":"exec",')));
    const frames = (bytes) => readFrames(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4)).frames;
    const [{ bytes }] = await converse([[Buffer.concat([handshake, ...messages])]], {
      onData: ({ received }) => frames(received).length === texts.length,
    });
    frames(bytes).forEach(({ text }, i) => {
      const { error, ...rest } = JSON.parse(text);
      assert.deepEqual([texts[i].slice(0, 100), rest], [
        texts[i].slice(0, 100), { id: null, type: 'error', code: 'invalid_message' },
      ]);
    });
  });

  it('of somebody else looks like none, byte for byte', async () => {
    const lines = [
      ['GET', '/status'], ['POST', '/destroy'], ['DELETE', ''], ['POST', '/exec', '{"cmd":"id"}'],
      ['POST', '/expose', '{"containerPort":80}'], ['GET', '/ports'],
      ['DELETE', '/ports/80'], ['GET', '/processes'], ['POST', '/processes/1/signal', '{"signal":"SIGTERM"}'],
      ['POST', '/processes/1/stdin', '{"data":""}'],
      ['POST', '/processes/1/resize', '{"cols":1,"rows":1}'], ['GET', '/processes/1/output'], ['GET', '/files?path=a'],
      ['PUT', '/files?path=a', 'x'], ['POST', '/files', 'x'],
      ['POST', '/files/url', '{"path":"a","op":"download"}'], ['GET', '/archive?path=.'], ['PUT', '/archive?path=.', 'x'],
      ['GET', '/entries?path=.'],
      ['POST', '/entries', '{"op":"mkdir","path":"a"}'], ['DELETE', '/entries?path=a'], ['GET', '/watch?path=.'],
      ['POST', '/search', '{"path":"."}'],
    ];
    const ask = (method, of, suffix, body) => [Buffer.concat([
      request(`${method} /sandbox/${of}${suffix}`, body, { key: stranger }), Buffer.from(BEHIND),
    ])];
    const unknown = randomUUID();
    const results = await converse(lines.flatMap(([method, suffix, body]) => [
      ask(method, id, suffix, body), ask(method, unknown, suffix, body), ask(method, 'no-id', suffix, body),
    ]));
    lines.forEach(([method, suffix], i) => {
      const [theirs, nobodys, none] = results.slice(3 * i, 3 * i + 3).map(({ bytes }) => comparable(bytes));
      assert.match(theirs, /^HTTP\/1\.1 404 Not Found\r\n/, `${method} ${suffix}`);
      assert.match(theirs, /"code":"sandbox_not_found"/);
      assert.deepEqual([nobodys, none], [theirs, theirs], `${method} ${suffix}`);
    });
  });

  it('that has ended refuses every act, but not its end', async () => {
    const { sandboxId } = await createSandbox();
    await destroySandbox(sandboxId);
    const acts = [
      ['POST', '/exec', '{"cmd":"id"}'], ['GET', '/processes'], ['GET', '/files?path=a'],
      ['POST', '/expose', '{"containerPort":80}'], ['GET', '/entries?path=.'],
    ];
    const answers = await answersTo(acts.map(([
      method, suffix, body,
    ]) => request(`${method} /sandbox/${sandboxId}${suffix}`, body)));
    answers.forEach((answer) => assertError(answer, 409, 'sandbox_ended'));
    const again = await answersTo([
      request(`DELETE /sandbox/${sandboxId}`, undefined), request(`POST /sandbox/${sandboxId}/destroy`, undefined),
      request(`GET /sandbox/${sandboxId}/status`, undefined),
    ]);
    assert.deepEqual(again.map(({ status }) => status), [200, 200, 200]);
  });
});

test('who is not known hears how to be, and not what was sent', async () => {
  const wrong = `isk_${'ab'.repeat(32)}`;
  const asked = [
    ['unauthenticated', { key: null }], ['invalid_api_key', { key: wrong }],
    ['invalid_api_key', { key: null, Authorization: `Bearer ${wrong}` }],
    ['invalid_api_key', { key: 'isk_short' }], ['invalid_api_key', { key: `${wrong}0` }],
  ];
  const answers = await answersTo(asked.map(([, headers]) => request('GET /sandbox?limit=1', undefined, headers)));
  asked.forEach(([code], i) => {
    assertError(answers[i], 401, code);
    assert.doesNotMatch(answers[i].body, /isk_|abab/);
  });
});

test('a quota says when to come again', async (t) => {
  const key = await makeUser('free');
  const made = await Promise.all([1, 2].map(() => createSandbox({}, key)));
  t.after(() => Promise.all(made.map(({ sandboxId }) => destroySandbox(sandboxId, key))));
  const [answer] = await answersTo([request('POST /sandbox/create', '{"template":"tiny","network":"none"}', { key })]);
  assertError(answer, 429, 'quota_exceeded');
  assert.match(answer.headers['retry-after'], /^[1-9]\d*$/);
});

test('nothing is there where nothing is, and a method that is not is told', async () => {
  const [none, method, page] = await answersTo([
    request('GET /nothing/here', undefined), request('POST /openapi.json', '{}'), request('GET /sandbox?limit=0', undefined),
  ]);
  assertError(none, 404, 'not_found');
  assertError(method, 405, 'method_not_allowed');
  assert.equal(method.headers.allow, 'GET, HEAD');
  assert.equal(page.status, 400);
});
