// The two network modes. Machines that a sandbox may and may not reach are played by a network
// namespace with an address of each kind, and by the host itself.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, describe, it, test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, sandboxFor, shellOutput } from '../support/api.mjs';
import { apiUrl, docker, run, runDir, until } from '../support/stack.mjs';

const [offered, ...why] = (await readFile(`${runDir}/network.status`, 'utf8')).trim().split(/\s+/);
const PORT = Number(new URL(apiUrl).port) + 60;
const NAMESPACE = 'insien-far';
const outside = '203.0.113.7'; // of the range for documentation: an address of the open internet
const inside = ['10.254.254.7', '172.31.254.7', '192.168.254.7', '100.64.254.7', '169.254.254.7'];

const ip = async (...args) => {
  const { code, stderr } = await run('ip', args);
  assert.equal(code, 0, `ip ${args.join(' ')}: ${stderr}`);
};

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

const hostReaches = (address, port) => new Promise((resolve) => {
  const socket = net.connect({ host: address, port, timeout: 2000 });
  const settle = (yes) => () => {
    socket.destroy();
    resolve(yes);
  };
  socket.on('connect', settle(true));
  socket.on('error', settle(false));
  socket.on('timeout', settle(false));
});

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
  let far;
  let addresses; // of the host

  before(async () => {
    await run('ip', ['netns', 'del', NAMESPACE]);
    await ip('netns', 'add', NAMESPACE);
    await ip('link', 'add', 'insien-far', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', NAMESPACE);
    await ip('addr', 'add', '198.18.254.1/30', 'dev', 'insien-far');
    await ip('link', 'set', 'insien-far', 'up');
    await ip('-n', NAMESPACE, 'addr', 'add', '198.18.254.2/30', 'dev', 'eth0');
    await ip('-n', NAMESPACE, 'link', 'set', 'eth0', 'up');
    await ip('-n', NAMESPACE, 'route', 'add', 'default', 'via', '198.18.254.1');
    for (const address of [outside, ...inside]) {
      await ip('-n', NAMESPACE, 'addr', 'add', `${address}/32`, 'dev', 'eth0');
      await ip('route', 'add', `${address}/32`, 'via', '198.18.254.2');
    }
    far = spawn('nsenter', [`--net=/run/netns/${NAMESPACE}`, process.execPath, '-e',
      `require('net').createServer((s) => s.end()).listen(${PORT}, '0.0.0.0')`], { stdio: 'inherit' });
    server = net.createServer((socket) => socket.end()).listen(PORT, '0.0.0.0');
    [{ sandboxId: id }, { sandboxId: neighbour }] = await Promise.all(
      [0, 1].map(() => createSandbox({ template: 'base', network: 'open' })));
    addresses = Object.values(networkInterfaces()).flat().filter(({ family }) => family === 'IPv4')
      .map(({ address }) => address).filter((address) => address !== '127.0.0.1');
    for (const address of [outside, ...inside]) {
      await until(`the host reaches ${address}`, () => hostReaches(address, PORT), 30_000);
    }
  });
  after(async () => {
    server?.close();
    far?.kill();
    await run('ip', ['netns', 'del', NAMESPACE]);
    await run('ip', ['link', 'del', 'insien-far']);
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
