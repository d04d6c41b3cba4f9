// Requests a second of one gateway on one core; the load comes from the other.
import { readFileSync } from 'node:fs';
import { createSandbox, destroySandbox } from '../support/api.mjs';
import { apiKey, apiUrl, pidOf, run } from '../support/stack.mjs';

const SECONDS = 6;
const CONNECTIONS = 64;
const TICKS_PER_SECOND = 100;

function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function load(pid, url, headers = []) {
  const before = cpuSeconds(pid);
  const { stdout } = await run('taskset', ['-c', '1', 'wrk', '-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency',
    ...headers.flatMap((header) => ['-H', header]), `${apiUrl}${url}`]);
  const cpu = (cpuSeconds(pid) - before) / SECONDS;
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]);
  const p99 = /99%\s+(\S+)/.exec(stdout)[1];
  const failed = /Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? '0';
  return `${Math.round(rate)} req/s, p99 ${p99}, ${Math.round(cpu * 100)} % of a core, ${failed} failed`;
}

export async function measure() {
  const pid = await pidOf('gateway');
  await run('taskset', ['-a', '-p', '-c', '0', `${pid}`]);
  const { sandboxId } = await createSandbox();
  const health = await load(pid, '/health');
  const status = await load(pid, `/sandbox/${sandboxId}/status`, [`X-API-Key: ${apiKey}`]);
  await destroySandbox(sandboxId);
  await run('taskset', ['-a', '-p', '-c', '0-1', `${pid}`]);
  return [
    { what: 'GET /health', measured: health, goal: '≥ 20,000 req/s' },
    { what: 'GET /sandbox/{id}/status', measured: status, goal: '≥ 10,000 req/s' },
  ];
}
