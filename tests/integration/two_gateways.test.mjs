// What one gateway hears, all know within a second: who may not any more is refused by both and has
// no socket left on either. And a limit that two share is one limit.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, makeUser } from '../support/api.mjs';
import { startBeside } from '../support/beside.mjs';
import { gatewayBeside } from '../support/gateway.mjs';
import { bearer, childOf, makeAdministrator, person } from '../support/people.mjs';
import { webhook } from '../support/session.mjs';
import { apiUrl, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const PROMISED_MS = 1000;

const listAt = (base, headers, url = '/sandbox?limit=1') => call('GET', url, { base, key: null, headers });
const withKey = (key) => ({ 'X-API-Key': key });

// Both serve these headers, from what they remember, and have a socket of them open; then act ends
// that. Resolves when it has, everywhere and in time.
async function endsEverywhere(t, bases, { sandboxId, headers, code, act, url }) {
  for (const base of [...bases, ...bases]) {
    assert.equal((await listAt(base, headers, url)).status, 200);
  }
  const sockets = await Promise.all(bases.map((base) => openClient(sandboxId, { base: base.replace('http', 'ws'), key: null, headers })));
  const began = performance.now();
  await act();
  const [closed] = await Promise.all([
    Promise.all(sockets.map((socket) => socket.closed)),
    ...bases.map((base) => until(`${base} refuses`, async () => (await listAt(base, headers, url)).status !== 200, 10_000)),
  ]);
  const tookMs = performance.now() - began;
  assert.deepEqual(closed.map((close) => close.code), bases.map(() => 1008));
  for (const base of bases) {
    assertError(await listAt(base, headers, url), ...code);
    assertError(await refusal(`/client/${sandboxId}`, { base: base.replace('http', 'ws'), key: null, headers }), ...code);
  }
  t.diagnostic(`${tookMs.toFixed(0)} ms`);
  assert.ok(tookMs <= PROMISED_MS, `${tookMs} ms`);
}

describe('an end is one everywhere', () => {
  const invalidKey = [401, 'invalid_api_key'];
  const invalidSession = [401, 'invalid_session'];
  let administrator;
  let bases;
  let owner;
  let key;
  let sandboxId;

  const over = [];
  before(async () => {
    const suite = { after: (end) => over.push(end) };
    administrator = await makeAdministrator();
    const { port } = await gatewayBeside(suite, {});
    const third = await startBeside(suite, { name: 'third', step: 96 });
    bases = [apiUrl, `http://127.0.0.1:${port}`, third];
  });

  after(() => Promise.all(over.map((end) => end())));

  // A person with a key and a sandbox that outlive what is ended, unless it is the person.
  async function newOwner() {
    owner = await person();
    ({ key } = await owner.make());
    ({ sandboxId } = await createSandbox({}, key));
  }

  it('of a key', async (t) => {
    await newOwner();
    const made = await owner.make();
    const act = () => owner.ask('DELETE', `/api/keys/${made.id}`);
    await endsEverywhere(t, bases, { sandboxId, headers: withKey(made.key), code: invalidKey, act });
    const parent = await owner.make();
    const child = await childOf(parent.key);
    const actOnParent = () => owner.ask('DELETE', `/api/keys/${parent.id}`, undefined, bases[1]);
    await endsEverywhere(t, bases, { sandboxId, headers: withKey(child.key), code: invalidKey, act: actOnParent });
    assert.equal((await listAt(bases[2], withKey(key))).status, 200, 'another key of the same person');
    await destroySandbox(sandboxId, key);
  });

  it('of a client token, with the key that made it', async (t) => {
    await newOwner();
    const { id, key: maker } = await owner.make();
    const reply = await call('POST', `/sandbox/${sandboxId}/token`, { key: maker, body: { scopes: ['sandbox:read'] } });
    assert.equal(reply.status, 201, reply.text);
    const act = () => owner.ask('DELETE', `/api/keys/${id}`);
    await endsEverywhere(t, bases, {
      sandboxId, headers: bearer(reply.json.token), code: [401, 'invalid_token'], act, url: `/sandbox/${sandboxId}/status`,
    });
    await destroySandbox(sandboxId, key);
  });

  it('of a session', async (t) => {
    await newOwner();
    const act = () => webhook({ type: 'session.revoked', userId: owner.sub, sessionId: owner.sid });
    await endsEverywhere(t, bases, { sandboxId, headers: owner.headers, code: invalidSession, act });
    assert.equal((await listAt(bases[2], withKey(key))).status, 200, 'a key that was made in it');
    await destroySandbox(sandboxId, key);
  });

  const suspended = [403, 'account_suspended'];
  const ends = {
    'was deleted': [invalidKey, invalidSession, () => webhook({ type: 'user.deleted', userId: owner.sub })],
    'is banned': [invalidKey, suspended, () => webhook({ type: 'user.updated', userId: owner.sub, patch: { banned: true } })],
    'is suspended by an administrator': [suspended, suspended, async () => {
      const { id } = (await owner.ask('GET', '/api/users/me')).json;
      const reply = await call('PATCH', `/api/admin/users/${id}`, { key: administrator.key, body: { suspended: true } });
      assert.equal(reply.status, 200, reply.text);
    }],
    leaves: [invalidKey, invalidSession, async () => {
      const { id } = (await owner.ask('GET', '/api/users/me')).json;
      assert.equal((await owner.ask('DELETE', `/api/users/me?confirm=${id}`)).status, 204);
    }],
  };
  for (const [name, [ofKey, ofSession, act]] of Object.entries(ends)) {
    it(`of what a person had who ${name}`, async (t) => {
      await newOwner();
      await endsEverywhere(t, bases, { sandboxId, headers: withKey(key), code: ofKey, act });
      for (const base of bases) {
        assertError(await listAt(base, owner.headers), ...ofSession);
      }
    });
  }
});

describe('a limit of two gateways', () => {
  const PER_MINUTE = 3000;
  const BURST = 100;
  const ASKED_MS = 8000;
  const AT_ONCE = 8; // requests on each gateway

  it('admits five percent too much at most, and wastes little', async (t) => {
    const settings = { RATE_LIMIT_EXEMPT: '', RATE_LIMITS: `pro=${PER_MINUTE}/${BURST}` };
    const gateways = await Promise.all([gatewayBeside(t, settings), gatewayBeside(t, { ...settings, PORT_STEP: 2 })]);
    const headers = withKey(await makeUser('pro'));
    const began = performance.now();
    let admitted = 0;
    let asked = 0;
    await Promise.all(gateways.flatMap(({ port }) => Array.from({ length: AT_ONCE }, async () => {
      while (performance.now() - began < ASKED_MS) {
        const { status } = await listAt(`http://127.0.0.1:${port}`, headers);
        assert.ok([200, 429].includes(status), status);
        asked += 1;
        admitted += status === 200 ? 1 : 0;
      }
    })));
    const allowed = BURST + PER_MINUTE * (performance.now() - began) / 60_000;
    t.diagnostic(`${admitted} of ${asked} admitted, ${allowed.toFixed(0)} allowed`);
    assert.ok(asked > 2 * allowed, 'far more was asked for');
    assert.ok(admitted <= 1.05 * allowed, `${admitted} of ${allowed}`);
    assert.ok(admitted >= 0.8 * allowed, `${admitted} of ${allowed}`);
  });
});
