// Volumes: disks of a user that outlive sandboxes, on loop devices of the machine.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, makeUser, shell, shellOutput, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { agents, request as requestOf } from '../support/connections.mjs';
import { apiKey, apiUrl, docker, kill9, serviceSettings, sql, until } from '../support/stack.mjs';

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
// Nothing while the service does not answer.
const described = async (name) => (await call('GET', '/api/volumes')).json.volumes?.find((one) => one.name === name);
// A sandbox may be on its way out when its destruction is answered.
const whenFree = (name) => until(`${name} is free`, async () => (await described(name))?.attachments.length === 0, SOON_MS);

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

test('neither an image nor whoever was inside leads one elsewhere', async (t) => {
  const volume = await volumeFor(t);
  const other = await volumeFor(t);
  const inBase = (volumes) => call('POST', '/sandbox/create', {
    body: { template: 'base', network: 'none', timeoutMs: 600_000, volumes },
  });
  assertError(await inBase({ '/data': volume.name, '/data/below': other.name }), 400, 'validation_failed');
  // In the image /var/run is a link, and /etc/passwd no folder.
  assertError(await inBase({ '/var/run/data': volume.name }), 409, 'volume_path_unsafe');
  assertError(await inBase({ '/etc/passwd/data': other.name }), 409, 'volume_path_unsafe');
  await whenFree(volume.name);

  const reply = await inBase({ '/parent/data': volume.name });
  assert.equal(reply.status, 200, reply.text);
  const { sandboxId } = reply.json;
  const act = (what, body = {}) => call('POST', `/sandbox/${sandboxId}/${what}`, { body });
  assert.equal((await act('pause', { mode: 'disk' })).status, 200);
  assert.equal((await act('resume')).status, 200, 'as long as the path is what it was');
  await shellOutput(sandboxId, 'sudo cp /bin/true /parent/data/agent && sudo mv /parent /moved && sudo ln -s /.insien /parent');
  assert.equal((await act('pause', { mode: 'disk' })).status, 200);
  assertError(await act('resume'), 409, 'volume_path_unsafe');
  assert.equal((await call('GET', `/sandbox/${sandboxId}/status`)).json.status, 'paused');
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

test('no other sandbox sees that it is there', async (t) => {
  const volume = await volumeFor(t);
  const has = await attach({ '/data': volume.name });
  assert.ok(isOn(volume));
  const places = ['/sys/block/*/loop/backing_file', '/sys/block/loop*/stat', '/sys/class/block/loop*/size', '/sys/fs/ext4/loop*/*',
    '/proc/partitions', '/proc/diskstats', '/proc/fs/*/loop*/*'];
  const { sandboxId: other } = await createSandbox();
  t.after(() => destroySandbox(other));
  for (const id of [other, has]) {
    assert.equal((await shell(id, `cat ${places.join(' ')} 2>/dev/null`)).stdout, '');
  }
  assert.match(await shellOutput(has, 'df /data'), /\/data/);
});

test('it is the user\'s alone, and counts in the quota', async (t) => {
  const volume = await volumeFor(t);
  const stranger = await makeUser('free');
  t.after(async () => {
    for (const { name } of (await call('GET', '/api/volumes', { key: stranger })).json.volumes) {
      await tryDelete(name, stranger);
    }
  });
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

// A folder of files, and tar run in it.
function folderFor(t, files) {
  const place = mkdtempSync(path.join(tmpdir(), 'insien-volume-'));
  t.after(() => rmSync(place, { recursive: true }));
  Object.entries(files).forEach(([name, text]) => writeFileSync(path.join(place, name), text));
  return { place, tar: (...words) => execFileSync('tar', ['-C', place, ...words], { maxBuffer: 1024 * 1024 * 1024 }) };
}
const pour = ({ name }, body, more = '', key = undefined) => call('PUT', `/api/volumes/${name}/archive${more}`, {
  key, body, headers: { 'Content-Type': 'application/x-tar' },
});
// What an export holds, as tar lists it.
async function drain({ name }, key) {
  const reply = await call('GET', `/api/volumes/${name}/archive?format=tar`, { key });
  assert.equal(reply.status, 200);
  return execFileSync('tar', ['-t'], { input: reply.text }) // ASCII all of it
   .toString().trim().split('\n').sort();
}

// More than a volume takes, and small on its way without being suspicious.
const tooLarge = () => Buffer.concat(Array.from({ length: SIZE_MB * 256 }, () => [randomBytes(128), Buffer.alloc(4096)]).flat());

test('an archive goes into a volume that is free, and comes out of any', async (t) => {
  const volume = await volumeFor(t);
  const { tar } = folderFor(t, { one: 'first', two: 'second' });
  // Each answer leaves the volume free for the next.
  assert.deepEqual((await pour(volume, tar('-c', 'one'))).json, { name: volume.name, entries: 1, bytes: 5 });
  assert.deepEqual((await pour(volume, tar('-cz', 'two'), '?user=root')).json, { name: volume.name, entries: 1, bytes: 6 });
  assert.deepEqual(await drain(volume), ['one', 'two']);
  const { sandboxId: id } = await createSandbox({ template: 'base', volumes: { '/data': volume.name } });
  assert.equal(await shellOutput(id, 'cat /data/one /data/two; stat -c %u /data/one /data/two'), 'firstsecond1000\n0');
  await shellOutput(id, 'echo new > /data/three; sudo sh -c "mkdir -m 700 /data/hidden; echo x > /data/hidden/four"');
  assertError(await pour(volume, tar('-c', 'one')), 409, 'volume_in_use');
  assert.deepEqual(await drain(volume), ['hidden/', 'hidden/four', 'one', 'three', 'two'], 'while it is written to');
  await destroySandbox(id);
  await whenFree(volume.name);
  assert.equal((await tryDelete(volume.name)).status, 200);
});

test('what an archive must not hold, or has no room, leaves a volume as it was', async (t) => {
  const volume = await volumeFor(t);
  const { place, tar } = folderFor(t, { kept: 'kept', large: tooLarge() });
  symlinkSync('/etc/passwd', path.join(place, 'link'));
  assert.equal((await pour(volume, tar('-c', 'kept'))).status, 200);
  const hostile = [
    tar('-c', '-P', path.join(place, 'kept')),
    tar('-c', '-P', '--transform', 's,^,../../,', 'kept'),
    tar('-c', 'link'),
    execFileSync('tar', ['-C', '/dev', '-c', 'null']),
  ];
  for (const body of hostile) {
    assertError(await pour(volume, body), 400, 'archive_unsafe');
  }
  assertError(await pour(volume, Buffer.from('nonsense, and more of it')), 400, 'archive_malformed');
  assertError(await pour(volume, tar('-cz', 'large')), 409, 'no_space');
  assert.deepEqual(await drain(volume), ['kept']);
});

test('the archive of a volume is its owner\'s, and takes a sandbox of theirs', async (t) => {
  const volume = await volumeFor(t);
  const { tar } = folderFor(t, { file: 'x' });
  const stranger = await makeUser('free');
  assertError(await pour(volume, tar('-c', 'file'), '', stranger), 404, 'volume_not_found');
  assertError(await call('GET', `/api/volumes/${volume.name}/archive`, { key: stranger }), 404, 'volume_not_found');
  assertError(await call('GET', '/api/volumes/No%20name/archive'), 400, 'validation_failed');
  assert.equal((await call('POST', '/api/volumes', { key: stranger, body: { name: 'own', sizeMB: SIZE_MB } })).status, 201);
  t.after(() => tryDelete('own', stranger));
  const both = await Promise.all([1, 2].map(() => createSandbox({}, stranger)));
  assertError(await pour({ name: 'own' }, tar('-c', 'file'), '', stranger), 429, 'quota_exceeded');
  await destroySandbox(both[0].sandboxId, stranger);
  await until('there is room', async () => (await pour({ name: 'own' }, tar('-c', 'file'), '', stranger)).status === 200, SOON_MS);
  await destroySandbox(both[1].sandboxId, stranger);
});

test('who leaves in the middle of an archive leaves no sandbox', async (t) => {
  const volume = await volumeFor(t);
  const target = new URL(`/api/volumes/${volume.name}/archive`, apiUrl);
  const leaving = requestOf(target, { method: 'PUT', headers: { 'X-API-Key': apiKey }, agent: agents(1)[target.protocol] });
  leaving.on('error', () => {});
  leaving.write(Buffer.alloc(512));
  await until('its sandbox has the volume', async () => (await described(volume.name))?.attachments.length === 1, SOON_MS);
  const [{ sandboxId }] = (await described(volume.name)).attachments;
  // Should the gateway die, nobody else ends it.
  assert.equal(await sql(`SELECT expires_at < now() + interval '4 minutes' FROM sandboxes WHERE id = '${sandboxId}'`), 't');
  leaving.destroy();
  await whenFree(volume.name);
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
  await until('nobody else has it', async () => (await described(volume.name))?.attachments.length === 1, SOON_MS);

  // Its container goes while nobody looks; what it had is free all the same.
  await kill9('sandbox');
  await docker('rm', '-f', `insien-${id}`);
  await whenHealthy(SOON_MS);
  await whenFree(volume.name);
  const next = await attach({ '/data': volume.name });
  assert.equal(await shellOutput(next, 'cat /data/file'), 'before\nafter');
});
