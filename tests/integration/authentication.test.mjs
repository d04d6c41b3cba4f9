import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError, call, makeUser } from '../support/api.mjs';
import { apiKey, sql } from '../support/stack.mjs';

const list = (headers, url = '/sandbox?limit=1') => call('GET', url, { key: null, headers });
const wrongKey = `isk_${'0'.repeat(64)}`;

test('a key serves in each of its forms', async () => {
  const forms = {
    'X-API-Key': { 'X-API-Key': apiKey },
    Bearer: { Authorization: `Bearer ${apiKey}` },
    'bearer in small letters': { Authorization: `bearer ${apiKey}` },
    'the other prefix': { 'X-API-Key': apiKey.replace('isk_', 'e2b_') },
  };
  for (const [name, headers] of Object.entries(forms)) {
    assert.equal((await list(headers)).status, 200, name);
  }
});

test('no key is 401', async () => {
  assertError(await list({}), 401, 'unauthenticated');
  assertError(await call('POST', '/sandbox/create', { key: null, body: {} }), 401, 'unauthenticated');
});

const bad = {
  'an unknown key': { 'X-API-Key': wrongKey },
  'the prefix alone': { 'X-API-Key': apiKey.slice(0, 12) },
  'the right prefix and other digits': { 'X-API-Key': apiKey.slice(0, 12) + '0'.repeat(56) },
  'a key with one more digit': { 'X-API-Key': `${apiKey}0` },
  'a key in capitals': { 'X-API-Key': apiKey.toUpperCase() },
  'a long text': { 'X-API-Key': 'x'.repeat(4000) },
  'an unknown key as bearer': { Authorization: `Bearer ${wrongKey}` },
};
for (const [name, headers] of Object.entries(bad)) {
  test(`${name} is 401 and is not repeated in the answer`, async () => {
    const reply = await list(headers);
    assertError(reply, 401, 'invalid_api_key');
    assert.ok(!reply.text.includes(Object.values(headers)[0]));
  });
}

test('a key in the query is not taken by REST', async () => {
  assertError(await list({}, `/sandbox?limit=1&apiKey=${apiKey}`), 401, 'unauthenticated');
});

test('an expired key and a key of a suspended user are refused', async () => {
  for (const [change, status, code] of [
    [(prefix) => `UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE prefix = '${prefix}'`,
      401, 'invalid_api_key'],
    [(prefix) => `UPDATE users SET suspended_at = now()
                  WHERE id = (SELECT user_id FROM api_keys WHERE prefix = '${prefix}')`,
      403, 'account_suspended'],
  ]) {
    const key = await makeUser('free');
    await sql(change(key.slice(0, 12)));
    assertError(await list({ 'X-API-Key': key }), status, code);
  }
});

test('a stored key can not be read back', async () => {
  const row = await sql(`SELECT row_to_json(k) FROM api_keys k WHERE prefix = '${apiKey.slice(0, 12)}'`);
  assert.ok(!row.includes(apiKey.slice(12)));
  assert.match(JSON.parse(row).bcrypt, /^\$2b\$10\$/);
});
