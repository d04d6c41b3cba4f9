import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import http from 'node:http';
import { assertError, call, createSandbox, destroySandbox } from '../support/api.mjs';
import { apiKey, apiUrl } from '../support/stack.mjs';

const MIB = 1 << 20;
const create = (body, headers) => call('POST', '/sandbox/create', { body, headers });

const notJson = {
  'no JSON at all': 'hello',
  'a document that ends too early': '{"template":"tiny"',
  'text after the document': '{} {}',
  'a member twice': '{"template":"tiny","template":"base"}',
  'a byte order mark': '\ufeff{}',
  'a lone surrogate': '{"template":"\\ud800"}',
  'bytes that are no UTF-8': Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
  'NaN': '{"timeoutMs":NaN}',
  'a comma too many': '{"template":"tiny",}',
  'a comment': '{/* tiny */}',
  'single quotes': "{'template':'tiny'}",
  'too deep a nesting': `{"metadata":${'{"a":'.repeat(40)}1${'}'.repeat(40)}}`,
};
for (const [name, body] of Object.entries(notJson)) {
  test(`${name} is invalid_json`, async () => {
    assertError(await create(body), 400, 'invalid_json');
  });
}

test('a document that is no object is refused', async () => {
  for (const body of ['[]', '"x"', '1', 'null', 'true']) {
    const reply = await create(body);
    assert.equal(reply.status, 400, body);
    assert.match(reply.json.code, /^(invalid_json|validation_failed)$/);
  }
});

// What create refuses, with the paths that it names.
const invalid = {
  'a template of another type': [{ template: 5 }, ['template']],
  'an empty template': [{ template: '' }, ['template']],
  'a NUL in a name': [{ template: 'ti\0ny' }, ['template']],
  'a time as text': [{ timeoutMs: '60000' }, ['timeoutMs']],
  'a time below the least': [{ timeoutMs: 1 }, ['timeoutMs']],
  'a time beyond the most': [{ timeoutMs: 169 * 3_600_000 }, ['timeoutMs']],
  'a fraction': ['{"timeoutMs":60000.0}', ['timeoutMs']],
  'an exponent': ['{"timeoutMs":60e3}', ['timeoutMs']],
  'a number beyond 2^53': ['{"timeoutMs":9007199254740993}', ['timeoutMs']],
  'an unknown network': [{ network: 'host' }, ['network']],
  'metadata that is no object': [{ metadata: [] }, ['metadata']],
  'environment that is no object': [{ env: ['A=1'] }, ['env']],
  'a value that is no text': [{ env: { A: 1 } }, ['env.A']],
  'a name that is none': [{ env: { '1A': 'x' } }, ['env.1A']],
  'names that steer the sandbox': [
    { env: { PATH: '/x', LD_PRELOAD: 'x', INSIEN_X: 'x', AGENT_X: 'x', SANDBOX_X: 'x', NODE_OPTIONS: 'x' } },
    ['env.AGENT_X', 'env.INSIEN_X', 'env.LD_PRELOAD', 'env.NODE_OPTIONS', 'env.PATH', 'env.SANDBOX_X'],
  ],
  'everything wrong at once': [
    { template: 1, timeoutMs: 'x', network: 'bridge', metadata: 3, env: { 'a b': 'x' } },
    ['env.a b', 'metadata', 'network', 'template', 'timeoutMs'],
  ],
};
for (const [name, [body, paths]] of Object.entries(invalid)) {
  test(`${name} is a violation that is named`, async () => {
    const { details } = assertError(await create(body), 400, 'validation_failed');
    assert.deepEqual(details.map((detail) => detail.path).sort(), paths);
    details.forEach(({ message, ...rest }) => {
      assert.ok(message.length > 3);
      assert.deepEqual(Object.keys(rest), ['path']);
    });
  });
}

test('metadata and environment have a size', async () => {
  assertError(await create({ metadata: { a: 'x'.repeat(17_000) } }), 400, 'validation_failed');
  assertError(await create({ env: { A: 'x'.repeat(40_000), B: 'x'.repeat(40_000) } }), 400, 'validation_failed');
});

const types = {
  'no type': undefined,
  'another type': 'text/plain',
  'a form': 'application/x-www-form-urlencoded',
  'a longer type': 'application/jsonp',
  'another charset': 'application/json; charset=latin1',
};
for (const [name, type] of Object.entries(types)) {
  test(`a body with ${name} is 415`, async () => {
    assertError(await create('{}', { 'Content-Type': type }), 415, 'unsupported_media_type');
  });
}

test('a compressed body is 415', async () => {
  assertError(await create('{}', { 'Content-Encoding': 'gzip' }), 415, 'unsupported_media_type');
});

test('the plain type is taken with its charset', async () => {
  const reply = await create({ template: 'no-such' }, { 'Content-Type': 'Application/JSON; charset=UTF-8' });
  assertError(reply, 404, 'template_not_found');
});

test('a body over a mebibyte is 413, announced or not', async () => {
  const body = Buffer.from(JSON.stringify({ metadata: { a: 'x'.repeat(MIB) } }));
  assertError(await once(body, { 'Content-Length': body.length }), 413, 'payload_too_large');
  assertError(await once(body, { 'Transfer-Encoding': 'chunked' }), 413, 'payload_too_large');
});

// On a connection of its own, which the server closes without reading everything.
function once(body, headers) {
  return new Promise((resolve, reject) => {
    const request = http.request(`${apiUrl}/sandbox/create`, {
      method: 'POST', agent: false, headers: { 'X-API-Key': apiKey, 'Content-Type': 'application/json', ...headers },
    });
    let answered = false;
    request.on('error', (error) => answered || reject(error));
    request.on('response', (reply) => {
      answered = true;
      let text = '';
      reply.on('data', (chunk) => { text += chunk; });
      reply.on('end', () => resolve({ status: reply.statusCode, headers: reply.headers, text, json: JSON.parse(text) }));
    });
    request.end(body);
  });
}

describe('exec refuses', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
  });
  after(() => destroySandbox(id));

  const bodies = {
    'a missing command': [{}, ['cmd']],
    'an empty command': [{ cmd: '' }, ['cmd']],
    'a command that is no text': [{ cmd: ['ls'] }, ['cmd']],
    'arguments that are no list': [{ cmd: 'ls', args: '-l' }, ['args']],
    'arguments that are no text': [{ cmd: 'ls', args: ['a', 1, 'b', null] }, ['args[1]', 'args[3]']],
    'a NUL in an argument': [{ cmd: 'ls', args: ['a\0b'] }, ['args[0]']],
    'a negative time': [{ cmd: 'ls', timeoutMs: -1 }, ['timeoutMs']],
    'several at once': [{ cmd: 1, cwd: 2, user: 3, stdin: 4 }, ['cmd', 'cwd', 'stdin', 'user']],
  };
  for (const [name, [body, paths]] of Object.entries(bodies)) {
    it(name, async () => {
      const { details } = assertError(await call('POST', `/sandbox/${id}/exec`, { body }), 400, 'validation_failed');
      assert.deepEqual(details.map((detail) => detail.path).sort(), paths);
    });
  }

  it('nothing that it does not know', async () => {
    const reply = await call('POST', `/sandbox/${id}/exec`, { body: { cmd: 'true', fromTheFuture: { a: [1] } } });
    assert.equal(reply.status, 200, reply.text);
  });

  it('an empty body', async () => {
    const reply = await call('POST', `/sandbox/${id}/exec`, { body: '' });
    assert.equal(reply.status, 400, reply.text);
  });
});
