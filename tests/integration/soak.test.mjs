// Many clients at random for ten minutes (ten seconds in a quick run): not a byte is lost, and at
// the end nothing is left of them. SOAK_SEED and SOAK_S in the environment have a run again.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { commands } from '../support/acts/commands.mjs';
import { files } from '../support/acts/files.mjs';
import { listening, ports, SERVERS } from '../support/acts/ports.mjs';
import {
  call, createSandbox, destroySandbox, exec, shellOutput,
} from '../support/api.mjs';
import { Random } from '../support/known.mjs';
import { docker, pidOf, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const SECONDS = Number(process.env.SOAK_S ?? (process.env.LONG ? 600 : 10));
const SEED = process.env.SOAK_SEED ?? String(randomInt(1e9));
const WORKERS = 24;
const SANDBOXES = 3;
const ACT_MS = 60_000; // each is done in a moment
const SETTLE_MS = 45_000; // the gateway keeps idle connections to previews for 30 s
const MIB = 1024 * 1024;
// A sanitizer gives memory back now and then, so that the same gateway stands 15 MiB higher or lower;
// what is lost for good it tells when the gateway ends.
const GATEWAY_GROWTH_MAX = (process.env.INSIEN_BUILD_TYPE === 'Sanitize' ? 64 : 32) * MIB;
// Finished processes are kept, 4 MiB of them; a sanitizer keeps 256 MiB of what an agent freed.
const AGENT_GROWTH_MAX = (process.env.INSIEN_BUILD_TYPE === 'Sanitize' ? 256 + 64 : 32) * MIB;
const acts = { ...commands, ...files, ...ports };
const services = ['gateway', 'auth', 'sandbox'];

const childrenOf = (pid) => readdirSync(`/proc/${pid}/task`)
  .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean));
const inMib = (bytes) => Math.round(bytes / MIB);
const statusOf = (pid, name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
const residentBytes = (pid) => statusOf(pid, 'VmRSS') * 1024;

// How many of each kind: threads, children, sockets, pipes, locks of sandboxes...
function usedBy(pid) {
  const used = { threads: statusOf(pid, 'Threads'), children: childrenOf(pid).length };
  for (const descriptor of readdirSync(`/proc/${pid}/fd`)) {
    const kind = descriptorKind(`/proc/${pid}/fd/${descriptor}`);
    used[kind] = (used[kind] ?? 0) + 1;
  }
  return used;
}

function descriptorKind(link) {
  try {
    return readlinkSync(link).replace(/:?\[\d+\]$/, '').replace(/\/[0-9a-f]{32}$/, '/*');
  } catch {
    return 'closing'; // since the folder was read
  }
}

function within(promise, ms, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not done in ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

describe(`random clients, seed ${SEED}`, () => {
  const sandboxes = []; // {id, ports, agentPid}
  let agent; // of REST calls
  let serving; // pid of each service

  const expose = async (id, containerPort) => {
    const reply = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort, visibility: 'public' } });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };

  before(async () => {
    agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
    for (let i = 0; i < SANDBOXES; i += 1) {
      const { sandboxId: id } = await createSandbox({ template: 'base', timeoutMs: 3_600_000 });
      const sandbox = { id };
      sandboxes.push(sandbox);
      await exec(id, 'python3', ['-c', SERVERS], { background: true });
      sandbox.ports = { web: await expose(id, listening.WEB), echo: await expose(id, listening.ECHO) };
      sandbox.agentPid = Number(await docker('inspect', '-f', '{{.State.Pid}}', `insien-${id}`));
      await until('its servers listen', async () => (await exec(id, 'python3',
        ['-c', `import socket; [socket.create_connection(("127.0.0.1", p)) for p in (${listening.WEB}, ${listening.ECHO})]`])).exitCode === 0, 10_000);
    }
    serving = Object.fromEntries(await Promise.all(services.map(async (name) => [name, await pidOf(name)])));
  });
  after(() => Promise.all(sandboxes.map(({ id }) => destroySandbox(id))));

  const inUse = () => ({
    ...Object.fromEntries(services.map((name) => [name, usedBy(serving[name])])),
    ...Object.fromEntries(sandboxes.map(({ agentPid }, i) => [`agent ${i}`, usedBy(agentPid)])),
  });

  // Acts one after the other until the time is over; resolves to how many of each.
  const work = async (number, deadline, counts) => {
    const sandbox = sandboxes[number % SANDBOXES];
    const world = {
      ...sandbox, agent, random: new Random(`${SEED}/${number}`), folder: `/app/soak-${number}`,
      socket: await openClient(sandbox.id),
    };
    world.reconnect = async () => {
      await (world.random.chance(0.5) ? world.socket.close() : world.socket.terminate());
      world.socket = await openClient(sandbox.id);
    };
    await world.socket.request({ type: 'mkdir', path: world.folder });
    while (performance.now() < deadline.at) {
      const name = world.random.pick(Object.keys(acts));
      try {
        await within(acts[name](world), ACT_MS, name);
        counts[name] = (counts[name] ?? 0) + 1;
        if (world.random.chance(0.05)) {
          await world.reconnect();
        }
      } catch (error) {
        deadline.at = 0; // the others stop, so that the first failure is the one that is seen
        throw new Error(`worker ${number}, ${name}: ${error.stack}`);
      }
    }
    await world.socket.close();
  };

  const workAll = async (seconds, counts) => {
    const deadline = { at: performance.now() + seconds * 1000 };
    const results = await Promise.allSettled(Array.from({ length: WORKERS }, (_, i) => work(i, deadline, counts)));
    const reasons = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.message);
    for (const name of services) {
      if (await pidOf(name) !== serving[name]) {
        reasons.unshift(`${name} is not the same process any more`);
      }
    }
    if (reasons.length > 0) {
      throw new Error(`seed ${SEED}\n${reasons.join('\n')}`);
    }
  };

  it('lose nothing and leave nothing', { timeout: (SECONDS + 180) * 1000 }, async (t) => {
    const before = inUse();
    const resident = residentBytes(serving.gateway);
    const residentAgents = sandboxes.map(({ agentPid }) => residentBytes(agentPid));
    const counts = {};
    await workAll(SECONDS, counts);
    agent.destroy();
    t.diagnostic(`${Object.values(counts).reduce((a, b) => a + b)} acts: ${JSON.stringify(counts)}`);

    const grown = residentBytes(serving.gateway) - resident;
    const agentsGrown = sandboxes.map(({ agentPid }, i) => residentBytes(agentPid) - residentAgents[i]);
    t.diagnostic(`the gateway grew by ${inMib(grown)} MiB, the agents by ${agentsGrown.map(inMib)}`);

    const more = (now) => Object.entries(now).flatMap(([who, used]) => Object.entries(used)
      .filter(([what, count]) => count > (before[who][what] ?? 0))
      .map(([what, count]) => `${who}: ${count} of ${what}, ${before[who][what] ?? 0} before`));
    await until('all is given back', () => more(inUse()).length === 0, SETTLE_MS)
      .catch(() => assert.deepEqual(more(inUse()), []));
    assert.ok(grown < GATEWAY_GROWTH_MAX, `the gateway grew by ${grown} bytes`);
    assert.ok(Math.max(...agentsGrown) < AGENT_GROWTH_MAX, `the agents grew by ${agentsGrown} bytes`);
    for (const { id } of sandboxes) {
      assert.equal(await shellOutput(id, 'find /app/soak-* -type f ! -name kept ! -name "kept by rest"'), '', 'no half of a file');
    }
  });
});
