// What a key costs the gateway once it is known, and what it costs everybody else when many come for
// the first time at once.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { call, makeUser, whenHealthy } from '../support/api.mjs';
import { agents } from '../support/connections.mjs';
import { apiUrl, kill9, pidOf, redis, stateDir } from '../support/stack.mjs';
import { inMs, spread, timed } from './statistics.mjs';

const program = path.join(stateDir, 'build/Release/tests/bench/bench_keys');
const KEYS = 200;
const BCRYPT_MS = 100; // of CPU: what only threads that run bcrypt take, beside the loop's

async function costOfKnown() {
  const { lookNs, missed, keys } = JSON.parse((await promisify(execFile)(program)).stdout);
  const measured = `${(lookNs / 1000).toFixed(2)} µs of CPU, ${missed} of ${keys} unknown`;
  return { what: 'a key that is known, in the gateway', measured, goal: '≤ 5 µs' };
}

async function makeKeys() {
  const key = await makeUser('enterprise');
  const keys = [];
  while (keys.length < KEYS) {
    keys.push((await call('POST', '/api/keys', { key, body: {} })).json.apiKey.key);
  }
  return keys;
}

// Nobody remembers any key any more.
async function forgetKeys() {
  await redis('FLUSHALL');
  await Promise.all(['auth', 'gateway'].map(kill9));
  await whenHealthy();
}

// Nanoseconds of CPU of each thread of a process.
function threadTimes(pid) {
  const dir = `/proc/${pid}/task`;
  return Object.fromEntries(readdirSync(dir).map((tid) => [tid, Number(readFileSync(`${dir}/${tid}/schedstat`, 'utf8').split(' ')[0])]));
}

async function manyAtOnce(keys) {
  await forgetKeys();
  const pid = await pidOf('auth');
  const watch = new Worker(new URL('health_watch.mjs', import.meta.url), { workerData: apiUrl });
  await once(watch, 'message');
  const agent = agents(keys.length)[new URL(apiUrl).protocol];
  const before = threadTimes(pid);
  const [tookMs, replies] = await timed(() => Promise.all(keys.map((key) => timed(() => call('GET', '/sandbox?limit=1', { key, agent })))));
  const after = threadTimes(pid);
  watch.postMessage('stop');
  const [health] = await once(watch, 'message');
  const spentMs = Object.entries(after).filter(([tid]) => Number(tid) !== pid).map(([tid, ns]) => (ns - (before[tid] ?? 0)) / 1e6);
  return { tookMs, replies, health, busy: spentMs.filter((ms) => ms > BCRYPT_MS) };
}

export async function measure() {
  const known = await costOfKnown();
  const keys = await makeKeys();
  const { tookMs, replies, health, busy } = await manyAtOnce(keys);
  const served = replies.filter(([, { status }]) => status === 200).length;
  const others = replies.length - served; // who waited too long for a core
  const sum = busy.reduce((total, ms) => total + ms, 0);
  return [
    known,
    { what: `${keys.length} keys for the first time at once`, measured: `${served} served, ${others} refused in ${inMs(tookMs)}` },
    { what: '  GET /health meanwhile', measured: spread(health), goal: 'p99 ≤ 20 ms' },
    { what: '  threads that ran bcrypt', measured: `${busy.length}, ${inMs(sum / served)} of CPU a key`, goal: '≤ cores (2)' },
  ];
}
