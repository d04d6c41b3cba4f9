// The audit trail as those read it whom it tells of, and administrators.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { assertError, call, createSandbox } from '../support/api.mjs';
import { sessionToken } from '../support/session.mjs';
import { sql, until } from '../support/stack.mjs';

const PATIENCE_MS = 10_000;
const random = (bytes) => randomBytes(bytes).toString('hex');

// Somebody who is signed in: asks for the trail with that query, makes keys.
async function signIn() {
  const headers = { Authorization: `Bearer ${await sessionToken({ sub: `user_${random(12)}` })}` };
  const ask = (method, url, body, more = {}) => call(method, url, { key: null, body, headers: { ...headers, ...more } });
  const { id } = (await ask('GET', '/api/users/me')).json;
  const trail = async (query = '') => {
    const reply = await ask('GET', `/api/audit${query}`);
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  const records = (what, query, wanted) => until(what, async () => {
    const found = (await trail(query)).records;
    return wanted(found) && found;
  }, PATIENCE_MS);
  return { id, ask, trail, records };
}

test('a person reads what they did, from where, and nothing of others', async () => {
  const [ann, bob] = [await signIn(), await signIn()];
  const requestId = `made-${random(8)}`;
  const { id } = (await ann.ask('POST', '/api/keys', {}, { 'X-Request-Id': requestId, 'User-Agent': 'a browser' })).json.apiKey;
  await bob.ask('POST', '/api/keys', {});
  const [record] = await ann.records('the key', '?action=key.created', (found) => found.length === 1);
  const { id: number, at, address, ...rest } = record;
  assert.ok(Number.isInteger(number) && Math.abs(Date.parse(at) - Date.now()) < 60_000);
  assert.match(address, /^(127\.0\.0\.1|::1)$/);
  assert.deepEqual(rest, {
    action: 'key.created', result: 'ok', actorUserId: ann.id, actorKeyId: null, target: { kind: 'api_key', id },
    impersonator: null, userAgent: 'a browser', requestId, detail: rest.detail,
  });
  await bob.records('his key', '?action=key.created', (found) => found.length === 1);
  for (const { actorUserId, target } of (await ann.trail('?limit=100')).records) {
    assert.ok(actorUserId === ann.id || target.id === ann.id);
  }
});

test('pages miss nothing and repeat nothing, and a list is narrowed', async () => {
  const ann = await signIn();
  const ids = [];
  for (let i = 0; i < 5; i += 1) {
    ids.unshift((await ann.ask('POST', '/api/keys', {})).json.apiKey.id);
  }
  await ann.records('all keys', '?action=key.created', (found) => found.length === 5);
  const seen = [];
  for (let cursor = ''; cursor !== null;) {
    const page = await ann.trail(`?action=key.created&limit=2${cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`}`);
    seen.push(...page.records.map((record) => record.target.id));
    cursor = page.nextCursor;
  }
  assert.deepEqual(seen, ids);
  assert.deepEqual((await ann.trail(`?target=${ids[2]}`)).records.map((record) => record.action), ['key.created']);
  const [{ at }] = (await ann.trail(`?target=${ids[2]}`)).records;
  const since = (await ann.trail(`?action=key.created&since=${at}`)).records.map((record) => record.target.id);
  assert.deepEqual(since.slice(0, 2), ids.slice(0, 2));
  assert.ok(!since.includes(ids[4]));
  const before = (await ann.trail(`?action=key.created&until=${at}`)).records.map((record) => record.target.id);
  assert.ok(!before.includes(ids[1]) && before.includes(ids[4]));
  assert.deepEqual((await ann.trail('?until=1970-01-01T00:00:01Z')).records, []);
});

test('a person reads what became of a sandbox by itself', async () => {
  const ann = await signIn();
  const { key } = (await ann.ask('POST', '/api/keys', {})).json.apiKey;
  const { sandboxId } = await createSandbox({}, key);
  await sql(`UPDATE sandboxes SET expires_at = now() WHERE id = '${sandboxId}'`);
  const found = await ann.records('its end', `?target=${sandboxId}`, (records) => records.some(({ action }) => action === 'sandbox.ended'));
  assert.deepEqual(found.map(({ action }) => action), ['sandbox.ended', 'sandbox.created']);
  assert.equal(found[0].detail.reason, 'timeout');
});

test('what is no question is told, and so is who may not ask', async () => {
  const ann = await signIn();
  for (const query of ['action=key.', 'limit=0', 'limit=101', 'since=yesterday', 'until=2026-01-01', 'userId=me', 'all=perhaps']) {
    const reply = await ann.ask('GET', `/api/audit?${query}`);
    assert.equal(assertError(reply, 400, 'validation_failed').details[0].path, query.split('=')[0]);
  }
  assertError(await ann.ask('GET', '/api/audit?cursor=abc'), 400, 'invalid_cursor');
  assertError(await ann.ask('GET', '/api/audit?all=true'), 403, 'missing_scope');
  const bob = await signIn();
  assertError(await ann.ask('GET', `/api/audit?userId=${bob.id}`), 403, 'missing_scope');
  const { key } = (await ann.ask('POST', '/api/keys', { scopes: ['sandbox:read', 'exec'] })).json.apiKey;
  assertError(await call('GET', '/api/audit', { key }), 403, 'missing_scope');
  assertError(await call('GET', '/api/audit', { key: null }), 401, 'unauthenticated');
});

test('an administrator reads everybody\'s', async () => {
  const [ann, root] = [await signIn(), await signIn()];
  const { id } = (await ann.ask('POST', '/api/keys', {})).json.apiKey;
  assertError(await root.ask('GET', '/api/audit?all=true'), 403, 'missing_scope');
  await sql(`UPDATE users SET role = 'admin' WHERE id = '${root.id}'`);
  await until('the role counts', async () => (await root.ask('GET', '/api/audit?all=true&limit=1')).status === 200, 70_000);
  const [record] = await root.records('her key', `?userId=${ann.id}&action=key.created`, (found) => found.length === 1);
  assert.equal(record.target.id, id);
  assert.match(record.address, /^(127\.0\.0\.1|::1)$/);
  assert.deepEqual((await root.trail(`?all=true&target=${id}`)).records, [record]);
  await ann.records('that somebody looked', '?action=trail.read', (found) => found.some(({ actorUserId, address }) => actorUserId === root.id && address === null));
  const { records, nextCursor } = await root.trail('?all=true&limit=3');
  assert.equal(records.length, 3);
  const next = await root.trail(`?all=true&limit=3&cursor=${nextCursor}`);
  assert.ok(next.records[0].id < records[2].id);
  assertError(await root.ask('GET', `/api/audit?all=true&userId=${ann.id}`), 400, 'validation_failed');
});
