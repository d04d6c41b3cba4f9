// Who may touch what: every operation that is described, and the WebSocket, asked for by everybody
// who may not. What they hear is exact, tells nothing, and nothing has changed behind them.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { messages, rows } from '../support/access.mjs';
import { assertError, call, createSandbox, destroySandbox, tryExec } from '../support/api.mjs';
import { trusted } from '../support/connections.mjs';
import { document } from '../support/openapi.mjs';
import { bearer, childOf, makeAdministrator, person } from '../support/people.mjs';
import { sessionToken, webhook } from '../support/session.mjs';
import { apiUrl, root, sql, until } from '../support/stack.mjs';
import { openClient, refusal } from '../support/websocket.mjs';

const SCOPES = ['sandbox:read', 'sandbox:write', 'exec', 'files', 'keys'];
const PORT = 8000;

const operations = Object.entries(document.paths).flatMap(([template, item]) => Object.keys(item)
  .map((method) => `${method.toUpperCase()} ${template}`));
const withKey = (key) => ({ 'X-API-Key': key });

// The object that an operation is about, and what is said of one that is somebody else's, or none.
function objectOf(name) {
  if (name.includes('{sandboxId}')) {
    return { kind: 'sandboxId', code: 'sandbox_not_found' };
  }
  if (name.includes('/api/webhooks/{id}')) {
    return { kind: 'id', code: 'webhook_not_found' };
  }
  const [, template] = name.match(/\{(template|templateId)\}/) ?? [];
  if (template) {
    return { kind: template, code: 'template_not_found' };
  }
  if (/^DELETE .*\{name\}$|\{name\}\/archive$/.test(name)) { // with PUT each makes one of their own
    return { kind: 'name', code: name.includes('secrets') ? 'secret_not_found' : 'volume_not_found' };
  }
  return name.includes('/api/keys/{id}') ? { kind: 'id', code: 'api_key_not_found' } : null;
}

const owner = {};
const strangers = {};
let administrator;
const children = {}; // by the scope they lack
let callers; // [{name, headers, expects(row, object)}]

// What {id} is.
function idOf(name) {
  if (name.includes('/api/webhooks/')) {
    return owner.webhookId;
  }
  return /admin.(users|sandboxes)/.test(name) ? owner[name.includes('users') ? 'userId' : 'sandboxId'] : owner.spare.id;
}

// Of an operation; other: ids in place of the owner's.
function targetOf(name, other = {}) {
  const values = {
    sandboxId: owner.sandboxId, id: idOf(name), containerPort: PORT, userId: owner.userId, template: owner.templateId,
    templateId: owner.templateId, name: 'kept', snapshot: 'tiny',
    process: name.endsWith('/resize') ? 'terminal' : 'kept', ...other,
  };
  const [method, template] = name.split(' ');
  const query = rows[name].query ? `?${rows[name].query}` : '';
  return [method, `${template}${query}`.replaceAll(/\{(\w+)\}/g, (_, parameter) => values[parameter])];
}

function send(name, headers, other) {
  const [method, url] = targetOf(name, other);
  if (name.startsWith('GET /client/')) {
    return refusal(url, { key: null, headers });
  }
  return call(method, url, { key: null, body: rows[name].body, headers: { ...rows[name].headers, ...headers } });
}

// What may differ between two answers: the id of the request.
function comparable(reply) {
  const { requestId, ...body } = reply.json;
  const { date, 'x-request-id': _, ...headers } = reply.headers;
  return { status: reply.status, body, length: reply.text.length, headers };
}

const always = (status, code) => () => ({ status, code });
function asStranger({ scope }, object) {
  return scope === 'admin' ? { status: 403, code: 'missing_scope' } : object && { status: 404, code: object.code };
}

// A client token is for its sandbox; what is about others is not there, and the rest not for it.
function outsideOfToken({ scope }, object) {
  const isOfSandbox = object?.kind === 'sandboxId' && scope !== 'admin';
  return isOfSandbox ? { status: 404, code: object.code } : { status: 403, code: 'client_token_refused' };
}

async function clientToken(sandboxId, key, body = {}) {
  const reply = await call('POST', `/sandbox/${sandboxId}/token`, {
    key, body: { scopes: SCOPES.filter((scope) => scope !== 'keys'), ...body },
  });
  assert.equal(reply.status, 201, reply.text);
  return bearer(reply.json.token);
}

async function execAsOwner(body) {
  const reply = await tryExec(owner.sandboxId, body, { key: owner.key });
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

async function makeOwner() {
  const { make, headers, ask } = await person();
  const { key, id } = await make();
  Object.assign(owner, { headers, ask, key, keyId: id, spare: await childOf(key, { name: 'spare' }) });
  owner.sandboxId = (await createSandbox({}, key)).sandboxId;
  owner.userId = (await ask('GET', '/api/users/me')).json.id;
  owner.webhookId = (await ask('POST', '/api/webhooks', { url: 'https://webhooks.invalid/' })).json.webhook.id;
  // It waits for its folder.
  owner.templateId = (await ask('POST', '/api/templates', { name: 'mine', dockerfile: 'FROM insien/tiny\n', context: true })).json.templateId;
  assert.equal((await call('PUT', '/api/secrets/kept', { key, body: { value: 'mine' } })).status, 201);
  assert.equal((await call('POST', '/api/volumes', { key, body: { name: 'kept', sizeMB: 16 } })).status, 201);
  const background = { background: true, timeoutMs: 0 };
  await execAsOwner({ cmd: 'sh', args: ['-c', 'echo mine > kept'] });
  await execAsOwner({ cmd: 'cat', stdinOpen: true, tag: 'kept', ...background });
  await execAsOwner({ cmd: 'cat', pty: { cols: 80, rows: 24 }, tag: 'terminal', ...background });
  await call('POST', `/sandbox/${owner.sandboxId}/expose`, { key, body: { containerPort: PORT } });
}

// Somebody else, who lacks nothing but what is the owner's.
async function makeStranger() {
  const { make, headers } = await person();
  const { key } = await make();
  Object.assign(strangers, { key, headers, sandboxId: (await createSandbox({}, key)).sandboxId });
}

async function deadKeys() {
  const [expired, revoked] = [await owner.ask('POST', '/api/keys', {}), await owner.ask('POST', '/api/keys', {})]
    .map(({ json }) => json.apiKey);
  await sql(`UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = '${expired.id}'`);
  assert.equal((await owner.ask('DELETE', `/api/keys/${revoked.id}`)).status, 200);
  const [child] = [await childOf(owner.key)];
  assert.equal((await owner.ask('DELETE', `/api/keys/${child.id}`)).status, 200);
  return { expired: expired.key, revoked: revoked.key, child: child.key };
}

// A person whom Clerk deleted, and one whose session was ended there.
async function peopleWhoLeft() {
  const deleted = await person();
  const deletedKey = (await deleted.make()).key;
  const left = await person();
  assert.equal((await left.ask('GET', '/sandbox')).status, 200);
  assert.equal((await webhook({ type: 'user.deleted', userId: deleted.sub })).status, 200);
  assert.equal((await webhook({ type: 'session.revoked', userId: left.sub, sessionId: left.sid })).status, 200);
  await until('both are refused', async () => {
    const replies = await Promise.all([deleted, left].map(({ ask }) => ask('GET', '/sandbox')));
    return replies.every(({ status }) => status === 401);
  }, 5000);
  return { deletedKey, deleted, left };
}

async function suspended() {
  const { sub, make, headers } = await person();
  const { key } = await make();
  await sql(`UPDATE users SET suspended_at = now() FROM identities WHERE user_id = users.id AND subject = '${sub}'`);
  const refused = async () => (await call('GET', '/sandbox', { key: null, headers })).status === 403;
  await until('the session is refused', refused, 5000);
  return { key, headers };
}

// One of somebody else, one of another sandbox of the owner, which is gone then, and two that ended.
async function clientTokens() {
  const { sandboxId, key } = strangers;
  const another = (await createSandbox({}, owner.key)).sandboxId;
  const dead = await childOf(owner.key);
  const [foreign, other, orphan, expired] = await Promise.all([
    clientToken(sandboxId, key), clientToken(another, owner.key), clientToken(owner.sandboxId, dead.key),
    clientToken(owner.sandboxId, owner.key, { ttlS: 1 }),
  ]);
  assert.equal((await owner.ask('DELETE', `/api/keys/${dead.id}`)).status, 200);
  await destroySandbox(another, owner.key);
  await until('one has expired', async () => (
    await call('GET', `/sandbox/${owner.sandboxId}/status`, { key: null, headers: expired })).status === 401, 5000);
  return { foreign, other, orphan, expired };
}

async function childrenWithout() {
  const without = [...SCOPES, 'admin'];
  const children = await Promise.all(without.map((scope) => childOf(owner.key, { scopes: SCOPES.filter((other) => other !== scope) })));
  return Object.fromEntries(without.map((scope, i) => [scope, children[i].key]));
}

async function makeCallers() {
  const dead = await deadKeys();
  const { deletedKey, deleted, left } = await peopleWhoLeft();
  Object.assign(children, await childrenWithout());
  const out = await suspended();
  const tokens = await clientTokens();
  const invalidKey = always(401, 'invalid_api_key');
  const invalidSession = always(401, 'invalid_session');
  callers = [
    { name: 'nobody', headers: {}, expects: always(401, 'unauthenticated') },
    { name: 'a key that was never made', headers: withKey(`isk_${randomBytes(32).toString('hex')}`), expects: invalidKey },
    { name: 'the beginning of a good key', headers: withKey(owner.key.slice(0, 12) + randomBytes(28).toString('hex')), expects: invalidKey },
    { name: 'an expired key', headers: withKey(dead.expired), expects: invalidKey },
    { name: 'a revoked key', headers: withKey(dead.revoked), expects: invalidKey },
    { name: 'a child of a key, revoked', headers: withKey(dead.child), expects: invalidKey },
    { name: 'the key of a deleted user', headers: withKey(deletedKey), expects: invalidKey },
    { name: 'the session of a deleted user', headers: deleted.headers, expects: invalidSession },
    { name: 'a session that was ended', headers: left.headers, expects: invalidSession },
    { name: 'an expired session', headers: bearer(await sessionToken({ ttl: -60 })), expects: always(401, 'token_expired') },
    { name: 'a forged session', headers: bearer(await sessionToken({ key: 'attacker' })), expects: invalidSession },
    { name: 'the key of a suspended user', headers: withKey(out.key), expects: always(403, 'account_suspended') },
    { name: 'the session of a suspended user', headers: out.headers, expects: always(403, 'account_suspended') },
    { name: 'a client token of somebody else', headers: tokens.foreign, expects: outsideOfToken, isStranger: true },
    { name: 'a client token of another sandbox', headers: tokens.other, expects: outsideOfToken },
    { name: 'an expired client token', headers: tokens.expired, expects: always(401, 'token_expired') },
    { name: 'a client token of a revoked key', headers: tokens.orphan, expects: always(401, 'invalid_token') },
    {
      name: 'a child of the key without the scope', headersFor: ({ scope }) => withKey(children[scope]),
      expects: ({ scope }) => scope && { status: 403, code: 'missing_scope' },
    },
    { name: 'an administrator with a key for everything else', headers: withKey(administrator.plain), expects: asStranger, isStranger: true },
    {
      name: 'an administrator, where people are asked for', headers: withKey(administrator.key), isStranger: true,
      expects: (row, object) => (row.scope === 'admin' ? null : asStranger(row, object)),
    },
    { name: 'the key of somebody else', headers: withKey(strangers.key), expects: asStranger, isStranger: true },
    { name: 'the session of somebody else', headers: strangers.headers, expects: asStranger, isStranger: true },
  ];
}

// All of the owner's that a request could change, told to the owner.
async function everythingOfTheOwner() {
  const get = async (url) => (await owner.ask('GET', url)).json;
  const box = `/sandbox/${owner.sandboxId}`;
  const [me, { status, expiresAt }, { processes }, { ports }, { entries }, { apiKeys }, { sandboxes }, { templates }, secrets, volumes] = await Promise.all(
    ['/api/users/me', `${box}/status`, `${box}/processes`, `${box}/ports`, `${box}/entries?path=.`, '/api/keys', '/sandbox', '/api/templates',
      '/api/secrets', '/api/volumes'].map(get),
  );
  const { stdout } = await execAsOwner({ cmd: 'cat', args: ['kept'] });
  return {
    me, status, expiresAt, ports, entries, stdout, templates, secrets, volumes, sandboxes: sandboxes.map(({ sandboxId }) => sandboxId),
    processes: processes.filter(({ tag }) => tag).map(({ pid, tag, running }) => ({ pid, tag, running })),
    apiKeys: apiKeys.map(({ lastUsedAt, ...rest }) => rest),
  };
}

function assertTellsNothing(reply) {
  for (const secret of [owner.userId, owner.sandboxId, owner.keyId, owner.spare.id, owner.webhookId, owner.templateId, owner.spare.prefix, owner.key.slice(0, 12)]) {
    assert.ok(!reply.text.includes(secret), reply.text);
  }
}

// Each caller's request and what came of it: [{caller, expected, reply}].
function askAsAll(name) {
  const object = objectOf(name);
  return Promise.all(callers.map((caller) => [caller, caller.expects(rows[name], object)])
    .filter(([, expected]) => expected)
    .map(async ([caller, expected]) => {
      const headers = caller.headers ?? caller.headersFor(rows[name]);
      return { caller, headers, expected, reply: await send(name, headers) };
    }));
}

async function assertRefused(name) {
  const outcomes = await askAsAll(name);
  for (const { caller, expected, reply } of outcomes) {
    assert.equal(`${caller.name}: ${reply.status} ${reply.json?.code}`, `${caller.name}: ${expected.status} ${expected.code}`);
    assertError(reply, expected.status, expected.code);
    assertTellsNothing(reply);
  }
  const [first, ...others] = outcomes.filter(({ expected }) => expected.code === 'invalid_api_key').map(({ reply }) => comparable(reply));
  others.forEach((other) => assert.deepEqual(other, first, 'no key tells why it does not serve'));
  const object = objectOf(name);
  for (const { headers, reply } of object ? outcomes.filter(({ caller }) => caller.isStranger) : []) {
    const unknown = await send(name, headers, { [object.kind]: randomUUID() });
    assert.deepEqual(comparable(reply), comparable(unknown), 'what is somebody else\'s looks like nothing');
  }
}

async function assertHeadRefused(name) {
  const [, url] = targetOf(name);
  for (const [headers, status] of [[{}, 401], [withKey(strangers.key), asStranger(rows[name], objectOf(name))?.status ?? 200]]) {
    const reply = await call('HEAD', url, { key: null, headers });
    assert.deepEqual([reply.status, reply.text], [status, '']);
  }
}

// Of an answer that may go on for ever.
async function statusOf(name, headers) {
  const [method, url] = targetOf(name);
  const reply = await fetch(new URL(url, apiUrl), { method, headers, ...trusted() });
  await reply.body.cancel();
  return reply.status;
}

async function askRightly(name) {
  const { owner: status = 200, reads, scope } = rows[name];
  const headers = withKey(scope === 'admin' ? administrator.key : owner.key);
  if (name.startsWith('GET /client/')) {
    const socket = await openClient(owner.sandboxId, { key: owner.key });
    await socket.close();
  } else if (reads) {
    assert.equal(await statusOf(name, headers), status);
  } else {
    const reply = await send(name, headers);
    assert.equal(reply.status, status, reply.text);
    if (scope === 'admin' && name.includes('{id}')) {
      assert.equal((await send(name, headers, { id: randomUUID() })).status, 404);
    }
  }
}

describe('who may touch what', () => {
  let asItWas;

  before(async () => {
    [administrator] = await Promise.all([makeAdministrator(), makeOwner(), makeStranger()]);
    await makeCallers();
    asItWas = await everythingOfTheOwner();
  });
  // The owner's go with the owner, who goes at the end.
  after(async () => {
    await destroySandbox(strangers.sandboxId, strangers.key);
    await call('DELETE', `/api/users/me?confirm=${owner.userId}`, { key: null, headers: owner.headers });
  });

  it('the table has a row for each operation, and no other', () => {
    assert.deepEqual(Object.keys(rows).sort(), operations.sort());
  });

  for (const name of operations.filter((operation) => rows[operation])) {
    const { open, signed } = rows[name];
    if (open) {
      it(`${name} is for everybody`, async () => {
        const replies = await Promise.all(callers.filter(({ headers }) => headers).map(({ headers }) => send(name, headers)));
        replies.forEach((reply) => assert.equal(reply.status, 200, reply.text));
      });
    } else if (signed) {
      it(`${name} takes a signature and no credential`, async () => {
        const replies = await Promise.all([...callers.filter(({ headers }) => headers).map(({ headers }) => headers), withKey(owner.key), owner.headers]
          .map((headers) => send(name, headers)));
        replies.forEach((reply) => assertError(reply, signed.status, signed.code));
      });
    } else {
      it(`${name} is for its owner`, () => assertRefused(name));
    }
  }

  for (const name of operations.filter((operation) => operation.startsWith('GET ') && !rows[operation]?.open
    && !rows[operation]?.signed && !operation.startsWith('GET /client/'))) {
    it(`${name.replace('GET', 'HEAD')} is for its owner`, () => assertHeadRefused(name));
  }

  it('an id that is no id is that of nothing', async () => {
    for (const bad of ['1', 'not-a-uuid', owner.sandboxId.replaceAll('-', '').slice(1), `${owner.sandboxId}0`]) {
      assertError(await call('GET', `/sandbox/${bad}/status`, { key: owner.key }), 404, 'sandbox_not_found');
      assertError(await call('DELETE', `/api/keys/${bad}`, { key: owner.key }), 404, 'api_key_not_found');
    }
  });

  it('each message of a socket is for who has its scope', async () => {
    const source = readFileSync(path.join(root, 'gateway/native/client_relay.c'), 'utf8');
    const types = [...source.matchAll(/\{VIEW\("(\w+)"\), AUTH_/g)].map(([, type]) => type);
    assert.deepEqual(Object.keys(messages).sort(), types.sort());
    for (const scope of ['exec', 'files', 'sandbox:read']) {
      const socket = await openClient(owner.sandboxId, { key: children[scope] });
      for (const type of types.filter((name) => messages[name] === scope)) {
        const answer = await socket.request({ type, path: 'kept', to: 'intruder', cmd: 'true', pid: 1, streamId: 1 });
        assert.equal(answer.code, 'missing_scope', type);
      }
      await socket.close();
    }
  });

  it('the agents\' address takes no credential of a client', async () => {
    const ownCredentials = [withKey(owner.key), owner.headers, bearer(owner.key)];
    const credentials = [...callers.filter((caller) => caller.headers).map((caller) => caller.headers), ...ownCredentials];
    await Promise.all(credentials.map(async (headers) => { // at once: each waits a second for its answer
      const [reply, unknown] = await Promise.all([owner.sandboxId, randomUUID()]
        .map((id) => refusal(`/agent/${id}`, { key: null, headers })));
      assert.equal(reply.status, 401, reply.text);
      assert.deepEqual(comparable(reply), comparable(unknown));
    }));
  });

  it('nothing of the owner\'s has changed', async () => {
    assert.deepEqual(await everythingOfTheOwner(), asItWas);
    assert.equal(asItWas.stdout, 'mine\n');
    assert.equal(asItWas.status, 'running');
    assert.ok(asItWas.entries.some(({ name }) => name === 'kept'));
    assert.equal(asItWas.processes.length, 2);
  });

  it('the same requests serve the owner, or an administrator', async () => {
    for (const name of Object.keys(rows).filter((operation) => !rows[operation].open && !rows[operation].signed)) {
      await askRightly(name).catch((error) => assert.fail(`${name}: ${error.message}`));
    }
  });
});
