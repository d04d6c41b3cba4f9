// What clients see while a part is down, and that it goes by itself when the part is back.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, exec, makeUser, tryExec, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { gatewayBeside } from '../support/gateway.mjs';
import { person } from '../support/people.mjs';
import { sessionToken, webhook } from '../support/session.mjs';
import { docker, kill9, redis, serviceExists, sql, supervise, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const tryCreate = () => call('POST', '/sandbox/create', { body: { template: 'tiny', network: 'none' } });

const degraded = (part) => until(`health says that ${part} is down`, async () => {
  const { status, json } = await call('GET', '/health', { key: null });
  return status === 503 && json.status === 'degraded' && json.services[part] === false && json.services;
}, 30_000);

describe('with one part down', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox());
  });
  after(() => destroySandbox(id));

  const during = async (part, check) => {
    await supervise('down', part);
    try {
      await degraded(part);
      await check();
    } finally {
      await supervise('up', part);
      await whenHealthy();
    }
    await whenUsable(id);
  };

  it('auth: known keys go on, new ones get 503', async () => {
    const key = await makeUser('free');
    await exec(id, 'true');
    await during('auth', async () => {
      assert.equal((await exec(id, 'echo', ['on'])).stdout, 'on\n');
      assertError(await call('GET', '/sandbox', { key }), 503, 'service_unavailable');
    });
    assert.equal((await call('GET', '/sandbox', { key })).status, 200);
  });

  it('sandbox: open sockets go on, creates get 503', async () => {
    const socket = await openClient(id);
    await during('sandbox', async () => {
      assert.equal((await socket.request({ type: 'exec', cmd: 'echo', args: ['on'] })).stdout, 'on\n');
      assertError(await tryCreate(), 503, 'service_unavailable');
    });
    await socket.close();
    const reply = await tryCreate();
    assert.equal(reply.status, 200, reply.text);
    await destroySandbox(reply.json.sandboxId);
  });

  it('redis: everything goes on, from the truth instead of the cache', async () => {
    await during('redis', async () => {
      assert.equal((await exec(id, 'echo', ['on'])).stdout, 'on\n');
      const { sandboxId } = await createSandbox();
      await destroySandbox(sandboxId);
    });
  });

  it('redis: who is signed in stays so and is counted, nobody signs in, and no key is made', async (t) => {
    const { port } = await gatewayBeside(t, { RATE_LIMIT_EXEMPT: '' });
    const counted = { base: `http://127.0.0.1:${port}`, agent: false };
    const sign = async (sub, sid) => ({ key: null, headers: { Authorization: `Bearer ${await sessionToken({ sub, sid })}` } });
    const [sub, sid, other] = [`user_${randomBytes(9).toString('hex')}`, `sess_${randomBytes(9).toString('hex')}`, `sess_${randomBytes(9).toString('hex')}`];
    assert.equal((await call('GET', '/sandbox', await sign(sub, sid))).status, 200);
    await during('redis', async () => {
      assert.equal((await call('GET', '/sandbox', await sign(sub, sid))).status, 200);
      assertError(await call('GET', '/sandbox', await sign(sub, other)), 503, 'rate_limit_unavailable');
      const { status, headers } = await call('GET', '/sandbox', { ...counted, ...await sign(sub, sid) });
      assert.deepEqual([status, headers['ratelimit-limit']], [200, '10'], 'by that gateway alone');
      const makeKey = await call('POST', '/api/keys', { body: {}, ...counted, ...await sign(sub, sid) });
      assertError(makeKey, 503, 'rate_limit_unavailable');
    });
    await until('one signs in again', async () => (await call('GET', '/sandbox', await sign(sub, other))).status === 200, 5000);
  });

  it('redis: a key that was revoked meanwhile closes its sockets when it is back', async () => {
    const key = await makeUser('free');
    const set = (value) => sql(`UPDATE api_keys SET revoked_at = ${value} WHERE prefix = '${key.slice(0, 12)}'`);
    const { sandboxId } = await createSandbox({}, key);
    const revoked = await openClient(sandboxId, { key });
    const other = await openClient(id);
    await during('redis', () => set('now()')); // nobody ever tells the gateway
    const late = new Promise((resolve) => { setTimeout(() => resolve({ code: 0 }), 20_000).unref(); });
    assert.equal((await Promise.race([revoked.closed, late])).code, 1008);
    assert.equal((await other.request({ type: 'exec', cmd: 'true' })).exitCode, 0);
    await other.close();
    await set('NULL');
    await destroySandbox(sandboxId, key);
  });

  it('postgres: what needs it gets 503', async () => {
    await during('postgres', async () => {
      assertError(await tryCreate(), 503, 'service_unavailable');
      assertError(await call('GET', '/sandbox'), 503, 'service_unavailable');
    });
    assert.equal((await call('GET', '/sandbox')).status, 200);
  });

  it('docker: creates get 503 and sandboxes stay usable', async (t) => {
    if (!await serviceExists('docker')) {
      t.skip('the engine is the machine\'s own and stays up');
      return;
    }
    await during('docker', async () => {
      assertError(await tryCreate(), 503, 'docker_unavailable');
      assert.equal((await exec(id, 'echo', ['on'])).stdout, 'on\n');
    });
  });
});

describe('an agent that is away', () => {
  it('is 503 agent_lost until it is back', async () => {
    const { sandboxId } = await createSandbox();
    await docker('pause', `insien-${sandboxId}`);
    try {
      await kill9('gateway');
      await whenHealthy();
      assertError(await tryExec(sandboxId, { cmd: 'true' }), 503, 'agent_lost');
      const { json } = await call('GET', `/sandbox/${sandboxId}/status`);
      assert.deepEqual([json.connected, json.status], [false, 'running']);
    } finally {
      await docker('unpause', `insien-${sandboxId}`);
    }
    await whenUsable(sandboxId);
    await destroySandbox(sandboxId);
  });
});

describe('Redis holds nothing that can not be made again', () => {
  it('FLUSHALL goes unnoticed', async () => {
    const { sandboxId } = await createSandbox();
    await redis('FLUSHALL');
    assert.equal((await exec(sandboxId, 'echo', ['on'])).stdout, 'on\n');
    assert.equal((await call('GET', `/sandbox/${sandboxId}/status`)).json.status, 'running');
    await destroySandbox(sandboxId);
    assert.equal(await sql(`SELECT status <> 'running' FROM sandboxes WHERE id = '${sandboxId}'`), 't');
  });

  it('a session that ended stays ended', async () => {
    const { sub, sid, ask } = await person();
    assert.equal((await ask('GET', '/sandbox?limit=1')).status, 200);
    assert.equal((await webhook({ type: 'session.revoked', userId: sub, sessionId: sid })).status, 200);
    await redis('FLUSHALL');
    await until('the session is refused', async () => (await ask('GET', '/sandbox?limit=1')).status === 401, 5000);
    assertError(await ask('GET', '/sandbox?limit=1'), 401, 'invalid_session');
  });
});
