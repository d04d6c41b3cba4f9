// Streams over a client's WebSocket: bytes, credit, coming back, many at a time, and breaches.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import {
  createSandbox, destroySandbox, sandboxFor, shell, shellOutput, whenUsable,
} from '../support/api.mjs';
import {
  apiKey, docker, kill9, pidOf, until, wsUrl,
} from '../support/stack.mjs';
import { openClient, WebSocket } from '../support/websocket.mjs';

const MIB = 1024 * 1024;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

describe('streams', () => {
  let id;
  let socket;

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    socket = await openClient(id);
  });
  after(async () => {
    await socket.close();
    await destroySandbox(id);
  });

  const begin = async (script, more = {}, on = socket) => {
    const { stream, answer } = on.open({ type: 'exec', cmd: 'bash', args: ['-c', script], stream: true, ...more });
    const started = await answer;
    assert.equal(started.type, 'execResponse', JSON.stringify(started));
    return { stream, started };
  };
  const run = async (script, more) => (await begin(script, more)).stream.collect();

  describe('of commands', () => {
    it('bring output by kind, then the exit', async () => {
      const { stream, started } = await begin('echo out; echo err >&2; exit 3');
      assert.deepEqual(started.offsets, { stdout: 0, stderr: 0 });
      assert.ok(started.pid > 1);
      const all = await stream.collect();
      assert.deepEqual([all.stdout.toString(), all.stderr.toString(), all.exit.exitCode, all.exit.reason],
        ['out\n', 'err\n', 3, 'exited']);
    });

    it('never lose the end, however fast the command is', async () => {
      const results = await Promise.all(Array.from({ length: 100 }, (_, i) => run(`printf %s ${i}; exit ${i}`)));
      results.forEach(({ stdout, exit }, i) => assert.deepEqual([stdout.toString(), exit.exitCode], [String(i), i]));
    });

    it('take input within credit, and its end', async () => {
      const { stream } = await begin('sha256sum', { stdinOpen: true });
      const bytes = Buffer.alloc(5 * MIB, 'input');
      await stream.write(bytes);
      stream.fin();
      assert.equal((await stream.collect()).stdout.toString().slice(0, 64), sha256(bytes));
    });

    it('tell a signal, a timeout and being out of memory as they are', async () => {
      const how = async (script, more) => {
        const { exit } = await run(script, more);
        return [exit.exitCode, exit.signal, exit.reason];
      };
      assert.deepEqual(await how('kill -ABRT $$'), [null, 'SIGABRT', 'signaled']);
      assert.deepEqual(await how('sleep 60', { timeoutMs: 200 }), [null, 'SIGKILL', 'timeout']);
      const tight = await sandboxFor({ after: (done) => after(done) }, { template: 'base' });
      const client = await openClient(tight);
      const { stream } = await begin('exec python3 -c "x = bytearray(64 << 30)"; tail /dev/zero', {}, client);
      assert.ok(['exited', 'oom'].includes((await stream.collect()).exit.reason));
      await client.close();
    });

    it('say that the sandbox is gone, and no exit code', async () => {
      const { sandboxId } = await createSandbox();
      const client = await openClient(sandboxId);
      const { stream, answer } = client.open({ type: 'exec', cmd: 'sleep', args: ['60'], stream: true });
      await answer;
      await destroySandbox(sandboxId);
      const { exit } = await stream.collect();
      assert.deepEqual([exit.exitCode, exit.reason], [null, 'sandbox_gone']);
      await client.close().catch(() => {});
    });

    it('can be left and taken up again, by another client too', async () => {
      const first = await begin('for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done', { tag: 'left' });
      await first.stream.until('2\n');
      first.stream.reset();
      const other = await openClient(id);
      const { stream, answer } = other.open({ type: 'attach', tag: 'left', offset: 4 });
      assert.deepEqual((await answer).offsets, { stdout: 4, stderr: 0 });
      const rest = await stream.collect();
      assert.deepEqual([rest.stdout.toString(), rest.exit.exitCode], ['3\n4\n5\n6\n', 0]);
      await other.close();
    });

    it('have any number of readers', async () => {
      const { stream, started } = await begin('sleep 0.3; seq 10000');
      const others = Array.from({ length: 4 }, () => socket.open({ type: 'attach', pid: started.pid }).stream);
      const all = await Promise.all([stream, ...others].map((one) => one.collect()));
      assert.equal(new Set(all.map(({ stdout }) => sha256(stdout))).size, 1);
      assert.equal(all[0].stdout.length, 48894);
    });

    it('survive the death of the gateway, whole', async () => {
      const client = await openClient(id);
      const { stream } = await begin('for i in $(seq 1 40); do echo line $i; sleep 0.05; done; exit 9', { tag: 'whole' }, client);
      const before = (await stream.until('line 5\n')).toString();
      await kill9('gateway');
      await client.closed;
      await whenUsable(id);
      const again = await openClient(id);
      const resumed = again.open({ type: 'attach', tag: 'whole', offset: before.length });
      const rest = await resumed.stream.collect();
      assert.equal(before + rest.stdout.toString(), Array.from({ length: 40 }, (_, i) => `line ${i + 1}\n`).join(''));
      assert.equal(rest.exit.exitCode, 9);
      await again.close();
      socket = await openClient(id);
    });

    it('requests repeated in a session are answered, not run twice', async () => {
      const session = '7b0c8b5e-52f3-4a0e-9d55-0d7cf6a3a001';
      const ask = { id: 'same', type: 'exec', cmd: 'sh', args: ['-c', 'echo x >> /tmp/once; wc -l < /tmp/once'] };
      const one = await openClient(id, { query: `?session=${session}` });
      const first = await one.request(ask);
      await one.close();
      const two = await openClient(id, { query: `?session=${session}` });
      assert.equal((await two.request(ask)).stdout, first.stdout);
      assert.equal(first.stdout, '1\n');
      const other = await two.request({ ...ask, args: ['-c', 'echo y >> /tmp/once'] });
      assert.deepEqual([other.type, other.code], ['error', 'idempotency_key_reused']);
      assert.equal((await two.request(ask)).stdout, first.stdout);
      await two.close();
    });
  });

  describe('of terminals', () => {
    it('know their size, and a new one', async () => {
      const { stream, started } = await begin('stty size; read x; stty size', { pty: { cols: 90, rows: 30 } });
      await stream.until('30 90', { kind: 'data' });
      assert.equal((await socket.request({ type: 'resize', pid: started.pid, cols: 120, rows: 40 })).type, 'resizeResponse');
      await stream.write('\n');
      await stream.until('40 120', { kind: 'data' });
      assert.equal((await stream.collect()).exit.exitCode, 0);
    });

    it('have job control', async () => {
      const { stream } = await begin('exec bash --norc -i', { pty: { cols: 80, rows: 24 } });
      await stream.write('sleep 300\n');
      await until('it runs', async () => (await shell(id, 'pgrep -fx "sleep 300"')).exitCode === 0, 30_000);
      await stream.write('\x1a'); // Ctrl-Z
      await stream.until('Stopped', { kind: 'data' });
      await stream.write('kill %1; echo done-$((40+2))\n');
      await stream.until('done-42', { kind: 'data' });
      await stream.write('exit\n');
      await stream.collect();
    });
  });

  describe('flow control', () => {
    const rss = (pid) => Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

    it('a reader that stops pauses the program and costs no memory; others go on', async () => {
      const { stream, started } = await begin('yes');
      await stream.until('y');
      const gateway = await pidOf('gateway');
      const agent = await docker('inspect', '-f', '{{.State.Pid}}', `insien-${id}`);
      const cpu = async () => Number(await shellOutput(id, `awk '{print $14 + $15}' /proc/${started.pid}/stat`));
      const before = [rss(gateway), rss(agent)];
      let ticks = -1;
      await until('it stands still', async () => {
        const now = await cpu();
        const stands = now === ticks;
        ticks = now;
        await new Promise((resolve) => { setTimeout(resolve, 500); });
        return stands;
      }, 15_000);
      const grown = [rss(gateway) - before[0], rss(agent) - before[1]];
      assert.ok(grown[0] < 2 * MIB && grown[1] < 3 * MIB, `${grown}`);
      assert.equal(await shellOutput(id, 'echo still here'), 'still here');
      await stream.until('y\n'.repeat(1000));
      stream.reset();
      await socket.request({ type: 'signal', pid: started.pid, signal: 'SIGKILL' });
    });

    it('1 GiB goes through with memory flat', { timeout: 120_000 }, async () => {
      const { stream } = await begin(`head -c ${1024 * MIB} /dev/zero`, { timeoutMs: 120_000 });
      const gateway = await pidOf('gateway');
      const before = rss(gateway);
      let size = 0;
      let exit;
      let most = 0;
      for await (const event of stream) {
        size += event.bytes?.length ?? 0;
        exit = event.message ?? exit;
        if (size % (64 * MIB) < 65536) {
          most = Math.max(most, rss(gateway));
        }
      }
      assert.deepEqual([size, exit.exitCode], [1024 * MIB, 0]);
      assert.ok(most - before < 24 * MIB, `${most - before}`); // ASan keeps 8 of them
    });

    it('64 streams at once lose and mix nothing', { timeout: 120_000 }, async () => {
      const all = await Promise.all(Array.from({ length: 64 }, async (_, i) => {
        const { stream } = await begin(`for j in $(seq 3000); do echo stream ${i} line $j; done; echo ${i} >&2`);
        const { stdout, stderr, exit } = await stream.collect(60_000);
        return [sha256(stdout), stderr.toString(), exit.exitCode];
      }));
      all.forEach(([hash, stderr, code], i) => {
        const expected = Array.from({ length: 3000 }, (_, j) => `stream ${i} line ${j + 1}\n`).join('');
        assert.deepEqual([hash, stderr, code], [sha256(Buffer.from(expected)), `${i}\n`, 0]);
      });
    });
  });

  describe('of files', () => {
    it('any bytes go up and come down', async () => {
      const bytes = Buffer.alloc(3 * MIB + 17, 'abcdefg\0\xff');
      const up = socket.open({ type: 'upload', path: 'streamed.bin', mode: '0640' });
      await up.stream.write(bytes);
      up.stream.fin();
      const written = await up.answer;
      assert.deepEqual([written.type, written.path, written.size], ['uploadResponse', '/app/streamed.bin', bytes.length]);
      assert.equal(await shellOutput(id, 'stat -c %a streamed.bin'), '640');
      const down = socket.open({ type: 'download', path: 'streamed.bin' });
      assert.equal((await down.answer).size, bytes.length);
      assert.equal(sha256((await down.stream.collect()).data), sha256(bytes));
    });

    it('are listed, looked at, moved and removed', async () => {
      const ask = (type, more) => socket.request({ type, ...more });
      assert.equal((await ask('mkdir', { path: 'ws/a/b' })).type, 'mkdirResponse');
      assert.equal((await ask('rename', { path: 'ws/a/b', to: 'ws/c' })).type, 'renameResponse');
      assert.deepEqual((await ask('list', { path: 'ws' })).entries.map(({ name }) => name), ['a', 'c']);
      assert.equal((await ask('stat', { path: 'ws/c' })).entry.type, 'directory');
      assert.equal((await ask('remove', { path: 'ws', recursive: true })).type, 'removeResponse');
      assert.equal((await ask('stat', { path: 'ws' })).code, 'file_not_found');
    });

    it('are watched', async () => {
      await shell(id, 'mkdir -p seen');
      const { stream, answer } = socket.open({ type: 'watch', path: 'seen' });
      assert.equal((await answer).type, 'watchResponse');
      const events = [];
      const told = async (wanted) => {
        while (events.at(-1) !== wanted) {
          const { message } = await stream.next();
          events.push(`${message.event} ${message.path.replace(/^.*seen\//, '')}`);
        }
      };
      await shell(id, 'mkdir -p seen/x/y; echo 1 > seen/x/y/z');
      await told('create x/y/z'); // gone sooner, nobody could have seen it
      assert.ok(events.includes('create x'), events.join());
      await shell(id, 'mv seen/x/y/z seen/w; rm seen/w');
      await told('remove w');
      stream.reset();
    });
  });

  it('dial a port inside', async () => {
    const server = 'import socket; s = socket.create_server(("127.0.0.1", 6001)); c = s.accept()[0]; d = b""\nwhile True:\n p = c.recv(65536)\n if not p: break\n d += p\nc.sendall(str(len(d)).encode()); c.close()';
    await socket.request({ type: 'exec', cmd: 'python3', args: ['-c', server], background: true });
    let dialed;
    await until('it listens', async () => {
      dialed = socket.open({ type: 'dial', port: 6001 });
      return (await dialed.answer).type === 'dialResponse';
    }, 30_000);
    await dialed.stream.write(Buffer.alloc(MIB));
    dialed.stream.fin();
    assert.equal((await dialed.stream.collect()).data.toString(), String(MIB));
    assert.equal((await socket.open({ type: 'dial', port: 6002 }).answer).code, 'connection_refused');
  });

  describe('breaches', () => {
    const frame = (stream, kind, payload = '') => {
      const header = Buffer.alloc(8);
      header.writeUInt32BE(stream, 0);
      header[4] = kind;
      return Buffer.concat([header, Buffer.from(payload)]);
    };
    const closedAfter = async (bytes) => {
      const client = await openClient(id);
      client.send(bytes);
      return (await client.closed).code;
    };

    it('a frame that is none closes with 1002', async () => {
      assert.equal(await closedAfter(Buffer.from('short')), 1002);
      assert.equal(await closedAfter(frame(1, 9)), 1002);
      assert.equal(await closedAfter(frame(0, 0, 'x')), 1002);
    });

    it('a frame for no open stream is reset, and the socket stays', async () => {
      const plain = new WebSocket(`${wsUrl}/client/${id}`, { headers: { 'X-API-Key': apiKey } });
      const messages = [];
      plain.on('message', (data) => messages.push(data));
      await new Promise((resolve) => { plain.on('open', resolve); });
      plain.send(frame(77, 0, 'x'));
      plain.send(JSON.stringify({ id: '1', type: 'exec', cmd: 'echo', args: ['stays'] }));
      await until('both answers are there', () => messages.length === 2, 30_000);
      assert.deepEqual([messages[0].readUInt32BE(0), messages[0][4]], [77, 5]);
      assert.equal(JSON.parse(messages[1]).stdout, 'stays\n');
      plain.close();
    });

    it('more than the credit closes with 1008', async () => {
      const client = await openClient(id);
      const { stream, answer } = client.open({ type: 'exec', cmd: 'sleep', args: ['60'], stream: true, stdinOpen: true });
      await answer;
      for (let i = 0; i < 6; i += 1) {
        client.send(frame(stream.id, 0, Buffer.alloc(64 * 1024)));
      }
      assert.equal((await client.closed).code, 1008);
    });

    it('a stream id that is in use is refused', async () => {
      const { stream } = await begin('sleep 60');
      const reply = await socket.request({ type: 'exec', cmd: 'true', stream: true, streamId: stream.id });
      assert.equal(reply.code, 'stream_in_use');
      stream.reset();
    });
  });
});
