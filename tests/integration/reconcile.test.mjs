// What is done to containers, rows and keys behind the services' backs is found and put right.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec, sandboxFor, shell, whenUsable } from '../support/api.mjs';
import { docker, instance, redis, sql, stateDir, until } from '../support/stack.mjs';

const PATIENCE_MS = 30_000;
// An end from outside is to be known within a second; a machine may be three times slower.
const KNOWN_MS = 3000;
const statusOf = async (id) => (await call('GET', `/sandbox/${id}/status`)).json;
const hasEnded = async (id) => {
  const status = await statusOf(id);
  return status.endReason !== undefined && status;
};
const eventsOf = async (id) => (await call('GET', `/sandbox/${id}/events`, { headers: { Accept: 'application/json' } })).json.events;
const isGone = async (id) => await docker('ps', '-aq', '--filter', `label=insien.sandbox=${id}`) === '';
// All its files, the oldest first.
async function logOf(service) {
  const dir = path.join(stateDir, 'log', service);
  const names = (await readdir(dir)).filter((name) => name === 'current' || name.startsWith('@')).sort();
  return (await Promise.all(names.map((name) => readFile(path.join(dir, name), 'utf8')))).join('');
}

describe('a sandbox whose container is', () => {
  const ends = {
    killed: (id) => docker('kill', `insien-${id}`),
    removed: (id) => docker('rm', '-f', `insien-${id}`),
    'removed while it is frozen': async (id) => {
      assert.equal((await call('POST', `/sandbox/${id}/pause`)).status, 200);
      await docker('rm', '-f', `insien-${id}`);
    },
    'removed while it rests on disk': async (id) => {
      assert.equal((await call('POST', `/sandbox/${id}/pause`, { body: { mode: 'disk' } })).status, 200);
      await docker('rm', `insien-${id}`);
    },
  };
  for (const [how, act] of Object.entries(ends)) {
    it(`${how} ends with a reason, an event and no ports`, async () => {
      const { sandboxId: id } = await createSandbox();
      assert.equal((await call('POST', `/sandbox/${id}/expose`, { body: { containerPort: 8080 } })).status, 200);
      await act(id);
      const begun = performance.now();
      const status = await until('its end is known', () => hasEnded(id), PATIENCE_MS);
      assert.ok(performance.now() - begun < KNOWN_MS, `${performance.now() - begun} ms`);
      assert.equal(status.endReason, 'error');
      assert.equal(await sql(`SELECT count(*) FROM ports WHERE sandbox_id = '${id}'`), '0');
      await until('nothing is left', async () => (await statusOf(id)).status === 'destroyed' && isGone(id), PATIENCE_MS);
      const told = (await eventsOf(id)).find(({ type }) => type === 'sandbox.stopping');
      assert.equal(told.cause, 'error');
      await destroySandbox(id); // again and again
    });
  }
});

it('a sandbox that is put on another network behind our back is put back', async (t) => {
  const network = `insien-${instance}`;
  const on = async (id) => Object.keys(JSON.parse(await docker('inspect', '-f', '{{json .NetworkSettings.Networks}}', `insien-${id}`)));
  const closed = await sandboxFor(t, { network: 'none' });
  const open = await sandboxFor(t, { network: 'open' });
  assert.deepEqual([await on(closed), await on(open)], [['none'], [network]]);
  await docker('network', 'disconnect', 'none', `insien-${closed}`);
  await docker('network', 'connect', network, `insien-${closed}`);
  await docker('network', 'disconnect', network, `insien-${open}`);
  await until('both are back', async () => (await on(closed)).join() === 'none' && (await on(open)).join() === network, PATIENCE_MS);
  await until('the rows say so', async () => await sql(`SELECT count(*) FROM sandboxes WHERE id IN ('${closed}', '${open}')
    AND network_applied = network_version`) === '2', PATIENCE_MS);
});

it('a container that outlived its row in the database is kept, and lives on when the row comes back', async () => {
  const { sandboxId: id } = await createSandbox();
  const row = JSON.parse(await sql(`SELECT to_jsonb(s) FROM sandboxes s WHERE id = '${id}'`));
  await shell(id, 'echo kept > /tmp/kept');
  await sql(`DELETE FROM sandboxes WHERE id = '${id}'`);
  await until('it is noticed', async () => (await logOf('sandbox')).split('\n')
    .some((line) => line.includes('reconcile.unknown') && line.includes(id)), PATIENCE_MS);
  assert.equal(await docker('inspect', '-f', '{{.State.Status}}', `insien-${id}`), 'running');
  await sql(`INSERT INTO sandboxes SELECT * FROM jsonb_populate_record(NULL::sandboxes, '${JSON.stringify(row).replaceAll('\'', '\'\'')}')`);
  await whenUsable(id, PATIENCE_MS);
  assert.equal((await exec(id, 'cat', ['/tmp/kept'])).stdout, 'kept\n');
  await destroySandbox(id);
  await until('it goes when it is told to', () => isGone(id), PATIENCE_MS);
});

it('a container whose row is another node\'s is kept, and lives on when the node has its name again', async () => {
  const { sandboxId: id } = await createSandbox({ template: 'tiny' });
  const node = await sql(`UPDATE sandboxes SET node = node || '-renamed' WHERE id = '${id}' RETURNING node`);
  await until('it is noticed', async () => (await logOf('sandbox')).split('\n')
    .some((line) => line.includes('reconcile.unknown') && line.includes(id)), PATIENCE_MS);
  assert.equal(await docker('inspect', '-f', '{{.State.Status}}', `insien-${id}`), 'running');
  await sql(`UPDATE sandboxes SET node = '${node.split('\n')[0].replace(/-renamed$/, '')}' WHERE id = '${id}'`);
  await whenUsable(id, PATIENCE_MS);
  await destroySandbox(id);
});

it('what ended sandboxes left in the tables and in Redis goes', async () => {
  const { sandboxId: id } = await createSandbox();
  await destroySandbox(id);
  await until('it has ended', async () => (await statusOf(id)).status === 'destroyed', PATIENCE_MS);
  const keys = ['agent', 'ports'].map((kind) => `insien:${instance}:${kind}:${id}`);
  for (const key of keys) {
    await redis('SET', key, 'left');
  }
  await sql(`INSERT INTO ports (sandbox_id, container_port, visibility, instance, node)
    SELECT id, 8080, 'token', instance, node FROM sandboxes WHERE id = '${id}'`);
  await until('the keys are gone', async () => await redis('EXISTS', ...keys) === '0', PATIENCE_MS);
  await until('the port is gone', async () => await sql(`SELECT count(*) FROM ports WHERE sandbox_id = '${id}'`) === '0', PATIENCE_MS);
});

it('another instance\'s containers on the engine are let be', async (t) => {
  const id = randomUUID();
  const image = await docker('inspect', '-f', '{{.Config.Image}}', `insien-${await sandboxFor(t)}`);
  await docker('create', '--name', `insien-${id}`, '--label', 'insien.instance=somebody-elses', '--label', `insien.sandbox=${id}`, image, 'true');
  t.after(() => docker('rm', '-f', `insien-${id}`));
  const { sandboxId } = await createSandbox();
  await docker('rm', '-f', `insien-${sandboxId}`);
  await until('a run is over', async () => (await statusOf(sandboxId)).status === 'destroyed', PATIENCE_MS);
  assert.equal(await isGone(id), false);
});

it('a thousand rows without containers end at once', async (t) => {
  const model = await sandboxFor(t);
  const ids = Array.from({ length: 1000 }, () => randomUUID());
  const list = ids.map((id) => `'${id}'`).join(',');
  t.after(() => sql(`DELETE FROM sandboxes WHERE id IN (${list})`));
  await sql(`INSERT INTO sandboxes SELECT (jsonb_populate_record(s, jsonb_build_object('id', n))).* FROM sandboxes s,
    unnest(ARRAY[${list}]::uuid[]) AS n WHERE s.id = '${model}'`);
  const left = (states) => sql(`SELECT count(*) FROM sandboxes WHERE id IN (${list}) AND status IN (${states})`);
  await until('they are seen', async () => await left("'running'") === '0', PATIENCE_MS);
  const begun = performance.now();
  await until('they are gone', async () => await left("'running','stopping'") === '0', PATIENCE_MS);
  t.diagnostic(`gone ${Math.round(performance.now() - begun)} ms later`);
  const run = (await logOf('sandbox')).split('\n').filter((line) => line.includes('reconcile.missing_ended')).map(JSON.parse)
    .findLast(({ count }) => count === ids.length);
  t.diagnostic(`one run ended them in ${run.duration_ms} ms`); // 1000 are aimed at
  assert.ok(run.duration_ms < 5000, `${run.duration_ms} ms`);
  assert.equal(await sql(`SELECT DISTINCT status || end_reason FROM sandboxes WHERE id IN (${list})`), 'destroyederror');
  assert.equal((await statusOf(model)).status, 'running');
});
