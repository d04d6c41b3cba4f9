import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, makeUser } from '../support/api.mjs';
import { refusal } from '../support/websocket.mjs';

const routes = [
  ['GET', '/status'],
  ['POST', '/exec', { cmd: 'id' }],
  ['POST', '/destroy'],
  ['DELETE', ''],
];

// What may differ between two answers: the id of the request.
const comparable = (reply) => {
  const { requestId, ...body } = reply.json;
  const { date, 'x-request-id': _, ...headers } = reply.headers;
  return { status: reply.status, body, length: reply.text.length, headers };
};

describe('a sandbox of somebody else looks like none', () => {
  let id;
  let strangersKey;

  before(async () => {
    id = (await createSandbox()).sandboxId;
    strangersKey = await makeUser('enterprise');
  });
  after(() => destroySandbox(id));

  for (const [method, suffix, body] of routes) {
    it(`${method} /sandbox/{id}${suffix}`, async () => {
      const foreign = await call(method, `/sandbox/${id}${suffix}`, { key: strangersKey, body });
      const unknown = await call(method, `/sandbox/${randomUUID()}${suffix}`, { key: strangersKey, body });
      assertError(foreign, 404, 'sandbox_not_found');
      assert.deepEqual(comparable(foreign), comparable(unknown));
    });
  }

  it('WebSocket /client/{id}', async () => {
    const foreign = await refusal(`/client/${id}`, { key: strangersKey });
    const unknown = await refusal(`/client/${randomUUID()}`, { key: strangersKey });
    assertError(foreign, 404, 'sandbox_not_found');
    assert.deepEqual(comparable(foreign), comparable(unknown));
  });

  it('an id that is no id', async () => {
    for (const bad of ['1', 'not-a-uuid', id.replaceAll('-', '').slice(1), `${id}0`]) {
      assertError(await call('GET', `/sandbox/${bad}/status`), 404, 'sandbox_not_found');
    }
  });

  it('and is left unharmed', async () => {
    assert.equal((await exec(id, 'echo', ['mine'])).stdout, 'mine\n');
  });
});
