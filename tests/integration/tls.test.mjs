// A deployment that speaks TLS: what it says of itself, what goes through, and new certificates.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import {
  call, createSandbox, destroySandbox, exec, isHealthy, shellOutput, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { Certificates } from '../support/certificate.mjs';
import { trust, trusted } from '../support/connections.mjs';
import {
  apiUrl, pidOf, readFacts, root, run, stateDir, supervise, until, wsUrl,
} from '../support/stack.mjs';
import { bytesOf, digest, get, hashOf, open, pattern, send } from '../support/transfer.mjs';
import { openClient, WebSocket } from '../support/websocket.mjs';

const MIB = 1024 * 1024;
const HANDSHAKE_LIMIT_MS = 10_000; // head_timeout_ms of gateway/http
const MARGIN_MS = 3000;
const HALF_OPEN = 200;
const FLOOD_MIB = 16;
const DOMAIN = 'preview.test';
const NAMES = `IP:127.0.0.1,DNS:*.${DOMAIN}`;
// The beginning of a ClientHello in a record of 512 bytes.
const GREETING = Buffer.from('1603010200010001fc0303', 'hex');

// Answers with the request's head, or to an upgrade with one message that comes back or, where
// that is asked for, with a flood.
const SERVER = `
import base64, hashlib, json, socket, threading
def serve(peer):
    data = b''
    while b'\\r\\n\\r\\n' not in data: data += peer.recv(4096)
    lines = [line.split(': ', 1) for line in data.decode().split('\\r\\n')[1:] if line]
    head = {name.lower(): value for name, value in lines}
    if 'sec-websocket-key' in head:
        accept = base64.b64encode(hashlib.sha1((head['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').encode()).digest())
        peer.sendall(b'HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\nSec-WebSocket-Accept: ' + accept + b'\\r\\n\\r\\n')
        if 'x-flood' in head:
            for sent in range(${FLOOD_MIB}):
                open('/tmp/sent', 'w').write(str(sent))
                peer.sendall(b'f' * 1048576)
            peer.close()
            return
        first, mask = peer.recv(2), peer.recv(4)
        body = bytes(byte ^ mask[i % 4] for i, byte in enumerate(peer.recv(first[1] & 127)))
        peer.sendall(bytes([0x81, len(body)]) + body)
    else:
        body = json.dumps(head).encode()
        peer.sendall(b'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(body) + body)
    peer.close()
server = socket.create_server(('127.0.0.1', 8000), backlog=64)
while True: threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
`;

const files = new Certificates();

const deploy = (command, settings = {}) => run(path.join(root, 'deploy', command), [], {
  timeoutMs: 300_000, env: { ...process.env, ...settings },
});
const secure = (settings = {}) => ({ ...files.settings, PREVIEW_DOMAIN: DOMAIN, ...settings });

async function deployWith(settings) {
  const { code, stdout, stderr } = await deploy('up', settings);
  assert.equal(code, 0, stderr);
  readFacts();
  await whenHealthy();
  return stdout;
}

const address = (url = apiUrl) => ({ host: '127.0.0.1', port: Number(new URL(url).port) });

// Resolves to {protocol, name} of a session, or to {error} of one that does not come about.
function greet(options = {}, url = apiUrl) {
  return new Promise((resolve) => {
    const socket = tls.connect({ ...address(url), ...trusted(), ...options });
    socket.on('secureConnect', () => {
      resolve({ protocol: socket.getProtocol(), name: socket.getPeerCertificate().subject.CN, alpn: socket.alpnProtocol });
      socket.destroy();
    });
    socket.on('error', (error) => resolve({ error: error.code }));
  });
}

// A plain connection that sends these bytes; ended resolves to {ms, text} when the server ends it.
function knock(bytes, { halfClose = false, every = null } = {}) {
  const began = performance.now();
  const socket = net.connect({ ...address(), allowHalfOpen: true });
  let text = '';
  socket.on('data', (data) => { text += data.toString('latin1'); });
  socket.on('error', () => {}); // a close always follows
  socket.write(bytes);
  const timer = every === null ? undefined : setInterval(() => socket.write('\0'), every);
  if (halfClose) {
    socket.end();
  }
  const ended = new Promise((resolve) => {
    const finish = () => {
      clearInterval(timer);
      socket.destroy();
      resolve({ ms: performance.now() - began, text });
    };
    socket.on('end', finish);
    socket.on('close', finish);
  });
  return { socket, ended };
}

const logSince = (time) => readFileSync(path.join(stateDir, 'log/gateway/current'), 'utf8').split('\n')
  .filter((line) => line.startsWith('{')).map((line) => JSON.parse(line)).filter((line) => line.time >= time);

describe('with a certificate', () => {
  let id;
  let facts;

  before(async () => {
    trust([await files.make('first', NAMES), await files.make('second', NAMES)]);
    files.use('first.pem');
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    facts = await deployWith(secure());
    await whenUsable(id);
  });
  after(async () => {
    await deployWith({});
    await whenUsable(id);
    const { headers } = await call('GET', '/health', { key: null });
    assert.equal(headers['strict-transport-security'], undefined, 'without TLS nobody is sent there');
    assert.doesNotMatch(headers['content-security-policy'], /upgrade-insecure-requests/);
    await destroySandbox(id);
    files.remove();
  });

  describe('the deployment', () => {
    it('tells addresses of TLS, and the line that it prints works', async () => {
      assert.match(apiUrl, /^https:\/\/127\.0\.0\.1:\d+$/);
      assert.match(wsUrl, /^wss:\/\/127\.0\.0\.1:\d+$/);
      assert.ok(facts.includes(`URL      ${apiUrl}\n`));
      const line = facts.split('\n').find((text) => text.startsWith('curl '));
      const result = await run('sh', ['-c', line], { env: { ...process.env, CURL_CA_BUNDLE: files.path('first.pem') } });
      assert.equal(result.code, 0, result.stderr);
      assert.match(JSON.parse(result.stdout).stdout, /^Linux /);
      const { json } = await call('GET', '/sandbox?limit=1');
      await destroySandbox(json.sandboxes[0].sandboxId);
    });

    it('is well to status, which is not told of the certificate', async () => {
      const { code, stdout } = await deploy('status');
      assert.equal(code, 0, stdout);
      assert.match(stdout, /^gateway +ok/m);
    });

    it('is not stopped for files that its user can not read', async () => {
      const pid = await pidOf('gateway');
      writeFileSync(files.path('locked.key'), readFileSync(files.path('first.key')));
      chmodSync(files.path('locked.key'), 0o600);
      const unfit = [
        [{ TLS_KEY_FILE: files.path('locked.key') }, /TLS_KEY_FILE .*locked\.key.*can't read/],
        [{ TLS_CERT_FILE: files.path('nowhere.pem') }, /TLS_CERT_FILE .*nowhere\.pem.*can't read/],
        [{ TLS_CERT_FILE: 'used.pem' }, /TLS_CERT_FILE .*absolute path/],
        [{ TLS_KEY_FILE: '' }, /need each other/],
      ];
      for (const [settings, sentence] of unfit) {
        const { code, stderr } = await deploy('up', secure(settings));
        assert.notEqual(code, 0);
        assert.match(stderr, sentence);
      }
      assert.equal(await pidOf('gateway'), pid);
      assert.ok(await isHealthy());
      assert.equal((await deploy('status')).code, 0);
    });
  });

  describe('sessions', () => {
    it('are of TLS 1.2 and up, with HTTP/1.1, on both ports', async () => {
      const old = { ciphers: 'DEFAULT@SECLEVEL=0', minVersion: 'TLSv1' };
      for (const url of [apiUrl, wsUrl]) {
        for (const version of ['TLSv1', 'TLSv1.1']) {
          const { error } = await greet({ ...old, maxVersion: version }, url);
          assert.equal(error, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION', version);
        }
        for (const version of ['TLSv1.2', 'TLSv1.3']) {
          assert.equal((await greet({ maxVersion: version }, url)).protocol, version);
        }
        assert.equal((await greet({ ALPNProtocols: ['h2', 'http/1.1'] }, url)).alpn, 'http/1.1');
      }
    });

    it('are not renegotiated', async () => {
      const socket = tls.connect({ ...address(), ...trusted(), maxVersion: 'TLSv1.2' });
      await new Promise((resolve) => { socket.once('secureConnect', resolve); });
      const error = await new Promise((resolve) => {
        socket.on('error', resolve);
        socket.renegotiate({}, resolve);
      });
      assert.match(error.code, /NO_RENEGOTIATION/);
      socket.destroy();
    });

    it('are asked for: plain HTTP gets no answer and no wait', async () => {
      const { ms, text } = await knock('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n').ended;
      assert.doesNotMatch(text, /HTTP/);
      assert.ok(ms < MARGIN_MS, `${ms} ms`);
    });

    it('that do not get anywhere end in time and keep nobody waiting', async () => {
      const halfClosed = knock(GREETING, { halfClose: true });
      const others = [
        ...Array.from({ length: HALF_OPEN }, () => knock(GREETING)),
        knock(''), knock(GREETING, { every: 100 }),
      ];
      for (let i = 0; i < 20; i++) {
        const began = performance.now();
        assert.equal((await call('GET', '/health', { key: null, agent: false })).status, 200);
        assert.ok(performance.now() - began < 1000, 'an answer while others greet');
      }
      assert.ok((await halfClosed.ended).ms < MARGIN_MS);
      for (const { ms } of await Promise.all(others.map(({ ended }) => ended))) {
        assert.ok(ms > HANDSHAKE_LIMIT_MS / 2 && ms < HANDSHAKE_LIMIT_MS + MARGIN_MS, `${ms} ms`);
      }
    });
  });

  describe('REST and WebSocket', () => {
    it('answers bind browsers to TLS', async () => {
      const { status, headers } = await call('GET', '/health', { key: null });
      assert.equal(status, 200);
      assert.equal(headers['strict-transport-security'], 'max-age=31536000; includeSubDomains');
      assert.match(headers['content-security-policy'], /;upgrade-insecure-requests$/);
    });

    it('128 MiB go up and come down, whole', async () => {
      const size = 128 * MIB;
      const url = `/sandbox/${id}/files?path=/app/large`;
      const up = await send('PUT', url, pattern(size), { headers: { 'Content-Length': size } });
      assert.equal(up.status, 201, up.text);
      assert.equal((await exec(id, 'sha256sum', ['/app/large'])).stdout.slice(0, 64), hashOf(pattern(size)));
      assert.deepEqual(await digest(url), { status: 200, size, hash: hashOf(pattern(size)) });
    });

    it('a command takes input and streams its output', async () => {
      const client = await openClient(id);
      const { stream, answer } = client.open({ type: 'exec', cmd: 'tee', args: ['/dev/stderr'], stream: true, stdinOpen: true });
      assert.equal((await answer).type, 'execResponse');
      const bytes = Buffer.concat([...pattern(4 * MIB)]);
      const [all] = await Promise.all([stream.collect(), stream.write(bytes).then(() => stream.fin())]);
      assert.deepEqual([all.exit.exitCode, all.stdout.equals(bytes), all.stderr.equals(bytes)], [0, true, true]);
      await client.close();
    });

    it('a signed URL is of TLS and serves without a key', async () => {
      const body = { path: '/app/signed', op: 'upload', ttlS: 60 };
      const upload = await call('POST', `/sandbox/${id}/files/url`, { body });
      assert.ok(upload.json.url.startsWith(`${apiUrl}/files/`), upload.text);
      assert.equal((await send('PUT', upload.json.url, ['signed'], { key: null })).status, 201);
      const download = await call('POST', `/sandbox/${id}/files/url`, { body: { ...body, op: 'download' } });
      assert.equal((await get(download.json.url, { key: null })).bytes.toString(), 'signed');
    });
  });

  describe('previews', () => {
    const expose = async (visibility) => {
      const reply = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort: 8000, visibility } });
      assert.equal(reply.status, 200, reply.text);
      const { protocol, host } = new URL(reply.json.previewUrl);
      assert.deepEqual([protocol, host], ['https:', `8000-${id.replaceAll('-', '')}.${DOMAIN}:${address().port}`]);
      return { ...reply.json, host };
    };
    // By the Host header, so that no name needs to be looked up; the certificate is held against it.
    const through = ({ host }, url, headers = {}) => get(url, { key: null, headers: { Host: host, ...headers } });

    before(async () => {
      await exec(id, 'python3', ['-c', SERVER], { background: true });
      const exposed = await expose('public');
      await until('it listens', async () => (await through(exposed, '/')).status === 200, 10_000);
    });

    it('tell the program that the client uses TLS', async () => {
      const { bytes, headers } = await through(await expose('public'), '/');
      const seen = JSON.parse(bytes);
      assert.deepEqual([seen['x-forwarded-proto'], seen['x-forwarded-port']], ['https', String(address().port)]);
      assert.equal(headers['strict-transport-security'], undefined, 'none of our own headers');
    });

    it('carry a WebSocket', async () => {
      const { host } = await expose('public');
      const socket = new WebSocket(apiUrl.replace('http', 'ws'), { headers: { Host: host }, ...trusted() });
      const echo = await new Promise((resolve, reject) => {
        socket.on('open', () => socket.send('through and back'));
        socket.on('message', (data) => resolve(data.toString()));
        socket.on('error', reject);
      });
      assert.equal(echo, 'through and back');
      socket.terminate();
    });

    it('carry on for a client that has ended its side', { timeout: 30_000 }, async () => {
      const { host } = await expose('public');
      const socket = tls.connect({ ...address(), ...trusted(), servername: host.split(':')[0], allowHalfOpen: true });
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nX-Flood: yes\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`
        + 'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
      await once(socket, 'readable'); // and nothing is read
      let sent = null;
      await until('the program is held back', async () => {
        const before = sent;
        sent = await shellOutput(id, 'cat /tmp/sent');
        return sent === before;
      }, 10_000);
      socket.end();
      await once(socket, 'finish');
      let size = 0;
      for await (const piece of socket) {
        size += piece.length;
      }
      assert.ok(size > FLOOD_MIB * MIB, `${size} bytes`);
    });

    it('with a token keep their cookie to TLS', async () => {
      const exposed = await expose('token');
      assert.equal((await through(exposed, '/')).status, 401);
      const { status, headers } = await through(exposed, `/?preview_token=${exposed.token}`);
      assert.equal(status, 302);
      const [cookie, ...attributes] = headers['set-cookie'][0].split('; ');
      assert.ok(attributes.includes('Secure'), headers['set-cookie'][0]);
      assert.equal((await through(exposed, '/', { Cookie: cookie })).status, 200);
    });
  });

  describe('new files', () => {
    it('serve new connections, and what is open goes on', async () => {
      const client = await openClient(id);
      const script = 'seq 100000; read line; seq 100001 200000';
      const { stream, answer } = client.open({ type: 'exec', cmd: 'bash', args: ['-c', script], stream: true, stdinOpen: true });
      await answer;
      const first = await stream.until('\n100000\n');
      const reply = await open('GET', `/sandbox/${id}/files?path=/app/large`);
      files.use('second.pem');
      await supervise('hup', 'gateway');
      await until('the new one is shown', async () => (await greet()).name === 'second', 5000);
      assert.equal((await greet({}, wsUrl)).name, 'second');
      await stream.write('go on\n');
      const { stdout, exit } = await stream.collect();
      const numbers = Array.from({ length: 200_000 }, (_, i) => `${i + 1}\n`).join('');
      assert.deepEqual([Buffer.concat([first, stdout]).toString() === numbers, exit.exitCode], [true, 0]);
      const hash = createHash('sha256').update(await bytesOf(reply)).digest('hex');
      assert.equal(hash, hashOf(pattern(128 * MIB)));
      await client.close();
    });

    const broken = [
      ['a certificate that is none', () => writeFileSync(files.path('used.pem'), 'no certificate\n'), /used\.pem: \w+/],
      ['the key of another', () => files.use('second.pem', 'first.key'), /used\.key: .*mismatch/],
      ['a key that must not be read', () => chmodSync(files.path('used.key'), 0o600), /used\.key: Permission denied/],
    ];
    for (const [what, breakIt, reason] of broken) {
      it(`that will not do change nothing, and the log says why: ${what}`, async () => {
        const pid = await pidOf('gateway');
        const began = new Date().toISOString();
        breakIt();
        await supervise('hup', 'gateway');
        const line = await until('it is logged', () => logSince(began).find(({ event }) => event === 'tls.not_reloaded'), 5000);
        assert.match(line.error, reason);
        assert.equal((await greet()).name, 'second');
        assert.equal(await pidOf('gateway'), pid);
        files.use('second.pem');
      });
    }

    it('that will not do are what up says when the gateway begins with them', async () => {
      files.use('second.pem', 'first.key');
      const { code, stderr } = await deploy('up', secure({ LOG_LEVEL: 'debug' }));
      assert.notEqual(code, 0);
      assert.match(stderr, /gateway keeps ending: .*used\.key: .*mismatch/);
      files.use('second.pem');
      await deployWith(secure());
      assert.equal((await greet()).name, 'second');
      assert.equal((await exec(id, 'echo', ['still here'])).stdout, 'still here\n');
    });
  });
});
