// Volumes: disks of a user that outlive sandboxes, on loop devices of the machine.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, makeUser, shell, shellOutput, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { docker, kill9, serviceSettings, sql, until } from '../support/stack.mjs';

const SIZE_MB = 32;
const SOON_MS = 30_000;
const folder = serviceSettings('sandbox').VOLUMES_DIR;

const id32 = (id) => id.replaceAll('-', '');
const mounts = () => readFileSync('/proc/self/mounts', 'utf8').split('\n').map((line) => line.split(' ')[1] ?? '');
// The files behind the loop devices of this machine.
const looped = () => readdirSync('/sys/block').filter((name) => /^loop\d+$/.test(name)).map((name) => {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim();
  } catch {
    return ''; // it has none
  }
});
const isOn = ({ id }) => mounts().some((target) => target === `${folder}/${id32(id)}`)
  || looped().some((file) => file.startsWith(`${folder}/${id32(id)}.img`));
const isOff = (volume) => until('it is neither mounted nor has a device', () => !isOn(volume), SOON_MS);
const hasDisk = ({ id }) => readdirSync(folder).some((name) => name.startsWith(id32(id)));

const tryCreate = (body, key) => call('POST', '/api/volumes', { key, body });
const tryDelete = (name, key) => call('DELETE', `/api/volumes/${name}`, { key });
const tryAttach = (volumes, key) => call('POST', '/sandbox/create', {
  key, body: { template: 'tiny', network: 'none', timeoutMs: 600_000, volumes },
});
const described = async (name) => (await call('GET', '/api/volumes')).json.volumes.find((one) => one.name === name);
// A sandbox may be on its way out when its destruction is answered.
const whenFree = (name) => until(`${name} is free`, async () => (await described(name)).attachments.length === 0, SOON_MS);

// A volume for one test. When that ends it is gone, with the sandboxes that have it and all that
// belongs to it.
async function volumeFor(t, more = {}) {
  const name = `v-${randomBytes(6).toString('hex')}`;
  const reply = await tryCreate({ name, sizeMB: SIZE_MB, ...more });
  assert.equal(reply.status, 201, reply.text);
  t.after(async () => {
    const attachments = (await described(name))?.attachments ?? [];
    await Promise.all(attachments.map(({ sandboxId }) => destroySandbox(sandboxId)));
    await until('it can be deleted', async () => [200, 404].includes((await tryDelete(name)).status), SOON_MS);
    await isOff(reply.json);
    await until('its disk is gone, and its row', async () => !hasDisk(reply.json)
      && await sql(`SELECT count(*) FROM volumes WHERE id = '${reply.json.id}'`) === '0', SOON_MS);
  });
  return reply.json;
}

const attach = async (volumes) => (await createSandbox({ volumes })).sandboxId;

test('what is written outlives the sandbox, and the disk is taken off between two', async (t) => {
  const volume = await volumeFor(t);
  assert.deepEqual(volume.attachments, []);
  assert.equal(hasDisk(volume), false, 'it is made when it is first needed');

  const first = await attach({ '/data': volume.name });
  assert.deepEqual((await described(volume.name)).attachments, [{ sandboxId: first, path: '/data', readOnly: false }]);
  await shellOutput(first, 'echo kept > /data/file && chmod 600 /data/file && mkdir /data/folder');
  assertError(await tryDelete(volume.name), 409, 'volume_in_use');
  assertError(await tryAttach({ '/data': volume.name }), 409, 'volume_in_use');
  assert.ok(isOn(volume));

  await destroySandbox(first);
  await whenFree(volume.name);
  await isOff(volume);
  const second = await attach({ '/elsewhere': volume.name });
  assert.equal(await shellOutput(second, 'cat /elsewhere/file && ls /elsewhere'), 'kept\nfile\nfolder');
});

test('one writes and others read along', async (t) => {
  const volume = await volumeFor(t);
  const writer = await attach({ '/data': `${volume.name}:rw` });
  const reader = await attach({ '/data': `${volume.name}:ro` });
  await shellOutput(writer, 'echo news > /data/file');
  assert.equal(await shellOutput(reader, 'cat /data/file'), 'news');
  const refused = await shell(reader, 'echo no > /data/file');
  assert.notEqual(refused.exitCode, 0);
  assert.match(refused.stderr, /[Rr]ead-only/);
  assert.equal((await described(volume.name)).attachments.filter((one) => one.readOnly).length, 1);
});

test('a shared one has several writers', async (t) => {
  const volume = await volumeFor(t, { shared: true });
  const [first, second] = await Promise.all([attach({ '/data': volume.name }), attach({ '/data': volume.name })]);
  await shellOutput(first, 'echo one > /data/one');
  await shellOutput(second, 'echo two > /data/two');
  assert.equal(await shellOutput(first, 'cat /data/one /data/two'), 'one\ntwo');
});

test('it ends at its size, and gives no rights', async (t) => {
  const volume = await volumeFor(t);
  const id = await attach({ '/data': volume.name });
  const filled = await shell(id, 'dd if=/dev/zero of=/data/large bs=65536 count=1024');
  assert.notEqual(filled.exitCode, 0);
  assert.match(filled.stderr, /No space left/);
  const [mount] = (await shellOutput(id, 'grep " /data " /proc/mounts')).split('\n');
  assert.match(mount, / ext4 .*\bnosuid\b/);
  assert.match(mount, / ext4 .*\bnodev\b/);
  assert.equal(await shellOutput(id, 'rm /data/large && echo fits > /data/small && cat /data/small'), 'fits');
});

test('it is the user\'s alone, and counts in the quota', async (t) => {
  const volume = await volumeFor(t);
  const stranger = await makeUser('free');
  assert.deepEqual((await call('GET', '/api/volumes', { key: stranger })).json.volumes, []);
  assertError(await tryDelete(volume.name, stranger), 404, 'volume_not_found');
  assertError(await tryAttach({ '/data': volume.name }, stranger), 404, 'volume_not_found');

  assertError(await tryCreate({ name: 'large', sizeMB: 2049 }, stranger), 429, 'volume_quota_exceeded');
  const replies = await Promise.all(Array.from({ length: 6 }, (_, i) => tryCreate({ name: `v${i}`, sizeMB: 16 }, stranger)));
  assert.equal(replies.filter((reply) => reply.status === 201).length, 2, 'also of those made at the same time');
  const made = replies.find((reply) => reply.status === 201).json;
  assertError(await tryCreate({ name: made.name, sizeMB: 16 }, stranger), 409, 'volume_exists');
  assert.equal((await tryDelete(made.name, stranger)).status, 200);
  assert.equal((await tryCreate({ name: 'next', sizeMB: 16 }, stranger)).status, 201);
});

test('a request that comes again makes it once', async (t) => {
  const headers = { 'Idempotency-Key': randomUUID() };
  const body = { name: `v-${randomBytes(6).toString('hex')}`, sizeMB: SIZE_MB };
  const [first, again] = [await call('POST', '/api/volumes', { body, headers }), await call('POST', '/api/volumes', { body, headers })];
  t.after(() => tryDelete(body.name));
  assert.deepEqual([first.status, again.status], [201, 201]);
  assert.equal(again.json.id, first.json.id);
});

test('a place is an absolute path that is nobody else\'s', async (t) => {
  const volume = await volumeFor(t);
  for (const place of ['data', '/', '/proc/data', '/a/../b', '/dev/shm']) {
    assertError(await tryAttach({ [place]: volume.name }), 400, 'validation_failed');
  }
  assertError(await tryAttach({ '/data': `${volume.name}:rx` }), 400, 'validation_failed');
  assertError(await tryAttach({ '/a': volume.name, '/b': volume.name }), 400, 'volume_named_twice');
  assertError(await tryAttach({ '/data': 'nothing' }), 404, 'volume_not_found');
  assert.equal((await described(volume.name)).attachments.length, 0, 'what was refused holds nothing');
});

test('a sandbox goes on with its volume while the service is killed and starts again', async (t) => {
  const volume = await volumeFor(t);
  const id = await attach({ '/data': volume.name });
  await shellOutput(id, 'echo before > /data/file');
  const creating = tryAttach({ '/data': `${volume.name}:ro` }).catch(() => null);
  await kill9('sandbox');
  const reply = await creating;
  await whenHealthy(SOON_MS);
  await whenUsable(id, SOON_MS);
  assert.equal(await shellOutput(id, 'echo after >> /data/file; cat /data/file'), 'before\nafter');
  assert.equal(mounts().filter((target) => target === `${folder}/${id32(volume.id)}`).length, 1);
  if (reply?.status === 200) {
    await destroySandbox(reply.json.sandboxId);
  }
  await until('nobody else has it', async () => (await described(volume.name)).attachments.length === 1, SOON_MS);

  // Its container goes while nobody looks; what it had is free all the same.
  await kill9('sandbox');
  await docker('rm', '-f', `insien-${id}`);
  await whenHealthy(SOON_MS);
  await whenFree(volume.name);
  const next = await attach({ '/data': volume.name });
  assert.equal(await shellOutput(next, 'cat /data/file'), 'before\nafter');
});
