// What was done is in the audit trail, and a change to the trail shows.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { call, whenHealthy } from '../support/api.mjs';
import { sessionToken } from '../support/session.mjs';
import { kill9, root, run, sql, until } from '../support/stack.mjs';

const PATIENCE_MS = 10_000;
const random = (bytes) => randomBytes(bytes).toString('hex');
const rowsOf = async (condition) => (await sql(`SELECT concat_ws(' ', action, result, target_kind, target, request_id, detail)
  FROM audit_log WHERE ${condition} ORDER BY id`)).split('\n').filter((line) => line !== '');
const verify = () => run(path.join(root, 'deploy/admin'), ['audit', 'verify']);
const allSealed = () => until('every row is sealed', async () => await sql(
  'SELECT (SELECT count(*) FROM audit_log) = (SELECT count(*) FROM audit_seals)') === 't', PATIENCE_MS);

// The account and its keys, by one person.
async function signIn() {
  const sub = `user_${random(12)}`;
  const token = await sessionToken({ sub });
  return { sub, Authorization: `Bearer ${token}` };
}

test('who made and revoked a key is told, with the request', async () => {
  const { sub, Authorization } = await signIn();
  const [first, second] = [`made-${random(8)}`, `revoked-${random(8)}`];
  const made = await call('POST', '/api/keys', { key: null, body: {}, headers: { Authorization, 'X-Request-Id': first } });
  assert.equal(made.status, 201, made.text);
  const { id } = made.json.apiKey;
  const revoked = await call('DELETE', `/api/keys/${id}`, { key: null, headers: { Authorization, 'X-Request-Id': second } });
  assert.equal(revoked.status, 200, revoked.text);
  const user = await sql(`SELECT user_id FROM identities WHERE subject = '${sub}'`);
  const rows = await until('three rows', async () => {
    const found = await rowsOf(`actor_user = '${user}'`);
    return found.length >= 3 && found;
  }, PATIENCE_MS);
  assert.deepEqual(rows, [
    `user.created ok user ${user} ${first}`,
    `key.created ok api_key ${id} ${first}`,
    `key.revoked ok api_key ${id} ${second}`,
  ]);
});

test('a wrong key is told by what may be shown of it', async () => {
  const key = `isk_${random(32)}`;
  assert.equal((await call('GET', '/sandbox?limit=1', { key })).status, 401);
  await until('a row', async () => (await rowsOf(`action = 'key.refused' AND detail ->> 'prefix' = '${key.slice(0, 12)}'`)).length > 0,
    PATIENCE_MS);
});

test('a killed service leaves a trail that holds', async () => {
  const { sub, Authorization } = await signIn();
  const key = async () => (await call('POST', '/api/keys', { key: null, body: {}, headers: { Authorization } })).status;
  assert.equal(await key(), 201);
  const asked = Promise.all(Array.from({ length: 5 }, () => key().catch(() => 0)));
  await kill9('auth');
  await asked;
  await whenHealthy();
  assert.equal(await key(), 201);
  const user = await sql(`SELECT user_id FROM identities WHERE subject = '${sub}'`);
  await until('the new process writes', async () => (await rowsOf(`actor_user = '${user}' AND action = 'key.created'`)).length >= 2,
    PATIENCE_MS);
  await allSealed();
  const { code, stdout } = await verify();
  assert.equal(code, 0, stdout);
});

test('a change is found', async () => {
  const unguarded = (statement) => sql(`BEGIN; ALTER TABLE audit_log DISABLE TRIGGER audit_log_unchanged; ${statement};
    ALTER TABLE audit_log ENABLE ALWAYS TRIGGER audit_log_unchanged; COMMIT`);
  await allSealed();
  const id = await sql('SELECT max(audit_id) FROM audit_seals');
  const service = await sql(`SELECT service FROM audit_log WHERE id = ${id}`);
  await assert.rejects(sql(`UPDATE audit_log SET service = 'nobody' WHERE id = ${id}`), /only ever added to/);
  await unguarded(`UPDATE audit_log SET service = 'nobody' WHERE id = ${id}`);
  const broken = await verify();
  await unguarded(`UPDATE audit_log SET service = '${service}' WHERE id = ${id}`);
  assert.equal(broken.code, 1, broken.stdout);
  assert.match(broken.stdout, new RegExp(`^BROKEN: row ${id} is not what was sealed`, 'm'));
  assert.equal((await verify()).code, 0);
});
