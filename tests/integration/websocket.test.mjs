import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, sandboxFor } from '../support/api.mjs';
import { apiKey, apiUrl } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const MIB = 1 << 20;
const wrongKey = `isk_${'f'.repeat(64)}`;

describe('a client socket', () => {
  let id;
  let socket;

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    socket = await openClient(id);
  });
  after(async () => {
    await socket?.close();
    await destroySandbox(id);
  });

  it('runs a command', async () => {
    const { id: answeredId, durationMs, ...rest } = await socket.request({
      id: 'my-id', type: 'exec', cmd: 'sh', args: ['-c', 'echo out; echo err >&2; exit 3'],
    });
    assert.equal(answeredId, 'my-id');
    assert.deepEqual(rest, {
      type: 'execResponse', stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: null, reason: 'exited', truncated: false,
    });
  });

  it('starts a command in the background', async () => {
    const reply = await socket.request({ type: 'exec', cmd: 'sleep', args: ['100'], background: true });
    assert.deepEqual([reply.type, reply.background, reply.exitCode], ['execResponse', true, null]);
    assert.ok(reply.pid > 1);
  });

  it('writes a file and reads it back', async () => {
    const path = 'new/folder/file.txt';
    const written = await socket.request({ type: 'write', path, content: 'häu\n\0😀' });
    assert.deepEqual(written, { id: written.id, type: 'writeResponse', success: true, path });
    const read = await socket.request({ type: 'read', path: `/app/${path}` });
    assert.deepEqual(read, { id: read.id, type: 'readResponse', content: 'häu\n\0😀', path: `/app/${path}` });
    const { stdout } = await exec(id, 'stat', ['-c', '%U %a', '/app/new/folder/file.txt']);
    assert.match(stdout, /^user 6[0-6]4\n$/);
  });

  it('writes ten mebibytes and reads them back', async () => {
    const content = 'ü123456789abcde'.repeat(10 * MIB / 16);
    const { success } = await socket.request({ type: 'write', path: 'big', content });
    assert.equal(success, true);
    assert.equal((await exec(id, 'stat', ['-c', '%s', 'big'])).stdout, `${10 * MIB}\n`);
    const read = await socket.request({ type: 'read', path: 'big' });
    assert.ok(read.content === content);
  });

  it('refuses a file of more', async () => {
    const reply = await socket.request({ type: 'write', path: 'bigger', content: 'x'.repeat(10 * MIB + 1) });
    assert.deepEqual([reply.type, reply.code], ['error', 'file_too_large']);
    await exec(id, 'truncate', ['-s', `${10 * MIB + 1}`, '/tmp/bigger']);
    const read = await socket.request({ type: 'read', path: '/tmp/bigger' });
    assert.deepEqual([read.type, read.code], ['error', 'file_too_large']);
  });

  const fileErrors = [
    ['read', '/no/such/file', 'file_not_found'],
    ['read', '/etc', 'is_a_directory'],
    ['read', '/dev/zero', 'not_a_file'],
    ['read', '/etc/shadow', 'permission_denied'],
    ['write', '/etc/passwd', 'permission_denied'],
    ['write', '/app', 'is_a_directory'],
    ['write', `/tmp/${'x'.repeat(300)}`, 'invalid_path'],
  ];
  for (const [type, path, code] of fileErrors) {
    it(`answers ${code} to ${type} ${path.slice(0, 20)}`, async () => {
      const { error, ...reply } = await socket.request({ id: 'e', type, path, ...(type === 'write' ? { content: 'x' } : {}) });
      assert.deepEqual(reply, { id: 'e', type: 'error', code });
      assert.ok(error.length > 3);
    });
  }

  it('answers an error of exec with its code', async () => {
    const reply = await socket.request({ type: 'exec', cmd: 'no-such-program' });
    assert.deepEqual([reply.type, reply.code], ['error', 'command_not_found']);
  });

  it('answers an unknown type', async () => {
    const { error, ...reply } = await socket.request({ id: 'x', type: 'teleport' });
    assert.deepEqual(reply, { id: 'x', type: 'error', code: 'unknown_type' });
  });

  it('lets nobody configure the agent', async () => {
    for (const type of ['configure', 'hello']) {
      const reply = await socket.request({ type, token: 'x', env: {}, profile: 'sudo' });
      assert.equal(reply.type, 'error', type);
    }
    assert.equal((await exec(id, 'echo', ['still there'])).stdout, 'still there\n');
  });

  const noMessages = ['hello', '[]', '{"type":"exec","cmd":"id"}', '{"id":5,"type":"exec","cmd":"id"}',
    `{"id":"${'x'.repeat(65)}","type":"exec","cmd":"id"}`, '{"id":"a","id":"b","type":"exec","cmd":"id"}', ''];
  for (const text of noMessages) {
    it(`answers invalid_message to ${text.slice(0, 30)} and stays open`, async () => {
      socket.send(text);
      const { error, ...reply } = await socket.next();
      assert.deepEqual(reply, { id: null, type: 'error', code: 'invalid_message' });
      assert.equal((await socket.request({ type: 'exec', cmd: 'true' })).exitCode, 0);
    });
  }

  it('answers only the socket that asked, also when two use the same ids', async () => {
    const other = await openClient(id);
    const ask = (asker, name) => asker.request({
      id: 'same', type: 'exec', cmd: 'sh', args: ['-c', `sleep 0.2; echo ${name}`],
    });
    const [mine, theirs] = await Promise.all([ask(socket, 'mine'), ask(other, 'theirs')]);
    assert.deepEqual([mine.stdout, theirs.stdout], ['mine\n', 'theirs\n']);
    await socket.request({ type: 'exec', cmd: 'true' });
    assert.deepEqual([socket.messages, other.messages], [[], []]);
    await other.close();
  });

  it('has at most 256 requests outstanding and says busy to more', async () => {
    const other = await openClient(id);
    const replies = await Promise.all(Array.from({ length: 260 }, () => other.request({
      type: 'exec', cmd: 'sleep', args: ['2'],
    })));
    const busy = replies.filter((reply) => reply.code === 'busy');
    assert.equal(busy.length, 4);
    assert.equal(replies.filter((reply) => reply.exitCode === 0).length, 256);
    await other.close();
  });

  it('leaves nothing behind when it goes in the middle of a request', async () => {
    const other = await openClient(id);
    other.send(JSON.stringify({ id: 'a', type: 'exec', cmd: 'sleep', args: ['1'] }));
    await other.close();
    assert.equal((await socket.request({ type: 'exec', cmd: 'echo', args: ['fine'] })).stdout, 'fine\n');
  });
});

describe('the door of client sockets', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
  });
  after(() => destroySandbox(id));

  const basic = (text) => ({ Authorization: `Basic ${Buffer.from(text).toString('base64')}` });
  const ways = {
    'X-API-Key': ['', { 'X-API-Key': apiKey }],
    Bearer: ['', { Authorization: `Bearer ${apiKey}` }],
    'Basic with the key as password': ['', basic(`x:${apiKey}`)],
    'Basic with the key as user': ['', basic(`${apiKey}:`)],
    '?apiKey=': [`?apiKey=${apiKey}`, {}],
  };
  for (const [name, [query, headers]] of Object.entries(ways)) {
    it(`opens to ${name}`, async () => {
      const socket = await openClient(`${id}${query}`, { key: null, headers });
      assert.equal((await socket.request({ type: 'exec', cmd: 'echo', args: ['in'] })).stdout, 'in\n');
      await socket.close();
    });
  }

  it('opens to the key in the address', async () => {
    const base = apiUrl.replace('http://', `ws://x:${apiKey}@`);
    const socket = await openClient(id, { key: null, base });
    assert.equal((await socket.request({ type: 'exec', cmd: 'true' })).exitCode, 0);
    await socket.close();
  });

  it('stays shut without a key, before the upgrade', async () => {
    assertError(await refusal(`/client/${id}`, { key: null }), 401, 'unauthenticated');
  });

  it('stays shut to a wrong key in every way', async () => {
    for (const [query, headers] of [
      ['', { 'X-API-Key': wrongKey }], ['', { 'X-API-Key': apiKey.slice(0, 12) }],
      ['', { Authorization: `Bearer ${wrongKey}` }], ['', basic(`x:${wrongKey}`)],
      [`?apiKey=${wrongKey}`, {}], ['?apiKey=', {}],
    ]) {
      assertError(await refusal(`/client/${id}${query}`, { key: null, headers }), 401, 'invalid_api_key');
    }
  });

  it('is not there for an ended sandbox', async (t) => {
    const ended = await sandboxFor(t);
    await destroySandbox(ended);
    const reply = await refusal(`/client/${ended}`);
    assert.ok([404, 409].includes(reply.status), `${reply.status}`);
  });

  it('answers plain requests without the upgrade', async () => {
    const reply = await call('GET', `/client/${id}`);
    assert.ok([400, 426].includes(reply.status), `${reply.status}`);
  });

  it('has no other addresses', async () => {
    assertError(await refusal('/elsewhere'), 404, 'not_found');
  });

  it('is closed with 4404 when the sandbox goes', async () => {
    const { sandboxId } = await createSandbox();
    const socket = await openClient(sandboxId);
    await socket.request({ type: 'exec', cmd: 'true' });
    await destroySandbox(sandboxId);
    assert.equal((await socket.closed).code, 4404);
  });
});

describe('the door of agents', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
  });
  after(() => destroySandbox(id));

  const header = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const claims = () => Buffer.from(JSON.stringify({ sub: id, typ: 'agent', gen: 1 })).toString('base64url');

  it('is shut to everything but a token of ours', async () => {
    const none = `${header}.${claims()}.`;
    for (const headers of [
      {}, { Authorization: 'Bearer x' }, { Authorization: `Bearer ${none}` }, { Authorization: `Bearer ${apiKey}` },
    ]) {
      const reply = await refusal(`/agent/${id}`, { key: null, headers });
      assert.equal(reply.status, 401, JSON.stringify(headers));
    }
    assert.equal((await refusal(`/agent/${id}?token=${none}`, { key: null })).status, 401);
  });

  it('leaves the real agent where it is', async () => {
    await refusal(`/agent/${id}`, { key: null, headers: { Authorization: 'Bearer x' } });
    assert.equal((await exec(id, 'echo', ['same agent'])).stdout, 'same agent\n');
  });
});
