// How a command ended, as its stream tells it: what the kernel said, or that it is not known.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  createSandbox, destroySandbox, exec, sandboxFor, shell, shellOutput, whenUsable,
} from '../support/api.mjs';
import { docker, until } from '../support/stack.mjs';
import { eventsOf, open } from '../support/transfer.mjs';
import { openClient } from '../support/websocket.mjs';

const JSON_LINES = { Accept: 'application/x-ndjson', 'Content-Type': 'application/json' };
const SILENCE_MS = 100_000; // a connection without a byte is given up after 60 s

const script = (text, more = {}) => ({ cmd: 'bash', args: ['-c', text], ...more });

// Both surfaces give the same thing: begin(id, request) resolves to {pid, rest}, where rest() has all
// output and the exit, and checks that nothing follows it.
const surfaces = {
  'over a WebSocket': async (id, request) => {
    const client = await openClient(id);
    const { stream, answer } = client.open({ type: 'exec', stream: true, ...request });
    const { pid } = await answer;
    return {
      pid,
      async rest(timeoutMs) {
        const { stdout, exit } = await stream.collect(timeoutMs);
        await client.close().catch(() => {});
        return { stdout: stdout.toString(), exit };
      },
    };
  },
  'over REST': async (id, request) => {
    const reply = await open('POST', `/sandbox/${id}/exec`, { headers: JSON_LINES, body: JSON.stringify(request) });
    const events = eventsOf(reply);
    const { pid } = (await events.next()).value;
    return {
      pid,
      async rest() {
        let stdout = '';
        const exits = [];
        for await (const event of events) {
          assert.equal(exits.length, 0, 'nothing is behind the exit');
          stdout += event.type === 'stdout' ? event.data : '';
          if (event.type === 'exit') {
            exits.push(event);
          }
        }
        assert.equal(exits.length, 1);
        return { stdout, exit: exits[0] };
      },
    };
  },
};

const how = ({ exit }) => [exit.exitCode, exit.signal, exit.reason];

for (const [name, begin] of Object.entries(surfaces)) {
  describe(`the exit of a streamed command ${name}`, { concurrency: true }, () => {
    let id;
    before(async () => {
      ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    });
    after(() => destroySandbox(id));

    const run = async (request) => (await begin(id, request)).rest();

    it('is the code that the program gave', async () => {
      for (const code of [0, 1, 127, 255]) {
        assert.deepEqual(how(await run(script(`exit ${code}`))), [code, null, 'exited']);
      }
    });

    for (const signal of ['SIGHUP', 'SIGKILL', 'SIGSEGV', 'SIGPIPE', 'SIGUSR2']) {
      it(`is ${signal}`, async () => {
        assert.deepEqual(how(await run(script(`kill -${signal.slice(3)} $$`))), [null, signal, 'signaled']);
      });
    }

    it('is not the signal that a shell took for a code', async () => {
      assert.deepEqual(how(await run(script('exit 137'))), [137, null, 'exited']);
    });

    it('is a timeout, with what came before it, and nothing of its group lives on', async () => {
      const { stdout, exit } = await run(script('echo begun; sleep 8765 & exec sleep 8764', { timeoutMs: 500 }));
      assert.deepEqual([stdout, exit.exitCode, exit.signal, exit.reason], ['begun\n', null, 'SIGKILL', 'timeout']);
      assert.ok(exit.durationMs >= 250 && exit.durationMs < 5000, `${exit.durationMs}`);
      assert.equal((await exec(id, 'pgrep', ['-f', 'sleep 876'])).stdout, '');
    });

    it('comes behind all output, also behind that of a child that lives on', async () => {
      const { stdout, exit } = await run(script('(sleep 0.4; seq 200000) & echo first; exit 4'));
      assert.equal(exit.exitCode, 4);
      assert.equal(stdout.length, 'first\n'.length + 1288895);
      assert.ok(stdout.endsWith('\n200000\n'));
    });

    it('is out of memory', async (t) => {
      const small = await sandboxFor(t, { template: 'base-locked' });
      const { rest } = await begin(small, { cmd: 'python3', args: ['-c', 'print("begun", flush=True); x = bytearray(3 << 30)'] });
      const all = await rest();
      assert.deepEqual([all.stdout, ...how(all)], ['begun\n', null, 'SIGKILL', 'oom']);
    });

    it('is not known when the sandbox is destroyed', async () => {
      const { sandboxId } = await createSandbox();
      const { rest } = await begin(sandboxId, { cmd: 'sleep', args: ['600'] });
      await destroySandbox(sandboxId);
      assert.deepEqual(how(await rest()), [null, null, 'sandbox_gone']);
    });

    it('is not known when its container is killed', async () => {
      const { sandboxId } = await createSandbox();
      const { rest } = await begin(sandboxId, { cmd: 'sleep', args: ['600'] });
      await docker('kill', `insien-${sandboxId}`);
      const [code, signal, reason] = how(await rest());
      assert.deepEqual([code, signal], [null, null]);
      assert.ok(['sandbox_gone', 'agent_lost'].includes(reason), reason);
      await destroySandbox(sandboxId);
    });
  });
}

describe('an agent that is away', () => {
  it('leaves it unknown how commands end, until it is back', { timeout: 2 * SILENCE_MS }, async (t) => {
    const id = await sandboxFor(t);
    const begun = await Promise.all(Object.values(surfaces).map((begin) => begin(id,
      { cmd: 'sh', args: ['-c', 'echo begun; sleep 2; exit 6'], timeoutMs: 0 })));
    await docker('pause', `insien-${id}`);
    try {
      for (const all of await Promise.all(begun.map(({ rest }) => rest(SILENCE_MS)))) {
        assert.deepEqual(how(all), [null, null, 'agent_lost']);
      }
    } finally {
      await docker('unpause', `insien-${id}`);
    }
    await whenUsable(id);
    for (const { pid } of begun) {
      const reply = await open('GET', `/sandbox/${id}/processes/${pid}/output?follow=true`);
      let exit;
      for await (const event of eventsOf(reply)) {
        exit = event;
      }
      assert.deepEqual([exit.type, exit.exitCode, exit.reason], ['exit', 6, 'exited']);
    }
  });
});

describe('signals', () => {
  let id;
  let client;
  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    client = await openClient(id);
  });
  after(async () => {
    await client.close();
    await destroySandbox(id);
  });

  const begin = async (text) => {
    const { stream, answer } = client.open({ type: 'exec', ...script(text), stream: true });
    const { pid } = await answer;
    return { stream, pid };
  };
  const lives = async (pattern) => (await exec(id, 'pgrep', ['-fx', pattern])).exitCode === 0;

  it('reach the whole group, or one process alone', async () => {
    const group = await begin('sleep 5551 & sleep 5552 & echo up; wait');
    await group.stream.until('up\n');
    assert.equal((await client.request({ type: 'signal', pid: group.pid, signal: 'SIGTERM' })).type, 'signalResponse');
    assert.deepEqual(how(await group.stream.collect()), [null, 'SIGTERM', 'signaled']);
    await until('its children are gone', async () => !await lives('sleep 555[12]'), 3000);

    const alone = await begin('sleep 5553 & echo up; wait');
    await alone.stream.until('up\n');
    await client.request({ type: 'signal', pid: alone.pid, signal: 'SIGKILL', group: false });
    assert.deepEqual(how(await alone.stream.collect()), [null, 'SIGKILL', 'signaled']);
    assert.ok(await lives('sleep 5553'), 'the child was not meant');
    await shell(id, 'pkill -f "sleep 5553"');
  });

  it('of every kind arrive: by name, without SIG, by number', async () => {
    const { stream, pid } = await begin('for s in HUP USR1 USR2 WINCH CONT; do trap "echo got $s" $s; done; echo up; while :; do sleep 0.05; done');
    await stream.until('up\n');
    for (const [signal, told] of [['SIGUSR1', 'USR1'], ['USR2', 'USR2'], [1, 'HUP'], ['SIGWINCH', 'WINCH'], ['CONT', 'CONT']]) {
      await client.request({ type: 'signal', pid, signal });
      await stream.until(`got ${told}\n`);
    }
    await client.request({ type: 'signal', pid, signal: 9 });
    assert.deepEqual(how(await stream.collect()), [null, 'SIGKILL', 'signaled']);
  });

  it('stop and continue', async () => {
    const { stream, pid } = await begin('while :; do date +%s%N; sleep 0.02; done');
    const state = () => shellOutput(id, `awk '{print $3}' /proc/${pid}/stat`);
    await client.request({ type: 'signal', pid, signal: 'SIGSTOP' });
    await until('it stands', async () => await state() === 'T', 3000);
    await client.request({ type: 'signal', pid, signal: 'SIGCONT' });
    await until('it goes on', async () => await state() !== 'T', 3000);
    await client.request({ type: 'signal', pid, signal: 'SIGKILL' });
    assert.equal((await stream.collect()).exit.signal, 'SIGKILL');
  });

  it('to what has ended say so', async () => {
    const { stream, pid } = await begin('exit 0');
    await stream.collect();
    assert.equal((await client.request({ type: 'signal', pid, signal: 'SIGTERM' })).code, 'process_ended');
  });

  it('the list of processes tells of each what it is', async () => {
    const began = Date.now();
    const { stream, pid } = await begin('while :; do :; done');
    const other = await exec(id, 'sleep', ['7777'], { background: true, user: 'root', cwd: '/', tag: 'other' });
    await shell(id, 'setsid sleep 7778 > /dev/null 2>&1 &'); // nobody started it through the API
    const list = async () => (await client.request({ type: 'ps' })).processes;
    const busy = await until('it has used the processor', async () => {
      const found = (await list()).find((process) => process.pid === pid);
      return found.cpuMs >= 100 && found;
    }, 5000);
    assert.deepEqual([busy.cmd, busy.user, busy.running, busy.attached, busy.pty, busy.tag], ['bash', 'user', true, 1, false, null]);
    assert.ok(busy.memoryBytes > 500_000 && busy.memoryBytes < 50_000_000, `${busy.memoryBytes}`);
    assert.ok(Math.abs(Date.parse(busy.startedAt) - began) < 5000, busy.startedAt);
    const all = await list();
    const rooted = all.find((process) => process.tag === 'other');
    assert.deepEqual([rooted.pid, rooted.user, rooted.cwd, rooted.args, rooted.attached], [other.pid, 'root', '/', ['7777'], 0]);
    assert.equal(all.some((process) => process.args.includes('7778')), false);
    await client.request({ type: 'signal', pid, signal: 'SIGKILL' });
    await client.request({ type: 'signal', tag: 'other', signal: 'SIGKILL' });
    await stream.collect();
  });
});
