// The ports of the server that sandboxes share: none is given twice, none is lost, and there may be
// none at all.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import path from 'node:path';
import { after, describe, it } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, exec, sandboxFor, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { apiUrl, redis, root, run, sql, until } from '../support/stack.mjs';
import { get } from '../support/transfer.mjs';

const A_SANDBOX = 64; // ports, at most
const [first, last] = process.env.HOST_PORT_RANGE.split('-').map(Number);

const tryExpose = (id, containerPort) => call('POST', `/sandbox/${id}/expose`, { body: { containerPort, visibility: 'public' } });

async function expose(id, containerPort) {
  const reply = await tryExpose(id, containerPort);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

async function deployWith(settings) {
  const { code, stdout, stderr } = await run(path.join(root, 'deploy/up'), [], {
    timeoutMs: 300_000, env: { ...process.env, ...settings },
  });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  await whenHealthy();
}

const countFree = async () => last - first + 1
  - Number(await sql(`SELECT count(*) FROM ports WHERE host_port BETWEEN ${first} AND ${last}`));

describe('the range of ports', () => {
  it('is used up to its last port, says so, and gives what was freed again', async (t) => {
    const taken = new Map(); // hostPort to [sandbox, containerPort]
    const free = await countFree();
    const ids = await Promise.all(Array.from({ length: Math.ceil((free + 1) / A_SANDBOX) }, () => sandboxFor(t)));
    const replies = [];
    for (let i = 0; i <= free; i += 1) {
      const id = ids[Math.floor(i / A_SANDBOX)];
      const reply = await tryExpose(id, 1000 + (i % A_SANDBOX));
      replies.push(reply);
      if (reply.status === 200) {
        taken.set(reply.json.hostPort, [id, 1000 + (i % A_SANDBOX)]);
      }
    }
    assert.equal(taken.size, free, 'each port once');
    assert.ok([...taken.keys()].every((port) => port >= first && port <= last));
    assertError(replies.at(-1), 503, 'host_ports_exhausted');
    const [port, [id, containerPort]] = [...taken].at(Math.floor(free / 2));
    assert.equal((await call('DELETE', `/sandbox/${id}/ports/${containerPort}`)).status, 200);
    assert.equal((await expose(ids.at(-1), 2000)).hostPort, port);
  });

  it('of one sandbox ends before the server\'s does', async (t) => {
    const id = await sandboxFor(t);
    const free = await countFree();
    for (let i = 0; i < Math.min(A_SANDBOX, free); i += 1) {
      await expose(id, 1000 + i);
    }
    const { status, json } = await tryExpose(id, 5000);
    assert.deepEqual([status, json.code], free >= A_SANDBOX ? [429, 'port_quota_exceeded'] : [503, 'host_ports_exhausted']);
  });

  it('has a row for each port, which goes with its sandbox', async () => {
    const { sandboxId } = await createSandbox();
    const { hostPort } = await expose(sandboxId, 8080);
    assert.equal(await sql(`SELECT container_port || ' ' || host_port FROM ports WHERE sandbox_id = '${sandboxId}'`), `8080 ${hostPort}`);
    await destroySandbox(sandboxId);
    assert.equal(await sql(`SELECT count(*) FROM ports WHERE sandbox_id = '${sandboxId}'`), '0');
  });

  it('passes over a port that somebody else on the machine has', async (t) => {
    const id = await sandboxFor(t);
    const { hostPort } = await expose(id, 8080);
    await call('DELETE', `/sandbox/${id}/ports/8080`);
    const others = net.createServer().listen(hostPort, '127.0.0.1');
    await once(others, 'listening');
    t.after(() => others.close());
    const free = await countFree();
    const ports = await Promise.all(Array.from({ length: Math.min(A_SANDBOX, free - 1) }, (_, i) => expose(id, 1000 + i)));
    assert.ok(ports.every((port) => port.hostPort !== null && port.hostPort !== hostPort));
  });

  it('is remembered by the database, not by Redis', async (t) => {
    const id = await sandboxFor(t);
    const before = await expose(id, 8080);
    await redis('FLUSHALL');
    assert.deepEqual((await call('GET', `/sandbox/${id}/ports`)).json.ports.map(({ hostPort }) => hostPort), [before.hostPort]);
    assert.equal((await expose(id, 8080)).hostPort, before.hostPort);
  });
});

describe('without a range', () => {
  after(() => deployWith({}));

  it('ports are seen through previews alone', async (t) => {
    const id = await sandboxFor(t, { template: 'base' });
    const { hostPort } = await expose(id, 8000);
    assert.ok(hostPort >= first);
    await deployWith({ HOST_PORT_RANGE: 'none' });
    await whenUsable(id);
    const exposed = await expose(id, 8000);
    assert.deepEqual([exposed.hostPort, exposed.url], [null, exposed.previewUrl]);
    await exec(id, 'python3', ['-m', 'http.server', '8000', '--bind', '127.0.0.1'], { background: true, cwd: '/etc' });
    const look = () => get('/hostname', { key: null, headers: { Host: new URL(exposed.previewUrl).host } });
    await until('it is seen', async () => (await look()).status === 200, 10_000);
    const taken = net.connect({ port: hostPort, host: '127.0.0.1' });
    const [error] = await once(taken, 'error');
    assert.equal(error.code, 'ECONNREFUSED', 'nobody listens on the port it had');
    assert.ok((await get(exposed.previewPath + 'hostname', { key: null, base: apiUrl })).status === 200);
  });
});
