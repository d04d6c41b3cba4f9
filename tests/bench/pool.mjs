// Sandboxes out of a pool: one at a time, and as many as come at once; and what else is done to
// one that runs. The engine's own rate stands beside a burst that the pool is too small for.
import { readFileSync } from 'node:fs';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { docker, sql, until, withSettings } from '../support/stack.mjs';
import { removeContainer, startContainer, withBodyLike } from './engine.mjs';
import { inMs, median, quantile, timed } from './statistics.mjs';

const KEPT = 50;
const KEPT_FEW = 20;
const MANY = 100;
const ROUNDS = 100;
const PAUSES = 20;
const AT_ONCE = 4; // START_CONCURRENCY, and so of the engine alone
const FULL_MS = 300_000;
const BETWEEN_MS = 100;

const shape = { template: 'base', network: 'none' };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const spread = (values) => `p50 ${inMs(median(values))}, p95 ${inMs(quantile(values, 0.95))}, n ${values.length}`;
const waiting = async () => Number(await sql('SELECT count(*) FROM warm_sandboxes WHERE status = \'ready\''));
const allWarm = async () => Number(await sql('SELECT count(*) FROM warm_sandboxes'));

async function withPool(count, use) {
  const giveBack = await withSettings('sandbox', {
    WARM_POOLS: count === 0 ? 'none' : `base/none/enterprise=${count}`, WARM_POOL_CONCURRENCY: '2', WARM_POOL_MEMORY_MB: '1000000',
    TIER_ENTERPRISE_SANDBOXES: '1000', NODE_MEMORY_MB: '1000000',
  });
  try {
    await until('the service answers', async () => (await call('GET', '/sandbox')).status === 200, 30_000);
    await whenFull(count);
    return await use();
  } finally {
    await giveBack();
    await until('none waits', async () => await allWarm() === 0, FULL_MS);
  }
}

// Full, and everything that ended is gone.
async function whenFull(count) {
  await until(`${count} wait`, async () => await waiting() === count && await allWarm() === count
    && await sql('SELECT count(*) FROM sandboxes WHERE ended_at IS NULL') === '0', FULL_MS);
  await sleep(BETWEEN_MS);
}

async function oneByOne(count, options) {
  const creates = [];
  const execs = [];
  const ends = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    if (i % count === 0) {
      await whenFull(count);
    }
    const began = performance.now();
    const { sandboxId } = await createSandbox({ ...shape, ...options });
    creates.push(performance.now() - began);
    await exec(sandboxId, 'true');
    execs.push(performance.now() - began);
    ends.push((await timed(() => destroySandbox(sandboxId)))[0]);
    await sleep(BETWEEN_MS);
  }
  return { creates, execs, ends };
}

async function burst(count) {
  const times = [];
  const began = performance.now();
  const made = await Promise.allSettled(Array.from({ length: count }, async () => {
    const [ms, { sandboxId }] = await timed(() => createSandbox(shape));
    times.push(ms);
    return sandboxId;
  }));
  const took = performance.now() - began;
  const ids = made.filter(({ status }) => status === 'fulfilled').map(({ value }) => value);
  await Promise.all(ids.map((id) => destroySandbox(id)));
  return { times, took, failed: count - ids.length };
}

// Containers a second, as many at once as the service starts.
async function engineRate(count) {
  const ids = [];
  let left = count;
  let took = 0;
  await withBodyLike(shape, async (body) => {
    await removeContainer(await startContainer(body));
    [took] = await timed(() => Promise.all(Array.from({ length: AT_ONCE }, async () => {
      while (left > 0) {
        left -= 1;
        ids.push(await startContainer(body));
      }
    })));
  });
  for (const id of ids) {
    await removeContainer(id);
  }
  return count / took * 1000;
}

async function pauses() {
  const { sandboxId } = await createSandbox(shape);
  const rests = [];
  const returns = [];
  for (let i = 0; i < PAUSES; i += 1) {
    rests.push((await timed(() => call('POST', `/sandbox/${sandboxId}/pause`)))[0]);
    returns.push((await timed(() => call('POST', `/sandbox/${sandboxId}/resume`)))[0]);
  }
  await destroySandbox(sandboxId);
  return { rests, returns };
}

const pss = (pid) => Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);

// Of one that waits: its agent, what else runs in it, and the engine's process that watches it.
async function idleMemory() {
  const id = (await sql('SELECT id FROM warm_sandboxes WHERE status = \'ready\' LIMIT 1')).trim();
  const first = Number(await docker('inspect', '-f', '{{.State.Pid}}', `insien-${id}`));
  const shim = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${first}/status`, 'utf8'))[1]);
  const inside = (await docker('top', `insien-${id}`, '-o', 'pid')).split('\n').slice(1).map(Number).filter(Boolean);
  const sum = (pids) => pids.reduce((total, pid) => total + pss(pid), 0) / 1024;
  return `${sum([shim, ...inside]).toFixed(1)} MiB (inside ${sum(inside).toFixed(1)}, shim ${sum([shim]).toFixed(1)})`;
}

async function measureFull() {
  const idle = await idleMemory();
  const plain = await oneByOne(KEPT, {});
  const other = await oneByOne(KEPT, { memoryMB: 256 });
  await whenFull(KEPT);
  const all = await burst(KEPT);
  await whenFull(KEPT);
  const { rests, returns } = await pauses();
  return [
    { what: 'create, warm', measured: spread(plain.creates), goal: 'p50 ≤ 8 ms, p95 ≤ 25 ms' },
    { what: 'create, warm, with another limit', measured: spread(other.creates), goal: 'p50 ≤ 30 ms' },
    { what: 'create → first exec, warm', measured: spread(plain.execs), goal: 'p50 ≤ 12 ms' },
    { what: 'destroy answered', measured: spread(plain.ends), goal: '≤ 10 ms' },
    { what: `burst of ${KEPT}, as many wait`, measured: `${spread(all.times)}, ${all.failed} failed`, goal: 'p95 ≤ 250 ms' },
    { what: 'pause', measured: spread(rests), goal: '≤ 30 ms' },
    { what: 'resume', measured: spread(returns), goal: '≤ 30 ms' },
    { what: 'one that waits', measured: idle, goal: '≤ 8 MiB' },
  ];
}

export async function measure() {
  const rows = await withPool(KEPT, measureFull);
  const rate = await engineRate(MANY);
  const few = await withPool(KEPT_FEW, () => burst(MANY));
  const none = await withPool(0, () => burst(MANY));
  const beside = (result) => {
    const ours = (MANY - result.failed) / result.took * 1000;
    return `${inMs(result.took)}, ${ours.toFixed(1)} /s, ${(ours / rate * 100).toFixed(0)} % of the engine's; ${spread(result.times)}, ${result.failed} failed`;
  };
  return [...rows,
    { what: `engine alone, ${AT_ONCE} at once`, measured: `${rate.toFixed(1)} /s` },
    { what: `burst of ${MANY}, ${KEPT_FEW} wait`, measured: beside(few), goal: '≥ 90 %, none failed' },
    { what: `burst of ${MANY}, none waits`, measured: beside(none), goal: '≥ 90 %, none failed' },
  ];
}
