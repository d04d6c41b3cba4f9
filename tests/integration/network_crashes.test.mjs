// The network of a sandbox, across kills of the service that made it and hands that meddle.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, whenHealthy } from '../support/api.mjs';
import { Far, LABEL, whyNotRestricted } from '../support/far.mjs';
import { chainOf, hasChain, isClosed, mustSet, networksOf, reaches, restrictedNetwork, set, settled, table } from '../support/networks.mjs';
import { kill9, run, sql, until } from '../support/stack.mjs';

const PORT = 8098;
const [listed, unlisted, named, nameServer] = ['203.0.113.85', '203.0.113.86', '203.0.113.87', '203.0.113.88'];
const NAME = `${LABEL}.crashes.example`;

describe('the network of a sandbox', { skip: await whyNotRestricted() }, () => {
  const far = new Far('insien-crashes');
  let id;
  // Asked of the service itself: the gateway's health is that of a moment ago.
  const served = () => until('the service answers', async () => (await call('GET', `/sandbox/${id}/network`)).status === 200, 30_000);

  before(async () => {
    await far.open({ link: '198.18.250.0', addresses: [listed, unlisted, named, nameServer], ports: [PORT], nameServer, names: { [NAME]: [named] } });
    ({ sandboxId: id } = await createSandbox({ template: 'base', network: 'none' }));
  });
  after(async () => {
    await far.close();
    await destroySandbox(id);
  });

  it('holds while the service that made it is away, and after', async () => {
    const allow = [`${listed}:${PORT}`, `${NAME}:${PORT}`];
    await mustSet(id, 'restricted', allow);
    assert.equal(await reaches(id, NAME, PORT), true);
    await kill9('sandbox');
    assert.deepEqual(await Promise.all([reaches(id, listed, PORT), isClosed(id, unlisted, PORT)]), [true, true]);
    await served();
    await until('names are served again', () => reaches(id, NAME, PORT, 2), 30_000);
    assert.deepEqual(await Promise.all([reaches(id, listed, PORT), isClosed(id, unlisted, PORT)]), [true, true]);
    assert.deepEqual((await call('GET', `/sandbox/${id}/network`)).json.allow, allow);
  });

  it('is finished by the next process where one was killed in the middle of a change', async () => {
    for (const wanted of ['none', 'restricted']) {
      const change = set(id, wanted, wanted === 'none' ? undefined : [`${unlisted}:${PORT}`]).catch(() => null);
      await until('the change is written down', async () => await sql(`SELECT network FROM sandboxes WHERE id = '${id}'`) === wanted, 10_000);
      await kill9('sandbox');
      await change;
      await served(); // the change may have been whole before the kill
      await settled(id);
      assert.deepEqual(await networksOf(id), [wanted === 'none' ? 'none' : restrictedNetwork]);
    }
    await served();
    assert.deepEqual(await Promise.all([reaches(id, unlisted, PORT), isClosed(id, listed, PORT)]), [true, true]);
  });

  it('is restored at once where somebody takes the rules away', async () => {
    await mustSet(id, 'restricted', [`${listed}:${PORT}`]);
    const chain = await chainOf(id);
    const { code, stderr } = await run('nft', ['delete', 'table', 'inet', table]);
    assert.equal(code, 0, stderr);
    await until('the rules are there again', () => hasChain(chain), 30_000);
    assert.deepEqual(await Promise.all([reaches(id, listed, PORT), isClosed(id, unlisted, PORT)]), [true, true]);
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
});
