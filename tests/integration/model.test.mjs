// Random acts of clients that race, against a model of what a sandbox's life may look like.
// MODEL_SEED and MODEL_STEPS set what is printed; the same seed gives each client the same wishes,
// though not the same luck.
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { it } from 'node:test';
import { call, makeUser } from '../support/api.mjs';
import { docker, sql, until } from '../support/stack.mjs';

const steps = Number(process.env.MODEL_STEPS ?? (process.env.LONG ? 10_000 : 500));
const seed = Number(process.env.MODEL_SEED ?? randomInt(2 ** 31));
const CLIENTS = 6;
const LIVE_MAX = 6; // wished for; the tier lets ten live
const QUOTA = 10;
const PATIENCE_MS = 30_000;

// mulberry32
function chance(state) {
  let a = state >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const moves = {
  null: ['creating', 'running'], // at once, where a container waited
  creating: ['running', 'failed', 'stopping'],
  running: ['pausing', 'stopping'],
  pausing: ['paused', 'running', 'stopping'],
  paused: ['resuming', 'stopping'],
  resuming: ['running', 'pausing', 'stopping'],
  stopping: ['destroyed'],
};
const gone = ['sandbox_ended', 'sandbox_gone'];
const hasEnded = (status) => ['stopping', 'destroyed', 'failed'].includes(status);

// What is known of a sandbox: when each thing was first asked for, and when it was answered. Whoever
// asks keeps the moment it began at: only what was answered before counts for sure, and what was
// asked for since may or may not have happened.
class Sandbox {
  endAsked = Infinity; // by a destroy, or a time that is set short

  endKnown = Infinity;

  shifting = 0; // pauses, resumes and what wakes it, under way

  shifts = 0; // of those that were ever begun

  ports = new Set();

  constructor(id) {
    this.id = id;
  }

  // Returns whether nothing else of the kind was under way meanwhile; to be asked at the end.
  beginShift() {
    this.shifts += 1;
    this.shifting += 1;
    const { shifts, shifting } = this;
    return () => {
      this.shifting -= 1;
      return shifting === 1 && this.shifts === shifts;
    };
  }

  mayHaveEnded(until) {
    return this.endAsked <= until;
  }

  mustHaveEnded(since) {
    return this.endKnown <= since;
  }
}

class World {
  sandboxes = [];

  creates = 0; // under way

  clock = 0; // of the model: one more with each thing that happens

  done = 0;

  counts = {};

  tick() {
    this.clock += 1;
    return this.clock;
  }

  living() {
    return this.sandboxes.filter(({ endAsked }) => endAsked === Infinity);
  }
}

// An answer that an end explains, and that an end alone explains.
function isOver(box, began, reply, world) {
  const says = gone.includes(reply.json?.code) || hasEnded(reply.json?.status)
    || ['sandbox_gone', 'agent_lost'].includes(reply.json?.reason);
  if (says) {
    assert.ok(box.mayHaveEnded(world.clock), `nobody ended ${box.id}: ${reply.status} ${reply.text}`);
  } else {
    assert.ok(!box.mustHaveEnded(began), `${box.id} had ended: ${reply.status} ${reply.text}`);
  }
  return says;
}

const of = (box, suffix) => `/sandbox/${box.id}/${suffix}`;
const isOneOf = (reply, codes) => codes.includes(reply.json?.code);

async function shift(box, what, { key, world }) {
  const began = world.tick();
  const endShift = box.beginShift();
  const reply = await call('POST', of(box, what), { key });
  const wasAlone = endShift();
  if (isOver(box, began, reply, world)) {
    return;
  }
  if (reply.status === 200 && wasAlone && !box.mayHaveEnded(world.clock)) {
    assert.equal(reply.json.status, what === 'pause' ? 'paused' : 'running', reply.text);
  }
  assert.ok(reply.status === 200 || (!wasAlone && isOneOf(reply, ['sandbox_busy'])), `${what}: ${reply.status} ${reply.text}`);
}

const acts = {
  async create({ key, world }) {
    world.creates += 1;
    const reply = await call('POST', '/sandbox/create', { key, body: { template: 'tiny', network: 'none', timeoutMs: 600_000 } });
    world.creates -= 1;
    if (reply.status === 429) { // those that end count until they have
      const counted = world.sandboxes.filter((box) => !box.isBuried).length + world.creates;
      assert.ok(isOneOf(reply, ['quota_exceeded']) && counted >= QUOTA, `${counted}: ${reply.text}`);
      return;
    }
    assert.equal(reply.status, 200, reply.text);
    world.tick();
    world.sandboxes.push(new Sandbox(reply.json.sandboxId));
  },
  async destroy({ key, world, box }) {
    box.endAsked = Math.min(box.endAsked, world.tick());
    const reply = await call('DELETE', `/sandbox/${box.id}`, { key });
    assert.equal(reply.status, 200, reply.text);
    box.endKnown = Math.min(box.endKnown, world.tick());
  },
  async exec({ key, world, box, random }) {
    const began = world.tick();
    const word = String(random());
    const endShift = box.beginShift();
    const reply = await call('POST', of(box, 'exec'), { key, body: { cmd: 'echo', args: [word] } });
    const wasAlone = endShift();
    if (!isOver(box, began, reply, world) && (wasAlone || !isOneOf(reply, ['sandbox_busy']))) {
      assert.equal(reply.status, 200, reply.text);
      assert.equal(reply.json.stdout, `${word}\n`);
    }
  },
  async status({ key, world, box }) {
    const began = world.tick();
    const reply = await call('GET', of(box, 'status'), { key });
    assert.equal(reply.status, 200, reply.text);
    if (isOver(box, began, reply, world)) {
      assert.ok(reply.json.endReason, reply.text);
      box.isBuried = box.isBuried || reply.json.status === 'destroyed';
    }
  },
  pause: (context) => shift(context.box, 'pause', context),
  resume: (context) => shift(context.box, 'resume', context),
  async prolong({ key, world, box }) {
    const began = world.tick();
    const reply = await call('POST', of(box, 'timeout'), { key, body: { timeoutMs: 900_000 } });
    if (!isOver(box, began, reply, world)) {
      assert.equal(reply.status, 200, reply.text);
    }
  },
  async shorten({ key, world, box }) {
    box.endAsked = Math.min(box.endAsked, world.tick());
    const began = world.clock;
    const reply = await call('POST', of(box, 'timeout'), { key, body: { timeoutMs: 1000 } });
    if (!isOver(box, began, reply, world)) {
      assert.equal(reply.status, 200, reply.text);
    }
  },
  async expose({ key, world, box, random }) {
    const began = world.tick();
    const containerPort = 8000 + Math.floor(random() * 3);
    const reply = await call('POST', of(box, 'expose'), { key, body: { containerPort } });
    const endedBehindIt = isOneOf(reply, ['port_not_found']) && box.mayHaveEnded(world.clock);
    if (!endedBehindIt && !isOver(box, began, reply, world)) {
      assert.equal(reply.status, 200, reply.text);
      box.ports.add(containerPort);
    }
  },
  async ports({ key, world, box }) {
    const began = world.tick();
    const known = [...box.ports];
    const reply = await call('GET', of(box, 'ports'), { key });
    if (!isOver(box, began, reply, world) && !box.mayHaveEnded(world.clock)) {
      assert.equal(reply.status, 200, reply.text);
      const shown = reply.json.ports.map(({ containerPort }) => containerPort);
      assert.deepEqual(known.filter((port) => !shown.includes(port)), []);
    }
  },
  async list({ key, world }) {
    const began = world.tick();
    const before = world.living().map(({ id }) => id);
    const reply = await call('GET', '/sandbox?limit=100', { key });
    assert.equal(reply.status, 200, reply.text);
    const shown = new Map(reply.json.sandboxes.map((one) => [one.sandboxId, one.status]));
    for (const box of world.sandboxes.filter(({ id }) => shown.has(id))) {
      isOver(box, began, { json: { status: shown.get(box.id) }, text: shown.get(box.id) }, world);
    }
    if (shown.size < 100) {
      assert.deepEqual(before.filter((id) => !shown.has(id)), []);
    }
  },
};
const weights = {
  exec: 26, status: 14, list: 6, create: 12, destroy: 5, pause: 9, resume: 9, prolong: 4, shorten: 1, expose: 8, ports: 6,
};
const wishes = Object.entries(weights).flatMap(([name, weight]) => Array(weight).fill(name));

async function client(number, world, key) {
  const random = chance(seed + 7919 * number);
  const trace = [];
  while (world.done < steps && !world.failed) {
    world.done += 1;
    const wish = wishes[Math.floor(random() * wishes.length)];
    // Mostly somebody who lives; now and then whoever there was.
    const from = random() < 0.9 ? world.living() : world.sandboxes.slice(-20);
    const box = from[Math.floor(random() * from.length)];
    const isFull = world.living().length + world.creates >= LIVE_MAX;
    let name = wish;
    if (wish === 'create' || box === undefined) {
      name = isFull ? 'list' : 'create';
    }
    trace.push(`${name} ${box?.id ?? ''}`);
    world.counts[name] = (world.counts[name] ?? 0) + 1;
    try {
      await acts[name]({ key, world, box, random });
    } catch (error) {
      world.failed = true;
      error.message += `\nseed ${seed}, client ${number}, its last acts: ${trace.slice(-8).join(', ')}`;
      throw error;
    }
  }
}

// The events of a sandbox are one path through the states, each from where the one before it led.
async function checkPath(id, key) {
  let after = 0;
  let state = null;
  for (;;) {
    const { json } = await call('GET', `/sandbox/${id}/events?limit=100&after=${after}`, { key, headers: { Accept: 'application/json' } });
    for (const event of json.events) {
      if (event.status !== event.previousStatus) {
        assert.equal(event.previousStatus, state, `${id}: ${JSON.stringify(event)}`);
        assert.ok(moves[state].includes(event.status), `${id}: ${state} -> ${event.status}`);
        state = event.status;
      }
    }
    if (json.events.length < 100) {
      break;
    }
    after = json.next;
  }
  assert.ok(['destroyed', 'failed'].includes(state), `${id}: ${state}`);
}

it(`whatever racing clients do, a sandbox's life is one that the model has (seed ${seed}, ${steps} steps)`, async (t) => {
  const key = await makeUser('pro');
  const world = new World();
  await Promise.all(Array.from({ length: LIVE_MAX / 2 }, () => acts.create({ key, world })));
  const results = await Promise.allSettled(Array.from({ length: CLIENTS }, (_, number) => client(number, world, key)));
  await Promise.all(world.sandboxes.map((box) => call('DELETE', `/sandbox/${box.id}`, { key })));
  const failure = results.find(({ status }) => status === 'rejected');
  if (failure) {
    throw failure.reason;
  }
  const ids = world.sandboxes.map(({ id }) => id);
  const list = ids.map((id) => `'${id}'`).join(',');
  await until('all have ended', async () => await sql(`SELECT count(*) FROM sandboxes WHERE id IN (${list})
    AND status NOT IN ('destroyed', 'failed')`) === '0', PATIENCE_MS);
  assert.equal(await sql(`SELECT count(*) FROM ports WHERE sandbox_id IN (${list})`), '0');
  const containers = await docker('ps', '-a', '--filter', 'label=insien.sandbox', '--format', '{{.Label "insien.sandbox"}}');
  assert.deepEqual(containers.split('\n').filter((id) => ids.includes(id)), []);
  for (const id of ids) {
    await until('its events are told', async () => await sql(`SELECT count(*) FROM sandbox_events WHERE sandbox_id = '${id}' AND seq IS NULL`) === '0', PATIENCE_MS);
    await checkPath(id, key);
  }
  t.diagnostic(`${ids.length} sandboxes; ${JSON.stringify(world.counts)}`);
});
