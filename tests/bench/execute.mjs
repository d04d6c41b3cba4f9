// Programs that are run once: all that is between the request and the answer.
import assert from 'node:assert/strict';
import { call } from '../support/api.mjs';
import { docker, sql, until, withSettings } from '../support/stack.mjs';
import { inMs, median, quantile, timed } from './statistics.mjs';

const ROUNDS = 40;
const KEPT = 10;
const TESTS = 20;
const FULL_MS = 120_000;
const BETWEEN_MS = 100;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const spread = (values) => `p50 ${inMs(median(values))}, p95 ${inMs(quantile(values, 0.95))}, n ${values.length}`;
const sum = (values) => values.reduce((total, value) => total + value, 0);

async function execute(body) {
  const reply = await call('POST', '/sandbox/execute', { body });
  assert.equal(reply.status, 200, reply.text);
  assert.ok(reply.json.success, reply.text);
  return reply.json;
}

const kinds = ['base-locked', 'python', 'cpp'];
const whenFull = (templates) => until('the pools are full', async () => Number(
  await sql(`SELECT count(*) FROM warm_sandboxes WHERE status = 'ready'`)) === templates.length * KEPT, FULL_MS);

async function measurePython(templates) {
  const times = [];
  for (let i = 0; i < ROUNDS; i += 1) {
    if (i % KEPT === 0) {
      await whenFull(templates);
    }
    times.push((await timed(() => execute({ language: 'python', code: 'print(21 * 2)' })))[0]);
    await sleep(BETWEEN_MS);
  }
  return times;
}

// What of the whole was neither the compiler nor one of the runs, for each run.
async function measureTests(templates) {
  const code = '#include <cstdio>\nint main() { int n; if (std::scanf("%d", &n) == 1) std::printf("%d\\n", n * 2); }';
  const tests = Array.from({ length: TESTS }, (_, i) => ({ input: `${i}\n`, expected: `${i * 2}` }));
  const overheads = [];
  for (let i = 0; i < KEPT; i += 1) {
    await whenFull(templates);
    const [ms, answer] = await timed(() => execute({ language: 'cpp', code, tests }));
    overheads.push((ms - answer.compileResult.durationMs - sum(answer.tests.map(({ durationMs }) => durationMs))) / TESTS);
  }
  return overheads;
}

// Of the templates that the programs run in those whose image is here: without it, it is the common one.
async function usable() {
  const rows = await sql(`SELECT name, image FROM templates WHERE user_id IS NULL AND status = 'ready' AND name IN ('${kinds.join("', '")}')`);
  const known = await Promise.all(rows.split('\n').filter(Boolean).map(async (row) => {
    const [name, image] = row.split('|');
    return await docker('images', '-q', image) === '' ? null : name;
  }));
  return known.filter(Boolean);
}

export async function measure() {
  const templates = await usable();
  const giveBack = await withSettings('sandbox', {
    WARM_POOLS: templates.map((name) => `${name}/none/enterprise=${KEPT}`).join(), WARM_POOL_CONCURRENCY: '2', WARM_POOL_MEMORY_MB: '1000000',
    NODE_MEMORY_MB: '1000000',
  });
  try {
    await until('the service answers', async () => (await call('GET', '/sandbox')).status === 200, 30_000);
    return [
      { what: 'one-shot python', measured: spread(await measurePython(templates)), goal: 'p50 ≤ 60 ms' },
      { what: `${TESTS} tests of C++: beside compiler and run, each`, measured: spread(await measureTests(templates)), goal: '≤ 3 ms' },
    ];
  } finally {
    await giveBack();
    await until('none waits', async () => await sql('SELECT count(*) FROM warm_sandboxes') === '0', FULL_MS);
  }
}
