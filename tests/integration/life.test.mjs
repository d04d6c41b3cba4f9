import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { assertError, call, destroySandbox, exec, sandboxFor } from '../support/api.mjs';
import { apiUrl, docker, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const statusOf = async (id) => (await call('GET', `/sandbox/${id}/status`)).json;
const containerOf = async (id) => (await docker('inspect', '-f', '{{.State.Status}}', `insien-${id}`)).trim();
const act = (id, what, body) => call('POST', `/sandbox/${id}/${what}`, body === undefined ? {} : { body });

async function actWell(id, what, body) {
  const reply = await act(id, what, body);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

describe('the time and rest of sandboxes', { concurrency: 6 }, () => {
  it('a frozen sandbox keeps its processes, and its clock stands', async (t) => {
    const id = await sandboxFor(t);
    const { pid } = await exec(id, 'sleep', ['600'], { background: true });
    const paused = await actWell(id, 'pause');
    assert.equal(paused.status, 'paused');
    assert.equal(paused.pauseMode, 'freeze');
    assert.equal(paused.expiresAt, null);
    assert.equal(await containerOf(id), 'paused');
    assert.equal((await actWell(id, 'pause')).status, 'paused');
    assert.equal((await statusOf(id)).status, 'paused');
    const resumed = await actWell(id, 'resume');
    assert.equal(resumed.status, 'running');
    assert.ok(Date.parse(resumed.expiresAt) > Date.now());
    assert.equal((await exec(id, 'kill', ['-0', String(pid)])).exitCode, 0);
  });

  it('a sandbox that rests on disk keeps its files alone', async (t) => {
    const id = await sandboxFor(t);
    await exec(id, 'sh', ['-c', 'echo kept > /tmp/kept']);
    assert.equal((await actWell(id, 'pause', { mode: 'disk' })).pauseMode, 'disk');
    assert.equal(await containerOf(id), 'exited');
    assert.equal((await actWell(id, 'resume')).status, 'running');
    assert.equal((await exec(id, 'cat', ['/tmp/kept'])).stdout, 'kept\n');
  });

  for (const mode of ['freeze', 'disk']) {
    it(`a request to the agent wakes it (${mode}), also many at once`, async (t) => {
      const id = await sandboxFor(t);
      await actWell(id, 'pause', { mode });
      const results = await Promise.all(Array.from({ length: 20 }, () => exec(id, 'echo', ['awake'])));
      assert.ok(results.every(({ stdout }) => stdout === 'awake\n'));
      assert.equal((await statusOf(id)).status, 'running');
    });
  }

  it('opposite wishes at once are each carried out once', async (t) => {
    const ROUNDS = 10;
    const id = await sandboxFor(t);
    for (let i = 0; i < ROUNDS; i += 1) {
      await Promise.all(['resume', 'pause'].map((what) => actWell(id, what)));
    }
    const { json } = await call('GET', `/sandbox/${id}/events?limit=100`, { headers: { Accept: 'application/json' } });
    for (const status of ['pausing', 'resuming']) {
      assert.ok(json.events.filter((event) => event.status === status && event.previousStatus !== status).length <= ROUNDS, JSON.stringify(json.events));
    }
  });

  it('without autoResume it stays paused', async (t) => {
    const id = await sandboxFor(t);
    await actWell(id, 'timeout', { autoResume: false });
    await actWell(id, 'pause');
    assertError(await act(id, 'exec', { cmd: 'true' }), 409, 'sandbox_paused');
    await actWell(id, 'resume');
  });

  it('a sandbox can be destroyed while it is paused', async (t) => {
    for (const mode of ['freeze', 'disk']) {
      const id = await sandboxFor(t);
      await actWell(id, 'pause', { mode });
      await destroySandbox(id);
      await until('it is gone', async () => (await statusOf(id)).status === 'destroyed', 10_000);
    }
  });

  it('its time ends it to the second, or pauses it', async (t) => {
    const ends = await sandboxFor(t);
    const rests = await sandboxFor(t);
    const began = Date.now();
    const { expiresAt } = await actWell(ends, 'timeout', { timeoutMs: 2000 });
    assert.ok(Math.abs(Date.parse(expiresAt) - began - 2000) < 1000);
    await actWell(rests, 'timeout', { timeoutMs: 2000, onTimeout: 'pause' });
    await until('its end', async () => (await statusOf(ends)).status !== 'running', 10_000);
    const took = Date.now() - began;
    assert.ok(took >= 1900 && took < 3500, `${took} ms`);
    assert.equal((await statusOf(ends)).endReason, 'timeout');
    await until('its rest', async () => (await statusOf(rests)).status === 'paused', 10_000);
    assert.equal((await exec(rests, 'echo', ['back'])).stdout, 'back\n');
  });

  it('an idle sandbox ends, one with a command does not', async (t) => {
    const idle = await sandboxFor(t);
    const busy = await sandboxFor(t);
    await exec(busy, 'sleep', ['600'], { background: true });
    await Promise.all([idle, busy].map((id) => actWell(id, 'timeout', { idleTimeoutMs: 10_000 })));
    await until('its end', async () => (await statusOf(idle)).endReason === 'idle', 20_000);
    assert.equal((await statusOf(busy)).status, 'running');
  });

  it('a container that somebody else wakes rests again', async (t) => {
    const id = await sandboxFor(t);
    await actWell(id, 'pause');
    await docker('unpause', `insien-${id}`);
    await until('it is paused again', async () => await containerOf(id) === 'paused', 20_000);
    assert.equal((await statusOf(id)).status, 'paused');
  });

  const SERVER = 'import http.server, os; os.chdir("/"); http.server.HTTPServer(("127.0.0.1", 8000), http.server.SimpleHTTPRequestHandler).serve_forever()';

  it('a visitor of a preview or a host port wakes it, and whoever has a signed URL', async (t) => {
    const id = await sandboxFor(t, { template: 'base' });
    await exec(id, 'python3', ['-c', SERVER], { background: true });
    const exposed = await act(id, 'expose', { containerPort: 8000, visibility: 'public' });
    assert.equal(exposed.status, 200, exposed.text);
    const { hostPort } = exposed.json;
    const preview = () => fetch(`${apiUrl}/preview/${id}/8000/etc/hostname`).then((reply) => reply.status);
    const direct = () => fetch(`http://127.0.0.1:${hostPort}/etc/hostname`).then((reply) => reply.status);
    const signed = await act(id, 'files/url', { path: '/etc/hostname', op: 'download' });
    assert.equal(signed.status, 200, signed.text);
    const download = () => fetch(signed.json.url).then((reply) => reply.status);
    await until('the program listens', async () => await preview() === 200, 15_000);
    for (const visit of [preview, direct, download]) {
      await actWell(id, 'pause');
      assert.equal(await visit(), 200);
      await until('it runs', async () => (await statusOf(id)).status === 'running', 10_000);
    }
    await actWell(id, 'pause', { mode: 'disk' });
    assert.equal(await download(), 200);
    await actWell(id, 'pause', { mode: 'disk' });
    assert.equal(await preview(), 502); // the program ended with its memory
    assert.equal((await statusOf(id)).status, 'running');
  });

  it('a port is exposed while it rests on disk, and is there when it is back', async (t) => {
    const id = await sandboxFor(t);
    await actWell(id, 'pause', { mode: 'disk' });
    const { hostPort } = await actWell(id, 'expose', { containerPort: 8001, visibility: 'public' });
    assert.equal((await statusOf(id)).status, 'paused');
    await exec(id, 'sh', ['-c', 'echo served | nc -l -p 8001'], { background: true });
    await until('it is served', async () => {
      const reply = await new Promise((resolve) => {
        const socket = connect(hostPort, '127.0.0.1');
        let text = '';
        socket.on('data', (bytes) => { text += bytes; });
        socket.on('error', () => {});
        socket.on('close', () => resolve(text));
      });
      return reply === 'served\n';
    }, 15_000);
  });

  for (const mode of ['freeze', 'disk']) {
    it(`a message on an open WebSocket wakes it (${mode}), and is answered`, async (t) => {
      const id = await sandboxFor(t);
      const client = await openClient(id);
      await actWell(id, 'pause', { mode });
      const replies = await Promise.all(['1', '2', '3'].map((word) => client.request({ type: 'exec', cmd: 'echo', args: [word] })));
      assert.deepEqual(replies.map(({ stdout }) => stdout), ['1\n', '2\n', '3\n'], JSON.stringify(replies));
      await client.close();
    });

    it(`one that is not to be woken by visitors is not (${mode})`, async (t) => {
      const id = await sandboxFor(t, { autoResume: false });
      const { hostPort } = await actWell(id, 'expose', { containerPort: 8000, visibility: 'public' });
      const client = await openClient(id);
      await actWell(id, 'pause', { mode });
      const reply = await fetch(`${apiUrl}/preview/${id}/8000/`, { headers: { Accept: 'application/json' } });
      assert.deepEqual([reply.status, (await reply.json()).code], [503, 'sandbox_paused']);
      for (const word of ['1', '2']) {
        assert.equal((await client.request({ type: 'exec', cmd: 'echo', args: [word] })).code, 'sandbox_paused');
      }
      await assert.rejects(fetch(`http://127.0.0.1:${hostPort}/`));
      assert.equal((await statusOf(id)).status, 'paused');
      await actWell(id, 'resume');
      assert.equal((await client.request({ type: 'exec', cmd: 'echo', args: ['back'] })).stdout, 'back\n');
      await client.close();
    });
  }

  it('times can be asked for when it is made', async (t) => {
    const id = await sandboxFor(t, { idleTimeoutMs: 10_000, onTimeout: 'pause', autoResume: false });
    const { onTimeout, idleTimeoutMs, autoResume } = await actWell(id, 'timeout', {});
    assert.deepEqual({ onTimeout, idleTimeoutMs, autoResume }, { onTimeout: 'pause', idleTimeoutMs: 10_000, autoResume: false });
  });
});
