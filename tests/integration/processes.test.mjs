// Streamed commands and processes over REST.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, shell, shellOutput, tryExec, whenUsable,
} from '../support/api.mjs';
import { kill9, until } from '../support/stack.mjs';
import { eventsOf, open } from '../support/transfer.mjs';

describe('processes', () => {
  let id;

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
  });
  after(() => destroySandbox(id));

  const stream = async (body, accept = 'application/x-ndjson') => {
    const reply = await open('POST', `/sandbox/${id}/exec`, {
      headers: { Accept: accept, 'Content-Type': 'application/json' }, body: JSON.stringify(body),
    });
    assert.equal(reply.statusCode, 200);
    assert.ok(reply.headers['content-type'].startsWith(accept));
    return reply;
  };
  const all = async (reply) => {
    const events = [];
    for await (const event of eventsOf(reply)) {
      events.push(event);
    }
    return events;
  };
  const text = (events, type) => events.filter((event) => event.type === type).map((event) => event.data).join('');
  const output = (process, query = '') => open('GET', `/sandbox/${id}/processes/${process}/output${query}`);
  const act = (process, what, body) => call('POST', `/sandbox/${id}/processes/${process}/${what}`, { body });
  const list = async () => (await call('GET', `/sandbox/${id}/processes`)).json.processes;

  for (const accept of ['application/x-ndjson', 'text/event-stream']) {
    it(`a command streams as ${accept}: start, output, exit, in this order`, async () => {
      const events = await all(await stream({ cmd: 'sh', args: ['-c', 'echo one; echo two >&2; sleep 0.1; echo three; exit 3'] }, accept));
      assert.equal(events[0].type, 'start');
      assert.ok(events[0].pid > 1);
      assert.equal(text(events, 'stdout'), 'one\nthree\n');
      assert.equal(text(events, 'stderr'), 'two\n');
      const exit = events.at(-1);
      assert.deepEqual([exit.type, exit.exitCode, exit.signal, exit.reason], ['exit', 3, null, 'exited']);
      assert.equal(events.filter((event) => event.type === 'exit').length, 1);
    });
  }

  it('output comes when it is written, not at the end', async () => {
    const reply = await stream({ cmd: 'sh', args: ['-c', 'echo now; read line'], stdinOpen: true });
    const events = eventsOf(reply);
    const { pid } = (await events.next()).value;
    assert.deepEqual((await events.next()).value.data, 'now\n');
    assert.equal((await act(pid, 'stdin', { data: 'go on\n' })).status, 200);
    assert.equal((await events.next()).value.type, 'exit');
  });

  it('characters are never cut in two', async () => {
    const line = 'äöü€😀'.repeat(2000);
    const events = await all(await stream({ cmd: 'sh', args: ['-c', `for i in $(seq 20); do printf %s '${line}'; done`] }));
    assert.equal(text(events, 'stdout'), line.repeat(20));
  });

  it('a gone program, a signal and a timeout are told as they were', async () => {
    const last = async (body) => {
      const { exitCode, signal, reason } = (await all(await stream(body))).at(-1);
      return [exitCode, signal, reason];
    };
    assert.deepEqual(await last({ cmd: 'sh', args: ['-c', 'kill -SEGV $$'] }), [null, 'SIGSEGV', 'signaled']);
    assert.deepEqual(await last({ cmd: 'sleep', args: ['60'], timeoutMs: 200 }), [null, 'SIGKILL', 'timeout']);
    assertError(await tryExec(id, { cmd: 'no-such-program' }, { headers: { Accept: 'application/x-ndjson' } }), 400, 'command_not_found');
  });

  it('all output comes before the exit, however much it is', async () => {
    const events = await all(await stream({ cmd: 'sh', args: ['-c', 'seq 300000; exit 7'] }));
    const stdout = text(events, 'stdout');
    assert.equal(stdout.length, 1988895);
    assert.ok(stdout.endsWith('299999\n300000\n'));
    assert.equal(events.at(-1).exitCode, 7);
  });

  it('a client that leaves can come back for what it missed', async () => {
    const reply = await stream({ cmd: 'sh', args: ['-c', 'echo first; sleep 0.5; echo second; sleep 0.3'], tag: 'resumed' });
    const events = eventsOf(reply);
    await events.next();
    const first = (await events.next()).value;
    assert.equal(first.data, 'first\n');
    reply.destroy();
    const rest = await all(await output('resumed', `?stdoutOffset=${first.offset + 6}&follow=true`));
    assert.equal(text(rest, 'stdout'), 'second\n');
    assert.equal(rest.at(-1).exitCode, 0);
    const again = await all(await output('resumed'));
    assert.equal(text(again, 'stdout'), 'first\nsecond\n');
  });

  it('what the spool dropped is told as a gap', async () => {
    await tryExec(id, { cmd: 'sh', args: ['-c', 'seq 100000'], tag: 'gap', background: true, spoolBytes: 65536 });
    await until('it has ended', async () => !(await list()).find((process) => process.tag === 'gap').running, 30_000);
    const events = await all(await output('gap', '?offset=0'));
    const gap = events.find((event) => event.type === 'gap');
    assert.deepEqual([gap.kind, gap.from], ['stdout', 0]);
    const stdout = text(events, 'stdout');
    assert.equal(gap.to + stdout.length, 588895);
    assert.ok(stdout.endsWith('99999\n100000\n'));
  });

  it('goes on through the death of the gateway', async () => {
    const reply = await stream({ cmd: 'sh', args: ['-c', 'echo before; sleep 2; echo after'], tag: 'survivor' });
    const events = eventsOf(reply);
    await events.next();
    await events.next();
    await kill9('gateway');
    await events.next().catch(() => {});
    await whenUsable(id);
    const rest = await all(await output('survivor', '?follow=true'));
    assert.equal(text(rest, 'stdout'), 'before\nafter\n');
    assert.equal(rest.at(-1).exitCode, 0);
  });

  it('are listed, with what they are and how they ended', async () => {
    await tryExec(id, { cmd: 'sleep', args: ['30'], tag: 'sleeper', background: true, cwd: '/tmp' });
    const sleeper = (await list()).find((process) => process.tag === 'sleeper');
    assert.deepEqual([sleeper.cmd, sleeper.args, sleeper.cwd, sleeper.user, sleeper.running, sleeper.exitCode],
      ['sleep', ['30'], '/tmp', 'user', true, null]);
    assert.ok(sleeper.memoryBytes > 0);
    assert.equal((await act('sleeper', 'signal', { signal: 'SIGTERM' })).status, 200);
    await until('it has ended', async () => {
      const ended = (await list()).find((process) => process.pid === sleeper.pid);
      return !ended.running && ended.signal === 'SIGTERM' && ended.reason === 'signaled';
    }, 30_000);
    assertError(await act('nobody', 'signal', { signal: 'SIGTERM' }), 404, 'process_not_found');
    assertError(await act(sleeper.pid, 'signal', { signal: 'SIGNOTHING' }), 400, 'invalid_request');
  });

  it('a tag names one running process', async () => {
    await tryExec(id, { cmd: 'sleep', args: ['30'], tag: 'one', background: true });
    assertError(await tryExec(id, { cmd: 'sleep', args: ['30'], tag: 'one', background: true }), 409, 'tag_in_use');
    await act('one', 'signal', { signal: 'KILL' });
  });

  it('standard input is bytes, and can be closed', async () => {
    const reply = await stream({ cmd: 'sha256sum', stdinOpen: true, tag: 'hasher' });
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    await act('hasher', 'stdin', { data: bytes.toString('base64'), encoding: 'base64' });
    assert.equal((await act('hasher', 'stdin', { eof: true })).status, 200);
    const events = await all(reply);
    assert.equal(text(events, 'stdout').split(' ')[0], '40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880');
  });

  it('a terminal is one: size, resize, Ctrl-C', async () => {
    const reply = await stream({ cmd: 'bash', args: ['--norc', '-i'], pty: { cols: 90, rows: 30 }, tag: 'tty' });
    const events = eventsOf(reply);
    let seen = '';
    const wait = async (pattern) => {
      while (!pattern.test(seen)) {
        const { value, done } = await events.next();
        assert.ok(!done, seen);
        seen += value.data ?? '';
      }
      seen = '';
    };
    const type = (data) => act('tty', 'stdin', { data });
    await type('tty; stty size; echo $TERM\n');
    await wait(/\/dev\/pts\/\d+[\s\S]*30 90[\s\S]*xterm-256color/);
    await act('tty', 'resize', { cols: 133, rows: 44 });
    await type('stty size\n');
    await wait(/44 133/);
    await type('sh -c "echo sleep\'\'ing; exec sleep 100"; echo code-$?\n');
    await wait(/sleeping/); // said by the foreground job itself
    await type('\x03');
    await type('echo alive-$((1+1))\n');
    await wait(/alive-2/);
    await type('exit 5\n');
    for await (const event of events) {
      if (event.type === 'exit') {
        assert.equal(event.exitCode, 5);
      }
    }
  });

  it('full-screen programs work in a terminal', async () => {
    const reply = await stream({ cmd: 'top', args: ['-d', '0.2', '-n', '2'], pty: { cols: 100, rows: 24 } });
    const events = await all(reply);
    assert.match(text(events, 'data'), /\x1b\[[\s\S]*load average/);
    assert.equal(events.at(-1).exitCode, 0);
  });

  it('a shell session keeps its folder and variables, and takes calls in turn', async () => {
    const run = async (cmd, more = {}) => (await tryExec(id, { cmd, session: 'work', ...more })).json;
    assert.equal((await run('cd /tmp; export FROM=here; local_one=kept')).exitCode, 0);
    assert.equal((await run('pwd; echo $FROM $local_one')).stdout, '/tmp\nhere kept\n');
    assert.equal((await run('false')).exitCode, 1);
    const both = await Promise.all([run('sleep 0.3; echo slow'), run('echo quick')]);
    assert.deepEqual(both.map(({ stdout }) => stdout), ['slow\n', 'quick\n']);
    const timed = await run('sleep 30', { timeoutMs: 300 });
    assert.equal(timed.reason, 'timeout');
    assert.equal((await run('echo again')).stdout, 'again\n');
  });

  it('a request repeated with its Idempotency-Key is answered, not run twice', async () => {
    const headers = { 'Idempotency-Key': 'once-and-only' };
    const body = { cmd: 'sh', args: ['-c', 'echo x >> /tmp/runs; wc -l < /tmp/runs'] };
    const first = await tryExec(id, body, { headers });
    const second = await tryExec(id, body, { headers });
    assert.deepEqual([first.json.stdout, second.json.stdout], ['1\n', '1\n']);
    assert.equal(await shellOutput(id, 'cat /tmp/runs'), 'x');
  });

  it('another request with the Idempotency-Key of one before is refused', async () => {
    const headers = { 'Idempotency-Key': 'reused' };
    const body = { cmd: 'echo', args: ['first'] };
    assert.equal((await tryExec(id, body, { headers })).json.stdout, 'first\n');
    assertError(await tryExec(id, { ...body, args: ['second'] }, { headers }), 409, 'idempotency_key_reused');
    assertError(await tryExec(id, { ...body, args: ['second'] }, { headers: { ...headers, Accept: 'application/x-ndjson' } }), 409, 'idempotency_key_reused');
    assert.equal((await tryExec(id, { args: ['first'], cmd: 'echo' }, { headers })).json.stdout, 'first\n');
  });

  it('who left a line of a shell session comes back to it', async () => {
    const reply = await stream({ cmd: 'echo begun; sleep 0.5; echo ended', session: 'left', tag: 'line' });
    const events = eventsOf(reply);
    const { pid } = (await events.next()).value;
    assert.equal((await events.next()).value.data, 'begun\n');
    reply.destroy();
    const byTag = await all(await output('line', '?follow=true'));
    assert.deepEqual([text(byTag, 'stdout'), byTag.at(-1).exitCode], ['begun\nended\n', 0]);
    const byPid = await all(await output(pid, '?stdoutOffset=6'));
    assert.deepEqual([text(byPid, 'stdout'), byPid.at(-1).exitCode], ['ended\n', 0]);
    assertError(await act('line', 'signal', { signal: 'KILL' }), 409, 'in_session');
  });

  it('a slow reader pauses the program and nothing else', async () => {
    const script = 'import itertools, os\nfor i in itertools.count(): os.write(1, b"x" * 65535 + b"\\n"); open("/tmp/progress", "w").write(str(i))';
    const reply = await stream({ cmd: 'python3', args: ['-c', script], tag: 'endless' });
    reply.pause();
    let before = -1;
    await until('it stands still', async () => {
      const now = Number(await shellOutput(id, 'cat /tmp/progress 2>/dev/null || echo 0'));
      const stands = now > 0 && now === before;
      before = now;
      await new Promise((resolve) => { setTimeout(resolve, 300); });
      return stands;
    }, 30_000);
    assert.equal((await list()).find((process) => process.tag === 'endless').running, true);
    assert.equal(await shellOutput(id, 'echo others go on'), 'others go on');
    reply.resume();
    await until('it goes on', async () => Number(await shellOutput(id, 'cat /tmp/progress')) > before, 30_000);
    reply.destroy();
    await act('endless', 'signal', { signal: 'KILL' });
    await shell(id, 'rm -f /tmp/progress');
  });
});
