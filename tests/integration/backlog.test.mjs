// What many clients together can make the gateway hold: no more than its budget for all of them.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { createSandbox, destroySandbox, shellOutput } from '../support/api.mjs';
import { pidOf, serviceSettings, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const MIB = 1024 * 1024;
const SOCKETS = 24;
const PROGRAMS = 2; // on each
const FILES = 14; // the same
const SPREAD = 24 * MIB; // of what a sanitizer keeps, and of room in buffers that is not used
const ASKED = 40; // times, to tell a latency
const SLOWER_MAX = 3;
const NOISE_MS = 10; // of a machine that does other things too

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

describe('clients that do not read', () => {
  let id;
  let other; // sandbox, of somebody who reads
  let gateway;
  before(async () => {
    [{ sandboxId: id }, { sandboxId: other }] = await Promise.all([createSandbox(), createSandbox()]);
    await shellOutput(id, 'head -c 67108864 /dev/zero > big');
    gateway = await pidOf('gateway');
  });
  after(() => Promise.all([destroySandbox(id), destroySandbox(other)]));

  const rss = () => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${gateway}/status`, 'utf8'))[1]) * 1024;

  const latency = async (socket) => {
    const times = [];
    for (let i = 0; i < ASKED; i += 1) {
      const began = performance.now();
      assert.equal((await socket.request({ type: 'exec', cmd: 'true' })).exitCode, 0);
      times.push(performance.now() - began);
    }
    return median(times);
  };

  // A socket that asks for much, and then takes nothing.
  const neglect = async () => {
    const socket = await openClient(id);
    const requests = [
      ...Array(PROGRAMS).fill({ type: 'exec', cmd: 'yes', stream: true, timeoutMs: 0 }),
      ...Array(FILES).fill({ type: 'download', path: 'big' }),
    ];
    const opened = requests.map((request) => socket.open(request));
    const answers = await Promise.all(opened.map(({ answer }) => answer));
    assert.ok(answers.every(({ type }) => type !== 'error'), JSON.stringify(answers[0]));
    opened.forEach(({ stream }) => stream.grantAhead(32 * MIB));
    socket.pause();
    return { socket, streams: opened.map(({ stream }) => stream) };
  };

  // Resolves to the most there was, once it grows no more.
  const settled = async () => {
    let most = 0;
    await until('the gateway grows no more', async () => {
      const before = most;
      most = Math.max(most, rss());
      await new Promise((resolve) => { setTimeout(resolve, 500); });
      return before > 0 && rss() <= before + MIB / 4;
    }, 60_000);
    return most;
  };

  it('cost no more together than the budget, and those who read go on', { timeout: 180_000 }, async (t) => {
    const budget = Number(serviceSettings('gateway').CLIENT_BACKLOG_MB ?? 512) * MIB;
    const reader = await openClient(other);
    const calm = await latency(reader);
    const was = rss();
    const neglected = [];
    for (let i = 0; i < SOCKETS; i += 1) {
      neglected.push(await neglect());
    }
    const grown = await settled() - was;
    const among = await latency(reader);
    t.diagnostic(`${SOCKETS * (PROGRAMS + FILES)} streams hold ${(grown / MIB).toFixed(1)} MiB in the gateway; an exec takes ${calm.toFixed(2)} ms, then ${among.toFixed(2)}`);
    assert.ok(grown < budget + SPREAD, `the gateway grew by ${grown} bytes`);
    assert.ok(among < SLOWER_MAX * calm + NOISE_MS, `an exec took ${calm} ms, then ${among} ms`);

    const { stream, answer } = reader.open({ type: 'exec', cmd: 'head', args: ['-c', String(64 * MIB), '/dev/zero'], stream: true });
    assert.equal((await answer).type, 'execResponse');
    const { stdout, exit } = await stream.collect(60_000);
    assert.deepEqual([stdout.length, exit.exitCode], [64 * MIB, 0], 'small windows are windows');

    const [{ socket, streams: [first] }] = neglected; // it was held back, not cut off
    socket.resume();
    await first.until('y\n'.repeat(2 * MIB));
    await Promise.all([reader, ...neglected.map((each) => each.socket)].map((each) => each.terminate()));
  });
});
