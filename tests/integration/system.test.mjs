// What administrators see and do of the server as a whole.
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, whenHealthy, whenUsable } from '../support/api.mjs';
import { makeAdministrator, person } from '../support/people.mjs';
import { docker, instance, kill9, run, serviceSettings, sql, until } from '../support/stack.mjs';

const PATIENCE_MS = 30_000;

let key;

const ask = (method, url, body) => call(method, url, { key, body });
async function answer(method, url, body) {
  const reply = await ask(method, url, body);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}
const stats = () => answer('GET', '/sandbox/system/stats');
const drain = (draining, reason) => answer('POST', '/sandbox/system/drain', { draining, reason });
const cleanup = (body) => answer('POST', '/sandbox/system/cleanup', body);

// An image of long ago, of this deployment, as `docker save` would have written it.
async function makeOldImage(image, owner = instance) {
  const folder = mkdtempSync(path.join(tmpdir(), 'image-'));
  const layer = Buffer.alloc(1024);
  const created = new Date(Date.now() - 40 * 24 * 3600 * 1000).toISOString();
  const config = {
    architecture: 'amd64', os: 'linux', created, config: { Labels: { 'insien.instance': owner } },
    rootfs: { type: 'layers', diff_ids: [`sha256:${createHash('sha256').update(layer).digest('hex')}`] },
  };
  try {
    writeFileSync(path.join(folder, 'layer.tar'), layer);
    writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
    writeFileSync(path.join(folder, 'manifest.json'),
      JSON.stringify([{ Config: 'config.json', RepoTags: [image], Layers: ['layer.tar'] }]));
    assert.equal((await run('tar', ['-cf', path.join(folder, 'image.tar'), '-C', folder, 'manifest.json', 'config.json', 'layer.tar'])).code, 0);
    await docker('load', '-i', path.join(folder, 'image.tar'));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

before(async () => {
  ({ key } = await makeAdministrator());
});

describe('what the server is at', () => {
  it('tells sandboxes, what is promised to them, and the disk', async () => {
    const { sandboxId } = await createSandbox({ template: 'tiny', memoryMB: 64 });
    const during = await stats();
    assert.equal(during.draining, null);
    assert.ok(during.sandboxes.running + during.sandboxes.creating >= 1);
    assert.ok(during.promised.memoryMB >= 64 && during.limits.nodeMemoryMB >= during.promised.memoryMB);
    assert.ok(during.containers.running >= 1, 'its container');
    assert.ok(during.disk.totalMB >= during.disk.freeMB && during.disk.freeMB > 0);
    assert.ok(during.queue.expectedMs >= 0);
    await destroySandbox(sandboxId);
  });

  it('is for administrators alone', async () => {
    const { ask: asSomebody } = await person();
    for (const [method, url] of [['GET', 'stats'], ['POST', 'drain'], ['POST', 'cleanup']]) {
      assertError(await asSomebody(method, `/sandbox/system/${url}`), 403, 'missing_scope');
    }
    assertError(await ask('POST', '/sandbox/system/drain', {}), 400, 'validation_failed');
    assertError(await ask('POST', '/sandbox/system/cleanup', { dryrun: false }), 400, 'validation_failed');
  });
});

const forgotten = { image: `insien-forgotten:${instance}`, sandbox: randomUUID() };

describe('draining', () => {
  it('takes no more sandboxes, keeps those that are there, and outlives the service', async (t) => {
    t.after(() => drain(false));
    const { sandboxId } = await createSandbox({ template: 'tiny' });
    await sql(`INSERT INTO sandboxes SELECT (jsonb_populate_record(s, jsonb_build_object('id', '${forgotten.sandbox}',
      'status', 'destroyed', 'end_reason', 'user', 'ended_at', now() - interval '100 days', 'network_address', NULL))).* FROM sandboxes s
      WHERE s.id = '${sandboxId}'`);
    const reason = `a new kernel ${randomUUID()}`;
    const { draining } = await drain(true, reason);
    assert.equal(draining.reason, reason);
    const create = () => call('POST', '/sandbox/create', { body: { template: 'tiny' } });
    const refused = await create();
    assertError(refused, 503, 'node_draining');
    assert.ok(Number(refused.headers['retry-after']) > 0);
    await makeOldImage(forgotten.image);
    await kill9('sandbox');
    await whenHealthy(20_000);
    assertError(await create(), 503, 'node_draining');
    assert.equal((await exec(sandboxId, 'echo', ['still here'])).stdout, 'still here\n');
    assert.equal((await stats()).draining.since, draining.since);
    assert.equal((await drain(false)).draining, null);
    await destroySandbox((await createSandbox({ template: 'tiny' })).sandboxId);
    await destroySandbox(sandboxId);
    assert.equal(await sql(`SELECT count(*) FROM audit_log WHERE action = 'node.draining_set'
      AND result = 'ok' AND detail ->> 'reason' = '${reason}'`), '1');
  });
});

describe('cleaning up', () => {
  const image = `insien-leftover:${instance}`;
  const leftover = ({ leftovers }) => leftovers.filter(({ name }) => name === image);

  it('tells what would go, then takes it, and leaves what is used', async (t) => {
    const others = `insien-leftover:others-${instance}`;
    await makeOldImage(image);
    await makeOldImage(others, 'somebody-else');
    t.after(() => run('docker', ['rmi', '-f', image, others]));
    const { sandboxId } = await createSandbox({ template: 'tiny' });
    const dry = await cleanup();
    assert.equal(dry.dryRun, true);
    assert.deepEqual(leftover(dry), [{ kind: 'image', name: image, unknown: false, removed: false }]);
    assert.deepEqual(dry.leftovers.filter(({ name }) => [sandboxId, others].includes(name)), []);
    const done = await cleanup({ dryRun: false });
    assert.equal(done.dryRun, false);
    assert.deepEqual(leftover(done), [{ kind: 'image', name: image, unknown: false, removed: true }]);
    assert.deepEqual(leftover(await cleanup({ dryRun: true })), []);
    assert.notEqual(await docker('images', '-q', others), '', 'another deployment\'s');
    assert.equal((await exec(sandboxId, 'echo', ['kept'])).stdout, 'kept\n');
    await destroySandbox(sandboxId);
  });

  it('leaves an image that a template names', async (t) => {
    await makeOldImage(image);
    await sql(`INSERT INTO templates (name, image, profile) VALUES ('of-long-ago', '${image}', 'locked')`);
    t.after(async () => {
      await sql("DELETE FROM templates WHERE name = 'of-long-ago'");
      await run('docker', ['rmi', '-f', image]);
    });
    assert.deepEqual(leftover(await cleanup({ dryRun: false })), []);
    assert.notEqual(await docker('images', '-q', image), '');
  });

  it('leaves what a restored database has forgotten, until it is told to take that too', async (t) => {
    const { sandboxId: id } = await createSandbox({ template: 'tiny' });
    const volume = randomUUID();
    const disk = path.join(serviceSettings('sandbox').VOLUMES_DIR, `${volume.replaceAll('-', '')}.img`);
    writeFileSync(disk, 'somebody\'s');
    t.after(() => rmSync(disk, { force: true }));
    const row = JSON.parse(await sql(`SELECT to_jsonb(s) FROM sandboxes s WHERE id = '${id}'`));
    await sql(`DELETE FROM sandboxes WHERE id = '${id}'`);
    const of = ({ leftovers }) => leftovers.filter(({ name }) => [id, volume].includes(name));
    const told = (removed) => [
      { kind: 'container', name: id, unknown: true, removed },
      { kind: 'disk', name: volume, unknown: true, removed },
    ];
    assert.deepEqual(of(await cleanup({ dryRun: false })), told(false));
    assert.ok(existsSync(disk));
    await sql(`INSERT INTO sandboxes SELECT * FROM jsonb_populate_record(NULL::sandboxes, '${JSON.stringify(row).replaceAll('\'', '\'\'')}')`);
    await whenUsable(id, PATIENCE_MS);
    assert.equal((await exec(id, 'echo', ['back'])).stdout, 'back\n');
    await sql(`DELETE FROM sandboxes WHERE id = '${id}'`);
    assert.deepEqual(of(await cleanup({ dryRun: true, unknown: true })), told(false));
    assert.deepEqual(of(await cleanup({ dryRun: false, unknown: true })), told(true));
    assert.equal(existsSync(disk), false);
    await until('the container is gone', async () => await docker('ps', '-aq', '--filter', `label=insien.sandbox=${id}`) === '', PATIENCE_MS);
  });

  it('happens by itself too, to what was kept long enough', async () => {
    await until('the sandbox is forgotten', async () => await sql(`SELECT count(*) FROM sandboxes WHERE id = '${forgotten.sandbox}'`) === '0', PATIENCE_MS);
    await until('the image is gone', async () => await docker('images', '-q', forgotten.image) === '', PATIENCE_MS);
  });
});
