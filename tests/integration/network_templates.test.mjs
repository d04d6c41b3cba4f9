// Templates that say what their sandboxes reach.
import assert from 'node:assert/strict';
import { it, describe } from 'node:test';
import { assertError, call, createSandbox, destroySandbox } from '../support/api.mjs';
import { whyNotRestricted } from '../support/far.mjs';
import { until } from '../support/stack.mjs';

const allow = ['pypi.org', '203.0.113.0/24:5432'];
const name = `restricted-${process.pid}`;
const make = (body) => call('POST', '/api/templates', { body: { name, image: 'insien/tiny', ...body } });
const networkOf = async (id) => {
  const { network, allow: entries } = (await call('GET', `/sandbox/${id}/network`)).json;
  return { network, allow: entries };
};

describe('a template', { skip: await whyNotRestricted() }, () => {
  it('gives its allow-list to those who ask for no network', async (t) => {
    const made = await make({ network: 'restricted', allow });
    assert.equal(made.status, 201, made.text);
    let ids = [];
    t.after(async () => {
      await Promise.all(ids.map((id) => destroySandbox(id)));
      await until('it is deleted', async () => (await call('DELETE', `/api/templates/${name}`)).status !== 409, 30_000);
    });
    await until('it is made', async () => (await call('GET', `/api/templates/${name}`)).json.status === 'ready', 60_000);
    assert.deepEqual((await call('GET', `/api/templates/${name}`)).json.allow, allow);
    const wanted = [{ network: null }, { network: 'restricted', allow: ['example.org'] }, { network: 'none' }];
    ids = (await Promise.all(wanted.map((each) => createSandbox({ template: name, ...each })))).map(({ sandboxId }) => sandboxId);
    const [plain, chosen, none] = ids;
    assert.deepEqual(await networkOf(plain), { network: 'restricted', allow });
    assert.deepEqual(await networkOf(chosen), { network: 'restricted', allow: ['example.org'] });
    assert.deepEqual(await networkOf(none), { network: 'none', allow: [] });
  });

  it('is refused with an allow-list that is none, or of another network', async () => {
    assertError(await make({ network: 'restricted', allow: ['10.0.0.0/8'] }), 400, 'validation_failed');
    assertError(await make({ network: 'open', allow }), 400, 'validation_failed');
  });
});
