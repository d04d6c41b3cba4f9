// The network of a sandbox, changed while it runs and while it is paused.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, makeUser, sandboxFor, shellOutput } from '../support/api.mjs';
import { Far, LABEL, whyNotRestricted } from '../support/far.mjs';
import { chainOf, hasChain, isClosed, mustSet, networksOf, reaches, restrictedNetwork, set } from '../support/networks.mjs';

const PORT = 8097;
const [listed, unlisted, named, nameServer] = ['203.0.113.81', '203.0.113.82', '203.0.113.83', '203.0.113.84'];
const NAME = `${LABEL}.changes.example`;

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
    assert.ok(await isClosed(id, listed, PORT));
    const allow = [`${listed}:${PORT}`, `${NAME}:${PORT}`];
    assert.deepEqual(await mustSet(id, 'restricted', allow), { sandboxId: id, network: 'restricted', allow, denied: [] });
    assert.deepEqual(await networksOf(id), [restrictedNetwork]);
    assert.deepEqual(await Promise.all([reaches(id, listed, PORT), reaches(id, NAME, PORT), isClosed(id, unlisted, PORT)]), [true, true, true]);
    await mustSet(id, 'restricted', [...allow, `more.example:${PORT}`]);
    assert.equal(await reaches(id, named, PORT), true, 'what a name has led to stays open with a longer list');
    await mustSet(id, 'restricted', [`${unlisted}:${PORT}`]);
    assert.deepEqual(await Promise.all([reaches(id, unlisted, PORT), isClosed(id, listed, PORT), isClosed(id, named, PORT)]), [true, true, true]);
    const open = await set(id, 'open');
    if (open.status === 200) {
      assert.deepEqual([await reaches(id, listed, PORT), await reaches(id, unlisted, PORT)], [true, true]);
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

  for (const [mode, changes] of [['freeze', ['restricted', 'none']], ['disk', ['restricted', 'none']]]) {
    it(`is changed while it is paused (${mode})`, async () => {
      for (const network of changes) {
        const paused = await call('POST', `/sandbox/${id}/pause`, { body: { mode } });
        assert.equal(paused.status, 200, paused.text);
        await mustSet(id, network, network === 'none' ? undefined : [`${listed}:${PORT}`]);
        const resumed = await call('POST', `/sandbox/${id}/resume`, { body: {} });
        assert.equal(resumed.status, 200, resumed.text);
        assert.deepEqual(await Promise.all([reaches(id, listed, PORT, network === 'none' ? 1 : 10), isClosed(id, unlisted, PORT)]),
          [network === 'restricted', true]);
      }
    });
  }
});
