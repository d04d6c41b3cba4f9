// Bytes and processes through the whole chain, each beside its floor.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { createSandbox, destroySandbox, shell } from '../support/api.mjs';
import { apiKey, apiUrl, stateDir, wsUrl } from '../support/stack.mjs';
import { get, send } from '../support/transfer.mjs';
import { openClient } from '../support/websocket.mjs';
import { inMs, quantile, timed } from './statistics.mjs';

const program = path.join(stateDir, 'build/Release/tests/bench/bench_stream_client');
const BYTES = 2_000_000_000;
const FILE_BYTES = 1024 * 1024 * 1024;
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

async function files(id, floor) {
  const url = `${apiUrl}/sandbox/${id}/files?path=/tmp/large`;
  const curl = (...args) => promisify(execFile)('curl', ['-sS', '--fail-with-body', '-H', `X-API-Key: ${apiKey}`, ...args]);
  await shell(id, `head -c ${FILE_BYTES} /dev/zero > /tmp/source`, { timeoutMs: 120_000 });
  const [copyMs] = await timed(() => shell(id, 'cp /tmp/source /tmp/copy', { timeoutMs: 120_000 }));
  await promisify(execFile)('sh', ['-c', `head -c ${FILE_BYTES} /dev/zero > ${stateDir}/bench.large`]);
  const [upMs] = await timed(() => curl('-T', `${stateDir}/bench.large`, url));
  const [downMs] = await timed(() => curl('-o', '/dev/null', url));
  await promisify(execFile)('rm', ['-f', `${stateDir}/bench.large`]);
  await shell(id, 'rm -f /tmp/source /tmp/copy /tmp/large');
  const rate = (ms) => FILE_BYTES / ms / 1000;
  const small = Buffer.alloc(1024, 7);
  const [putMs] = await timed(() => inParallel(SMALL_FILES, IN_FLIGHT, (i) => send('PUT', `/sandbox/${id}/files?path=/tmp/small/${i}`, [small], { headers: { 'Content-Length': 1024 } })));
  const [getMs] = await timed(() => inParallel(SMALL_FILES, IN_FLIGHT, (i) => get(`/sandbox/${id}/files?path=/tmp/small/${i}`)));
  return [
    { what: 'cp of 1 GiB in the sandbox (floor)', measured: megabytes(rate(copyMs)) },
    { what: 'upload of 1 GiB', measured: `${megabytes(rate(upMs))}, ${share(copyMs, upMs)}`, goal: '≥ 80 % of cp' },
    { what: 'download of 1 GiB', measured: `${megabytes(rate(downMs))}, ${share(rate(downMs), floor)}`, goal: '≥ 60 % of the floor' },
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
