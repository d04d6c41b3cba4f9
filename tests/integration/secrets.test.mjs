// Secrets: values that sandboxes get and nobody reads back.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { test } from 'node:test';
import { assertError, call, destroySandbox, makeUser, sandboxFor, shell, shellOutput } from '../support/api.mjs';
import { rememberSecret } from '../support/secrets.mjs';
import { docker, redis, root, run, secret, sql, until } from '../support/stack.mjs';

const SOON_MS = 30_000;

// Something to keep. That it is in no log is seen when all tests are done.
function value() {
  const made = `s3cr3t-${randomBytes(20).toString('hex')}`;
  rememberSecret(made);
  return made;
}
const trySet = (name, text, key) => call('PUT', `/api/secrets/${name}`, { key, body: { value: text } });
const tryDelete = (name, key) => call('DELETE', `/api/secrets/${name}`, { key });
const tryCreate = (secrets, key) => call('POST', '/sandbox/create', {
  key, body: { template: 'tiny', network: 'none', timeoutMs: 600_000, secrets },
});

// A secret for one test: {name, text}.
async function secretFor(t, text = value()) {
  const name = `s-${randomBytes(6).toString('hex')}`;
  const reply = await trySet(name, text);
  assert.equal(reply.status, 201, reply.text);
  assert.deepEqual(Object.keys(reply.json).sort(), ['createdAt', 'name', 'updatedAt']);
  t.after(() => tryDelete(name));
  return { name, text };
}
const env = (id, variable) => shellOutput(id, `printf %s "$${variable}"`);

test('a sandbox has what it names, as variables and as files in memory', async (t) => {
  const [password, pem] = [await secretFor(t), await secretFor(t, `-----BEGIN-----\n${value()}\nzeile ü\n`)];
  const id = await sandboxFor(t, {
    env: { PLAIN: 'shown' },
    secrets: { env: { DB_PASSWORD: password.name }, files: { 'id.pem': pem.name, password: password.name } },
  });
  assert.equal(await env(id, 'DB_PASSWORD'), password.text);
  assert.equal(await env(id, 'PLAIN'), 'shown');
  assert.equal((await shell(id, 'cat /run/secrets/id.pem')).stdout, pem.text);
  assert.equal(await shellOutput(id, 'cat /run/secrets/password'), password.text);
  assert.match(await shellOutput(id, 'ls -l /run/secrets/id.pem'), /^-r--------/);
  assert.match(await shellOutput(id, 'grep " /run/secrets " /proc/mounts'), /^tmpfs /);
});

test('a sandbox that names none has none', async (t) => {
  await secretFor(t);
  const id = await sandboxFor(t, {});
  assert.equal(await shellOutput(id, 'ls /run/secrets 2>/dev/null | wc -l'), '0');
});

test('nobody sees it: not in lists, not at the engine, not in the stores', async (t) => {
  const { name, text } = await secretFor(t);
  const id = await sandboxFor(t, { secrets: { env: { TOKEN: name }, files: { token: name } } });
  assert.equal(await env(id, 'TOKEN'), text, 'its agent has come');
  const list = await call('GET', '/api/secrets');
  assert.deepEqual(Object.keys(list.json.secrets.find((one) => one.name === name)).sort(), ['createdAt', 'name', 'updatedAt']);
  const seen = [
    list.text, (await call('GET', `/sandbox/${id}/status`)).text, (await call('GET', '/sandbox')).text,
    await docker('inspect', `insien-${id}`),
  ];
  const mount = await docker('inspect', '--format', '{{range .Mounts}}{{.Source}} {{end}}', `insien-${id}`);
  assert.ok(!seen.concat(mount).some((shown) => shown.includes(text)));
  assert.equal(await docker('diff', `insien-${id}`).then((changes) => /token/.test(changes)), false, 'not in what a snapshot would keep');
  const hex = Buffer.from(text).toString('hex');
  assert.equal(await sql(`SELECT count(*) FROM secrets WHERE position('${hex}' IN encode(sealed, 'hex')) > 0`), '0');
  assert.equal(await sql(`SELECT count(*) FROM sandboxes WHERE sandboxes::text LIKE '%${text}%'`), '0');
  assert.equal(await sql(`SELECT count(*) FROM audit_log WHERE audit_log::text LIKE '%${text}%'`), '0');
  for (const entry of (await redis('KEYS', '*')).split('\n')) {
    assert.ok(!(await redis('DUMP', entry)).includes(text), entry);
  }
});

test('another value is for sandboxes that begin later', async (t) => {
  const { name, text } = await secretFor(t);
  const before = await sandboxFor(t, { secrets: { env: { TOKEN: name } } });
  assert.equal(await env(before, 'TOKEN'), text);
  const next = value();
  assert.equal((await trySet(name, next)).status, 200);
  assert.equal(await env(before, 'TOKEN'), text, 'what runs keeps what it was given');
  const later = await sandboxFor(t, { secrets: { env: { TOKEN: name } } });
  assert.equal(await env(later, 'TOKEN'), next);
  assert.equal((await tryDelete(name)).status, 200);
  assertError(await tryDelete(name), 404, 'secret_not_found');
  assertError(await tryCreate({ env: { TOKEN: name } }), 404, 'secret_not_found');
  assert.equal(await env(later, 'TOKEN'), next);
});

test('it is the user\'s alone', async (t) => {
  const { name } = await secretFor(t);
  const stranger = await makeUser('free');
  assert.deepEqual((await call('GET', '/api/secrets', { key: stranger })).json.secrets, []);
  assertError(await tryCreate({ env: { TOKEN: name } }, stranger), 404, 'secret_not_found');
  assertError(await tryDelete(name, stranger), 404, 'secret_not_found');
  const other = value();
  assert.equal((await trySet(name, other, stranger)).status, 201, 'of the same name, another one');
  assert.equal((await call('GET', '/sandbox', { key: stranger })).json.sandboxes.length, 0, 'what was refused is not there');
});

test('what can\'t be one is refused by name', async (t) => {
  const { name } = await secretFor(t, '');
  assertError(await trySet('-bad', 'x'), 400, 'validation_failed');
  assertError(await trySet('large', 'x'.repeat(32 * 1024 + 1)), 400, 'validation_failed');
  assertError(await call('PUT', '/api/secrets/none', { body: {} }), 400, 'validation_failed');
  for (const secrets of [{ env: { '1A': name } }, { files: { '../x': name } }, { files: { '..': name } }]) {
    assertError(await tryCreate(secrets), 400, 'validation_failed');
  }
  const id = await sandboxFor(t, { secrets: { env: { EMPTY: name } } });
  assert.equal(await shellOutput(id, 'echo "${EMPTY-unset}"'), '', 'the empty value is one');
});

test('a sandbox does not begin without a secret that can not be read', async (t) => {
  const { name } = await secretFor(t);
  const used = async () => (await call('GET', '/sandbox/quota/usage')).json.sandboxes.used;
  const before = await used();
  await sql(`UPDATE secrets SET key_id = '0123456789abcdef' WHERE name = '${name}'`);
  assertError(await tryCreate({ env: { LOST: name } }), 503, 'secret_unreadable');
  assert.equal(await used(), before);
  assert.equal((await trySet(name, value())).status, 200);
  await sandboxFor(t, { secrets: { env: { FOUND: name } } });
});

test('under another key all is sealed anew, and then the former one can go', async (t) => {
  const { name, text } = await secretFor(t);
  const former = secret('SECRETS_KEY');
  const keyIds = () => sql('SELECT DISTINCT key_id FROM secrets');
  const formerId = await keyIds();
  assert.match(formerId, /^[0-9a-f]{16}$/);
  const deployWith = async (settings) => {
    const { code, stderr } = await run(path.join(root, 'deploy/up'), [], { timeoutMs: 300_000, env: { ...process.env, ...settings } });
    assert.equal(code, 0, stderr);
  };

  rememberSecret(former);
  await deployWith({ SECRETS_KEY: randomBytes(32).toString('hex'), SECRETS_OLD_KEYS: former });
  t.after(() => deployWith({}));
  await until('all is sealed with the key of now', async () => {
    const now = await keyIds();
    return /^[0-9a-f]{16}$/.test(now) && now !== formerId;
  }, SOON_MS);
  await deployWith({});
  const { sandboxId } = await until('sandboxes can be made again', async () => {
    const reply = await tryCreate({ env: { TOKEN: name } });
    return reply.status === 200 ? reply.json : null; // it may just be starting
  }, SOON_MS);
  assert.equal(await env(sandboxId, 'TOKEN'), text);
  await destroySandbox(sandboxId);
});
