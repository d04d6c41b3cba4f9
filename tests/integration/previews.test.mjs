// What a sandbox serves on an exposed port, seen through the gateway.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { apiUrl, until } from '../support/stack.mjs';
import { digest, hashOf, pattern, send } from '../support/transfer.mjs';
import { WebSocket } from '../support/websocket.mjs';

const MIB = 1024 * 1024;
const SERVER = `
import hashlib, http.server, json, socketserver, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def answer(self, body):
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        if self.path.startswith('/headers'):
            self.answer(json.dumps({name.lower(): value for name, value in self.headers.items()}).encode())
        elif self.path == '/large':
            self.send_response(200); self.send_header('Transfer-Encoding', 'chunked'); self.end_headers()
            for i in range(3200):
                self.wfile.write(b'10000\\r\\n' + bytes([i % 251]) * 65536 + b'\\r\\n')
            self.wfile.write(b'0\\r\\n\\r\\n')
        elif self.path == '/events':
            self.send_response(200); self.send_header('Content-Type', 'text/event-stream'); self.send_header('Connection', 'close'); self.end_headers()
            for i in range(3):
                self.wfile.write(b'data: %d\\n\\n' % i); self.wfile.flush(); time.sleep(0.2)
        else:
            self.answer(b'hello from ' + self.path.encode())
    def do_POST(self):
        digest, size = hashlib.sha256(), 0
        while self.headers.get('Transfer-Encoding') == 'chunked':
            length = int(self.rfile.readline(), 16)
            digest.update(self.rfile.read(length)); self.rfile.readline(); size += length
            if length == 0: break
        left = int(self.headers.get('Content-Length', 0))
        while left > 0:
            piece = self.rfile.read(min(left, 65536)); digest.update(piece); left -= len(piece); size += len(piece)
        self.answer(json.dumps({'hash': digest.hexdigest(), 'size': size}).encode())
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads, request_queue_size = True, 256
Server(('127.0.0.1', 8000), Handler).serve_forever()
`;
const WEBSOCKET = `
import base64, hashlib, socket
server = socket.create_server(('127.0.0.1', 8200))
while True:
    peer, data = server.accept()[0], b''
    while b'\\r\\n\\r\\n' not in data: data += peer.recv(4096)
    key = [line.split(b': ')[1] for line in data.split(b'\\r\\n') if line.lower().startswith(b'sec-websocket-key')][0]
    accept = base64.b64encode(hashlib.sha1(key + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
    peer.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + b'\\r\\n\\r\\n')
    head, mask = peer.recv(2), peer.recv(4)
    body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(peer.recv(head[1] & 127)))
    peer.sendall(bytes([0x81, len(body)]) + body); peer.close()
`;

describe('previews', () => {
  let id;
  let port;
  const expose = async (containerPort, visibility = 'public') => {
    const reply = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort, visibility } });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  const hostOf = (exposed) => new URL(exposed.previewUrl).host;
  // By the Host header, so that no name needs to be looked up.
  const through = (exposed, path, { method = 'GET', headers = {}, onData } = {}) => new Promise((resolve, reject) => {
    const request = http.request(new URL(path, apiUrl), { method, headers: { Host: hostOf(exposed), ...headers } }, (reply) => {
      let text = '';
      reply.on('data', (piece) => { text += piece; onData?.(); });
      reply.on('end', () => resolve({ status: reply.statusCode, headers: reply.headers, text }));
      reply.on('error', reject);
    });
    request.on('error', reject);
    request.end();
  });

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    for (const script of [SERVER, WEBSOCKET]) {
      await exec(id, 'python3', ['-c', script], { background: true });
    }
    port = await expose(8000);
    await until('it listens', async () => (await through(port, '/')).status === 200, 30_000);
  });
  after(() => destroySandbox(id));

  it('are found by name and by path', async () => {
    assert.equal(new URL(port.previewUrl).hostname, `8000-${id.replaceAll('-', '')}.localhost`);
    const byName = await through(port, '/page?a=1');
    assert.deepEqual([byName.status, byName.text], [200, 'hello from /page?a=1']);
    const byPath = await through({ previewUrl: apiUrl }, `${port.previewPath}page?a=1`);
    assert.deepEqual([byPath.status, byPath.text], [200, 'hello from /page?a=1']);
  });

  it('tell the program who asks, and keep our credentials from it', async () => {
    const { text, headers } = await through(port, '/headers', {
      headers: { 'X-API-Key': 'isk_secret', Connection: 'keep-alive, X-Hop', 'X-Hop': '1', 'X-Own': 'stays', TE: 'trailers' },
    });
    const seen = JSON.parse(text);
    assert.deepEqual([seen['x-own'], seen['x-forwarded-proto'], seen['x-forwarded-host'], seen.host],
      ['stays', 'http', hostOf(port), hostOf(port)]);
    assert.match(seen['x-forwarded-for'], /127\.0\.0\.1$/);
    assert.deepEqual(['x-api-key', 'x-hop', 'te'].map((name) => seen[name]), [undefined, undefined, undefined]);
    assert.equal(headers['content-security-policy'], undefined, 'none of our own headers');
  });

  it('200 MiB come down and go up, whole', { timeout: 120_000 }, async () => {
    const headers = { Host: hostOf(port) };
    assert.deepEqual(await digest('/large', { key: null, headers }), {
      status: 200, size: 200 * MIB, hash: hashOf(Array.from({ length: 3200 }, (_, i) => Buffer.alloc(65536, i % 251))),
    });
    const size = 200 * MIB;
    const up = await send('POST', '/', pattern(size), { key: null, headers });
    assert.deepEqual(up.json, { hash: hashOf(pattern(size)), size });
  });

  it('100 requests at once are all answered', async () => {
    const paths = Array.from({ length: 100 }, (_, i) => `/number/${i}`);
    const replies = await Promise.all(paths.map((path) => through(port, path)));
    assert.deepEqual(replies.map(({ text }) => text), paths.map((path) => `hello from ${path}`));
  });

  it('events pass as they come', async () => {
    const times = [];
    await through(port, '/events', { onData: () => times.push(Date.now()) });
    assert.ok(times.length >= 2 && times.at(-1) - times[0] >= 100, times.join());
  });

  it('a WebSocket goes through', async () => {
    const exposed = await expose(8200);
    await until('the echo answers', () => new Promise((resolve) => {
      const socket = new WebSocket(apiUrl.replace('http', 'ws'), { headers: { Host: hostOf(exposed) } });
      socket.on('open', () => socket.send('through and back'));
      socket.on('message', (data) => resolve(data.toString() === 'through and back'));
      socket.on('error', () => resolve(false));
    }), 30_000);
  });

  it('a port where nobody listens says so, to people and to programs', async () => {
    const closed = await expose(8999);
    const page = await through(closed, '/', { headers: { Accept: 'text/html' } });
    assert.equal(page.status, 502);
    assert.match(page.headers['content-type'], /^text\/html/);
    const json = await through(closed, '/', { headers: { Accept: 'application/json' } });
    assert.deepEqual([json.status, JSON.parse(json.text).code], [502, 'port_closed']);
  });

  it('a port that is not exposed and a sandbox that is not there look alike', async () => {
    const ask = async (label) => {
      const reply = await through({ previewUrl: `http://${label}.localhost` }, '/', { headers: { Accept: 'application/json' } });
      const { requestId, ...rest } = JSON.parse(reply.text);
      return [reply.status, rest];
    };
    const unexposed = await ask(`1234-${id.replaceAll('-', '')}`);
    assert.equal(unexposed[0], 404);
    assert.deepEqual(await ask(`8000-${'0'.repeat(32)}`), unexposed);
  });

  it('with a token are for those who have it', async () => {
    await exec(id, 'python3', ['-m', 'http.server', '8100'], { background: true, cwd: '/tmp' });
    const locked = await expose(8100, 'token');
    const withToken = (token) => through(locked, '/', { headers: { 'X-Preview-Token': token } });
    await until('it listens', async () => (await withToken(locked.token)).status === 200, 30_000);
    assert.equal((await through(locked, '/')).status, 401);
    assert.equal((await withToken(`${locked.token.slice(0, -1)}!`)).status, 401);
    const first = await through(locked, `/?preview_token=${locked.token}&x=1`);
    assert.deepEqual([first.status, first.headers.location], [302, '/?x=1']);
    const [cookie] = first.headers['set-cookie'];
    assert.match(cookie, /HttpOnly/);
    assert.equal((await through(locked, '/', { headers: { Cookie: cookie.split(';')[0] } })).status, 200);
  });
});
