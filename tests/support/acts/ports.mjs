// The three ways to a port inside: previews, ports of the server, streams of a socket.
import assert from 'node:assert/strict';
import net from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { Numbers } from '../known.mjs';
import { bytesOf, get, open, send } from '../transfer.mjs';
import { MIB, sha256 } from './common.mjs';

// What must listen in the sandbox, as a program for python3.
export const listening = { WEB: 8000, ECHO: 7000 };
export const SERVERS = `
import hashlib, http.server, socket, socketserver, threading
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads, request_queue_size = True, True, 256
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        try:
            while data := self.request.recv(65536):
                self.request.sendall(data)
        except OSError:
            pass
class Web(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): pass
    def answer(self, body):
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        first, count = (int(part) for part in self.path[1:].split('/'))
        self.answer(b''.join(b'%d\\n' % (first + i) for i in range(count)))
    def do_POST(self):
        digest = hashlib.sha256()
        left = int(self.headers.get('Content-Length', 0))
        while self.headers.get('Transfer-Encoding') == 'chunked':
            length = int(self.rfile.readline(), 16)
            digest.update(self.rfile.read(length)); self.rfile.readline()
            if length == 0: break
        while left > 0:
            piece = self.rfile.read(min(left, 65536)); digest.update(piece); left -= len(piece)
        self.answer(digest.hexdigest().encode())
    def handle(self):
        try: super().handle()
        except OSError: pass
threading.Thread(target=Server(('127.0.0.1', ${listening.ECHO}), Echo).serve_forever).start()
Server(('127.0.0.1', ${listening.WEB}), Web).serve_forever()
`;

const isPeerGone = (error) => ['ECONNRESET', 'EPIPE'].includes(error.code);

async function preview(world) {
  const { random, agent, ports } = world;
  const headers = { Host: new URL(ports.web.previewUrl).host };
  const numbers = new Numbers(random, random.size(2 * MIB));
  const url = `/${numbers.first}/${numbers.count}`;
  const got = await get(url, { key: null, headers, agent });
  assert.equal(got.status, 200);
  assert.ok(got.bytes.equals(numbers.slice(0, numbers.size)), numbers.command);
  const bytes = random.bytes(random.size(2 * MIB));
  const reply = await send('POST', '/', [bytes], { key: null, headers, agent });
  assert.deepEqual([reply.status, reply.text], [200, sha256(bytes)]);
  const abandoned = await open('GET', url, { key: null, headers, agent });
  abandoned.on('error', () => {});
  abandoned.destroy();
}

async function dial(world) {
  const { random } = world;
  const bytes = random.bytes(random.size(2 * MIB));
  const { stream, answer } = world.socket.open({ type: 'dial', port: listening.ECHO });
  const reply = await answer;
  assert.equal(reply.type, 'dialResponse', JSON.stringify(reply));
  if (random.chance(0.3)) {
    await stream.write(bytes.subarray(0, 200_000));
    stream.reset();
    return;
  }
  const [all] = await Promise.all([stream.collect(), stream.write(bytes).then(() => stream.fin())]);
  assert.equal(all.code, undefined);
  assert.equal(sha256(all.data), sha256(bytes));
}

async function tunnel(world) {
  const { random } = world;
  const bytes = random.bytes(random.size(2 * MIB));
  const socket = net.connect({ port: world.ports.echo.hostPort, host: '127.0.0.1', allowHalfOpen: true });
  const isLeft = random.chance(0.3);
  try {
    await new Promise((resolve, reject) => { socket.on('connect', resolve).on('error', reject); });
    if (isLeft) {
      socket.write(bytes);
      await pause(random.between(0, 20));
      return;
    }
    socket.end(bytes);
    assert.equal(sha256(await bytesOf(socket)), sha256(bytes));
  } catch (error) {
    assert.ok(isLeft && isPeerGone(error), error);
  } finally {
    socket.on('error', () => {}).destroy();
  }
}

export const ports = { preview, dial, tunnel };
