// Bytes and processes through the whole chain, each beside its floor.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { createSandbox, destroySandbox, shell } from '../support/api.mjs';
import { apiKey, apiUrl, stateDir, wsUrl } from '../support/stack.mjs';
import { get, send } from '../support/transfer.mjs';
import { openClient } from '../support/websocket.mjs';
import { inMs, median, quantile, timed } from './statistics.mjs';

const program = path.join(stateDir, 'build/Release/tests/bench/bench_stream_client');
const BYTES = 2_000_000_000;
const FILE_BYTES = 1024 * 1024 * 1024;
const FILE_ROUNDS = 5;
const SMALL_FILES = 4000;
const EXECS = 3000;
const IN_FLIGHT = 16;

const measured = async (...args) => Number((await promisify(execFile)(program, args.map(String))).stdout);
const megabytes = (value) => `${value.toFixed(0)} MB/s`;
const share = (value, floor) => `${((100 * value) / floor).toFixed(0)} %`;

// Runs action for each of count numbers, some at a time.
async function inParallel(count, width, action) {
  let next = 0;
  const worker = async () => {
    while (next < count) {
      const number = next;
      next += 1;
      await action(number);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function bytes(id) {
  const { hostname, port } = new URL(wsUrl);
  const floor = await measured('floor', BYTES);
  const stdout = await measured('stdout', hostname, port, apiKey, id, BYTES);
  const first = await measured('first', hostname, port, apiKey, id, 300);
  return [
    { what: 'a pipe, a unix socket, a TCP socket, masked (floor)', measured: megabytes(floor) },
    { what: 'stdout through the whole chain', measured: `${megabytes(stdout)}, ${share(stdout, floor)}`, goal: '≥ 60 % of the floor' },
    { what: 'from a write in the sandbox to the client', measured: `p50 ${inMs(first)}`, goal: '≤ 2 ms' },
  ].map((row) => ({ ...row, floor }));
}

// Medians of a large file's ways, one after the other in each round; each makes a file anew.
async function largeFiles(id) {
  const url = `${apiUrl}/sandbox/${id}/files?path=/tmp/large`;
  const here = `${stateDir}/bench.large`;
  const local = (line) => promisify(execFile)('sh', ['-c', line]);
  const inside = (line) => shell(id, line, { timeoutMs: 120_000 });
  const curl = (...args) => promisify(execFile)('curl', ['-sS', '--fail-with-body', '-H', `X-API-Key: ${apiKey}`, ...args]);
  await inside(`head -c ${FILE_BYTES} /dev/zero > /tmp/source`);
  await local(`head -c ${FILE_BYTES} /dev/zero > ${here}`);
  const rates = { copy: [], store: [], up: [], down: [] };
  const add = (way, [ms]) => rates[way].push(FILE_BYTES / ms / 1000);
  for (let i = 0; i < FILE_ROUNDS; i += 1) {
    add('copy', await timed(() => inside('cp /tmp/source /tmp/copy')));
    await inside('rm /tmp/copy');
    rates.store.push(await measured('store', here, `${here}.stored`));
    await local(`rm ${here}.stored`);
    add('up', await timed(() => curl('-T', here, url)));
    add('down', await timed(() => curl('-o', '/dev/null', url)));
    await inside('rm /tmp/large');
  }
  await local(`rm -f ${here}`);
  await inside('rm /tmp/source');
  return Object.fromEntries(Object.entries(rates).map(([way, values]) => [way, median(values)]));
}

async function files(id, floor) {
  const { copy, store, up, down } = await largeFiles(id);
  const small = Buffer.alloc(1024, 7);
  const [putMs] = await timed(() => inParallel(SMALL_FILES, IN_FLIGHT, (i) => send('PUT', `/sandbox/${id}/files?path=/tmp/small/${i}`, [small], { headers: { 'Content-Length': 1024 } })));
  const [getMs] = await timed(() => inParallel(SMALL_FILES, IN_FLIGHT, (i) => get(`/sandbox/${id}/files?path=/tmp/small/${i}`)));
  return [
    { what: 'cp of 1 GiB in the sandbox (floor)', measured: megabytes(copy) },
    { what: 'a file, a TCP socket, a unix socket, a file', measured: `${megabytes(store)}, ${share(store, copy)} of cp` },
    { what: 'upload of 1 GiB', measured: `${megabytes(up)}, ${share(up, copy)} (${share(up, store)} of the line above)`, goal: '≥ 80 % of cp' },
    { what: 'download of 1 GiB', measured: `${megabytes(down)}, ${share(down, floor)}`, goal: '≥ 60 % of the floor' },
    { what: 'PUT of 1 KiB files', measured: `${((1000 * SMALL_FILES) / putMs).toFixed(0)}/s`, goal: '≥ 2,000/s' },
    { what: 'GET of 1 KiB files', measured: `${((1000 * SMALL_FILES) / getMs).toFixed(0)}/s`, goal: '≥ 2,000/s' },
  ];
}

async function processes(id) {
  const spawn = await measured('spawn', EXECS);
  const socket = await openClient(id);
  const run = () => socket.request({ type: 'exec', cmd: '/bin/true' });
  await inParallel(200, 1, run);
  const times = [];
  await inParallel(EXECS, 1, async () => {
    const [ms] = await timed(run);
    times.push(ms);
  });
  const [allMs] = await timed(() => inParallel(EXECS, IN_FLIGHT, run));
  await socket.close();
  return [
    { what: 'posix_spawn and wait on the host (floor)', measured: `p50 ${inMs(spawn)}, ${(1000 / spawn).toFixed(0)}/s` },
    { what: 'exec round trip', measured: `p50 ${inMs(quantile(times, 0.5))}, ${inMs(quantile(times, 0.5) - spawn)} above`, goal: '≤ 0.8 ms above' },
    { what: `exec, ${IN_FLIGHT} in flight`, measured: `${((1000 * EXECS) / allMs).toFixed(0)}/s, ${share((1000 * EXECS) / allMs, 1000 / spawn)}`, goal: '≥ 70 % of the floor' },
  ];
}

export async function measure() {
  const { sandboxId } = await createSandbox({ template: 'base' });
  const rows = await bytes(sandboxId);
  rows.push(...await files(sandboxId, rows[0].floor), ...await processes(sandboxId));
  await destroySandbox(sandboxId);
  return rows;
}
