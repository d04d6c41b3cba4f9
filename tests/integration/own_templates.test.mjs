import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { randomUUID } from 'node:crypto';
import {
  assertError, call, sandboxFor, shell, shellOutput, tryExec, whenHealthy,
} from '../support/api.mjs';
import { docker, instance, kill9, run, sql, until } from '../support/stack.mjs';

// Templates of users: from an image of this engine, and built, with a folder or without. No registry is asked.

const READY_MS = 60_000;
let counter = 0;

async function create(t, body) {
  const name = `t-${process.pid}-${++counter}`;
  const reply = await call('POST', '/api/templates', { body: { name, ...body } });
  assert.equal(reply.status, 201, reply.text);
  // Not before its sandboxes have ended.
  t.after(() => until('it is deleted', async () => (await call('DELETE', `/api/templates/${name}`)).status !== 409, 30_000));
  return reply.json;
}

async function settled(id) {
  for (const end = Date.now() + READY_MS; Date.now() < end;) {
    const { json } = await call('GET', `/api/templates/${id}`);
    if (json.status === 'ready' || json.status === 'failed') {
      return json;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return assert.fail('the template is not made');
}

async function log(id) {
  const reply = await call('GET', `/api/templates/${id}/log`, { headers: { Accept: 'application/x-ndjson' } });
  return reply.text.trim().split('\n').map((line) => JSON.parse(line));
}

test('a template from an image says what its sandboxes are', async (t) => {
  const made = await create(t, {
    image: 'insien/base', profile: 'locked', workDir: '/tmp', env: { GREETING: 'hello' }, memoryMB: 128,
    cpu: 0.5, description: 'mine',
  });
  assert.equal(made.builtIn, false);
  const ready = await settled(made.templateId);
  assert.equal(ready.status, 'ready');
  assert.ok(ready.sizeBytes > 0);
  assert.equal(ready.cpuMilli, 500);
  const id = await sandboxFor(t, { template: made.name });
  assert.equal(await shellOutput(id, 'pwd; echo $GREETING'), '/tmp\nhello');
  assert.equal((await call('GET', '/api/templates')).json.templates.some((item) => item.name === made.name), true);
  assertError(await call('DELETE', `/api/templates/${made.name}`), 409, 'template_in_use');
  await call('DELETE', `/sandbox/${id}`);
});

test('the user of a template is who commands run as, or nobody is', async (t) => {
  const made = await create(t, { image: 'insien/base', user: 'nobody' });
  await settled(made.templateId);
  const id = await sandboxFor(t, { template: made.name });
  assert.equal(await shellOutput(id, 'id -u'), '65534');
  const snapshot = await call('POST', `/sandbox/${id}/snapshots`, { body: { name: `${made.name}-copy` } });
  assert.equal(snapshot.status, 201, snapshot.text);
  t.after(() => until('it is deleted', async () => (await call('DELETE', `/api/snapshots/${made.name}-copy`)).status !== 409, 30_000));
  await settled(snapshot.json.templateId ?? snapshot.json.snapshotId);
  const copy = await sandboxFor(t, { template: `${made.name}-copy` });
  assert.equal(await shellOutput(copy, 'id -u'), '65534');
  const unknown = await create(t, { image: 'insien/tiny', user: 'nobodyx' });
  await settled(unknown.templateId);
  const other = await sandboxFor(t, { template: unknown.name });
  assertError(await tryExec(other, { cmd: 'id' }), 400, 'user_not_found');
  assert.equal((await shell(other, 'id -u', { user: 'root' })).stdout, '0\n');
  await Promise.all([id, copy, other].map((one) => call('DELETE', `/sandbox/${one}`)));
});

test('a Dockerfile is built, with its log', async (t) => {
  const made = await create(t, { dockerfile: 'FROM insien/tiny\nRUN echo built > /made\n' });
  const ready = await settled(made.templateId);
  assert.equal(ready.status, 'ready', ready.failure);
  const events = await log(made.templateId);
  assert.match(events.filter((event) => event.type === 'log').map((event) => event.text).join(''), /Step \d\/\d : RUN echo built/);
  assert.deepEqual(events.at(-1), { type: 'end', status: 'ready' });
  const id = await sandboxFor(t, { template: made.name });
  assert.equal(await shellOutput(id, 'cat /made'), 'built');
  await call('DELETE', `/sandbox/${id}`);
});

test('a folder comes as an archive and is built from', async (t) => {
  const made = await create(t, { dockerfile: 'FROM insien/tiny\nCOPY hosts /here\n', context: true });
  assert.equal(made.status, 'waiting');
  // One at a time of each user: they lie in memory.
  const second = { name: `${made.name}-2`, dockerfile: 'FROM insien/tiny\n', context: true };
  assertError(await call('POST', '/api/templates', { body: second }), 429, 'templates_in_making');
  const tar = execFileSync('tar', ['-C', '/etc', '-cf', '-', 'hosts']);
  const reply = await call('PUT', `/api/templates/${made.templateId}/context`, {
    body: tar, headers: { 'Content-Type': 'application/x-tar' },
  });
  assert.equal(reply.status, 200, reply.text);
  assert.equal((await settled(made.templateId)).status, 'ready');
});

test('a Dockerfile with our labels is nobody\'s sandbox', async (t) => {
  const id = await sandboxFor(t, { template: 'base' });
  // Its containers come, run and die with the labels of a sandbox that lives.
  const made = await create(t, {
    dockerfile: `FROM insien/tiny\nLABEL insien.sandbox=${id} insien.instance=${instance}\nRUN true\nRUN false\n`,
  });
  assert.equal((await settled(made.templateId)).failure, 'build_failed');
  assert.equal(await shellOutput(id, 'echo here'), 'here');
  assert.equal((await call('GET', `/sandbox/${id}/status`)).json.status, 'running');
  await call('DELETE', `/sandbox/${id}`);
});

test('a build that fails says why, and one that takes long is ended by DELETE', async (t) => {
  const made = await create(t, { dockerfile: 'FROM insien/tiny\nRUN echo no && false\n' });
  const failed = await settled(made.templateId);
  assert.equal(failed.failure, 'build_failed');
  const long = await create(t, { dockerfile: 'FROM insien/tiny\nRUN sleep 600\n' });
  assertError(await call('POST', '/sandbox/create', { body: { template: long.name } }), 409, 'template_not_ready');
  assert.equal((await call('DELETE', `/api/templates/${long.templateId}`)).status, 200);
  assertError(await call('GET', `/api/templates/${long.templateId}`), 404, 'template_not_found');
});

test('a template may name a runtime that is offered, and the network', async (t) => {
  const made = await create(t, { image: 'insien/tiny', runtime: 'runc', network: 'none' });
  assert.equal(made.runtime, 'runc');
  assert.equal((await settled(made.templateId)).status, 'ready');
  const id = await sandboxFor(t, { template: made.name, network: undefined });
  assert.equal(await docker('inspect', '-f', '{{.HostConfig.Runtime}} {{.HostConfig.NetworkMode}}', `insien-${id}`), 'runc none');
  assert.equal((await call('GET', `/sandbox/${id}/status`)).json.status, 'running');
  await call('DELETE', `/sandbox/${id}`);
  const body = { name: 'x', image: 'insien/tiny' };
  const missing = await call('POST', '/api/templates', { body: { ...body, runtime: 'none-such' } });
  assert.deepEqual([missing.status, missing.json.code], [503, 'runtime_unavailable']);
  assertError(await call('POST', '/api/templates', { body: { ...body, runtime: 'kata' } }), 400, 'runtime_not_allowed');
});

// What busybox has in insien/tiny.
const serve = (port) => `while :; do echo hi | nc -l -p ${port}; done`;

test('what a template starts serves before its sandbox is told of', async (t) => {
  const made = await create(t, { image: 'insien/tiny', start: { command: `sleep 0.3; ${serve(8000)}`, port: 8000 } });
  assert.equal((await settled(made.templateId)).status, 'ready');
  const id = await sandboxFor(t, { template: made.name });
  const { json } = await call('GET', `/sandbox/${id}/processes`);
  assert.deepEqual(json.processes.map(({ tag }) => tag), ['start']);
  assert.equal(await shellOutput(id, 'nc 127.0.0.1 8000 </dev/null'), 'hi');
  await call('DELETE', `/sandbox/${id}`);
});

test('a create whose start fails says so and leaves no sandbox', async (t) => {
  const cases = [
    [{ command: 'exit 7', port: 8000 }, 409, 'start_failed'],
    [{ command: 'touch /tmp/up; sleep 600', probe: 'test -e /tmp/up' }, 200, undefined],
    [{ command: 'sleep 600', probe: 'test -e /tmp/up', timeoutMs: 500 }, 504, 'start_timeout'],
    [{ command: 'true' }, 200, undefined],
  ];
  for (const [start, status, code] of cases) {
    const made = await create(t, { image: 'insien/tiny', start });
    assert.equal((await settled(made.templateId)).status, 'ready');
    const reply = await call('POST', '/sandbox/create', { body: { template: made.name, network: 'none' } });
    assert.deepEqual([reply.status, reply.json.code], [status, code], reply.text);
    if (status === 200) {
      await call('DELETE', `/sandbox/${reply.json.sandboxId}`);
    }
    await until('no sandbox of it lives', async () => (await call('DELETE', `/api/templates/${made.name}`)).status === 200, 30_000);
  }
});

test('what is no template is refused', async () => {
  const cases = [
    [{ name: 'Base', image: 'debian' }, 400, 'validation_failed'],
    [{ name: 'x' }, 400, 'validation_failed'],
    [{ name: 'x', image: 'debian', cpu: 1, cpuMilli: 1000 }, 400, 'validation_failed'],
    [{ name: 'x', image: 'debian', cpu: 0 }, 400, 'validation_failed'],
    [{ name: 'base', image: 'debian' }, 409, 'template_exists'],
    [{ name: 'x', image: 'evil.example.com/x' }, 400, 'registry_not_allowed'],
    [{ name: 'x', image: 'insien/other' }, 400, 'registry_not_allowed'],
    [{ name: 'x', image: '../x' }, 400, 'invalid_image'],
    [{ name: 'x', dockerfile: 'FROM debian\nADD http://169.254.169.254/ /x\n' }, 400, 'invalid_dockerfile'],
  ];
  for (const [body, status, code] of cases) {
    assertError(await call('POST', '/api/templates', { body }), status, code);
  }
  assertError(await call('DELETE', '/api/templates/base'), 403, 'template_of_server');
});

const imageOf = (templateId) => `${instance}/template:${templateId.replaceAll('-', '')}`;
const imageExists = async (name) => (await run('docker', ['image', 'inspect', name])).code === 0;
const buildContainers = () => docker('ps', '-q', '--filter', `label=insien.build=${instance}`);

test('after a kill nothing of a build is left but its failure', async (t) => {
  const kept = await create(t, { image: 'insien/tiny' });
  assert.equal((await settled(kept.templateId)).status, 'ready');
  const long = await create(t, { dockerfile: 'FROM insien/tiny\nRUN sleep 600\n' });
  const folder = await create(t, { dockerfile: 'FROM insien/tiny\nCOPY a /a\n', context: true });
  await until('the step runs', async () => (await buildContainers()) !== '', 30_000);
  const [went, unheard] = [randomUUID(), randomUUID()];
  await sql(`INSERT INTO template_images_gone (id, instance, node)
    SELECT '${went}', instance, node FROM templates WHERE id = '${kept.templateId}'`); // as its row went
  for (const id of [went, unheard]) {
    await docker('tag', 'insien/tiny', imageOf(id));
  }
  await docker('tag', 'insien/tiny', imageOf(folder.templateId)); // as if the engine had come to its end behind the kill
  t.after(() => docker('rmi', imageOf(unheard)));
  await kill9('sandbox');
  await whenHealthy(30_000);
  for (const made of [long, folder]) {
    assert.equal((await settled(made.templateId)).failure, 'interrupted');
  }
  await until('the step has ended', async () => (await buildContainers()) === '', 60_000);
  for (const id of [went, folder.templateId]) {
    await until('the image that no template has is gone', async () => !await imageExists(imageOf(id)), 60_000);
  }
  assert.equal(await imageExists(imageOf(kept.templateId)), true);
  assert.equal(await imageExists(imageOf(unheard)), true, 'the database may have been restored from before it was made');
  // A template that failed gives way to one of its name.
  const again = await call('POST', '/api/templates', { body: { name: long.name, image: 'insien/tiny' } });
  assert.equal(again.status, 201, again.text);
  assert.equal((await settled(again.json.templateId)).status, 'ready');
});

test('an end that the database refuses holds up nobody', async (t) => {
  await sql(`ALTER TABLE templates ADD CONSTRAINT refuses_ends CHECK (NOT (status = 'ready' AND
    (description = 'unending' OR (description = 'silent' AND log <> ''))))`);
  t.after(() => sql('ALTER TABLE templates DROP CONSTRAINT refuses_ends'));
  const unending = await create(t, { image: 'insien/tiny', description: 'unending' });
  const silent = await create(t, { image: 'insien/tiny', description: 'silent' });
  const other = await create(t, { image: 'insien/tiny' });
  assert.equal((await settled(other.templateId)).status, 'ready');
  assert.equal((await settled(silent.templateId)).status, 'ready', 'better without its log than never');
  assert.deepEqual(await log(silent.templateId), [{ type: 'end', status: 'ready' }]);
  assert.equal((await call('GET', `/api/templates/${unending.templateId}`)).json.status, 'making');
});

test('whoever listens to what another node makes does not ask without a pause', async (t) => {
  const made = await create(t, { image: 'insien/tiny' });
  assert.equal((await settled(made.templateId)).status, 'ready');
  const become = (status) => sql(`UPDATE templates SET status = '${status}' WHERE id = '${made.templateId}'`);
  await become('making');
  t.after(() => become('ready'));
  const listening = log(made.templateId);
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await become('ready');
  const events = await listening;
  assert.deepEqual(events.at(-1), { type: 'end', status: 'ready' });
  assert.ok(events.length < 10, `${events.length} events`);
});

// Each would have the engine look an image up itself: any on it, by the begin of its id.
test('no image is reached but those that are allowed', async (t) => {
  const hidden = [
    'COPY --fr""om=insien/base / /x', 'COPY --fr\\om=insien/base / /x', 'COPY --chown="0 0" --from=insien/base / /x',
    'RUN true \\\\\nFR\\\nOM insien/base', 'COPY --from=0 / /x', 'ADD x.tar.gz /',
  ];
  for (const line of hidden) {
    const body = { name: 'x', dockerfile: `FROM insien/tiny\n${line}\n` };
    assertError(await call('POST', '/api/templates', { body }), 400, 'invalid_dockerfile');
  }
  // The name of the stage itself is, as long as it is not done, an image's.
  const body = { name: 'x', dockerfile: 'FROM insien/tiny AS a\nCOPY --from=a / /x\n' };
  const own = await call('POST', '/api/templates', { body });
  if (own.status === 201) {
    t.after(() => call('DELETE', '/api/templates/x'));
    assert.equal((await settled(own.json.templateId)).failure, 'pull_failed');
  } else {
    assertError(own, 400, 'registry_not_allowed');
  }
});

test('an image whose containers would write where nobody measures is no template', async (t) => {
  const { templateId } = await create(t, { dockerfile: 'FROM insien/tiny\nVOLUME /data\n' });
  assert.equal((await settled(templateId)).failure, 'image_has_volumes');
  const lines = await log(templateId);
  assert.match(lines.map((line) => line.text ?? '').join(''), /VOLUME/);
});

test('an image does not say what the engine runs beside its sandboxes', async (t) => {
  const own = await create(t, { dockerfile: 'FROM insien/tiny\nHEALTHCHECK --interval=1s CMD touch /checked\n', profile: 'locked' });
  assert.equal((await settled(own.templateId)).status, 'ready');
  const id = await sandboxFor(t, { template: own.name });
  assert.equal(await docker('inspect', '-f', '{{.Config.Healthcheck.Test}} {{.State.Health}}', `insien-${id}`), '[NONE] <nil>');
  await call('DELETE', `/sandbox/${id}`);
});

test('a folder is not larger than it seems', async (t) => {
  const own = await create(t, { dockerfile: 'FROM insien/tiny\nCOPY big /\n', context: true });
  const folder = `/tmp/insien-sparse-${process.pid}`;
  execFileSync('sh', ['-c', `mkdir ${folder} && truncate -s 1T ${folder}/big`]);
  t.after(() => execFileSync('rm', ['-r', folder]));
  const tar = execFileSync('tar', ['-C', folder, '--format=pax', '-Scf', '-', 'big']);
  const reply = await call('PUT', `/api/templates/${own.templateId}/context`, { body: tar, headers: { 'Content-Type': 'application/x-tar' } });
  assert.equal(reply.status, 200, reply.text);
  assert.equal((await settled(own.templateId)).failure, 'invalid_folder');
});
