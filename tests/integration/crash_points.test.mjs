// The sandbox-service dies at each point behind an act outside of it, while a client does what leads
// there. Whoever repeats learns what became of the request; nothing is left over, and what is counted
// is counted right.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import net from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { call, makeUser, whenHealthy, whenUsable } from '../support/api.mjs';
import { crashPoints, dieAt, settled } from '../support/crash_points.mjs';
import { whyNotRestricted } from '../support/far.mjs';
import { docker, instance, kill9, nothingIsOrphaned, run, serviceSettings, sql, until, withSettings } from '../support/stack.mjs';

const PATIENCE_MS = 60_000;
const volumesDir = serviceSettings('sandbox').VOLUMES_DIR;
const id32 = (id) => id.replaceAll('-', '');
const newName = () => `c-${randomBytes(6).toString('hex')}`;
const lines = (text) => text.split('\n').filter((line) => line !== '').sort();

let key;

const ask = (method, url, body, headers) => settled(method, url, { key, body, headers });
async function must(method, url, body, headers) {
  const reply = await ask(method, url, body, headers);
  assert.ok([200, 201].includes(reply.status), `${method} ${url}: ${reply.status} ${reply.text}`);
  return reply.json;
}
const once = () => ({ 'Idempotency-Key': randomUUID() });

// The same request with the same key gets the same answer, again and again.
async function mustOnce(url, body) {
  const headers = once();
  const first = await must('POST', url, body, headers);
  assert.deepEqual(await must('POST', url, body, headers), first);
  return first;
}

const statusOf = (id) => must('GET', `/sandbox/${id}/status`);
const usage = () => must('GET', '/sandbox/quota/usage');
const hasUsed = (count) => until(`${count} count`, async () => (await usage()).sandboxes.used === count, PATIENCE_MS);

async function create(body = {}) {
  const wanted = { template: 'tiny', network: 'none', timeoutMs: 600_000, ...body };
  const { sandboxId } = await mustOnce('/sandbox/create', wanted);
  await whenUsable(sandboxId, PATIENCE_MS, key);
  return sandboxId;
}
async function destroy(id) {
  await must('DELETE', `/sandbox/${id}`);
  await ends(id, 'user');
}
async function ends(id, reason) {
  const status = await until(`${id} is gone`, async () => {
    const now = await statusOf(id);
    return ['destroyed', 'failed'].includes(now.status) && now;
  }, PATIENCE_MS);
  assert.equal(status.endReason, reason);
}

const listens = (port) => new Promise((resolve) => {
  const socket = net.connect({ port, host: '127.0.0.1' });
  socket.on('connect', () => { socket.destroy(); resolve(true); });
  socket.on('error', ({ code }) => resolve(code !== 'ECONNREFUSED'));
});

const isOff = (volume) => until('it is neither mounted nor has a device', () => !readFileSync('/proc/self/mounts', 'utf8').includes(id32(volume.id))
  && !readdirSync('/sys/block').some((name) => name.startsWith('loop') && backing(name).includes(id32(volume.id))), PATIENCE_MS);
function backing(name) {
  try {
    return readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8');
  } catch {
    return ''; // it has none
  }
}

async function template(body, url = '/api/templates') {
  const made = await mustOnce(url, { name: newName(), ...body });
  const status = await until('it is made or not', async () => {
    const now = await must('GET', `/api/templates/${made.templateId}`);
    return ['ready', 'failed'].includes(now.status) && now;
  }, PATIENCE_MS);
  // What was being made when the service died has failed, and says why.
  assert.ok(status.status === 'ready' || status.failure === 'interrupted', JSON.stringify(status));
  return status;
}
const removeTemplate = (id) => until('it is removed', async () => [200, 404].includes((await ask('DELETE', `/api/templates/${id}`)).status), PATIENCE_MS);

async function rest() {
  const id = await create();
  for (const mode of ['disk', 'freeze', 'disk', 'freeze']) {
    assert.equal((await must('POST', `/sandbox/${id}/pause`, { mode })).status, 'paused');
    assert.equal((await must('POST', `/sandbox/${id}/resume`)).status, 'running');
  }
  await whenUsable(id, PATIENCE_MS, key);
  await destroy(id);
}

async function withPort() {
  const id = await create();
  const port = await mustOnce(`/sandbox/${id}/expose`, { containerPort: 8080 });
  await until('it is listened on', () => listens(port.hostPort), PATIENCE_MS);
  assert.equal(await sql(`SELECT count(*) FROM ports WHERE sandbox_id = '${id}'`), '1');
  const closed = await ask('DELETE', `/sandbox/${id}/ports/8080`);
  assert.ok(closed.status === 200 || closed.json.code === 'port_not_found', closed.text);
  await until('it is listened on no more', async () => !await listens(port.hostPort), PATIENCE_MS);
  await destroy(id);
}

async function withVolume() {
  const volume = await mustOnce('/api/volumes', { name: newName(), sizeMB: 16 });
  for (const round of [1, 2]) {
    const id = await create({ volumes: { '/data': volume.name } });
    const { stdout } = await must('POST', `/sandbox/${id}/exec`, { cmd: 'sh', args: ['-c', 'echo round >> /data/rounds; cat /data/rounds'] });
    assert.equal(stdout, 'round\n'.repeat(round));
    await destroy(id);
    await isOff(volume);
  }
  const removed = await ask('DELETE', `/api/volumes/${volume.name}`);
  assert.ok([200, 404].includes(removed.status), removed.text);
  await until('its disk and its row are gone', async () => !readdirSync(volumesDir).some((name) => name.startsWith(id32(volume.id)))
    && await sql(`SELECT count(*) FROM volumes WHERE id = '${volume.id}'`) === '0', PATIENCE_MS);
}

async function snapshot() {
  const id = await create();
  await removeTemplate((await template({}, `/sandbox/${id}/snapshots`)).templateId);
  await whenUsable(id, PATIENCE_MS, key);
  await destroy(id);
}

async function claim() {
  await until('some wait', async () => await sql("SELECT count(*) > 1 FROM warm_sandboxes WHERE status = 'ready'") === 't', PATIENCE_MS);
  const id = await create({ memoryMB: 128 });
  await hasUsed(1);
  await destroy(id);
}

// The copies that are told of are there, and no other.
async function fork(id) {
  const { status, json, text } = await ask('POST', `/sandbox/${id}/fork`, { count: 2, timeoutMs: 600_000 }, once());
  assert.ok(status === 201 || json.code === 'fork_failed', text);
  const copies = (json.sandboxes ?? []).map(({ sandboxId }) => sandboxId);
  await hasUsed(1 + copies.length);
  for (const copy of copies) {
    await whenUsable(copy, PATIENCE_MS, key);
    await destroy(copy);
  }
}

const networksOf = async (id) => Object.keys(JSON.parse(await docker('inspect', '--format', '{{json .NetworkSettings.Networks}}', `insien-${id}`)));
const tableHas = async (address) => (await run('nft', ['list', 'ruleset'])).stdout.includes(address);

async function changeNetwork() {
  const id = await create();
  for (const network of ['restricted', 'none']) {
    await must('PUT', `/sandbox/${id}/network`, { network, ...(network === 'restricted' && { allow: ['example.com'] }) });
    assert.deepEqual((await networksOf(id)).map((name) => name.replace(/^insien-.*-/, '')), [network]);
  }
  await must('PUT', `/sandbox/${id}/network`, { network: 'restricted', allow: ['example.com'] });
  const address = await sql(`SELECT host(network_address) FROM sandboxes WHERE id = '${id}'`);
  assert.ok(await tableHas(address));
  await destroy(id);
  await until('its rules are gone', async () => !await tableHas(address), PATIENCE_MS);
}

// What leads through the points whose names begin so.
const acts = [
  [['create', 'destroy'], async () => {
    const id = await create();
    await hasUsed(1);
    await destroy(id);
  }],
  [['failing_create'], async () => {
    const { templateId, name } = await template({ image: 'insien/tiny' });
    await sql(`UPDATE templates SET runtime = 'none-such' WHERE id = '${templateId}'`);
    const refused = await ask('POST', '/sandbox/create', { template: name }, once());
    assert.equal(refused.json.code, 'runtime_unavailable', refused.text);
    await hasUsed(0);
    await removeTemplate(templateId);
  }],
  [['end'], async () => {
    const id = await create();
    await docker('kill', `insien-${id}`);
    await ends(id, 'error');
  }],
  [['timeout'], async () => {
    const id = await create();
    await must('POST', `/sandbox/${id}/timeout`, { timeoutMs: 1000, onTimeout: 'pause' });
    await until('it rests', async () => (await statusOf(id)).status === 'paused', PATIENCE_MS);
    await must('POST', `/sandbox/${id}/resume`);
    await must('POST', `/sandbox/${id}/timeout`, { timeoutMs: 1000, onTimeout: 'destroy' });
    await ends(id, 'timeout');
  }],
  [['loss'], async () => {
    const [model, lost] = [await create(), randomUUID()]; // of the second no event tells
    await sql(`INSERT INTO sandboxes SELECT (jsonb_populate_record(s, jsonb_build_object('id', '${lost}'))).*
      FROM sandboxes s WHERE s.id = '${model}'`);
    await ends(lost, 'error');
    await destroy(model);
  }],
  [['pause', 'resume'], rest],
  [['expose', 'close'], withPort],
  [['volume', 'volume_removal'], withVolume],
  [['template', 'template_removal'], async () => removeTemplate((await template({ image: 'insien/tiny' })).templateId)],
  [['build'], async () => removeTemplate((await template({ dockerfile: 'FROM insien/tiny\nRUN echo > /built\n' })).templateId)],
  [['snapshot'], snapshot],
  [['network'], changeNetwork, await whyNotRestricted()],
  [['claim', 'refill'], claim, false, { WARM_POOLS: 'tiny/none/pro=2' }],
];

const templateImages = async () => lines(await docker('images', '--filter', `reference=${instance}/template`, '--format', '{{.Tag}}'));
const templateRows = async () => lines(await sql(`SELECT replace(id::text, '-', '') FROM templates WHERE instance = '${instance}' AND status = 'ready' AND user_id IS NOT NULL`));

async function nothingIsLeft(strangers) {
  assert.deepEqual((await nothingIsOrphaned(PATIENCE_MS)).filter((id) => !strangers.has(id)), []);
  await hasUsed(0);
  assert.deepEqual((await usage()).inUse, { memoryMB: 0, cpu: 0, diskMB: 0 });
  await until('each image has its template', async () => JSON.stringify(await templateImages()) === JSON.stringify(await templateRows()), PATIENCE_MS);
  assert.equal(await sql(`SELECT count(*) FROM ports p JOIN sandboxes s ON s.id = p.sandbox_id
    WHERE s.status IN ('stopping', 'destroyed', 'failed')`), '0');
  assert.equal(await docker('ps', '-aq', '--filter', `label=insien.build=${instance}`), '', 'no step of a build');
}

const points = await crashPoints();

describe('a sandbox-service that dies', { skip: points.length === 0 && 'no build for tests' }, () => {
  let strangers; // sandboxes of other tests, left alone

  before(async () => {
    key = await makeUser('pro');
    strangers = new Set(await nothingIsOrphaned(PATIENCE_MS));
  });
  afterEach(async () => {
    for (const { sandboxId } of (await must('GET', '/sandbox?limit=100')).sandboxes.filter(({ status }) => !['destroyed', 'failed'].includes(status))) {
      await ask('DELETE', `/sandbox/${sandboxId}`); // of one that failed
    }
  });
  after(() => whenHealthy(PATIENCE_MS));

  const actOf = (point) => point.split('.')[0];

  it('dies somewhere in each of its acts', () => {
    const known = acts.flatMap(([names]) => names);
    assert.deepEqual([...new Set(points.map(actOf))].sort(), known.sort());
  });

  for (const [names, act, skip = false, settings = null] of acts) {
    const own = points.filter((point) => names.includes(actOf(point)));
    it(`at ${own.join(', ')} leaves nothing undecided and nothing over`, { skip }, async () => {
      const giveBack = settings === null ? () => null : await withSettings('sandbox', settings);
      try {
        await dieAt(own, act);
      } finally {
        await giveBack();
      }
      await until('none waits in a pool', async () => await sql('SELECT count(*) FROM warm_sandboxes') === '0', PATIENCE_MS);
      await nothingIsLeft(strangers);
    });
  }

  it('behind the image of a fork, and between its copies, leaves none that nobody was told of', async () => {
    const id = await create();
    await dieAt(['template.after_end', 'create.after_row', 'create.before_answer'], () => fork(id));
    await destroy(id);
    await nothingIsLeft(strangers);
  });

  it('in another place: of a gateway that died with a create in hand its repeat gets the sandbox', async () => {
    const [headers, body] = [once(), { template: 'tiny', network: 'none' }];
    const lost = call('POST', '/sandbox/create', { key, headers, body }).catch(() => null);
    await until('it is being made', async () => (await sql(`SELECT count(*) FROM sandboxes s JOIN api_keys k
      ON k.user_id = s.user_id WHERE k.prefix = '${key.slice(0, 12)}' AND s.status IN ('creating', 'running')`)) === '1', PATIENCE_MS);
    await kill9('gateway');
    await lost;
    const { sandboxId } = await must('POST', '/sandbox/create', body, headers);
    await whenUsable(sandboxId, PATIENCE_MS, key);
    await hasUsed(1);
    await destroy(sandboxId);
    await nothingIsLeft(strangers);
  });
});
