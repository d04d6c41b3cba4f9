// Commands, terminals and shell sessions: over the socket and over REST.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { call } from '../api.mjs';
import { Account, Numbers } from '../known.mjs';
import { until } from '../stack.mjs';
import { eventsOf, open } from '../transfer.mjs';
import { ask, beginRequest, MIB, sha256 } from './common.mjs';

const SPOOL_HOLDS = 900_000; // of the default spool: surely
const SMALL_SPOOL = 64 * 1024;
const JSON_LINES = { Accept: 'application/x-ndjson', 'Content-Type': 'application/json' };

async function begin(world, script, more = {}) {
  const { stream, answer } = world.socket.open({
    type: 'exec', cmd: 'bash', args: ['-c', script], stream: true, timeoutMs: 0, ...more,
  });
  const started = await answer;
  assert.equal(started.type, 'execResponse', JSON.stringify(started));
  return { stream, pid: started.pid };
}

// Takes events into the accounts until the stream ends or enough says so; resolves to the exit.
async function take(world, stream, accounts, enough = () => false) {
  const isSlow = world.random.chance(0.1);
  while (!enough()) {
    const event = await stream.next();
    if (event === null) {
      throw new Error('the stream ended without an exit');
    }
    if (event.kind === 'exit') {
      return event.message;
    }
    if (event.kind === 'gap') {
      accounts[event.message.kind].gap(event.message);
    } else {
      assert.ok(event.bytes !== undefined, `${event.kind} ${event.code ?? ''} on a process`);
      accounts[event.kind].take(event.bytes, event.offset);
    }
    if (isSlow) {
      await pause(5);
    }
  }
  return null;
}

async function command(world) {
  const { random } = world;
  const numbers = { stdout: new Numbers(random, random.size(4 * MIB)), stderr: new Numbers(random, random.size(MIB)) };
  const code = random.between(0, 256);
  const { stream } = await begin(world,
    `${numbers.stderr.command} >&2 & ${numbers.stdout.command}; wait; exit ${code}`);
  const accounts = { stdout: new Account(numbers.stdout), stderr: new Account(numbers.stderr) };
  const exit = await take(world, stream, accounts);
  Object.values(accounts).forEach((account) => account.mustBeWhole());
  assert.deepEqual([exit.exitCode, exit.reason], [code, 'exited']);
}

// Leaves a command up to three times, by a reset or with the whole socket, and comes back to where
// it was; the command waits for a line before it ends, so that it is there for as long.
async function leaveAndReturn(world) {
  const { random } = world;
  const isTerminal = random.chance(0.3);
  const isTight = random.chance(0.3);
  const kind = isTerminal ? 'data' : 'stdout';
  const numbers = new Numbers(random, isTight ? random.size(MIB) : random.size(SPOOL_HOLDS));
  const account = new Account(numbers, { mayMiss: isTight });
  const accounts = { [kind]: account };
  let { stream, pid } = await begin(world, `${isTerminal ? 'stty raw -echo; ' : ''}${numbers.command}; read line; exit 7`, {
    ...(isTerminal ? { pty: { cols: 80, rows: 24 } } : { stdinOpen: true }),
    ...(isTight ? { spoolBytes: SMALL_SPOOL } : {}),
  });
  for (let left = random.between(1, 4); left > 0; left -= 1) {
    const goOn = random.between(0, numbers.size);
    await take(world, stream, accounts, () => account.isWhole || account.at >= goOn);
    if (random.chance(0.3)) {
      await world.reconnect();
    } else {
      stream.reset();
    }
    await pause(random.between(0, 30));
    const attached = world.socket.open({ type: 'attach', pid, [isTerminal ? 'offset' : `${kind}Offset`]: account.at });
    const answer = await attached.answer;
    assert.deepEqual([answer.type, answer.running, answer.pty], ['attachResponse', true, isTerminal], JSON.stringify(answer));
    stream = attached.stream;
  }
  await take(world, stream, accounts, () => account.isWhole);
  await ask(world, { type: 'input', pid, data: '\n' });
  const exit = await take(world, stream, accounts);
  account.mustBeWhole();
  assert.equal(exit.exitCode, 7);
}

async function throughStdin(world) {
  const bytes = world.random.bytes(world.random.size(2 * MIB));
  const { stream } = await begin(world, 'exec cat', { stdinOpen: true });
  const [all] = await Promise.all([
    stream.collect(),
    stream.write(bytes).then(() => stream.fin()),
  ]);
  assert.equal(sha256(all.stdout), sha256(bytes));
  assert.deepEqual([all.exit.exitCode, all.gaps], [0, []]);
}

async function kill(world) {
  const { random } = world;
  const numbers = new Numbers(random, random.size(2 * MIB));
  const account = new Account(numbers);
  const { stream, pid } = await begin(world, `${numbers.command}; exec sleep 600`);
  const enough = random.between(0, numbers.size);
  await take(world, stream, { stdout: account }, () => account.at >= enough);
  const signal = random.pick(['SIGKILL', 'SIGTERM', 'SIGHUP']);
  await ask(world, { type: 'signal', pid, signal });
  const exit = await take(world, stream, { stdout: account });
  assert.deepEqual([exit.exitCode, exit.signal, exit.reason], [null, signal, 'signaled']);
}

// A reset detaches and no more; the program, which never ends, is then killed.
async function cancel(world) {
  const { stream, pid } = await begin(world, 'exec yes');
  for (let taken = world.random.size(MIB); taken > 0;) {
    const { bytes } = await stream.next();
    assert.ok(/^\n?(y\n)*y?$/.test(bytes.toString()), 'nothing but y');
    taken -= bytes.length;
  }
  stream.reset();
  await ask(world, { type: 'signal', pid, signal: 'SIGKILL' });
  const { stream: again, answer } = world.socket.open({ type: 'attach', pid, offset: -1 });
  const reply = await answer;
  if (reply.type === 'error') {
    assert.equal(reply.code, 'process_not_found', JSON.stringify(reply)); // not kept: others ended since
    return;
  }
  const { exit } = await again.collect();
  assert.equal(exit.signal, 'SIGKILL');
}

async function timeOut(world) {
  const { stream } = await begin(world, 'echo begun; exec sleep 600', { timeoutMs: world.random.between(50, 400) });
  const { exit } = await stream.collect();
  assert.deepEqual([exit.exitCode, exit.signal, exit.reason], [null, 'SIGKILL', 'timeout']);
}

async function terminal(world) {
  const { random } = world;
  const [cols, rows] = [random.between(20, 300), random.between(10, 100)];
  const typed = random.bytes(random.size(200_000));
  const numbers = new Numbers(random, random.size(MIB));
  const { stream, pid } = await begin(world,
    `stty raw -echo; echo ready; head -c ${typed.length} | sha256sum; stty size; ${numbers.command}`,
    { pty: { cols: 80, rows: 24 } });
  await stream.until('ready\n', { kind: 'data' });
  await ask(world, { type: 'resize', pid, cols, rows });
  const [all] = await Promise.all([stream.collect(), stream.write(typed)]);
  const head = `${sha256(typed)}  -\n${rows} ${cols}\n`;
  assert.equal(all.data.subarray(0, head.length).toString(), head);
  assert.ok(all.data.subarray(head.length).equals(numbers.slice(0, numbers.size)), numbers.command);
  assert.deepEqual([all.exit.exitCode, all.gaps], [0, []]);
}

async function session(world) {
  const { random } = world;
  const name = `s${random.between(0, 1e9)}`;
  const value = random.between(0, 1e9);
  const line = (cmd) => ask(world, { type: 'exec', cmd, session: name });
  const replies = await Promise.all([line(`kept=${value}; cd /tmp`), line('echo $kept; pwd')]);
  assert.equal(replies[1].stdout, `${value}\n/tmp\n`);
  await ask(world, { type: 'closeSession', session: name });
}

async function unary(world) {
  const { random, agent, id } = world;
  const numbers = new Numbers(random, random.size(SPOOL_HOLDS));
  const reply = await call('POST', `/sandbox/${id}/exec`, { agent, body: { cmd: 'sh', args: ['-c', numbers.command] } });
  assert.deepEqual([reply.status, reply.json?.exitCode, reply.json?.truncated], [200, 0, false], reply.text.slice(0, 300));
  assert.ok(Buffer.from(reply.json.stdout).equals(numbers.slice(0, numbers.size)), numbers.command);
  const left = beginRequest(world, 'POST', `/sandbox/${id}/exec`, { 'Content-Type': 'application/json' });
  left.end(JSON.stringify({ cmd: 'sleep', args: ['0.3'] }));
  await pause(random.between(0, 200));
  left.destroy();
}

// As take, of an NDJSON answer.
async function takeLines(reply, account, enough = () => false) {
  for await (const event of eventsOf(reply)) {
    if (event.type === 'stdout') {
      account.take(Buffer.from(event.data), event.offset);
    } else if (event.type === 'gap') {
      account.gap(event);
    } else if (event.type === 'exit') {
      return event;
    }
    if (enough()) {
      return null;
    }
  }
  throw new Error('the answer ended without an exit');
}

async function leaveRestStream(world) {
  const { random, agent, id } = world;
  const numbers = new Numbers(random, random.size(SPOOL_HOLDS));
  const account = new Account(numbers);
  const tag = `t${random.between(0, 1e12)}`;
  let reply = await open('POST', `/sandbox/${id}/exec`, {
    agent, headers: JSON_LINES,
    body: JSON.stringify({ cmd: 'bash', args: ['-c', `${numbers.command}; read line; exit 9`], stdinOpen: true, tag, timeoutMs: 0 }),
  });
  assert.equal(reply.statusCode, 200);
  for (let left = random.between(1, 4); left > 0; left -= 1) {
    const goOn = random.between(0, numbers.size);
    await takeLines(reply, account, () => account.isWhole || account.at >= goOn);
    reply.destroy();
    reply = await open('GET', `/sandbox/${id}/processes/${tag}/output?stdoutOffset=${account.at}&follow=true`, { agent, headers: JSON_LINES });
    assert.equal(reply.statusCode, 200);
    if (account.isWhole) {
      break;
    }
  }
  const [exit] = await Promise.all([takeLines(reply, account), lineWhenWhole(world, account, tag)]);
  account.mustBeWhole();
  assert.equal(exit.exitCode, 9);
}

async function lineWhenWhole(world, account, tag) {
  await until(`all came of ${tag}`, () => account.isWhole, 30_000);
  const reply = await call('POST', `/sandbox/${world.id}/processes/${tag}/stdin`, { agent: world.agent, body: { data: '\n' } });
  assert.equal(reply.status, 200, reply.text);
}

export const commands = {
  command, leaveAndReturn, throughStdin, kill, cancel, timeOut, terminal, session, unary, leaveRestStream,
};
