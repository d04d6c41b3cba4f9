// Resident memory, idle. What processes share counts once in PSS.
import { readFileSync } from 'node:fs';
import { createSandbox, destroySandbox, whenHealthy } from '../support/api.mjs';
import { docker, pidOf, supervise } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';
import { spread, timed } from './statistics.mjs';

const SOCKETS = 10_000;
const AT_ONCE = 100; // being opened
const EXECS = 500;
const SETTLE_MS = 3000;

const settled = () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS));

function memoryKib(pid) {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)[1]);
  return { rss: of('Rss'), pss: of('Pss'), own: of('Private_Clean') + of('Private_Dirty') };
}

const mib = (kib) => `${(kib / 1024).toFixed(1)} MiB`;

async function measureServices() {
  const names = ['gateway', 'auth', 'sandbox'];
  for (const name of names) {
    await supervise('restart', name);
  }
  await whenHealthy();
  await settled();
  const each = await Promise.all(names.map(async (name) => memoryKib(await pidOf(name))));
  const sum = (part) => each.reduce((total, memory) => total + memory[part], 0);
  return [
    ...names.map((name, i) => ({ what: `  ${name}`, measured: `PSS ${mib(each[i].pss)}, RSS ${mib(each[i].rss)}` })),
    { what: 'three services, idle', measured: `PSS ${mib(sum('pss'))}, RSS ${mib(sum('rss'))}`, goal: '≤ 40 MiB' },
  ];
}

async function measureAgentAndSockets() {
  const { sandboxId } = await createSandbox();
  const agentPid = await docker('inspect', '-f', '{{.State.Pid}}', `insien-${sandboxId}`);
  const agent = memoryKib(agentPid);
  const gateway = await pidOf('gateway');
  const before = memoryKib(gateway).pss;
  const sockets = [];
  while (sockets.length < SOCKETS) {
    sockets.push(...await Promise.all(Array.from({ length: AT_ONCE }, () => openClient(sandboxId))));
  }
  await settled();
  const all = memoryKib(gateway).pss;
  const each = (all - before) / SOCKETS;
  const times = [];
  for (let i = 0; i < EXECS; i += 1) {
    const [ms] = await timed(() => sockets[i].request({ type: 'exec', cmd: '/bin/true' }));
    times.push(ms);
  }
  await Promise.all(sockets.map((socket) => socket.close()));
  await destroySandbox(sandboxId);
  return [
    { what: 'agent, private', measured: `${mib(agent.own)} (RSS ${mib(agent.rss)})`, goal: '≤ 2 MiB' },
    { what: 'idle client WebSocket', measured: `${each.toFixed(1)} KiB of ${SOCKETS}`, goal: '≤ 20 KiB' },
    { what: `gateway with ${SOCKETS} idle sockets`, measured: `PSS ${mib(all)}`, goal: '≤ 250 MiB' },
    { what: '  exec /bin/true among them', measured: spread(times), goal: 'p99 ≤ 5 ms' },
  ];
}

export async function measure() {
  return [...await measureServices(), ...await measureAgentAndSockets()];
}
