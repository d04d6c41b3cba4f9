import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, exec, sandboxFor, whenUsable,
} from '../support/api.mjs';
import { kill9, until } from '../support/stack.mjs';

const ECHO = `
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(65536):
            self.request.sendall(data)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(('127.0.0.1', 7000), Echo).serve_forever()
`;

// Sends all, half-closes, and resolves to all that came back.
function talk(port, bytes) {
  return new Promise((resolve, reject) => {
    const chunks = [];
    const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.end(bytes));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', reject);
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.setTimeout(30_000, () => socket.destroy(new Error('no answer in 30 s')));
  });
}

// Whether somebody listens on the port. One that is connected and reset at once may show as reset.
function answers(port) {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1' });
    socket.on('connect', () => { socket.destroy(); resolve(true); });
    socket.on('error', ({ code }) => resolve(code !== 'ECONNREFUSED'));
  });
}

async function expose(id, containerPort, visibility) {
  const reply = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort, visibility } });
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

async function startEcho(id) {
  await exec(id, 'python3', ['-c', ECHO], { background: true });
}

test('a port of a sandbox without a network is reached over a port of the server', async (t) => {
  const { sandboxId } = await createSandbox({ template: 'base', network: 'none' });
  t.after(() => destroySandbox(sandboxId));
  await startEcho(sandboxId);
  const port = await expose(sandboxId, 7000);
  assert.equal(port.url, `http://127.0.0.1:${port.hostPort}`);
  assert.match(port.previewUrl, new RegExp(`^http://7000-${sandboxId.replaceAll('-', '')}\\.localhost(:\\d+)?$`));
  assert.equal(port.previewPath, `/preview/${sandboxId}/7000/`);
  assert.match(port.token, /^[\w-]{43}$/);
  const sent = Buffer.alloc(4 * 1024 * 1024, 'insien');
  const came = await until('the program listens', () => talk(port.hostPort, sent).catch(() => false), 15_000);
  assert.ok(came.equals(sent));
});

test('exposing again changes the visibility and nothing else', async (t) => {
  const id = await sandboxFor(t);
  const first = await expose(id, 7000);
  const second = await expose(id, 7000, 'public');
  assert.equal(second.hostPort, first.hostPort);
  assert.equal(second.token, undefined);
  assert.equal((await expose(id, 7000)).token, first.token);
  const { json } = await call('GET', `/sandbox/${id}/ports`);
  assert.deepEqual(json.ports.map((port) => port.containerPort), [7000]);
});

test('a closed port is left at once, and its token is void', async (t) => {
  const id = await sandboxFor(t);
  const first = await expose(id, 7000);
  assert.ok(await answers(first.hostPort));
  const reply = await call('DELETE', `/sandbox/${id}/ports/7000`);
  assert.deepEqual(reply.json, { success: true, sandboxId: id, containerPort: 7000 });
  assert.ok(!await answers(first.hostPort));
  assertError(await call('DELETE', `/sandbox/${id}/ports/7000`), 404, 'port_not_found');
  assert.notEqual((await expose(id, 7000)).token, first.token);
});

test('the end of a sandbox frees its ports', async () => {
  const { sandboxId } = await createSandbox();
  const { hostPort } = await expose(sandboxId, 7000);
  await destroySandbox(sandboxId);
  await until('nobody listens', async () => !await answers(hostPort), 30_000);
  assertError(await call('GET', `/sandbox/${sandboxId}/ports`), 409, 'sandbox_ended');
  assertError(await call('POST', `/sandbox/${sandboxId}/expose`, { body: { containerPort: 7000 } }), 409, 'sandbox_ended');
});

test('ports exposed at the same time do not collide', async (t) => {
  const id = await sandboxFor(t);
  const ports = await Promise.all(Array.from({ length: 20 }, (_, i) => expose(id, 7100 + i)));
  assert.equal(new Set(ports.map((port) => port.hostPort)).size, 20);
});

test('a port is there again when the gateway was killed and came back', async (t) => {
  const id = await sandboxFor(t);
  const { hostPort } = await expose(id, 7000);
  await kill9('gateway');
  await whenUsable(id);
  await until('the port is listened on', () => answers(hostPort), 30_000);
  assert.equal((await expose(id, 7000)).hostPort, hostPort);
});
