// Connections through an exposed port, when what let them in is no longer good.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { apiUrl, until } from '../support/stack.mjs';

const PORT = 8300;
const CUT_MS = 1000;
const UNCUT_MS = 1500; // longer than a cut takes

// Says something to everybody and then holds the connection open.
const HOLDER = `
import base64, hashlib, socket, threading
def hold(peer):
    data = b''
    while b'\\r\\n\\r\\n' not in data:
        piece = peer.recv(4096)
        if not piece: return
        data += piece
    keys = [line.split(b': ')[1] for line in data.split(b'\\r\\n') if line.lower().startswith(b'sec-websocket-key')]
    if keys:
        accept = base64.b64encode(hashlib.sha1(keys[0] + b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest())
        peer.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + b'\\r\\n\\r\\n')
    else:
        peer.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\nhello')
    peer.recv(4096)
server = socket.create_server(('127.0.0.1', ${PORT}))
while True:
    threading.Thread(target=hold, args=(server.accept()[0],), daemon=True).start()
`;
const UPGRADE = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';

describe('an exposed port that changes', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    await exec(id, 'python3', ['-c', HOLDER], { background: true });
    await until('it listens', async () => (await exec(id, 'bash', ['-c', `exec 3<>/dev/tcp/127.0.0.1/${PORT}`])).exitCode === 0, 10_000);
  });
  after(() => destroySandbox(id));

  const expose = async (visibility) => {
    const reply = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort: PORT, visibility } });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  const close = async () => assert.equal((await call('DELETE', `/sandbox/${id}/ports/${PORT}`)).status, 200);

  // A connection that the program has answered; ended: when it ends, in whatever way.
  const connect = (to, headers) => new Promise((resolve, reject) => {
    const socket = net.connect(to);
    const ended = new Promise((over) => { socket.on('close', () => over(performance.now())); });
    let text = '';
    socket.setEncoding('latin1');
    socket.on('error', () => {}); // a close follows
    socket.on('data', (piece) => {
      text += piece;
      if (/^HTTP\/1\.1 (200|101) .*\r\n\r\n/s.test(text)) {
        resolve({ ended, destroy: () => socket.destroy() });
      }
    });
    socket.on('close', () => reject(new Error(`no answer: ${text}`)));
    socket.write(`GET / HTTP/1.1\r\n${headers}\r\n`);
  });

  const connectAll = async (exposed) => {
    const { host } = new URL(exposed.previewUrl);
    const { hostname, port } = new URL(apiUrl);
    const gateway = { host: hostname, port };
    const headers = `Host: ${host}\r\n${exposed.token === undefined ? '' : `X-Preview-Token: ${exposed.token}\r\n`}`;
    return {
      answer: await connect(gateway, headers),
      websocket: await connect(gateway, headers + UPGRADE),
      tunnel: await connect({ host: '127.0.0.1', port: exposed.hostPort }, 'Host: a\r\n'),
    };
  };

  const mustEnd = async (connections, since) => {
    for (const [name, { ended }] of Object.entries(connections)) {
      const late = new Promise((resolve) => { setTimeout(() => resolve(Infinity), CUT_MS).unref(); });
      assert.ok(await Promise.race([ended, late]) - since < CUT_MS, `${name} goes on`);
    }
  };

  it('cuts who came without a token when it wants one', async () => {
    const connections = await connectAll(await expose('public'));
    const since = performance.now();
    await expose('token');
    await mustEnd(connections, since);
  });

  it('keeps who came by a token that stays good', async () => {
    const connections = await connectAll(await expose('token'));
    await expose('public');
    const ends = Object.values(connections).map(({ ended }) => ended);
    const quiet = new Promise((resolve) => { setTimeout(() => resolve('quiet'), UNCUT_MS); });
    assert.equal(await Promise.race([...ends, quiet]), 'quiet');
    Object.values(connections).forEach(({ destroy }) => destroy());
  });

  it('cuts who came by a token that is void', async () => {
    await close();
    const connections = await connectAll(await expose('token'));
    const since = performance.now();
    await close();
    const { token } = await expose('token');
    await mustEnd(connections, since);
    assert.ok(token.length > 0);
  });

  it('cuts everybody when it is closed', async () => {
    const connections = await connectAll(await expose('public'));
    const since = performance.now();
    await close();
    await mustEnd(connections, since);
  });
});
