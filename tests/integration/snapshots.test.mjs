// What a sandbox has on its disk, kept, and others that begin from it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError, call, destroySandbox, exec, makeUser, sandboxFor } from '../support/api.mjs';
import { until } from '../support/stack.mjs';

const one = async (id) => (await call('GET', `/api/snapshots/${id}`)).json;

async function snapshotOf(t, sandboxId, body = {}) {
  const reply = await call('POST', `/sandbox/${sandboxId}/snapshots`, { body });
  assert.equal(reply.status, 201, reply.text);
  const { templateId } = reply.json;
  t.after(() => call('DELETE', `/api/snapshots/${templateId}`));
  await until('it is made', async () => (await one(templateId)).status !== 'making', 60_000);
  const made = await one(templateId);
  assert.equal(made.status, 'ready', made.failure);
  return made;
}

test('a snapshot keeps files, and sandboxes begin from it', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'echo kept > kept']);
  const { stdout: who } = await exec(id, 'sh', ['-c', 'id -un; pwd']);
  const made = await snapshotOf(t, id);
  assert.equal(made.source, 'snapshot');
  assert.equal((await exec(id, 'cat', ['kept'])).stdout, 'kept\n', 'the sandbox goes on');
  const copy = await sandboxFor(t, { template: undefined, snapshot: made.templateId });
  assert.equal((await exec(copy, 'cat', ['kept'])).stdout, 'kept\n');
  assert.equal((await exec(copy, 'sh', ['-c', 'id -un; pwd'])).stdout, who);
  await exec(copy, 'sh', ['-c', 'echo other > kept']);
  assert.equal((await exec(id, 'cat', ['kept'])).stdout, 'kept\n', 'each has its own');
  assertError(await call('DELETE', `/api/snapshots/${made.templateId}`), 409, 'template_in_use');
  await destroySandbox(copy);
  await until('it can be deleted', async () => (await call('DELETE', `/api/snapshots/${made.templateId}`)).status === 200, 20_000);
  assertError(await call('GET', `/api/snapshots/${made.templateId}`), 404, 'template_not_found');
});

test('a snapshot of one that is paused, by name', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'echo kept > kept']);
  await call('POST', `/sandbox/${id}/pause`, { body: {} });
  const { name } = await snapshotOf(t, id, { name: `s${Date.now()}`, description: 'of a paused one' });
  assert.equal((await call('GET', `/sandbox/${id}/status`)).json.status, 'paused');
  assert.ok((await call('GET', '/api/snapshots')).json.snapshots.some((item) => item.name === name));
  const copy = await sandboxFor(t, { template: name });
  assert.equal((await exec(copy, 'cat', ['kept'])).stdout, 'kept\n');
});

test('snapshots are of own sandboxes alone, and for their owner', async (t) => {
  const id = await sandboxFor(t);
  const made = await snapshotOf(t, id);
  const key = await makeUser('free');
  assertError(await call('POST', `/sandbox/${id}/snapshots`, { key, body: {} }), 404, 'sandbox_not_found');
  assertError(await call('GET', `/api/snapshots/${made.templateId}`, { key }), 404, 'template_not_found');
  assertError(await call('DELETE', `/api/snapshots/${made.templateId}`, { key }), 404, 'template_not_found');
  assertError(await call('POST', '/sandbox/create', { key, body: { snapshot: made.templateId } }), 404, 'template_not_found');
  assertError(await call('POST', '/sandbox/create', { body: { snapshot: made.templateId, template: 'base' } }), 400, 'validation_failed');
});
