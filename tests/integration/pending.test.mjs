// A client that comes back with its session after the gateway's death learns what became of what it
// had asked.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import {
  createSandbox, destroySandbox, shell, shellOutput, whenUsable,
} from '../support/api.mjs';
import { instance, kill9, redis, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

const KEPT_MS = 15 * 60 * 1000;

describe('who comes back with a session', () => {
  let id;
  let session;
  let hash; // of what is recorded of the session
  let first;

  // Says once that it ran, and ends when the file NAME.go is there.
  const script = (name) => `echo ran >> /tmp/${name}; echo begun; while [ ! -e /tmp/${name}.go ]; do sleep 0.1; done; echo done`;
  const command = (name) => ({ id: name, type: 'exec', cmd: 'sh', args: ['-c', script(name)] });
  const streamed = { ...command('stream'), stream: true, timeoutMs: 120_000 };
  const runs = (name) => until(`${name} runs`, async () => (await shell(id, `test -e /tmp/${name}`)).exitCode === 0, 30_000);
  const letEnd = async (name) => {
    await shellOutput(id, `touch /tmp/${name}.go`);
    await until(`${name} has ended`, async () => (await shell(id, `pgrep -f '${name}[.]go'`)).exitCode === 1, 30_000);
  };
  const timesRun = async (name) => Number(await shellOutput(id, `wc -l < /tmp/${name}`));
  const recorded = async () => (await redis('HKEYS', hash)).split('\n').filter((line) => line !== '').sort();
  const comeBack = () => openClient(id, { query: `?session=${session}` });
  const told = async (client) => {
    const message = await client.next();
    assert.equal(message.type, 'pending');
    return Object.fromEntries(message.requests.map(({ id: name, ...rest }) => [name, rest]));
  };

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    session = randomUUID();
    first = await comeBack();
    for (const name of ['slow', 'short']) {
      first.request(command(name)).catch(() => {}); // the gateway dies before it answers
    }
    const { answer } = first.open(streamed);
    assert.equal((await answer).type, 'execResponse');
    await Promise.all(['slow', 'short', 'stream'].map(runs));
    const pattern = `insien:${instance}:pending:*:${session}:${id}`;
    hash = await until('requests are recorded', () => redis('--scan', '--pattern', pattern), 30_000);
  });
  after(() => destroySandbox(id));

  it('has left records: which sandbox and gateway, until when', async () => {
    await until('all three are recorded', async () => (await recorded()).length === 3, 30_000);
    assert.deepEqual(await recorded(), ['short', 'slow', 'stream']);
    const record = JSON.parse(await redis('HGET', hash, 'stream'));
    assert.equal(record.sandboxId, id);
    assert.match(record.gatewayId, /^[\da-f-]{36}$/);
    assert.ok(Math.abs(record.deadline - Date.now() - 120_000) < 20_000, `${record.deadline}`);
    assert.equal(typeof record.streamId, 'number');
    const left = Number(await redis('PTTL', hash));
    assert.ok(left > 0 && left <= KEPT_MS, `${left}`);
  });

  it('is told what runs, what is finished and what never arrived', async () => {
    // Recorded, and then the gateway died before the agent had it.
    await redis('HSET', hash, 'never', await redis('HGET', hash, 'slow'));
    await kill9('gateway');
    await first.closed;
    await whenUsable(id);
    await letEnd('short');
    const client = await comeBack();
    const { slow, short, stream, never } = await told(client);
    assert.deepEqual([slow.state, short.state, stream.state], ['running', 'finished', 'running']);
    assert.ok(slow.pid > 1 && stream.pid > 1);
    assert.deepEqual(never, { state: 'unknown' });
    await until('what never arrived is forgotten', async () => !(await recorded()).includes('never'), 30_000);
    assert.deepEqual(client.messages, []);
    await client.close();
  });

  it('repeats a request, is answered, and the program ran once', async () => {
    const client = await comeBack();
    assert.deepEqual(Object.keys(await told(client)).sort(), ['short', 'slow', 'stream']);
    assert.equal((await client.request(command('short'))).stdout, 'begun\ndone\n');
    const answer = client.request(command('slow'));
    const { stream } = client.open(streamed);
    await stream.until('begun\n');
    await letEnd('slow');
    await letEnd('stream');
    assert.equal((await answer).stdout, 'begun\ndone\n');
    const { stdout, exit } = await stream.collect();
    assert.deepEqual([stdout.toString(), exit.exitCode], ['done\n', 0]);
    for (const name of ['slow', 'short', 'stream']) {
      assert.equal(await timesRun(name), 1, name);
    }
    await client.close();
  });

  it('hears nothing once everything was answered, or in another session', async () => {
    await until('nothing is recorded', async () => (await recorded()).length === 0, 30_000);
    for (const query of [`?session=${session}`, `?session=${randomUUID()}`, '']) {
      const client = await openClient(id, { query });
      const answer = await client.request({ id: 'next', type: 'exec', cmd: 'echo', args: [query] });
      assert.equal(answer.stdout, `${query}\n`);
      assert.deepEqual(client.messages, []);
      await client.close();
    }
  });
});
