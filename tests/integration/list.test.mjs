import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, makeUser } from '../support/api.mjs';

describe('the list of sandboxes', () => {
  let key;
  const ids = []; // newest first

  before(async () => {
    key = await makeUser('pro');
    for (let i = 0; i < 5; i += 1) {
      ids.unshift((await createSandbox({ metadata: { number: i } }, key)).sandboxId);
    }
    await destroySandbox(ids[1], key);
  });
  after(() => Promise.all(ids.map((id) => destroySandbox(id, key))));

  const page = async (query) => {
    const reply = await call('GET', `/sandbox${query}`, { key });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };

  it('has the newest first, ended ones too, and only the caller\'s', async () => {
    const { sandboxes } = await page('');
    assert.deepEqual(sandboxes.map((box) => box.sandboxId), ids);
    assert.equal(sandboxes[0].status, 'running');
    assert.deepEqual(sandboxes[0].metadata, { number: 4 });
    assert.ok(['stopping', 'destroyed'].includes(sandboxes[1].status));
    assert.ok(Date.parse(sandboxes[0].createdAt) > Date.parse(sandboxes[4].createdAt));
  });

  it('is narrowed to a status, at either address', async () => {
    const running = await page('?status=running&limit=3');
    assert.deepEqual(running.sandboxes.map((box) => box.sandboxId), [ids[0], ids[2], ids[3]]);
    const rest = await page(`?status=running&limit=3&cursor=${encodeURIComponent(running.nextCursor)}`);
    assert.deepEqual(rest.sandboxes.map((box) => box.sandboxId), [ids[4]]);
    assert.equal(rest.nextCursor, null);
    const ended = await call('GET', '/api/users/me/sandboxes', { key });
    assert.deepEqual(ended.json, await page(''));
    assert.equal(ended.json.sandboxes[1].endReason, 'user');
    const { details } = assertError(await call('GET', '/api/users/me/sandboxes?status=alive', { key }), 400, 'validation_failed');
    assert.equal(details[0].path, 'status');
  });

  it('comes in pages that miss nothing and repeat nothing', async () => {
    const seen = [];
    let cursor = '';
    for (let pages = 0; pages < 5; pages += 1) {
      const { sandboxes, nextCursor } = await page(`?limit=2${cursor}`);
      seen.push(...sandboxes.map((box) => box.sandboxId));
      if (!nextCursor) {
        break;
      }
      assert.equal(sandboxes.length, 2);
      cursor = `&cursor=${encodeURIComponent(nextCursor)}`;
    }
    assert.deepEqual(seen, ids);
  });

  it('stays where it was when a newer sandbox appears', async () => {
    const first = await page('?limit=2');
    const { sandboxId } = await createSandbox({}, key);
    try {
      const second = await page(`?limit=2&cursor=${encodeURIComponent(first.nextCursor)}`);
      assert.deepEqual(second.sandboxes.map((box) => box.sandboxId), ids.slice(2, 4));
    } finally {
      ids.unshift(sandboxId);
    }
  });

  it('is empty for a new user', async () => {
    const reply = await call('GET', '/sandbox', { key: await makeUser('free') });
    assert.deepEqual(reply.json.sandboxes, []);
  });

  for (const query of ['limit=0', 'limit=101', 'limit=-1', 'limit=two', 'limit=1.5', 'limit=']) {
    it(`refuses ${query}`, async () => {
      assertError(await call('GET', `/sandbox?${query}`, { key }), 400, 'validation_failed');
    });
  }

  for (const cursor of ['x', 'AAAA', '!!!!', 'a'.repeat(2000)]) {
    it(`refuses the cursor ${cursor.slice(0, 8)}`, async () => {
      assertError(await call('GET', `/sandbox?cursor=${encodeURIComponent(cursor)}`, { key }), 400, 'invalid_cursor');
    });
  }
});
