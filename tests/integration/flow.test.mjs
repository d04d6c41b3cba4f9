// What readers who do not read cost, and that size costs nothing: memory of the gateway and of the
// agent, and the time of others, while much flows or nothing can.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { createSandbox, destroySandbox, shellOutput } from '../support/api.mjs';
import { docker, pidOf, until } from '../support/stack.mjs';
import { digest, open, send } from '../support/transfer.mjs';
import { openClient } from '../support/websocket.mjs';

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
const READERS = 16;
const SPOOL = MIB;
const ROUNDS = 5; // to tell a latency, of which other work on the machine disturbs some
const ASKED = 30; // times a round
const SLOWER_MAX = 2;
const NOISE_MS = 3;
const FLAT = 24 * MIB; // a sanitizer keeps some of what was freed

const inMib = (bytes) => (bytes / MIB).toFixed(1);
const rssOf = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

// Pieces of a mebibyte that do not repeat, made as fast as they are sent.
function* gibibyte() {
  const piece = randomBytes(MIB);
  for (let i = 0; i < GIB / MIB; i += 1) {
    piece.writeUInt32BE(i, 0);
    yield Buffer.from(piece);
  }
}

describe('what flows', () => {
  let id;
  let socket;
  let pids; // whose memory is looked at

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    socket = await openClient(id);
    pids = {
      gateway: await pidOf('gateway'),
      agent: Number(await docker('inspect', '-f', '{{.State.Pid}}', `insien-${id}`)),
    };
  });
  after(async () => {
    await socket.close();
    await destroySandbox(id);
  });

  const memory = () => Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, rssOf(pid)]));
  const grownSince = (was) => Object.fromEntries(Object.entries(memory()).map(([name, rss]) => [name, rss - was[name]]));

  // Looks at the memory all the while; resolves to {result, most}: how much more each had at most.
  const watched = async (action) => {
    const was = memory();
    const most = { gateway: 0, agent: 0 };
    const timer = setInterval(() => {
      for (const [name, grown] of Object.entries(grownSince(was))) {
        most[name] = Math.max(most[name], grown);
      }
    }, 50);
    try {
      return { result: await action(), most };
    } finally {
      clearInterval(timer);
    }
  };

  const mustBeFlat = (t, most) => {
    t.diagnostic(`more than before, in MiB: gateway ${inMib(most.gateway)}, agent ${inMib(most.agent)}`);
    assert.ok(most.gateway < FLAT, `the gateway grew by ${most.gateway} bytes`);
    assert.ok(most.agent < FLAT, `the agent grew by ${most.agent} bytes`);
  };

  const medianOf = async (client) => {
    const times = [];
    for (let i = 0; i < ASKED; i += 1) {
      const began = performance.now();
      assert.equal((await client.request({ type: 'exec', cmd: '/bin/true' })).exitCode, 0);
      times.push(performance.now() - began);
    }
    return times.sort((a, b) => a - b)[ASKED / 2];
  };

  // What a command takes on a socket of its own: the median, of the round that was disturbed least.
  const latency = async () => {
    const client = await openClient(id);
    const medians = [];
    while (medians.length < ROUNDS) {
      medians.push(await medianOf(client));
    }
    await client.close();
    return Math.min(...medians);
  };

  const processes = async () => (await socket.request({ type: 'ps' })).processes;
  const stillsOf = (list, tag) => list.filter((process) => process.tag?.startsWith(tag));

  // Resolves once nothing of that tag uses the processor any more; a paused program does not.
  const standStill = async (tag) => {
    let ticks = null;
    await until('the programs stand still', async () => {
      const now = stillsOf(await processes(), tag).map(({ cpuMs }) => cpuMs).join();
      const stands = now === ticks;
      ticks = now;
      await new Promise((resolve) => { setTimeout(resolve, 400); });
      return stands;
    }, 30_000);
  };

  const overSocket = async (tag) => {
    const { stream, answer } = socket.open({ type: 'exec', cmd: 'yes', stream: true, tag, timeoutMs: 0 });
    assert.equal((await answer).type, 'execResponse');
    return { goOn: () => stream.until('y\n'.repeat(MIB)), leave: () => stream.reset() };
  };
  const overRest = async (tag) => {
    const reply = await open('POST', `/sandbox/${id}/exec`, {
      headers: { Accept: 'application/x-ndjson', 'Content-Type': 'application/json' },
      body: JSON.stringify({ cmd: 'yes', tag, timeoutMs: 0 }),
    });
    assert.equal(reply.statusCode, 200);
    const goOn = async () => {
      let left = 8 * MIB;
      for await (const piece of reply) { // leaving the loop leaves the answer
        left -= piece.length;
        if (left <= 0) {
          break;
        }
      }
    };
    return { goOn, leave: () => reply.destroy() };
  };

  for (const [name, begin] of Object.entries({ 'of a WebSocket': overSocket, 'of REST': overRest })) {
    it(`readers ${name} that stop pause their programs, for less than 1 MiB each, and keep nobody waiting`, async (t) => {
      const tag = name.replaceAll(' ', '-');
      const end = async (readers, which) => {
        readers.forEach(({ leave }) => leave());
        await Promise.all(stillsOf(await processes(), which).filter(({ running }) => running)
          .map(({ pid }) => socket.request({ type: 'signal', pid, signal: 'SIGKILL' })));
      };
      const beginAll = (which) => Promise.all(Array.from({ length: READERS }, (_, i) => begin(`${which}-${i}`)));
      const first = await beginAll(`warm-up-${tag}`); // what is taken once and kept is not a reader's
      await standStill(`warm-up-${tag}`);
      await end(first, `warm-up-${tag}`);

      const calm = await latency();
      const was = memory();
      const readers = await beginAll(tag);
      const inBetween = await latency(); // while the programs fill what there is
      await standStill(tag);
      const each = Object.fromEntries(Object.entries(grownSince(was)).map(([who, bytes]) => [who, bytes / READERS]));
      const held = await latency();
      t.diagnostic(`MiB a reader: gateway ${inMib(each.gateway)}, agent ${inMib(each.agent)}; an exec takes ${calm.toFixed(2)} ms, then ${inBetween.toFixed(2)}, then ${held.toFixed(2)}`);
      assert.ok(each.gateway < MIB, `${each.gateway} bytes a reader in the gateway`);
      assert.ok(each.agent < SPOOL + MIB, `${each.agent} bytes a reader in the agent`);
      assert.ok(held < SLOWER_MAX * calm + NOISE_MS, `an exec took ${calm} ms, and ${held} ms among them`);
      const stills = stillsOf(await processes(), tag);
      assert.deepEqual(stills.map(({ running, attached }) => [running, attached]), Array(READERS).fill([true, 1]));
      await readers[0].goOn(); // it was paused, not ended: there is far more than anybody could hold
      await end(readers, tag);
    });
  }

  it('1 GiB goes in as a file and comes out, with memory flat', { timeout: 180_000 }, async (t) => {
    const url = `/sandbox/${id}/files?path=/tmp/gibibyte`;
    const hash = createHash('sha256');
    const hashed = (function* pass() {
      for (const piece of gibibyte()) {
        hash.update(piece);
        yield piece;
      }
    }());
    const { result: up, most: mostUp } = await watched(() => send('PUT', url, hashed));
    assert.deepEqual([up.status, up.json?.size], [201, GIB], up.text);
    mustBeFlat(t, mostUp);
    const expected = hash.digest('hex');
    const { result: down, most: mostDown } = await watched(() => digest(url));
    assert.deepEqual(down, { status: 200, size: GIB, hash: expected });
    mustBeFlat(t, mostDown);
    await shellOutput(id, 'rm /tmp/gibibyte');
  });

  it('1 GiB goes through a program, in and out at once, with memory flat', { timeout: 180_000 }, async (t) => {
    const { stream, answer } = socket.open({ type: 'exec', cmd: 'cat', stream: true, stdinOpen: true, timeoutMs: 0 });
    assert.equal((await answer).type, 'execResponse');
    const sent = createHash('sha256');
    const came = createHash('sha256');
    let size = 0;
    const write = async () => {
      for (const piece of gibibyte()) {
        sent.update(piece);
        await stream.write(piece);
      }
      stream.fin();
    };
    const read = async () => {
      for await (const event of stream) {
        if (event.kind === 'stdout') {
          came.update(event.bytes);
          size += event.bytes.length;
        } else if (event.kind === 'exit') {
          return event.message;
        }
      }
      return null;
    };
    const { result: [exit], most } = await watched(() => Promise.all([read(), write()]));
    assert.deepEqual([exit.exitCode, size, came.digest('hex')], [0, GIB, sent.digest('hex')]);
    mustBeFlat(t, most);
  });
});
