// What was done is in the audit trail, and a change to the trail shows.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { call, createSandbox, destroySandbox, tryExec, whenHealthy, whenUsable } from '../support/api.mjs';
import { sessionToken, webhook } from '../support/session.mjs';
import { kill9, root, run, sql, supervise, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

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
  const sid = `sess_${random(12)}`;
  const token = await sessionToken({ sub, sid });
  return { sub, sid, Authorization: `Bearer ${token}` };
}

test('who made and revoked a key is told, with the request', async () => {
  const { sub, sid, Authorization } = await signIn();
  const [first, second] = [`made-${random(8)}`, `revoked-${random(8)}`];
  const made = await call('POST', '/api/keys', { key: null, body: {}, headers: { Authorization, 'X-Request-Id': first } });
  assert.equal(made.status, 201, made.text);
  const { id } = made.json.apiKey;
  const revoked = await call('DELETE', `/api/keys/${id}`, { key: null, headers: { Authorization, 'X-Request-Id': second } });
  assert.equal(revoked.status, 200, revoked.text);
  const user = await sql(`SELECT user_id FROM identities WHERE subject = '${sub}'`);
  const rows = await until('four rows', async () => {
    const found = await rowsOf(`actor_user = '${user}'`);
    return found.length >= 4 && found;
  }, PATIENCE_MS);
  assert.deepEqual(rows, [
    `user.created ok user ${user} ${first}`,
    `session.started ok session ${sid} ${first}`,
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

const told = (what, condition) => until(what, async () => {
  const found = await rowsOf(condition);
  return found.length > 0 && found;
}, PATIENCE_MS);
const personalOf = (condition) => sql(`SELECT concat_ws(' ', address, user_agent, impersonator)
  FROM audit_log JOIN audit_personal ON id = audit_id WHERE ${condition} ORDER BY id DESC LIMIT 1`);

test('a refused key and a refused session are told with the address', async () => {
  const headers = { 'User-Agent': `teller/${random(4)}` };
  const key = `isk_${random(32)}`;
  const [first, second] = [`key-${random(8)}`, `session-${random(8)}`];
  assert.equal((await call('GET', '/sandbox?limit=1', { key, headers: { ...headers, 'X-Request-Id': first } })).status, 401);
  const token = await sessionToken({ sub: `user_${random(12)}`, ttl: -3600 });
  assert.equal((await call('GET', '/sandbox?limit=1', {
    key: null, headers: { ...headers, Authorization: `Bearer ${token}`, 'X-Request-Id': second },
  })).status, 401);
  for (const [action, id] of [['key.refused', first], ['session.refused', second]]) {
    await told(action, `action = '${action}' AND request_id = '${id}'`);
    assert.equal(await personalOf(`request_id = '${id}'`), `127.0.0.1 ${headers['User-Agent']}`);
  }
});

test('a session is told once, with who acts in its name', async () => {
  const [sub, sid] = [`user_${random(12)}`, `sess_${random(12)}`];
  for (let i = 0; i < 3; i += 1) {
    const token = await sessionToken({ sub, sid, claims: { act: { sub: 'user_boss' } } });
    const { status, text } = await call('GET', '/sandbox?limit=1', { key: null, headers: { Authorization: `Bearer ${token}` } });
    assert.equal(status, 200, text);
    if (i === 1) {
      await supervise('restart', 'auth');
      await whenHealthy();
    }
  }
  await told('a row', `action = 'session.started' AND target = '${sid}'`);
  assert.match(await personalOf(`target = '${sid}'`), /^127\.0\.0\.1 (.* )?user_boss$/);
  assert.equal(await sql(`SELECT count(*) FROM audit_log WHERE target = '${sid}'`), '1');
});

test('what a webhook does is told once', async () => {
  const { sub, sid, Authorization } = await signIn();
  assert.equal((await call('GET', '/sandbox?limit=1', { key: null, headers: { Authorization } })).status, 200);
  const user = await sql(`SELECT user_id FROM identities WHERE subject = '${sub}'`);
  for (let i = 0; i < 2; i += 1) {
    for (const event of [{ type: 'session.revoked', sessionId: sid, userId: sub }, { type: 'user.deleted', userId: sub }]) {
      assert.ok((await webhook(event)).status < 300);
    }
  }
  const rows = await until('both', async () => {
    const found = await rowsOf(`(target = '${sid}' AND action = 'session.ended') OR (target = '${user}' AND action = 'user.deleted')`);
    return found.length >= 2 && found;
  }, PATIENCE_MS);
  assert.deepEqual(rows, [`session.ended ok session ${sid}`, `user.deleted ok user ${user} ${rows[1].split(' ')[4]} {"by": "webhook"}`]);
});

test('a sandbox is told from its making to its end, with its ports and URLs', async () => {
  const ids = Object.fromEntries(['made', 'open', 'shut', 'url', 'gone'].map((name) => [name, `${name}-${random(8)}`]));
  const ask = (name, method, url, body) => call(method, url, { body, headers: { 'X-Request-Id': ids[name], 'User-Agent': 'teller/2' } });
  const { json: { sandboxId: id } } = await ask('made', 'POST', '/sandbox/create', { template: 'tiny', network: 'none' });
  assert.equal((await ask('open', 'POST', `/sandbox/${id}/expose`, { containerPort: 8080 })).status, 200);
  assert.equal((await ask('shut', 'DELETE', `/sandbox/${id}/ports/8080`)).status, 200);
  assert.equal((await ask('url', 'POST', `/sandbox/${id}/files/url`, { op: 'download', path: '/etc/hosts' })).status, 200);
  assert.equal((await ask('gone', 'DELETE', `/sandbox/${id}`)).status, 200);
  assert.equal((await ask('gone', 'DELETE', `/sandbox/${id}`)).status, 200);
  const rows = await until('all rows', async () => {
    const found = await rowsOf(`target LIKE '${id}%' AND action <> 'exec'`);
    return found.length >= 5 && found;
  }, PATIENCE_MS);
  assert.deepEqual(rows.map((row) => row.split(' ').slice(0, 5).join(' ')).sort(), [
    `file_url.made ok sandbox ${id} ${ids.url}`,
    `port.closed ok port ${id}/8080 ${ids.shut}`,
    `port.exposed ok port ${id}/8080 ${ids.open}`,
    `sandbox.created ok sandbox ${id} ${ids.made}`,
    `sandbox.destroyed ok sandbox ${id} ${ids.gone}`,
  ]);
  assert.equal(await personalOf(`request_id = '${ids.made}'`), '127.0.0.1 teller/2');
});

test('a sandbox whose time is over is told with the reason, and so is one whose container dies', async () => {
  const short = await createSandbox({ timeoutMs: 2000 });
  const dying = await createSandbox();
  await whenUsable(dying.sandboxId);
  await run('docker', ['kill', await containerOf(dying.sandboxId)]);
  for (const [id, reason] of [[short.sandboxId, 'timeout'], [dying.sandboxId, 'error']]) {
    const rows = await until(`the end of ${id}`, async () => {
      const found = await rowsOf(`action = 'sandbox.ended' AND target = '${id}'`);
      return found.length > 0 && found;
    }, 30_000);
    assert.deepEqual(rows, [`sandbox.ended ok sandbox ${id} {"reason": "${reason}"}`]);
  }
});

const containerOf = async (id) => (await run('docker', ['ps', '-q', '--filter', `name=${id}`])).stdout.trim().split('\n')[0];

test('commands and writes are told without what they bring, over REST and over a WebSocket', async () => {
  const { sandboxId: id } = await createSandbox();
  const secret = random(16);
  await whenUsable(id);
  assert.equal((await tryExec(id, { cmd: 'sh', args: ['-c', 'cat'], stdin: secret, env: { SECRET: secret } })).status, 200);
  assert.equal((await call('PUT', `/sandbox/${id}/files?path=/tmp/a`, { body: Buffer.from(secret), headers: { 'Content-Type': 'application/octet-stream' } })).status, 201);
  assert.equal((await call('DELETE', `/sandbox/${id}/entries?path=/tmp/a`)).status, 200);
  const client = await openClient(id);
  await client.request({ type: 'exec', cmd: 'sh', args: ['-c', 'true'], stdin: secret });
  await client.request({ type: 'write', path: '/tmp/b', content: secret });
  client.close();
  const rows = await until('five rows', async () => {
    const found = (await rowsOf(`target = '${id}' AND action IN ('exec', 'file.written')`)).filter((row) => !row.includes('usable'));
    return found.length >= 5 && found;
  }, PATIENCE_MS);
  assert.deepEqual(rows.map((row) => `${row.split(' ')[0]} ${row.slice(row.indexOf('{'))}`), [
    'exec {"command": "sh -c cat"}',
    'file.written {"op": "upload", "path": "/tmp/a"}',
    'file.written {"op": "remove", "path": "/tmp/a"}',
    'exec {"command": "sh -c true"}',
    'file.written {"op": "write", "path": "/tmp/b"}',
  ]);
  assert.equal(await sql(`SELECT count(*) FROM audit_log WHERE detail::text LIKE '%${secret}%'`), '0');
  await destroySandbox(id);
});

test('records of a gateway wait for an auth-service that was killed, and for PostgreSQL, and come once', async (t) => {
  const { sandboxId: id } = await createSandbox();
  t.after(() => destroySandbox(id));
  await whenUsable(id);
  const words = [];
  const say = async (more) => {
    const word = `${more}-${random(8)}`;
    assert.equal((await tryExec(id, { cmd: 'echo', args: [word] })).status, 200);
    words.push(word);
  };
  for (const part of ['auth', 'postgres']) {
    await say('before');
    await supervise('down', part);
    await say('in');
    await say('in');
    await supervise('up', part);
    await whenHealthy(30_000);
    await say('behind');
  }
  await say('killed');
  await kill9('auth');
  await whenHealthy(30_000);
  await until('all of them, in their order', async () => (await sql(`SELECT string_agg(detail ->> 'command', ',' ORDER BY id) FROM audit_log
    WHERE target = '${id}' AND action = 'exec' AND detail ->> 'command' NOT LIKE '%usable'`)) === words.map((word) => `echo ${word}`).join(','), 30_000);
});

test('a gateway that stops brings its records away first', async (t) => {
  const { sandboxId: id } = await createSandbox();
  t.after(() => destroySandbox(id));
  const word = random(8);
  await whenUsable(id);
  assert.equal((await tryExec(id, { cmd: 'echo', args: [word] })).status, 200);
  await supervise('restart', 'gateway');
  await whenHealthy(30_000);
  assert.deepEqual((await rowsOf(`target = '${id}' AND detail ->> 'command' = 'echo ${word}'`)).length, 1);
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
