// Containers that wait for somebody who wants one: what the client sees of them is that they are
// quick.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, shellOutput, whenHealthy, whenUsable } from '../support/api.mjs';
import { docker, kill9, nothingIsOrphaned, sql, supervise, until, withSettings } from '../support/stack.mjs';

const KEPT = 2;
const IMAGE = 'insien/tiny:latest';
const ask = { template: 'tiny', network: 'none' };

const waiting = async (template = 'tiny') => (await sql(
  `SELECT id FROM warm_sandboxes WHERE status = 'ready' AND template = '${template}' ORDER BY ready_at`,
)).split('\n').filter(Boolean);
const whenFull = () => until('the pool is full', async () => (await waiting()).length === KEPT, 60_000);
// It was started anew, and the gateway has found it.
const whenBack = () => until('the sandbox-service answers', async () => (await call('GET', '/sandbox')).status === 200, 30_000);
const wasWaiting = async (id) => await sql(`SELECT create_id IS NOT NULL FROM sandboxes WHERE id = '${id}'`) === 't';

describe('a pool', () => {
  let giveBack;
  before(async () => {
    giveBack = await withSettings('sandbox', { WARM_POOLS: `tiny/none/enterprise=${KEPT},base-locked/none/enterprise=1`, WARM_POOL_CONCURRENCY: '2' });
    await whenBack();
  });
  after(async () => {
    await giveBack();
    await whenBack();
    await until('nobody waits any more', async () => await sql('SELECT count(*) FROM warm_sandboxes') === '0', 60_000);
    await nothingIsOrphaned();
  });

  it('gives the container that waited longest, with the environment that was asked for', async () => {
    await whenFull();
    const [oldest] = await waiting();
    const { sandboxId } = await createSandbox({ ...ask, env: { GREETING: 'good day' } });
    assert.equal(sandboxId, oldest);
    assert.equal(await shellOutput(sandboxId, 'echo $GREETING'), 'good day');
    const { json } = await call('GET', `/sandbox/${sandboxId}/status`);
    assert.equal(json.status, 'running');
    await destroySandbox(sandboxId);
  });

  it('is filled up again', async () => {
    await whenFull();
    const { sandboxId } = await createSandbox(ask);
    await whenFull();
    assert.ok(!(await waiting()).includes(sandboxId));
    await destroySandbox(sandboxId);
  });

  it('is nobody\'s: no list, status or command knows those that wait', async () => {
    await whenFull();
    const [id] = await waiting();
    assert.equal((await call('GET', `/sandbox/${id}/status`)).status, 404);
    assert.equal((await call('POST', `/sandbox/${id}/exec`, { body: { cmd: 'id' } })).status, 404);
    assert.equal((await call('DELETE', `/sandbox/${id}`)).status, 404);
    const { status, json } = await call('GET', '/sandbox?limit=100');
    assert.equal(status, 200);
    assert.ok(!JSON.stringify(json).includes(id));
  });

  it('serves what is run once, too', async () => {
    await until('one of base-locked waits', async () => (await waiting('base-locked')).length === 1, 60_000);
    const [id] = await waiting('base-locked');
    const { json, text } = await call('POST', '/sandbox/execute', { body: { language: 'bash', code: 'read -r n; echo $((n * 2))', input: '21' } });
    assert.equal(json.stdout, '42\n', text);
    assert.ok(await wasWaiting(id));
    await until('it is gone', async () => await sql(`SELECT status FROM sandboxes WHERE id = '${id}'`) === 'destroyed', 30_000);
  });

  it('that runs dry degrades to containers that are started', async () => {
    await whenFull();
    const made = await Promise.all(Array.from({ length: KEPT + 3 }, () => createSandbox(ask)));
    const ids = made.map(({ sandboxId }) => sandboxId);
    assert.equal(new Set(ids).size, ids.length);
    await Promise.all(ids.map((id) => exec(id, 'true')));
    await Promise.all(ids.map((id) => destroySandbox(id)));
  });

  it('of which one was killed behind our back gives the next', async () => {
    await whenFull();
    const [dead] = await waiting();
    await docker('kill', `insien-${dead}`);
    const { sandboxId } = await createSandbox(ask);
    assert.notEqual(sandboxId, dead);
    assert.equal(await shellOutput(sandboxId, 'echo alive'), 'alive');
    await until('the dead one is gone', async () => await sql(`SELECT count(*) FROM warm_sandboxes WHERE id = '${dead}'`) === '0', 30_000);
    await destroySandbox(sandboxId);
  });

  it('answers a repeated create with the same sandbox', async () => {
    await whenFull();
    const key = `pool-${Date.now()}`;
    const create = () => call('POST', '/sandbox/create', { body: ask, headers: { 'Idempotency-Key': key } });
    const [first, second] = [await create(), await create()];
    assert.deepEqual([first.status, second.status], [200, 200], second.text);
    assert.equal(first.json.sandboxId, second.json.sandboxId);
    assert.ok(await wasWaiting(first.json.sandboxId));
    await destroySandbox(first.json.sandboxId);
  });

  it('answers a repeat whose first answer was not kept with the same sandbox, which it never ends', async () => {
    await whenFull();
    const headers = { 'Idempotency-Key': `pool-${Date.now()}` };
    const create = () => call('POST', '/sandbox/create', { body: { ...ask, autoResume: false }, headers });
    const { sandboxId } = (await create()).json;
    assert.ok(await wasWaiting(sandboxId));
    await sql(`UPDATE idempotency SET status = NULL, answer = NULL, claimed_until = now() WHERE resource_id =
      (SELECT create_id FROM sandboxes WHERE id = '${sandboxId}')`);
    assert.equal((await call('POST', `/sandbox/${sandboxId}/pause`)).status, 200);
    assertError(await create(), 503, 'agent_lost');
    assert.equal(await sql(`SELECT status FROM sandboxes WHERE id = '${sandboxId}'`), 'paused');
    assert.equal((await call('POST', `/sandbox/${sandboxId}/resume`)).status, 200);
    const { status, json, text } = await create();
    assert.deepEqual([status, json.sandboxId], [200, sandboxId], text);
    assert.equal(await shellOutput(sandboxId, 'echo there'), 'there');
    await destroySandbox(sandboxId);
  });

  it('of whose image the name moved on starts anew', async () => {
    await whenFull();
    const id = (await waiting()).at(-1);
    const made = await sql(`SELECT image_id FROM warm_sandboxes WHERE id = '${id}'`);
    assert.match(made, /^sha256:/);
    await sql(`UPDATE warm_sandboxes SET image_id = 'sha256:0' WHERE id = '${id}'`);
    const { sandboxId } = await createSandbox(ask); // another, and it is filled up
    await until('it left', async () => !(await waiting()).includes(id), 30_000);
    await whenFull();
    await destroySandbox(sandboxId);
    assert.equal(await sql(`SELECT DISTINCT image_id FROM warm_sandboxes WHERE image = '${IMAGE}' AND status = 'ready'`), made);
  });

  it('outlives a SIGKILL of every process', async () => {
    await whenFull();
    const kept = await waiting();
    await Promise.all(['sandbox', 'gateway', 'auth', 'redis', 'postgres'].map((service) => kill9(service)));
    await whenHealthy();
    await whenBack();
    assert.deepEqual(await waiting(), kept);
    const { sandboxId } = await createSandbox({ ...ask, env: { AFTER: 'all' } });
    assert.ok(await wasWaiting(sandboxId));
    await whenUsable(sandboxId, 30_000);
    assert.equal(await shellOutput(sandboxId, 'echo $AFTER'), 'all');
    await destroySandbox(sandboxId);
  });
});
