// The network of a sandbox, changed while it runs, by clients and across crashes.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, makeUser, sandboxFor, shellOutput, whenHealthy } from '../support/api.mjs';
import { Far, LABEL, whyNotRestricted } from '../support/far.mjs';
import { docker, instance, kill9, run, sql, until } from '../support/stack.mjs';

const PORT = 8097;
const [listed, unlisted, named, nameServer] = ['203.0.113.81', '203.0.113.82', '203.0.113.83', '203.0.113.84'];
const NAME = `${LABEL}.changes.example`;
const table = `insien_${instance.replaceAll('-', '_')}`;
const restrictedNetwork = `insien-${instance}-restricted`;

const set = (id, network, allow, options) => call('PUT', `/sandbox/${id}/network`, {
  body: { network, ...(allow === undefined ? {} : { allow }) }, ...options,
});
async function mustSet(id, network, allow) {
  const reply = await set(id, network, allow);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}
// Nobody says that something is closed: it is not heard of for so long.
const reaches = async (id, host, patienceS = 10) => (await exec(id, 'timeout', [`${patienceS}`, 'bash', '-c', `: </dev/tcp/${host}/${PORT}`])).exitCode === 0;
const isClosed = async (id, host) => !await reaches(id, host, 1);
const networksOf = async (id) => Object.keys(JSON.parse(await docker('inspect', '--format', '{{json .NetworkSettings.Networks}}', `insien-${id}`)));
const settled = (id) => until(`the network of ${id} is as its row says`, async () => await sql(
  `SELECT network_applied = network_version FROM sandboxes WHERE id = '${id}'`) === 't', 30_000);

// How nftables calls the chain of a sandbox.
async function chainOf(id) {
  const address = await sql(`SELECT host(network_address) FROM sandboxes WHERE id = '${id}'`);
  return `box_${address.split('.').map((part) => Number(part).toString(16).padStart(2, '0')).join('')}`;
}
const hasChain = async (chain) => (await run('nft', ['list', 'chain', 'inet', table, chain])).code === 0;

const skip = await whyNotRestricted();

describe('an allow-list that is none', () => {
  let id;
  before(async () => ({ sandboxId: id } = await createSandbox()));
  after(() => destroySandbox(id));

  it('is refused with the entry that is wrong', async () => {
    for (const entry of ['', 'com', '*.com', '*', 'a..example', '10.0.0.0/8', '127.0.0.1', '0.0.0.0/0', '2001:db8::1', 'x.example:0', 'x.example:1-9', 'x.example/udp']) {
      for (const reply of [await set(id, 'restricted', ['ok.example', entry]),
        await call('POST', '/sandbox/create', { body: { template: 'tiny', network: 'restricted', allow: ['ok.example', entry] } })]) {
        assertError(reply, skip && reply.status === 503 ? 503 : 400, skip && reply.status === 503 ? 'network_unavailable' : 'validation_failed');
        assert.match(reply.text, /allow/);
      }
    }
  });

  it('is refused where the network is not restricted, and with more entries than there may be', async () => {
    assertError(await set(id, 'open', ['x.example']), 400, 'validation_failed');
    assertError(await call('POST', '/sandbox/create', { body: { template: 'tiny', network: 'none', allow: ['x.example'] } }), 400, 'validation_failed');
    assertError(await set(id, 'restricted', Array.from({ length: 65 }, (_, i) => `x${i}.example`)), 400, 'validation_failed');
    assertError(await set(id, 'elsewhere'), 400, 'validation_failed');
  });

  it('is for its owner alone, and while the sandbox lives', async (t) => {
    const key = await makeUser('free');
    assertError(await set(id, 'none', undefined, { key }), 404, 'sandbox_not_found');
    assertError(await call('GET', `/sandbox/${id}/network`, { key }), 404, 'sandbox_not_found');
    const gone = await sandboxFor(t);
    await destroySandbox(gone);
    assertError(await set(gone, 'none'), 409, 'sandbox_ended');
  });
});

describe('the network of a running sandbox', { skip }, () => {
  const far = new Far('insien-changes');
  let id;

  before(async () => {
    await far.open({ link: '198.18.252.0', addresses: [listed, unlisted, named, nameServer], ports: [PORT], nameServer, names: { [NAME]: [named] } });
    ({ sandboxId: id } = await createSandbox({ template: 'base', network: 'none' }));
  });
  after(async () => {
    await far.close();
    await destroySandbox(id);
  });

  it('is changed from none to restricted to open to none, and what runs goes on', async () => {
    await exec(id, 'sleep', ['600'], { background: true });
    assert.ok(await isClosed(id, listed));
    const allow = [`${listed}:${PORT}`, `${NAME}:${PORT}`];
    assert.deepEqual(await mustSet(id, 'restricted', allow), { sandboxId: id, network: 'restricted', allow, denied: [] });
    assert.deepEqual(await networksOf(id), [restrictedNetwork]);
    assert.deepEqual([await reaches(id, listed), await reaches(id, NAME), await isClosed(id, unlisted)], [true, true, true]);
    await mustSet(id, 'restricted', [`${unlisted}:${PORT}`]);
    assert.deepEqual([await reaches(id, unlisted), await isClosed(id, listed), await isClosed(id, named)], [true, true, true]);
    const open = await set(id, 'open');
    if (open.status === 200) {
      assert.deepEqual([await reaches(id, listed), await reaches(id, unlisted)], [true, true]);
      assert.equal(await hasChain(await chainOf(id)), false);
    } else {
      assertError(open, 503, 'network_unavailable');
    }
    await mustSet(id, 'none');
    assert.deepEqual(await networksOf(id), ['none']);
    assert.equal(await shellOutput(id, 'ls /sys/class/net'), 'lo');
    assert.equal(await shellOutput(id, 'pgrep -c -x sleep'), '1');
  });

  it('is one change at a time, and the last one holds', async () => {
    const replies = await Promise.all(Array.from({ length: 6 }, (_, i) => set(id, i % 2 === 0 ? 'restricted' : 'none')));
    assert.ok(replies.some(({ status }) => status === 200));
    for (const reply of replies.filter(({ status }) => status !== 200)) {
      assertError(reply, 409, 'network_changing');
    }
    await mustSet(id, 'none');
    assert.deepEqual(await networksOf(id), ['none']);
  });

  it('holds while the service that made it is away, and after', async () => {
    const allow = [`${listed}:${PORT}`, `${NAME}:${PORT}`];
    await mustSet(id, 'restricted', allow);
    assert.equal(await reaches(id, NAME), true);
    await kill9('sandbox');
    assert.deepEqual([await reaches(id, listed), await isClosed(id, unlisted)], [true, true]);
    await whenHealthy(30_000);
    await until('names are served again', () => reaches(id, NAME), 30_000);
    assert.deepEqual([await reaches(id, listed), await isClosed(id, unlisted)], [true, true]);
    assert.deepEqual((await call('GET', `/sandbox/${id}/network`)).json.allow, allow);
  });

  it('is finished by the next process where one was killed in the middle of a change', async () => {
    for (const wanted of ['none', 'restricted', 'none', 'restricted']) {
      const change = set(id, wanted, wanted === 'none' ? undefined : [`${unlisted}:${PORT}`]).catch(() => null);
      await until('the change is written down', async () => await sql(`SELECT network FROM sandboxes WHERE id = '${id}'`) === wanted, 10_000);
      await kill9('sandbox');
      await change;
      await settled(id);
      assert.deepEqual(await networksOf(id), [wanted === 'none' ? 'none' : restrictedNetwork]);
    }
    await whenHealthy(30_000);
    assert.deepEqual([await reaches(id, unlisted), await isClosed(id, listed)], [true, true]);
  });

  it('leaves nothing in the kernel when the sandbox ends, also what a killed process left', async () => {
    const { sandboxId: other } = await createSandbox({ network: 'restricted', allow: [`${listed}:${PORT}`] });
    const chain = await chainOf(other);
    assert.ok(await hasChain(chain));
    await destroySandbox(other);
    await until('its chain is gone', async () => !await hasChain(chain), 30_000);
    const stray = chain.replace(/..$/, chain.endsWith('fe') ? 'fd' : 'fe');
    const added = await run('nft', [`add chain inet ${table} ${stray}; add element inet ${table} boxes { ${
      stray.slice(4).match(/../g).map((part) => parseInt(part, 16)).join('.')} : goto ${stray} }`]);
    assert.equal(added.code, 0, added.stderr);
    await kill9('sandbox');
    await until('a stray chain is gone', async () => !await hasChain(stray), 30_000);
    await whenHealthy(30_000);
  });

  it('comes back as it was when somebody took the rules away', async () => {
    await mustSet(id, 'restricted', [`${listed}:${PORT}`]);
    await run('nft', ['delete', 'table', 'inet', table]);
    await kill9('sandbox');
    await until('the rules are there again', async () => await hasChain(await chainOf(id)), 30_000);
    assert.deepEqual([await reaches(id, listed), await isClosed(id, unlisted)], [true, true]);
    await whenHealthy(30_000);
  });

});
