// Resident memory, idle. What processes share counts once in PSS.
import { readFileSync } from 'node:fs';
import { createSandbox, destroySandbox, whenHealthy } from '../support/api.mjs';
import { docker, pidOf, supervise } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';
import { connectAgent, insertSandboxes, removeSandboxes } from './agents.mjs';
import { spread, timed } from './statistics.mjs';

const AGENTS = 5000;
const SOCKETS = 2 * AGENTS; // each agent has one client
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

// Opens one for each id, some at a time.
async function openAll(ids, openOne) {
  const sockets = [];
  while (sockets.length < ids.length) {
    sockets.push(...await Promise.all(ids.slice(sockets.length, sockets.length + AT_ONCE).map(openOne)));
  }
  return sockets;
}

// What the gateway holds more for each of so many sockets, once they are open and idle.
async function costOf(pid, count, begin) {
  const before = memoryKib(pid).pss;
  const sockets = await begin();
  await settled();
  return { sockets, each: (memoryKib(pid).pss - before) / count };
}

async function execTimes(client) {
  const times = [];
  for (let i = 0; i < EXECS; i += 1) {
    const [ms] = await timed(() => client.request({ type: 'exec', cmd: '/bin/true' }));
    times.push(ms);
  }
  return times;
}

async function measureAgentAndSockets() {
  const { sandboxId } = await createSandbox();
  const client = await openClient(sandboxId);
  const agent = memoryKib(await docker('inspect', '-f', '{{.State.Pid}}', `insien-${sandboxId}`));
  const gateway = await pidOf('gateway');
  try {
    const ids = await insertSandboxes(AGENTS, sandboxId);
    const agents = await costOf(gateway, AGENTS, () => openAll(ids, connectAgent));
    const clients = await costOf(gateway, AGENTS, () => openAll(ids, (id) => openClient(id)));
    const all = memoryKib(gateway).pss;
    const times = await execTimes(client);
    await Promise.all(clients.sockets.map((socket) => socket.close()));
    agents.sockets.forEach((socket) => socket.removeAllListeners('close').close());
    return [
      { what: 'agent, private', measured: `${mib(agent.own)} (RSS ${mib(agent.rss)})`, goal: '≤ 2 MiB' },
      { what: 'idle agent in the gateway', measured: `${agents.each.toFixed(1)} KiB of ${AGENTS}` },
      { what: 'idle client WebSocket', measured: `${clients.each.toFixed(1)} KiB of ${AGENTS}`, goal: '≤ 20 KiB' },
      { what: `gateway with ${SOCKETS} idle sockets of both`, measured: `PSS ${mib(all)}`, goal: '≤ 250 MiB' },
      { what: '  exec /bin/true among them', measured: spread(times), goal: 'p99 ≤ 5 ms' },
    ];
  } finally {
    await client.close();
    await removeSandboxes();
    await destroySandbox(sandboxId);
  }
}

export async function measure() {
  return [...await measureServices(), ...await measureAgentAndSockets()];
}
