// What a rate limit costs a request, and how exactly two gateways share one. Needs no deployment.
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { stateDir } from '../support/stack.mjs';

const run = async (name) => JSON.parse(
  (await promisify(execFile)(path.join(stateDir, 'build/Release/tests/bench', name))).stdout.trim().split('\n').at(-1),
);

export async function measure() {
  const found = await run('bench_limits');
  const whole = await run('bench_admission');
  const micro = (ns) => `${(ns / 1000).toFixed(2)} µs of CPU a request`;
  return [
    { what: 'rate limit, tokens leased', measured: micro(found.oneNs), goal: '≤ 3 µs' },
    { what: '  of a key with a limit of its own', measured: micro(found.twoNs), goal: '≤ 3 µs' },
    { what: '  on a request\'s whole way', measured: `${micro(whole.overheadNs)}, of ${micro(whole.exemptNs)} where it is exempt`, goal: '≤ 3 µs' },
    { what: '  requests that wait for Redis', measured: `${found.waitedPercent} %` },
    { what: 'two gateways, one limit, asked 10 s', measured: `${found.admitted} of ${found.asked} admitted, ${found.abovePercent} % above`, goal: '≤ 5 % above' },
  ];
}
