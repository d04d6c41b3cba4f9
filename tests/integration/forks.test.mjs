// Copies of a sandbox.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, destroySandbox, exec, makeUser, sandboxFor, shellOutput } from '../support/api.mjs';
import { whyNotRestricted } from '../support/far.mjs';
import { sql, until } from '../support/stack.mjs';

async function forkOf(t, id, body = {}, { key, headers } = {}) {
  const reply = await call('POST', `/sandbox/${id}/fork`, { body, key, headers });
  for (const { sandboxId } of reply.json.sandboxes ?? []) {
    t.after(() => destroySandbox(sandboxId, key));
  }
  return reply;
}

const kept = async (id, options) => (await exec(id, 'cat', ['kept'], options)).stdout;

test('copies have the disk, the environment and the limits, and go their own ways', async (t) => {
  const id = await sandboxFor(t, { env: { COLOUR: 'red' }, metadata: { of: 'the first' }, memoryMB: 128 });
  await exec(id, 'sh', ['-c', 'echo kept > kept']);
  const { status, json } = await forkOf(t, id, { count: 2, timeoutMs: 300_000 });
  assert.equal(status, 201, JSON.stringify(json));
  assert.deepEqual(json.failed, []);
  assert.equal(json.sandboxes.length, 2);
  for (const copy of json.sandboxes) {
    assert.equal(await kept(copy.sandboxId), 'kept\n');
    assert.equal(await shellOutput(copy.sandboxId, 'echo $COLOUR'), 'red');
    assert.equal(copy.resourceLimits.memoryMB, 128);
    assert.ok(Date.parse(copy.expiresAt) < Date.now() + 400_000);
    const { sandboxes } = (await call('GET', '/sandbox?status=running&limit=100')).json;
    assert.deepEqual(sandboxes.find((item) => item.sandboxId === copy.sandboxId).metadata, { of: 'the first' });
  }
  const [first, second] = json.sandboxes.map((copy) => copy.sandboxId);
  await exec(first, 'sh', ['-c', 'echo other > kept']);
  assert.equal(await kept(second), 'kept\n');
  assert.equal(await kept(id), 'kept\n');
  const lists = [(await call('GET', '/api/templates')).json.templates, (await call('GET', '/api/snapshots')).json.snapshots];
  assert.ok(!lists.flat().some((item) => item.source === 'fork'), 'what they begin from is nobody\'s to see');
});

test('copies reach what the sandbox does, or what the body says', { skip: await whyNotRestricted() }, async (t) => {
  const allow = ['first.example:443'];
  const id = await sandboxFor(t, { network: 'restricted', allow });
  for (const [body, expected] of [[{}, allow], [{ network: 'restricted', allow: ['other.example'] }, ['other.example']]]) {
    const { status, json } = await forkOf(t, id, body);
    assert.equal(status, 201, JSON.stringify(json));
    const { network, allow: list } = (await call('GET', `/sandbox/${json.sandboxes[0].sandboxId}/network`)).json;
    assert.deepEqual([network, list], ['restricted', expected]);
  }
});

test('the same request again finds the copies of the first', async (t) => {
  const id = await sandboxFor(t);
  const headers = { 'Idempotency-Key': randomUUID() };
  const first = await forkOf(t, id, { count: 1 }, { headers });
  assert.equal(first.status, 201, first.text);
  const again = await call('POST', `/sandbox/${id}/fork`, { body: { count: 1 }, headers });
  assert.equal(again.status, 201, again.text);
  assert.deepEqual(again.json, first.json);
});

test('where there is room for some copies those are made, and the rest is told', async (t) => {
  const key = await makeUser('free');
  const id = await sandboxFor(t, {}, key);
  const some = await forkOf(t, id, { count: 3 }, { key });
  assert.equal(some.status, 201, some.text);
  assert.equal(some.json.sandboxes.length, 1);
  assert.deepEqual(some.json.failed.map((item) => item.code), ['quota_exceeded', 'quota_exceeded']);
  assertError(await forkOf(t, id, { count: 1 }, { key }), 429, 'quota_exceeded');
});

test('what copies began from goes with the last of them', async (t) => {
  const id = await sandboxFor(t);
  const { json, text } = await forkOf(t, id);
  assert.equal(json.sandboxes?.length, 1, text);
  const copy = json.sandboxes[0].sandboxId;
  const fork = (await sql(`SELECT template_id FROM sandboxes WHERE id = '${copy}'`)).trim();
  await sql(`UPDATE templates SET made_at = now() - interval '1 hour' WHERE id = '${fork}'`);
  assertError(await call('DELETE', `/api/templates/${fork}`), 409, 'template_in_use');
  await destroySandbox(copy);
  await until('it is gone', async () => (await sql(`SELECT count(*) FROM templates WHERE id = '${fork}'`)).trim() === '0', 60_000);
});

test('a fork that can not be is refused before anything is made', async (t) => {
  const id = await sandboxFor(t);
  for (const body of [{ count: 0 }, { count: 51 }, { count: 'x' }, { template: 'base' }, { snapshot: 'x' }, { env: { PATH: 'x' } }]) {
    assertError(await call('POST', `/sandbox/${id}/fork`, { body }), 400, 'validation_failed');
  }
  assertError(await call('POST', `/sandbox/${id}/fork`, { body: {}, key: await makeUser('free') }), 404, 'sandbox_not_found');
  const ended = await sandboxFor(t);
  await destroySandbox(ended);
  assertError(await call('POST', `/sandbox/${ended}/fork`, { body: {} }), 409, 'sandbox_ended');
});
