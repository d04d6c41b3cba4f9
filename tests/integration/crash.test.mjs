// Each process is killed with SIGKILL while it has work in hand. Afterwards rows, containers and
// folders must agree, and every running sandbox must be usable, without anyone's help.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  call, createSandbox, destroySandbox, exec, shell, shellOutput, tryExec, whenHealthy, whenUsable,
} from '../support/api.mjs';
import { docker, kill9, nothingIsOrphaned, redis, serviceExists, sql, supervise, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const BACK_MS = 10_000;
const services = ['gateway', 'auth', 'sandbox'];
// Milliseconds after the creates are sent: before the row, around Docker's create and start, and
// while the agent connects.
const moments = [2, 30, 100, 200, 350, 600];
const rounds = process.env.LONG ? 10 : 1;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
// What /health says of a part that was just killed may be a second old.
const answers = (name, ask, timeoutMs = BACK_MS) => until(`${name} answers`,
  () => ask().then(() => true, () => false), timeoutMs);
const tryCreate = () => call('POST', '/sandbox/create', {
  body: { template: 'tiny', network: 'none', timeoutMs: 600_000 },
}).catch((error) => ({ status: 0, error }));

describe('after a SIGKILL', () => {
  const survivors = [];
  let strangers; // of other tests, left alone

  // Writes a line each 0.2 s, so that a container that was made anew would be seen.
  const beats = (id) => shellOutput(id, 'wc -l < /tmp/beats').then(Number);

  before(async () => {
    strangers = new Set(await nothingIsOrphaned());
    for (let i = 0; i < 2; i += 1) {
      const { sandboxId } = await createSandbox({ timeoutMs: 3_600_000 });
      survivors.push(sandboxId);
      await exec(sandboxId, 'sh', ['-c', 'while :; do echo beat >> /tmp/beats; sleep 0.2; done'], { background: true });
    }
  });
  after(() => Promise.all(survivors.map((id) => destroySandbox(id))));

  const survivorsAreUsable = async () => {
    await Promise.all(survivors.map((id) => whenUsable(id, BACK_MS)));
    for (const id of survivors) {
      const seen = await beats(id);
      assert.ok(seen > 0, 'the same container');
      await until('its processes go on', async () => await beats(id) > seen, 30_000);
    }
  };

  const destroyOthers = async (ids) => {
    const doomed = ids.filter((id) => !survivors.includes(id) && !strangers.has(id));
    await Promise.all(doomed.map((id) => destroySandbox(id)));
    const left = (await nothingIsOrphaned()).filter((id) => !strangers.has(id));
    assert.deepEqual(left.sort(), [...survivors].sort());
  };

  const midCreate = async (service, moment) => {
    const creates = [tryCreate(), tryCreate(), tryCreate()];
    await pause(moment);
    await kill9(service);
    const replies = await Promise.all(creates);
    await whenHealthy(BACK_MS);
    await survivorsAreUsable();
    for (const reply of replies) {
      assert.ok([0, 200, 503, 504].includes(reply.status), reply.text);
      if (reply.status === 200) {
        await whenUsable(reply.json.sandboxId, BACK_MS);
      }
    }
    await destroyOthers(await nothingIsOrphaned());
  };

  for (const service of services) {
    for (const moment of moments) {
      it(`of ${service} ${moment} ms into a create nothing is orphaned`, async () => {
        for (let round = 0; round < rounds; round += 1) {
          await midCreate(service, moment);
        }
      });
    }

    it(`of ${service} in the middle of a command the sandbox goes on`, async () => {
      const id = survivors[0];
      const running = tryExec(id, { cmd: 'sh', args: ['-c', 'sleep 2; echo done | tee /tmp/done'] })
        .catch((error) => ({ status: 0, error }));
      await until('the command runs', async () => (await shell(id, 'pidof sleep')).exitCode === 0, 30_000);
      await kill9(service);
      const reply = await running;
      if (service === 'gateway') {
        assert.equal(reply.status, 0, 'its connections end with it');
      } else {
        assert.equal(reply.json?.stdout, 'done\n', `${reply.status} ${reply.text}`);
      }
      await survivorsAreUsable();
      await until('the command went on to its end', async () => (await shell(id, 'cat /tmp/done')).stdout === 'done\n', 30_000);
      await shell(id, 'rm /tmp/done');
      await destroyOthers(await nothingIsOrphaned());
    });
  }

  it('of sandbox in the middle of a destroy the container goes', async () => {
    const { sandboxId } = await createSandbox();
    const destroying = call('DELETE', `/sandbox/${sandboxId}`).catch(() => null);
    await pause(5);
    await kill9('sandbox');
    await destroying;
    await whenHealthy(BACK_MS);
    await destroySandbox(sandboxId);
    await destroyOthers(await nothingIsOrphaned());
  });

  it('of all three at once everything comes back', async () => {
    await Promise.all(services.map((service) => kill9(service)));
    await whenHealthy(BACK_MS);
    await survivorsAreUsable();
    await destroyOthers(await nothingIsOrphaned());
  });

  it('of Redis, which comes back empty, everything comes back', async () => {
    await redis('SET', 'kept', 'no');
    await kill9('redis');
    await until('Redis is back, and empty', () => redis('GET', 'kept').then((kept) => kept === '', () => false), BACK_MS);
    await whenHealthy(BACK_MS);
    await survivorsAreUsable();
    await destroyOthers([...survivors]);
  });

  it('of PostgreSQL everything comes back', async () => {
    const creates = [tryCreate(), tryCreate()];
    await pause(60);
    await kill9('postgres');
    const replies = await Promise.all(creates);
    await answers('PostgreSQL', () => sql('SELECT 1'));
    await whenHealthy(BACK_MS);
    await survivorsAreUsable();
    replies.forEach((reply) => assert.ok([200, 503, 504].includes(reply.status), reply.text));
    await destroyOthers(await nothingIsOrphaned());
  });

  it('of dockerd the sandboxes stay usable and new ones can be made', async (t) => {
    if (!await serviceExists('docker')) {
      t.skip('the engine is the machine\'s own and stays up');
      return;
    }
    const socket = await openClient(survivors[0]);
    await kill9('docker');
    const { stdout } = await socket.request({ type: 'exec', cmd: 'echo', args: ['meanwhile'] });
    assert.equal(stdout, 'meanwhile\n');
    await answers('the engine', () => docker('version'), 30_000);
    await whenHealthy(BACK_MS);
    await survivorsAreUsable();
    await socket.close();
    const { sandboxId } = await createSandbox();
    await destroyOthers([sandboxId]);
  });

  it('and an ordinary restart of each in turn, clients notice only a broken connection', async () => {
    for (const service of [...services, 'redis', 'postgres']) {
      await supervise('restart', service);
      await answers('PostgreSQL', () => sql('SELECT 1'));
      await whenHealthy(BACK_MS);
      await survivorsAreUsable();
    }
    await destroyOthers([...survivors]);
  });
});
