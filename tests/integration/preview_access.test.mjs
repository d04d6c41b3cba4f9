// Who may see a preview, what its program learns of that, and what is seen when there is nothing.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { apiKey, apiUrl, until } from '../support/stack.mjs';
import { WebSocket } from '../support/websocket.mjs';

// Tells each request what was seen of it, and echoes WebSocket messages of any size.
const SERVER = `
const http = require('http');
const crypto = require('crypto');
const seen = (request) => JSON.stringify({ url: request.url, headers: request.headers, connection: request.socket.number });
let connections = 0;
const server = http.createServer((request, reply) => {
  reply.setHeader('Set-Cookie', ['theirs=1; Path=/']);
  reply.setHeader('X-Theirs', 'kept');
  request.resume().on('end', () => reply.end(seen(request)));
});
server.on('connection', (socket) => { connections += 1; socket.number = connections; });
server.on('upgrade', (request, socket, head) => {
  const accept = crypto.createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  const offered = (request.headers['sec-websocket-protocol'] || '').split(',').map((one) => one.trim()).filter(Boolean);
  socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n'
    + (offered.length ? 'Sec-WebSocket-Protocol: ' + offered[0] + '\\r\\n' : '') + 'Sec-WebSocket-Accept: ' + accept + '\\r\\n\\r\\n');
  const text = Buffer.from(seen(request));
  socket.write(Buffer.concat([Buffer.from([0x81, 126, text.length >> 8, text.length & 255]), text]));
  let bytes = head;
  const step = () => { // one frame: unmasked and sent back
    if (bytes.length < 2) return false;
    const kind = bytes[1] & 127;
    const at = kind === 127 ? 10 : kind === 126 ? 4 : 2;
    if (bytes.length < at + 4) return false;
    const length = kind === 127 ? Number(bytes.readBigUInt64BE(2)) : kind === 126 ? bytes.readUInt16BE(2) : kind;
    if (bytes.length < at + 4 + length) return false;
    const mask = bytes.subarray(at, at + 4);
    const body = Buffer.from(bytes.subarray(at + 4, at + 4 + length));
    for (let i = 0; i < length; i += 1) body[i] ^= mask[i & 3];
    socket.write(Buffer.concat([Buffer.from([bytes[0], kind]), bytes.subarray(2, at), body]));
    if ((bytes[0] & 15) === 8) socket.end();
    bytes = bytes.subarray(at + 4 + length);
    return true;
  };
  socket.on('data', (piece) => { bytes = Buffer.concat([bytes, piece]); while (step()); });
  socket.on('error', () => {});
});
server.listen(8300, '127.0.0.1');
`;

describe('a preview', () => {
  let id;
  let port;

  const exposeOn = async (sandboxId, visibility) => {
    const reply = await call('POST', `/sandbox/${sandboxId}/expose`, { body: { containerPort: 8300, visibility } });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  const host = () => new URL(port.previewUrl).host;
  const ask = (path, { headers = {}, agent = false } = {}) => new Promise((resolve, reject) => {
    const request = http.request(new URL(path, apiUrl), { headers, agent }, (reply) => {
      let text = '';
      reply.on('data', (piece) => { text += piece; });
      reply.on('end', () => resolve({ status: reply.statusCode, headers: reply.headers, text }));
    });
    request.on('error', reject);
    request.end();
  });
  const byName = (path, headers = {}, more = {}) => ask(path, { headers: { Host: host(), ...headers }, ...more });
  const withToken = () => ({ 'X-Preview-Token': port.token });

  // Resolves to {seen, socket, protocol}, or to {status} of the answer that refuses.
  const upgrade = (url, headers, protocols = []) => new Promise((resolve, reject) => {
    const socket = new WebSocket(url, protocols, { headers, perMessageDeflate: false });
    socket.once('message', (data) => resolve({ seen: JSON.parse(data), socket, protocol: socket.protocol }));
    socket.on('unexpected-response', (request, reply) => {
      const { socket: tcp } = reply;
      reply.resume().on('end', () => {
        tcp.destroy(); // it would be kept
        resolve({ status: reply.statusCode });
      });
    });
    socket.on('error', reject);
  });
  const wsBase = apiUrl.replace('http', 'ws');

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    await exec(id, 'node', ['-e', SERVER], { background: true, tag: 'server', timeoutMs: 0 });
    port = await exposeOn(id, 'token');
    await until('it listens', async () => (await byName('/', withToken())).status === 200, 10_000);
  });
  after(() => destroySandbox(id));

  it('opens to the token in a header, and the program never sees it', async () => {
    const { headers, text } = await byName('/a?b=c', { ...withToken(), 'X-API-Key': apiKey, Cookie: 'own=1; other=2' });
    const seen = JSON.parse(text);
    assert.equal(seen.url, '/a?b=c');
    assert.equal(seen.headers.cookie, 'own=1; other=2');
    assert.ok(!text.includes(port.token) && !text.includes(apiKey), text);
    assert.deepEqual([headers['x-theirs'], headers['set-cookie']], ['kept', ['theirs=1; Path=/']]);
  });

  it('opens to a link with the token, which leaves the address, and then to its cookie alone', async () => {
    const first = await byName(`/page?x=1&preview_token=${port.token}&y=2`);
    assert.deepEqual([first.status, first.headers.location], [302, '/page?x=1&y=2']);
    const [cookie] = first.headers['set-cookie'];
    assert.match(cookie, /; HttpOnly/);
    assert.match(cookie, /; SameSite=/);
    const pair = cookie.split(';')[0];
    const then = await byName('/page', { Cookie: `own=1; ${pair}; other=2` });
    assert.equal(then.status, 200);
    assert.equal(JSON.parse(then.text).headers.cookie, 'own=1; other=2');
    assert.ok(!then.text.includes(pair.split('=')[1]));
    const { seen, socket } = await upgrade(`${wsBase}/socket`, { Host: host(), Cookie: pair });
    assert.equal(seen.headers.cookie, undefined);
    socket.close();
  });

  it('opens to a WebSocket with the token as a sub-protocol, which the program never sees', async () => {
    const { seen, socket, protocol } = await upgrade(`${wsBase}/socket?a=1`, { Host: host() }, [`insien.token.${port.token}`, 'chat', 'superchat']);
    assert.equal(protocol, 'chat');
    assert.deepEqual([seen.url, seen.headers['sec-websocket-protocol'], seen.headers.host, seen.headers['x-forwarded-host']],
      ['/socket?a=1', 'chat, superchat', host(), host()]);
    assert.ok(!JSON.stringify(seen).includes(port.token));
    socket.close();
  });

  it('is the same by its path, for pages and for WebSockets', async () => {
    const page = JSON.parse((await ask(`${port.previewPath}deep/page?q=1`, { headers: withToken() })).text);
    assert.deepEqual([page.url, page.headers['x-forwarded-prefix'].replace(/\/$/, '')], ['/deep/page?q=1', port.previewPath.replace(/\/$/, '')]);
    const { seen, socket } = await upgrade(`${wsBase}${port.previewPath}socket`, withToken());
    assert.equal(seen.url, '/socket');
    assert.equal(seen.headers['x-forwarded-prefix'], page.headers['x-forwarded-prefix']);
    assert.equal(seen.headers.host, page.headers.host, 'one rule for both');
    socket.close();
  });

  it('stays shut without the token, in every way', async () => {
    const other = `${port.token.slice(0, -1)}${port.token.endsWith('A') ? 'B' : 'A'}`;
    for (const [path, headers] of [
      ['/', {}], ['/', { 'X-Preview-Token': other }], ['/', { 'X-Preview-Token': '' }], [`/?preview_token=${other}`, {}],
      ['/', { 'X-API-Key': apiKey }], ['/', { Authorization: `Bearer ${port.token}x` }],
    ]) {
      assert.equal((await byName(path, headers)).status, 401, JSON.stringify([path, headers]));
    }
    assert.equal((await upgrade(`${wsBase}/`, { Host: host() })).status, 401);
    assert.equal((await upgrade(`${wsBase}/`, { Host: host() }, [`insien.token.${other}`, 'chat'])).status, 401);
    assert.equal((await upgrade(`${wsBase}${port.previewPath}`, {})).status, 401);
  });

  it('passes WebSocket messages of any size both ways', async () => {
    const { socket } = await upgrade(`${wsBase}/`, { Host: host(), ...withToken() });
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 3_000_000]) {
      const sent = Buffer.alloc(size, `${size}.`);
      const came = new Promise((resolve) => { socket.once('message', resolve); });
      socket.send(sent);
      assert.ok((await came).equals(sent), `${size}`);
    }
    const closed = new Promise((resolve) => { socket.on('close', resolve); });
    socket.close(4001, 'enough');
    assert.equal(await closed, 4001, 'the close is the program\'s');
  });

  it('keeps connections, on both sides', async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const numbers = new Set();
    const sockets = new Set();
    agent.on('free', (socket) => sockets.add(socket));
    for (let i = 0; i < 20; i += 1) {
      const { text, headers } = await byName(`/${i}`, withToken(), { agent });
      numbers.add(JSON.parse(text).connection);
      assert.notEqual(headers.connection, 'close');
    }
    assert.equal(sockets.size, 1);
    assert.ok(numbers.size < 20, `${numbers.size} connections to the program`);
    agent.destroy();
  });

  it('whose program has ended is a page that says so', async () => {
    await call('POST', `/sandbox/${id}/processes/server/signal`, { body: { signal: 'SIGKILL' } });
    await until('the port is closed', async () => (await byName('/', withToken())).status === 502, 5000);
    const page = await byName('/', { ...withToken(), Accept: 'text/html,*/*' });
    assert.deepEqual([page.status, page.headers['content-type'].split(';')[0]], [502, 'text/html']);
    assert.match(page.text, /Nothing answers on this port/);
    const json = await byName('/', { ...withToken(), Accept: 'application/json' });
    assert.deepEqual([json.status, JSON.parse(json.text).code], [502, 'port_closed']);
    assert.equal((await upgrade(`${wsBase}/`, { Host: host(), ...withToken() })).status, 502);
  });

  it('of a sandbox that has ended is gone, at once', async () => {
    const { sandboxId } = await createSandbox();
    const exposed = await exposeOn(sandboxId, 'public');
    const look = (accept) => ask('/', { headers: { Host: new URL(exposed.previewUrl).host, Accept: accept } });
    assert.equal((await look('text/html')).status, 502, 'nobody listens yet');
    await destroySandbox(sandboxId);
    const page = await until('it is gone', async () => {
      const reply = await look('text/html');
      return /The sandbox has ended/.test(reply.text) && reply;
    }, 2000);
    assert.equal(page.status, 502);
    assert.match(page.headers['content-type'], /^text\/html/);
    const json = await look('application/json');
    assert.deepEqual([json.status, JSON.parse(json.text).code], [502, 'sandbox_gone']);
  });
});
