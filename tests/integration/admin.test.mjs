// What administrators see and do of everybody's, and how the role is given.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, makeUser, shellOutput } from '../support/api.mjs';
import { childOf, person } from '../support/people.mjs';
import { rememberSecret } from '../support/secrets.mjs';
import { webhook } from '../support/session.mjs';
import { root, run, sql, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const insienAdmin = (...args) => run(path.join(root, 'deploy/admin'), args);
const idOf = async ({ ask }) => (await ask('GET', '/api/users/me')).json.id;
const admin = {};

// Resolves to the milliseconds that it took.
async function within(timeoutMs, what, condition) {
  const began = performance.now();
  await until(what, condition, timeoutMs);
  return performance.now() - began;
}

const ask = (method, url, body) => call(method, url, { key: admin.key, body });
const change = async (id, body) => {
  const reply = await ask('PATCH', `/api/admin/users/${id}`, body);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
};
const listed = async (url) => {
  const reply = await ask('GET', url);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
};
const recordsOf = async (target) => JSON.parse(await sql(`
  SELECT coalesce(json_agg(json_build_array(action, result, actor_user, actor_key IS NOT NULL, detail) ORDER BY id), '[]')
  FROM audit_log WHERE target = '${target}'`));
const acts = async (target, actions) => (await recordsOf(target)).filter(([action]) => actions.includes(action));

// Somebody with a session, a key and a sandbox.
async function tenant() {
  const somebody = await person();
  const { id: keyId, key } = await somebody.make();
  return { ...somebody, id: await idOf(somebody), keyId, key };
}

before(async () => {
  const somebody = await person();
  admin.id = await idOf(somebody);
  assertError(await somebody.ask('GET', '/api/admin/users'), 403, 'missing_scope');
  assertError(await somebody.ask('POST', '/api/keys', { scopes: ['admin'] }), 403, 'key_rights_exceeded');
  const given = await insienAdmin('user', 'role', admin.id, 'admin');
  assert.equal(given.code, 0, given.stderr);
  assert.match(given.stdout, new RegExp(`^${admin.id} .* has now the role admin\n$`));
  await within(3000, 'the role is heard of', async () => (await somebody.ask('GET', '/api/admin/users')).status === 200);
  const { key, id } = await somebody.make({ scopes: ['admin'] });
  Object.assign(admin, { key, keyId: id, ask: somebody.ask, make: somebody.make });
});

describe('the role', () => {
  it('is given and taken on the machine alone, and recorded', async () => {
    const somebody = await tenant();
    assert.equal((await insienAdmin('user', 'role', somebody.id, 'admin')).code, 0);
    await within(3000, 'the role is heard of', async () => (await somebody.ask('GET', '/api/admin/users')).status === 200);
    const { key } = await somebody.make({ scopes: ['admin', 'sandbox:read'] });
    assert.equal((await call('GET', '/api/admin/keys', { key })).status, 200);
    assert.equal((await insienAdmin('user', 'role', somebody.id, 'user')).code, 0);
    // What changes something asks the row itself.
    assertError(await call('PATCH', `/api/admin/users/${admin.id}`, { key, body: { tier: 'pro' } }), 403, 'missing_scope');
    await within(3000, 'the end is heard of', async () => (await call('GET', '/api/admin/keys', { key })).status === 403);
    assert.equal((await call('GET', '/sandbox', { key })).status, 200, 'the rest of the key goes on');
    assert.deepEqual((await acts(somebody.id, ['user.role_set'])).map(([, result, actor, , detail]) => [result, actor, detail]),
      [['ok', null, { role: 'admin' }], ['ok', null, { role: 'user' }]]);
  });

  it('is enough without a session: a key of an administrator of this machine', async () => {
    const email = `ops-${randomUUID()}@example.test`;
    const make = () => run(path.join(root, 'deploy/key'), [email, '--scopes', 'admin,sandbox:read']);
    const refused = await make();
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /only an administrator's key has the scope admin/);
    assert.equal((await insienAdmin('user', 'role', email.toUpperCase(), 'admin')).code, 0);
    const { code, stdout, stderr } = await make();
    assert.equal(code, 0, stderr);
    const key = stdout.trim();
    rememberSecret(key);
    assert.equal((await call('GET', '/api/admin/users?limit=1', { key })).status, 200);
    assertError(await call('POST', '/sandbox/create', { key, body: {} }), 403, 'missing_scope');
  });

  it('is of nobody who is not there', async () => {
    const { code, stderr } = await insienAdmin('user', 'role', 'nobody@example.test', 'admin');
    assert.notEqual(code, 0);
    assert.match(stderr, /there is no user nobody@example.test/);
  });

  it('does not let a key without the scope in', async () => {
    const { key } = await admin.make();
    assertError(await call('GET', '/api/admin/users', { key }), 403, 'missing_scope');
    assertError(await call('DELETE', `/api/admin/keys/${admin.keyId}`, { key }), 403, 'missing_scope');
  });
});

describe('a suspension', () => {
  it('ends everything within a second, and its end gives the keys back', async () => {
    const somebody = await tenant();
    const child = await childOf(somebody.key);
    const { sandboxId } = await createSandbox({}, somebody.key);
    const sockets = await Promise.all([
      openClient(sandboxId, { key: somebody.key }),
      openClient(sandboxId, { key: null, headers: somebody.headers }),
    ]);
    const exposed = await call('POST', `/sandbox/${sandboxId}/expose`, { key: somebody.key, body: { containerPort: 8000 } });
    const signed = await call('POST', `/sandbox/${sandboxId}/files/url`, { key: somebody.key, body: { path: '/etc/hostname', op: 'download' } });
    assert.deepEqual([exposed.status, signed.status], [200, 200]);
    const began = performance.now();
    const user = await change(somebody.id, { suspended: true, reason: 'mines coins' });
    assert.deepEqual([user.status, user.suspendedReason], ['suspended', 'mines coins']);
    const codes = await Promise.all(sockets.map(async (socket) => (await socket.closed).code));
    assert.deepEqual(codes, [1008, 1008]);
    await until('all is refused', async () => {
      const replies = await Promise.all([
        call('GET', '/sandbox', { key: somebody.key }), call('GET', '/sandbox', { key: child.key }), somebody.ask('GET', '/sandbox'),
      ]);
      return replies.every(({ status, json }) => status === 403 && json.code === 'account_suspended');
    }, 1000);
    await until('the signed address is refused', async () => (
      await call('GET', new URL(signed.json.url).pathname + new URL(signed.json.url).search, { key: null })).status !== 200, 1000);
    assert.ok(performance.now() - began < 1000, `${performance.now() - began} ms`);
    assertError(await refusal(`/client/${sandboxId}`, { key: somebody.key }), 403, 'account_suspended');
    assertError(await call('POST', '/sandbox/create', { key: child.key, body: {} }), 403, 'account_suspended');
    assert.match(await sql(`SELECT end_reason FROM sandboxes WHERE id = '${sandboxId}'`), /^suspended$/);

    assert.equal((await change(somebody.id, { suspended: false })).status, 'active');
    assert.equal((await call('GET', '/sandbox', { key: child.key })).status, 200);
    assert.equal((await somebody.ask('GET', '/sandbox')).status, 200);
    const { sandboxes } = (await somebody.ask('GET', '/sandbox')).json;
    assert.deepEqual(sandboxes.map(({ endReason }) => endReason), ['suspended'], 'sandboxes do not come back');
    assert.deepEqual(await acts(somebody.id, ['user.suspended', 'user.restored']), [
      ['user.suspended', 'ok', admin.id, true, { why: 'mines coins' }],
      ['user.restored', 'ok', admin.id, true, null],
    ]);
  });

  it('is not for oneself, nor for who is not there', async () => {
    const refused = (id, body) => ask('PATCH', `/api/admin/users/${id}`, body);
    assertError(await refused(admin.id, { suspended: true }), 409, 'own_account');
    assertError(await refused(randomUUID(), { suspended: true }), 404, 'account_not_found');
    assertError(await refused('me', { suspended: true }), 404, 'account_not_found');
    assert.equal((await listed('/api/admin/users?limit=1')).users.length, 1, 'and nothing happened');
    assert.deepEqual((await acts(admin.id, ['user.suspended'])).map(([, result, , , detail]) => [result, detail]),
      [['refused', { reason: 'own_account' }]]);
  });

  it('by Clerk is ended here; the keys that it revoked stay so', async () => {
    const somebody = await tenant();
    assert.equal((await webhook({ type: 'user.updated', userId: somebody.sub, patch: { banned: true } })).status, 200);
    assertError(await somebody.ask('GET', '/sandbox'), 403, 'account_suspended');
    await change(somebody.id, { suspended: false });
    assert.equal((await somebody.ask('GET', '/sandbox')).status, 200);
    assertError(await call('GET', '/sandbox', { key: somebody.key }), 401, 'invalid_api_key');
    assert.equal((await somebody.make()).isActive ?? true, true);
  });

  it('is known however it came about', async () => {
    const somebody = await tenant();
    const { sandboxId } = await createSandbox({}, somebody.key);
    const socket = await openClient(sandboxId, { key: somebody.key });
    await sql(`UPDATE users SET suspended_at = now() WHERE id = '${somebody.id}'`);
    assert.ok([1008, 4404].includes((await socket.closed).code), 'the user, or the sandbox before');
    await within(2000, 'the key is refused', async () => (await call('GET', '/sandbox', { key: somebody.key })).status === 403);
  });
});

describe('a tier', () => {
  it('is felt within a second, and by what is open without its end', async () => {
    const somebody = await tenant();
    const { sandboxId } = await createSandbox({}, somebody.key);
    const socket = await openClient(sandboxId, { key: somebody.key });
    const limit = async () => Number((await call('GET', '/api/users/me', { key: somebody.key })).json.limits.sandboxes);
    const before = await limit();
    assert.equal((await change(somebody.id, { tier: 'enterprise' })).tier, 'enterprise');
    const took = await within(1000, 'the tier is felt', async () => (await limit()) > before);
    assert.ok(took < 1000);
    assert.equal((await somebody.ask('GET', '/api/users/me')).json.tier, 'enterprise');
    assert.ok(Array.isArray((await socket.request({ type: 'ps' })).processes));
    await socket.close();
    await change(somebody.id, { tier: 'enterprise' });
    assert.deepEqual((await acts(somebody.id, ['user.tier_set'])).map(([, result, actor, , detail]) => [result, actor, detail]),
      Array(2).fill(['ok', admin.id, { tier: 'enterprise' }]));
    await destroySandbox(sandboxId, somebody.key);
  });

  it('and a suspension may come together, and nothing else may', async () => {
    const somebody = await tenant();
    const user = await change(somebody.id, { tier: 'pro', suspended: true });
    assert.deepEqual([user.tier, user.status, user.suspendedReason], ['pro', 'suspended', null]);
    const wrong = [
      [{}, ''], [{ tier: 'gold' }, 'tier'], [{ tier: null }, 'tier'], [{ suspended: 'yes' }, 'suspended'], [{ reason: 'x' }, ''],
      [{ suspended: false, reason: 'x' }, 'reason'], [{ suspended: true, reason: '' }, 'reason'],
      [{ suspended: true, reason: 'ü'.repeat(501) }, 'reason'], [{ tier: 'pro', role: 'admin' }, 'role'],
    ];
    for (const [body, member] of wrong) {
      const { error, details } = assertError(await ask('PATCH', `/api/admin/users/${somebody.id}`, body), 400, 'validation_failed');
      assert.ok(error.includes(details[0].message), error);
      assert.deepEqual(details.map((detail) => detail.path), [member], JSON.stringify(body));
    }
    assert.equal((await change(somebody.id, { suspended: true, reason: 'ü'.repeat(500) })).suspendedReason, 'ü'.repeat(500));
    assert.equal((await acts(somebody.id, ['user.tier_set', 'user.suspended'])).length, 3, 'what is refused unread is no act');
  });
});

describe('lists', () => {
  it('find users by what is known of them', async () => {
    const key = await makeUser('pro');
    const { id, email } = (await call('GET', '/api/users/me', { key })).json;
    const { users: [user, ...others] } = await listed(`/api/admin/users?email=${email.toUpperCase()}&tier=pro&status=active`);
    assert.deepEqual([user.id, user.email, user.role, others.length], [id, email, 'user', 0]);
    assert.deepEqual(user.identities, [{ issuer: 'local', subject: email }]);
    for (const query of ['tier=free', 'status=suspended', 'status=deleted']) {
      assert.deepEqual(await listed(`/api/admin/users?email=${email}&${query}`), { users: [], nextCursor: null });
    }
    assert.equal((await call('DELETE', `/api/users/me?confirm=${id}`, { key })).status, 204);
    assert.deepEqual((await listed(`/api/admin/users?email=${email}`)).users, [], 'nothing personal is left');
    assertError(await ask('PATCH', `/api/admin/users/${id}`, { suspended: false }), 409, 'account_deleted');
  });

  it('go on where a page ended, whatever comes meanwhile', async () => {
    const seen = [];
    let cursor = '';
    await Promise.all([person(), person(), person()].map(async (somebody) => idOf(await somebody)));
    for (let pages = 0; pages < 3; pages += 1) {
      const page = await listed(`/api/admin/users?limit=1${cursor && `&cursor=${cursor}`}`);
      assert.equal(page.users.length, 1);
      seen.push(page.users[0]);
      cursor = encodeURIComponent(page.nextCursor);
      await idOf(await person());
    }
    assert.equal(new Set(seen.map(({ id }) => id)).size, 3);
    assert.deepEqual(seen.map(({ createdAt }) => createdAt), seen.map(({ createdAt }) => createdAt).sort().reverse());
  });

  it('show whose sandboxes and keys these are, and none of the secrets', async () => {
    const somebody = await tenant();
    const { sandboxId } = await createSandbox({ env: { TOKEN: 'of-the-tenant' } }, somebody.key);
    const { sandboxes } = await listed(`/api/admin/sandboxes?userId=${somebody.id}&status=running`);
    assert.deepEqual(sandboxes.map((sandbox) => [sandbox.sandboxId, sandbox.userId, sandbox.apiKeyId]),
      [[sandboxId, somebody.id, somebody.keyId]]);
    assert.ok((await listed('/api/admin/sandboxes')).sandboxes.some((sandbox) => sandbox.sandboxId === sandboxId));
    assert.deepEqual((await listed(`/api/admin/sandboxes?userId=${somebody.id}&status=failed`)).sandboxes, []);
    const reply = await ask('GET', `/api/admin/keys?userId=${somebody.id}`);
    assert.deepEqual(reply.json.apiKeys.map(({ id, userId, isActive }) => [id, userId, isActive]), [[somebody.keyId, somebody.id, true]]);
    assert.ok(!reply.text.includes(somebody.key) && !reply.text.includes('of-the-tenant'));
    await destroySandbox(sandboxId, somebody.key);
  });

  it('refuse what they do not know', async () => {
    for (const [url, member] of [
      ['users?tier=gold', 'tier'], ['users?status=gone', 'status'], ['users?limit=0', 'limit'], ['users?limit=101', 'limit'],
      ['sandboxes?userId=1', 'userId'], ['sandboxes?status=any', 'status'], ['keys?userId=me', 'userId'], ['keys?limit=x', 'limit'],
    ]) {
      const { details } = assertError(await ask('GET', `/api/admin/${url}`), 400, 'validation_failed');
      assert.deepEqual(details.map((detail) => detail.path), [member]);
    }
    for (const list of ['users', 'sandboxes', 'keys']) {
      assertError(await ask('GET', `/api/admin/${list}?cursor=AAAA`), 400, 'invalid_cursor');
    }
  });
});

describe('the end of what is somebody\'s', () => {
  it('a sandbox ends with that reason, and who did it is known', async () => {
    const somebody = await tenant();
    const { sandboxId } = await createSandbox({}, somebody.key);
    assert.equal(await shellOutput(sandboxId, 'echo there', { key: somebody.key }).catch(() => 'there'), 'there');
    const socket = await openClient(sandboxId, { key: somebody.key });
    for (let times = 0; times < 2; times += 1) {
      assert.deepEqual((await ask('DELETE', `/api/admin/sandboxes/${sandboxId}`)).json, { success: true, sandboxId });
    }
    assert.equal((await socket.closed).code, 4404);
    const { json: status } = await call('GET', `/sandbox/${sandboxId}/status`, { key: somebody.key });
    assert.equal(status.endReason, 'admin');
    assert.deepEqual(await acts(sandboxId, ['sandbox.destroyed']), [['sandbox.destroyed', 'ok', admin.id, true, { by: 'admin' }]]);
    for (const id of [randomUUID(), 'none']) {
      assertError(await ask('DELETE', `/api/admin/sandboxes/${id}`), 404, 'sandbox_not_found');
    }
  });

  it('a key ends with its children everywhere, also its sockets', async () => {
    const somebody = await tenant();
    const child = await childOf(somebody.key);
    const { sandboxId } = await createSandbox({}, somebody.key);
    const socket = await openClient(sandboxId, { key: child.key });
    for (let times = 0; times < 2; times += 1) {
      assert.equal((await ask('DELETE', `/api/admin/keys/${somebody.keyId}`)).status, 200);
    }
    assert.equal((await socket.closed).code, 1008);
    for (const key of [somebody.key, child.key]) {
      assertError(await call('GET', '/sandbox', { key }), 401, 'invalid_api_key');
    }
    assert.equal((await somebody.ask('DELETE', `/sandbox/${sandboxId}`)).status, 200, 'the session goes on');
    assert.deepEqual(await acts(somebody.keyId, ['key.revoked']), Array(2).fill(['key.revoked', 'ok', admin.id, true, null]));
    for (const id of [randomUUID(), 'none']) {
      assertError(await ask('DELETE', `/api/admin/keys/${id}`), 404, 'api_key_not_found');
    }
  });
});
