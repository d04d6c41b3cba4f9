// What a sandbox has on its disk, kept, and others that begin from it.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { assertError, call, destroySandbox, exec, makeUser, sandboxFor, shellOutput, tryExec, whenHealthy } from '../support/api.mjs';
import { docker, kill9, sql, until } from '../support/stack.mjs';

// What the tests made goes behind them: not before its sandboxes have ended.
const left = [];
const remove = ([url, key]) => until('it is deleted', async () => (await call('DELETE', url, { key })).status !== 409, 30_000);
after(() => Promise.all(left.map(remove)));

const one = async (id) => (await call('GET', `/api/snapshots/${id}`)).json;

async function snapshotOf(sandboxId, body = {}) {
  const reply = await call('POST', `/sandbox/${sandboxId}/snapshots`, { body });
  assert.equal(reply.status, 201, reply.text);
  const { templateId } = reply.json;
  left.push([`/api/snapshots/${templateId}`]);
  await until('it is made', async () => (await one(templateId)).status !== 'making', 60_000);
  const made = await one(templateId);
  assert.equal(made.status, 'ready', made.failure);
  return made;
}

test('a snapshot keeps files, and sandboxes begin from it', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'echo kept > kept']);
  const { stdout: who } = await exec(id, 'sh', ['-c', 'id -un; pwd']);
  const made = await snapshotOf(id);
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
  const { name } = await snapshotOf(id, { name: `s${Date.now()}`, description: 'of a paused one' });
  assert.equal((await call('GET', `/sandbox/${id}/status`)).json.status, 'paused');
  assert.ok((await call('GET', '/api/snapshots')).json.snapshots.some((item) => item.name === name));
  const copy = await sandboxFor(t, { template: name });
  assert.equal((await exec(copy, 'cat', ['kept'])).stdout, 'kept\n');
});

test('snapshots are of own sandboxes alone, and for their owner', async (t) => {
  const id = await sandboxFor(t);
  const made = await snapshotOf(id);
  const key = await makeUser('free');
  assertError(await call('POST', `/sandbox/${id}/snapshots`, { key, body: {} }), 404, 'sandbox_not_found');
  assertError(await call('GET', `/api/snapshots/${made.templateId}`, { key }), 404, 'template_not_found');
  assertError(await call('DELETE', `/api/snapshots/${made.templateId}`, { key }), 404, 'template_not_found');
  assertError(await call('POST', '/sandbox/create', { key, body: { snapshot: made.templateId } }), 404, 'template_not_found');
  assertError(await call('POST', '/sandbox/create', { body: { snapshot: made.templateId, template: 'base' } }), 400, 'validation_failed');
});

const statusOf = async (id) => (await call('GET', `/sandbox/${id}/status`)).json.status;
const eventsOf = async (id) => (await sql(
  `SELECT type || ' ' || cause FROM sandbox_events WHERE sandbox_id = '${id}' AND cause IN ('snapshot', 'traffic') ORDER BY id`)).split('\n');
const begin = async (id) => {
  const reply = await call('POST', `/sandbox/${id}/snapshots`, { body: {} });
  assert.equal(reply.status, 201, reply.text);
  left.push([`/api/snapshots/${reply.json.templateId}`]);
  return reply.json.templateId;
};
const whenOver = async (snapshot) => {
  let made;
  // Also where a service that was killed is not there yet.
  await until('it is made', async () => ['ready', 'failed'].includes((made = await one(snapshot)).status), 60_000);
  return made;
};

test('a running one rests while its disk is kept, by itself, and whoever wants it waits', async (t) => {
  const id = await sandboxFor(t, { autoResume: false });
  await exec(id, 'sh', ['-c', 'head -c 40000000 /dev/urandom > large; (while :; do date +%s%N; sleep 0.01; done) > ticks 2>&1 &']);
  const snapshot = await begin(id);
  assert.equal((await exec(id, 'echo', ['there'])).stdout, 'there\n');
  assert.equal((await whenOver(snapshot)).status, 'ready');
  await until('it runs', async () => (await statusOf(id)) === 'running', 20_000);
  const events = await eventsOf(id);
  assert.deepEqual(events.slice(0, 2), ['sandbox.pausing snapshot', 'sandbox.paused snapshot']);
  assert.match(events[2], /^sandbox.resuming (snapshot|traffic)$/);
  assert.ok(Number((await shellOutput(id, 'wc -l < ticks'))) > 1, 'what ran goes on');
});

test('a pause that is asked for meanwhile is one of its user', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'head -c 40000000 /dev/urandom > large']);
  const snapshot = await begin(id);
  assert.equal((await call('POST', `/sandbox/${id}/pause`, { body: {} })).json.status, 'paused');
  assert.equal((await whenOver(snapshot)).status, 'ready');
  assert.equal(await statusOf(id), 'paused');
  assert.equal((await sql(`SELECT pause_reason FROM sandboxes WHERE id = '${id}'`)).trim(), 'user');
  assert.equal((await call('POST', `/sandbox/${id}/resume`, { body: {} })).json.status, 'running');
});

test('whatever is killed meanwhile, the sandbox moves on and the snapshot has an end', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'head -c 40000000 /dev/urandom > large']);
  const snapshot = await begin(id);
  await until('it stands still', async () => (await sql(`SELECT status FROM sandboxes WHERE id = '${id}'`)).trim() !== 'running'
    || (await one(snapshot)).status !== 'making', 20_000);
  await kill9('sandbox');
  await whenHealthy();
  const made = await whenOver(snapshot);
  assert.ok(made.status === 'ready' || made.failure === 'interrupted', made.failure);
  await until('it runs', async () => (await statusOf(id)) === 'running', 40_000);
  assert.equal((await exec(id, 'echo', ['there'])).stdout, 'there\n');
});

test('a snapshot of one that rests on disk', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'echo kept > kept']);
  await call('POST', `/sandbox/${id}/pause`, { body: { mode: 'disk' } });
  const made = await snapshotOf(id);
  assert.equal(await statusOf(id), 'paused');
  const copy = await sandboxFor(t, { template: undefined, snapshot: made.templateId });
  assert.equal((await exec(copy, 'cat', ['kept'])).stdout, 'kept\n');
});

test('one that is destroyed meanwhile leaves no snapshot half done', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'head -c 40000000 /dev/urandom > large']);
  const snapshot = await begin(id);
  await destroySandbox(id);
  const made = await whenOver(snapshot);
  assert.ok(made.status === 'ready' || ['sandbox_gone', 'docker_unavailable'].includes(made.failure), made.failure);
});

test('neither secrets nor environment nor labels of the sandbox are in the image', async (t) => {
  await call('PUT', '/api/secrets/of-snapshots', { body: { value: 'never-in-an-image' } });
  t.after(() => call('DELETE', '/api/secrets/of-snapshots'));
  const id = await sandboxFor(t, {
    env: { PLAIN: 'not-in-an-image-either' }, secrets: { env: { HIDDEN: 'of-snapshots' }, files: { hidden: 'of-snapshots' } },
  });
  assert.match(await shellOutput(id, 'cat /run/secrets/hidden; echo $HIDDEN'), /never-in-an-image/);
  const made = await snapshotOf(id);
  const image = (await sql(`SELECT image FROM templates WHERE id = '${made.templateId}'`)).trim();
  const told = await docker('image', 'inspect', '--format', '{{json .Config}}', image);
  assert.doesNotMatch(told, /never-in-an-image|not-in-an-image-either/);
  assert.doesNotMatch(told, new RegExp(id));
  const copy = await sandboxFor(t, { template: undefined, snapshot: made.templateId });
  assert.equal(await shellOutput(copy, 'echo "$PLAIN$HIDDEN"; ls -A /run/secrets 2>/dev/null | wc -l'), '0');
  const found = await exec(copy, 'sh', ['-c', 'grep -rl never-in-an-image / --include=* 2>/dev/null | grep -v ^/proc | head -1']);
  assert.equal(found.stdout, '');
});

test('a template of a snapshot has settings of its own, and outlives it', async (t) => {
  const id = await sandboxFor(t);
  await exec(id, 'sh', ['-c', 'echo kept > kept']);
  const made = await snapshotOf(id);
  const name = `copied-${Date.now()}`;
  const reply = await call('POST', '/api/templates', { body: { name, snapshot: made.templateId, env: { COLOUR: 'blue' }, memoryMB: 64 } });
  assert.equal(reply.status, 201, reply.text);
  left.push([`/api/templates/${name}`]);
  assert.equal(reply.json.source, 'copy');
  assert.equal(reply.json.reference, made.templateId);
  await until('it is made', async () => (await call('GET', `/api/templates/${name}`)).json.status === 'ready', 60_000);
  assert.equal((await call('DELETE', `/api/snapshots/${made.templateId}`)).status, 200);
  const copy = await sandboxFor(t, { template: name });
  assert.equal(await shellOutput(copy, 'cat kept; echo $COLOUR'), 'kept\nblue');
  assert.equal((await call('GET', `/sandbox/${copy}/stats`)).json.limits?.memoryBytes ?? 64 * 1048576, 64 * 1048576);
  const body = { name: `${name}-2`, snapshot: 'no-such' };
  assertError(await call('POST', '/api/templates', { body }), 404, 'template_not_found');
  assertError(await call('POST', '/api/templates', { body: { ...body, profile: 'sudo' } }), 400, 'validation_failed');
  assertError(await call('POST', '/api/templates', { body: { ...body, image: 'insien/tiny' } }), 400, 'validation_failed');
});

test('what snapshots take of the disk counts, also of those whose parent has gone', async (t) => {
  const key = await makeUser('free');
  const owner = (await call('GET', '/api/users/me', { key })).json;
  const id = await sandboxFor(t, {}, key);
  await tryExec(id, { cmd: 'sh', args: ['-c', 'head -c 20000000 /dev/urandom > large'] }, { key });
  const take = async (sandbox) => {
    const { templateId } = (await call('POST', `/sandbox/${sandbox}/snapshots`, { key, body: {} })).json;
    left.push([`/api/snapshots/${templateId}`, key]);
    const look = async () => (await call('GET', `/api/snapshots/${templateId}`, { key })).json;
    await until('it is made', async () => (await look()).status !== 'making', 60_000);
    return look();
  };
  const first = await take(id);
  const own = async () => Number(await sql(`SELECT coalesce(sum(own_bytes + inherited_bytes), 0) FROM templates WHERE user_id = '${owner.userId ?? owner.id}'`));
  const one = await own();
  assert.ok(one >= 20_000_000 && one < 25_000_000, `${one}`);
  const copy = await sandboxFor(t, { template: undefined, snapshot: first.templateId }, key);
  const second = await take(copy);
  const both = await own();
  assert.ok(both >= one && both < one + 5_000_000, 'what they share counts once');
  await destroySandbox(copy, key);
  await until('the first can be deleted', async () => (await call('DELETE', `/api/snapshots/${first.templateId}`, { key })).status === 200, 20_000);
  assert.equal(await own(), both, 'its layers stay, for the second');
  const third = await sandboxFor(t, { template: undefined, snapshot: second.templateId }, key);
  assert.equal((await tryExec(third, { cmd: 'sh', args: ['-c', 'wc -c < large'] }, { key })).json.stdout.trim(), '20000000');
  await destroySandbox(third, key);
  await sql(`UPDATE templates SET own_bytes = 1000000000000 WHERE id = '${second.templateId}'`);
  assert.equal((await take(id)).failure, 'snapshot_quota_exceeded');
  assert.equal((await tryExec(id, { cmd: 'echo', args: ['goes on'] }, { key })).json.stdout, 'goes on\n');
  assertError(await call('POST', `/sandbox/${id}/fork`, { key, body: {} }), 429, 'snapshot_quota_exceeded');
});
