// A tier's rate: the stack of these tests gives the free tier one (tests/support/stack.sh).
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, makeUser } from '../support/api.mjs';
import { Far, whyNotRestricted } from '../support/far.mjs';
import { table } from '../support/networks.mjs';
import { docker, run, until } from '../support/stack.mjs';

const PORT = 8099;
const far = new Far('insien-rates');
const listed = '203.0.113.89';
const KBYTES_PER_S = Number(process.env.TIER_FREE_RATE_KBYTES ?? 0);
const skip = await whyNotRestricted() || (KBYTES_PER_S === 0 && 'the free tier has no rate here');

// Sends so much, has it sent back, and prints how many seconds that took.
const echo = (kbytes) => `
import socket, threading, time
link = socket.create_connection(("${listed}", ${PORT}), 60)
begun = time.monotonic()
threading.Thread(target=lambda: (link.sendall(bytes(${kbytes} * 1024)), link.shutdown(socket.SHUT_WR))).start()
left = ${kbytes} * 1024
while left > 0 and (piece := link.recv(65536)):
    left -= len(piece)
print(time.monotonic() - begun if left == 0 else -1)
`;

describe('the rate of a tier', { skip }, () => {
  let key;
  before(async () => {
    key = await makeUser('free');
    await far.open({ link: '198.18.246.0', addresses: [listed], ports: [PORT] });
  });
  after(() => far.close());

  it('holds', async (t) => {
    const { sandboxId: id } = await createSandbox({ template: 'base', network: 'restricted', allow: [`${listed}:${PORT}`] }, key);
    t.after(() => destroySandbox(id, key));
    const networks = JSON.parse(await docker('inspect', '--format', '{{json .NetworkSettings.Networks}}', `insien-${id}`));
    const [{ IPAddress: address }] = Object.values(networks);
    await until('the rate is in force', async () => (
      await run('nft', ['list', 'map', 'inet', table, 'rates_from'])).stdout.includes(`${address} :`), 30_000);
    const seconds = 3;
    const reply = await call('POST', `/sandbox/${id}/exec`, { key, body: { cmd: 'python3', args: ['-c', echo(KBYTES_PER_S * seconds)] } });
    const { stdout, stderr } = reply.json;
    // A second's worth is free for who was quiet; what the slowness of the machine adds does not matter.
    const took = Number(stdout);
    assert.ok(took >= (seconds - 1) * 0.8, `${took} s ${stderr}`);
  });
});
