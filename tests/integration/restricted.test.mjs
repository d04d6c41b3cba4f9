// A restricted sandbox, attacked from inside: what its allow-list says is reached, by name and by
// address, and nothing else, whatever is tried.
import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec, shellOutput } from '../support/api.mjs';
import { Far, hostReaches, LABEL, whyNotRestricted } from '../support/far.mjs';
import { apiUrl, docker, root, until } from '../support/stack.mjs';

const PORT = Number(new URL(apiUrl).port) + 61; // free here, and on the far side
const OTHER_PORT = PORT + 1;
const [literal, named, below, other, nameServer] = ['203.0.113.71', '203.0.113.72', '203.0.113.73', '203.0.113.74', '203.0.113.75'];
const inside = ['10.253.254.7', '172.30.254.7', '192.168.253.7', '100.65.254.7', '169.254.169.254'];
const NAME = `${LABEL}.named.example`;
const BELOW = `${LABEL}.deep.below.example`;
const REBOUND = `${LABEL}.rebound.example`;
const DENIED = `${LABEL}.denied.example`;
const SECRET = 'c2VjcmV0cy1sZWF2ZS1oZXJl';
// More addresses and ports than are kept open.
const wide = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [
  `${LABEL}.n${i}.wide.example`, Array.from({ length: 12 }, (_, j) => `198.51.100.${12 * i + j}`)]));
const TXT = 16;
const AAAA = 28;

const script = readFileSync(`${root}/tests/support/probes.py`, 'utf8');
const skip = await whyNotRestricted();

describe('a restricted sandbox', { skip }, () => {
  const far = new Far('insien-beyond');
  let id;
  let neighbour;
  let own; // its address, and
  let gateway;
  let hosts; // every address of this machine
  const servers = [];

  // All at once; resolves to what came of each.
  async function probe(probes, options = {}) {
    const { stdout, stderr } = await exec(id, 'python3', ['-c', script], { stdin: JSON.stringify(probes), ...options });
    return JSON.parse(stdout || `"${stderr}"`);
  }
  async function allFail(probes, options) {
    const results = await probe(probes, { env: { PATIENCE_S: '1' }, ...options });
    const open = probes.filter((_, i) => results[i] === true || typeof results[i] === 'object');
    assert.equal(results.length, probes.length, JSON.stringify(results));
    assert.deepEqual(open, [], JSON.stringify(results));
    return results;
  }
  const denied = async () => (await call('GET', `/sandbox/${id}/network`)).json.denied;
  const addressOf = async (box) => {
    const [{ NetworkSettings: { Networks: networks } }] = JSON.parse(await docker('inspect', `insien-${box}`));
    return Object.values(networks)[0];
  };

  before(async () => {
    await far.open({
      link: '198.18.253.0', addresses: [literal, named, below, other, nameServer, ...inside], ports: [PORT, OTHER_PORT], nameServer,
      names: { [NAME]: [named], [BELOW]: [below], [REBOUND]: [...inside, '127.0.0.1', '0.0.0.0'], [DENIED]: [other], ...wide },
    });
    servers.push(net.createServer((socket) => socket.end()).listen(PORT, '0.0.0.0'), dgram.createSocket('udp4').bind(PORT, '0.0.0.0'));
    servers[1].on('message', (bytes, from) => servers[1].send(bytes, from.port, from.address));
    const allow = [`${literal}:${PORT}`, `${NAME}:${PORT}`, `*.below.example:${PORT}`, `${REBOUND}:${PORT}`, '*.wide.example:1,2,3,4,5,6,7,8'];
    [{ sandboxId: id }, { sandboxId: neighbour }] = await Promise.all(
      [0, 1].map(() => createSandbox({ template: 'base', network: 'restricted', allow })));
    ({ IPAddress: own, Gateway: gateway } = await addressOf(id));
    hosts = Object.values(networkInterfaces()).flat().filter(({ family }) => family === 'IPv4')
      .map(({ address }) => address).filter((address) => address !== '127.0.0.1');
  });
  after(async () => {
    servers.forEach((server) => server.close());
    await far.close();
    await Promise.all([id, neighbour].filter(Boolean).map((box) => destroySandbox(box)));
  });

  it('reaches an address of its list, at its port, and no other', async () => {
    assert.deepEqual(await probe([['tcp', literal, PORT]]), [true]);
    await allFail([['tcp', literal, OTHER_PORT], ['udp', literal, PORT], ['ping', literal], ['tcp', other, PORT]]);
  });

  it('reaches what a name of its list leads to, once it has asked', async () => {
    await allFail([['tcp', named, PORT], ['tcp', below, PORT]]);
    assert.deepEqual(await probe([['name', NAME], ['name', BELOW]]), [[named], [below]]);
    assert.deepEqual(await probe([['tcp', named, PORT], ['tcp', below, PORT]]), [true, true]);
    await allFail([['tcp', named, OTHER_PORT], ['udp', named, PORT]]);
  });

  it('has room for the addresses of names, however many it asks for', async () => {
    const answers = await probe(Object.keys(wide).map((name) => ['question', gateway, name, 1]));
    for (const { code, records } of answers) {
      assert.deepEqual([code, records], [0, 12], JSON.stringify(answers));
    }
    assert.deepEqual(await probe([['tcp', named, PORT]]), [true], 'what is used stays open');
  });

  it('is told nothing of other names, and nobody outside hears them', async () => {
    const asked = far.asked.length;
    const carried = `${LABEL}.${SECRET}.denied.example`;
    await allFail([['name', DENIED], ['name', carried], ['name', 'below.example'], ['name', `${LABEL}.notbelow.example`]]);
    const answers = await probe([gateway, '127.0.0.11'].flatMap((server) => [
      ['question', server, carried, 1], ['question', server, carried, TXT], ['question', server, `${SECRET}.${NAME}`, TXT]]));
    for (const answer of answers) {
      assert.ok(answer.records === 0 || typeof answer === 'string', JSON.stringify(answers));
    }
    assert.deepEqual(far.asked.slice(asked), []);
  });

  it('carries nothing out in a question of another type about a name of its list', async () => {
    const asked = far.asked.length;
    const [text, six] = await probe([['question', gateway, BELOW, TXT], ['question', gateway, BELOW, AAAA]]);
    assert.deepEqual([text.records, six.records], [0, 0]);
    assert.deepEqual(far.asked.slice(asked), []);
  });

  // What is not answered takes its time.
  describe('tried in many ways at once', { concurrency: true }, () => {
    it('reaches no other name server', async () => {
      await allFail([
        ...[nameServer, '8.8.8.8', ...hosts.filter((address) => address !== gateway), ...inside].map((server) => ['question', server, NAME, 1]),
        ...[nameServer, gateway, ...hosts].map((server) => ['question', server, NAME, 1, 'tcp'])]);
    });

    it('reaches no private, shared or metadata address, also where a name of its list leads there', async () => {
      assert.deepEqual(await probe([['question', gateway, REBOUND, 1]]), [{ code: 0, records: 0 }]);
      await allFail([['name', REBOUND], ...inside.flatMap((address) => [['tcp', address, PORT], ['udp', address, PORT]])]);
    });

    it('reaches nothing of the host, nor a port of a sandbox that is published there', async (t) => {
      await exec(neighbour, 'python3', ['-m', 'http.server', `${PORT}`], { background: true });
      const reply = await call('POST', `/sandbox/${neighbour}/expose`, { body: { containerPort: PORT, visibility: 'public' } });
      assert.equal(reply.status, 200, reply.text);
      const { hostPort } = reply.json;
      t.after(() => call('DELETE', `/sandbox/${neighbour}/ports/${PORT}`));
      assert.ok(hosts.includes(gateway), 'the bridge is an interface of the host');
      for (const address of hosts) {
        assert.ok(await hostReaches(address, PORT), `the host listens on ${address}`);
      }
      await allFail(hosts.flatMap((address) => [['connect', address, PORT], ['udp', address, PORT], ['ping', address],
        ['connect', address, hostPort]]));
    });

    it('reaches no neighbour on its bridge, and none reaches it', async () => {
      const { IPAddress: address } = await addressOf(neighbour);
      await exec(neighbour, 'python3', ['-m', 'http.server', `${OTHER_PORT}`], { background: true });
      await until('the neighbour listens', async () => (await shellOutput(neighbour,
        `python3 -c "import socket; print(socket.socket().connect_ex(('${address}', ${OTHER_PORT})))"`)) === '0', 30_000);
      const [outside] = await Promise.all([far.reaches(address, OTHER_PORT),
        allFail([['connect', address, OTHER_PORT], ['connect', address, PORT], ['udp', address, PORT], ['ping', address]])]);
      assert.equal(outside, false, 'nor does anybody from outside');
    });

    it('makes no packets of its own, root or not, and sends none as somebody else', async () => {
      const { IPAddress: address } = await addressOf(neighbour);
      const probes = [['raw', 'AF_INET', 'SOCK_RAW', 1], ['raw', 'AF_INET', 'SOCK_RAW', 255], ['raw', 'AF_PACKET', 'SOCK_RAW', 768],
        ['raw', 'AF_PACKET', 'SOCK_DGRAM', 768], ['borrowed', address, literal, PORT], ['borrowed', gateway, literal, PORT]];
      await allFail(probes);
      await allFail(probes, { user: 'root' });
    });

    it('has no IPv6', async () => {
      assert.equal(await shellOutput(id, 'grep -v " lo$" /proc/net/if_inet6 | wc -l'), '0');
      await allFail([['six', '2001:db8::7', PORT], ['six', 'fe80::1', PORT], ['six', `::ffff:${other}`, PORT]]);
    });
  });

  it('has what it tried counted, by name and by address', async () => {
    const wanted = [`name ${DENIED}`, `address ${other}:${PORT}`, `address ${literal}:${PORT}/udp`, `address 169.254.169.254:${PORT}`];
    let targets;
    await until('the attempts are counted', async () => {
      targets = new Map((await denied()).map(({ kind, target, attempts }) => [`${kind} ${target}`, attempts]));
      return wanted.every((target) => targets.get(target) >= 1);
    }, 15_000).catch((error) => assert.fail(`${error.message}\n${JSON.stringify([...targets])}`));
    assert.equal(targets.has(`address ${literal}:${PORT}`), false, 'what was let through is not among them');
  });

  it('loses connections that a new list does not have', async () => {
    const holding = `
import socket, sys
link = socket.create_connection(("${literal}", ${PORT}), 2)
link.settimeout(1)
link.sendall(b"a"); print(link.recv(1).decode(), flush=True)
sys.stdin.readline()
link.sendall(b"b")
try:
    print(link.recv(1).decode())
except OSError as error:
    print(type(error).__name__)
`;
    await exec(id, 'sh', ['-c', 'mkfifo /tmp/go && (sleep 60 > /tmp/go &)']);
    const held = exec(id, 'sh', ['-c', `python3 -c '${holding}' < /tmp/go > /tmp/held; cat /tmp/held`]);
    await until('the connection is there', async () => (await shellOutput(id, 'cat /tmp/held 2>/dev/null || true')) === 'a', 15_000);
    const reply = await call('PUT', `/sandbox/${id}/network`, { body: { network: 'restricted', allow: [`${other}:${PORT}`] } });
    assert.equal(reply.status, 200, reply.text);
    await exec(id, 'sh', ['-c', 'echo > /tmp/go']);
    assert.match((await held).stdout, /^a\n(TimeoutError|timeout)/);
    const [reached] = await Promise.all([probe([['tcp', other, PORT]]),
      allFail([['tcp', literal, PORT], ['tcp', named, PORT], ['name', NAME]])]);
    assert.deepEqual(reached, [true]);
  });

  it('keeps its address to itself', () => {
    assert.ok(own.length > 0 && own !== gateway);
  });
});
