// The two network modes. Machines that a sandbox may and may not reach are played by a network
// namespace with an address of each kind, and by the host itself.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, describe, it, test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, sandboxFor, shellOutput } from '../support/api.mjs';
import { Far, hostReaches } from '../support/far.mjs';
import { apiUrl, docker, runDir, until } from '../support/stack.mjs';

const [offered, ...why] = (await readFile(`${runDir}/network.status`, 'utf8')).trim().split(/\s+/);
const PORT = Number(new URL(apiUrl).port) + 60;
const outside = '203.0.113.7'; // of the range for documentation: an address of the open internet
const inside = ['10.254.254.7', '172.31.254.7', '192.168.254.7', '100.64.254.7', '169.254.254.7'];

// Connects from the sandbox to each address at once; resolves to those that answered.
async function reachable(id, addresses, port) {
  const script = `
import concurrent.futures, json, socket, sys
def answers(address):
    try:
        socket.create_connection((address, ${port}), 2).close()
        return True
    except OSError:
        return False
addresses = json.loads(sys.stdin.read())
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps([a for a, yes in zip(addresses, pool.map(answers, addresses)) if yes]))
`;
  const { stdout, stderr } = await exec(id, 'python3', ['-c', script], { stdin: JSON.stringify(addresses) });
  return JSON.parse(stdout || `"${stderr}"`);
}

test('none has nothing but the loopback, and that works', async (t) => {
  const id = await sandboxFor(t, { template: 'base', network: 'none' });
  assert.equal(await shellOutput(id, 'ls /sys/class/net; wc -l < /proc/net/route'), 'lo\n1');
  assert.equal(await shellOutput(id, 'python3 -m http.server 8000 --bind 127.0.0.1 >/dev/null 2>&1 & for i in $(seq 50); do curl -sf -o /dev/null http://127.0.0.1:8000/ && echo up && break; sleep 0.1; done; kill $!'), 'up');
  assert.equal(await shellOutput(id, 'hostname >/dev/null && getent hosts $(hostname) | wc -l'), '1');
});

test('a server without an open network says so', { skip: offered === 'open' && 'open is offered' }, async () => {
  const reply = await call('POST', '/sandbox/create', { body: { template: 'tiny', network: 'open' } });
  assertError(reply, 503, 'network_unavailable');
  assert.ok(why.length > 0, 'and the operator learns why');
});

describe('open', { skip: offered !== 'open' && `not offered: ${why.join(' ')}` }, () => {
  let id;
  let neighbour;
  let server;
  const far = new Far('insien-far');
  let addresses; // of the host

  before(async () => {
    await far.open({ link: '198.18.254.0', addresses: [outside, ...inside], ports: [PORT] });
    server = net.createServer((socket) => socket.end()).listen(PORT, '0.0.0.0');
    [{ sandboxId: id }, { sandboxId: neighbour }] = await Promise.all(
      [0, 1].map(() => createSandbox({ template: 'base', network: 'open' })));
    addresses = Object.values(networkInterfaces()).flat().filter(({ family }) => family === 'IPv4')
      .map(({ address }) => address).filter((address) => address !== '127.0.0.1');
  });
  after(async () => {
    server?.close();
    await far.close();
    await Promise.all([id, neighbour].filter(Boolean).map((box) => destroySandbox(box)));
  });

  const addressOf = async (box) => {
    const [{ NetworkSettings: { Networks: networks } }] = JSON.parse(await docker('inspect', `insien-${box}`));
    return Object.values(networks)[0];
  };

  it('reaches the outside', async () => {
    assert.deepEqual(await reachable(id, [outside], PORT), [outside]);
  });

  it('reaches no private, link-local or shared address', async () => {
    assert.deepEqual(await reachable(id, inside, PORT), []);
  });

  it('reaches the host by none of its addresses', async () => {
    const { Gateway: gateway } = await addressOf(id);
    assert.ok(addresses.includes(gateway), 'the bridge is an interface of the host');
    for (const address of addresses) {
      assert.ok(await hostReaches(address, PORT), `the host listens on ${address}`);
    }
    assert.deepEqual(await reachable(id, addresses, PORT), []);
  });

  it('reaches no neighbour', async () => {
    const { IPAddress: address } = await addressOf(neighbour);
    await exec(neighbour, 'python3', ['-m', 'http.server', `${PORT}`], { background: true });
    await until('the neighbour listens', () => hostReaches(address, PORT), 30_000);
    assert.deepEqual(await reachable(id, [address], PORT), []);
  });

  it('has no IPv6 but the loopback', async () => {
    assert.equal(await shellOutput(id, 'grep -v " lo$" /proc/net/if_inet6 | wc -l'), '0');
  });

  it('resolves its own name', async () => {
    assert.equal((await exec(id, 'sudo', ['true'])).stderr, '');
  });
});
