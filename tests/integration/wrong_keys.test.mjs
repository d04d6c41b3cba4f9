// A key that does not serve costs no bcrypt, and how long its refusal takes tells nothing about it.
// What is measured is the processor time of the auth-service: a busy machine does not change it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { call } from '../support/api.mjs';
import { person } from '../support/people.mjs';
import { pidOf, sql } from '../support/stack.mjs';

const BCRYPT_MS = 15; // the least that one takes
const ROUNDS = 20;
const AT_ONCE = 8;
const DIGITS = [...'0123456789abcdef'];

const list = (key, headers) => call('GET', '/sandbox?limit=1', { key, headers });
const hex = (bytes) => randomBytes(bytes).toString('hex');

// Milliseconds of processor time of all threads of the auth-service, so far.
async function spentMs() {
  const dir = `/proc/${await pidOf('auth')}/task`;
  return readdirSync(dir).map((tid) => Number(readFileSync(`${dir}/${tid}/schedstat`, 'utf8').split(' ')[0]) / 1e6)
    .reduce((total, ms) => total + ms, 0);
}

async function costOf(action) {
  const before = await spentMs();
  const began = performance.now();
  await action();
  return { cpuMs: await spentMs() - before, wallMs: performance.now() - began };
}

// As many of each as are sent at a time: of the same key the gateway asks once for all.
async function endedKeys(make, ask) {
  const [revoked, expired] = await Promise.all([1, 2].map(() => Promise.all(Array.from({ length: AT_ONCE }, () => make()))));
  await Promise.all(revoked.map(({ id }) => ask('DELETE', `/api/keys/${id}`)));
  await sql(`UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id IN (${expired.map(({ id }) => `'${id}'`)})`);
  return { revoked: (i) => revoked[i].key, expired: (i) => expired[i].key };
}

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

test('a good key costs a bcrypt, once', async () => {
  const { make } = await person();
  const keys = await Promise.all(Array.from({ length: 5 }, async () => (await make()).key));
  const first = await costOf(() => Promise.all(keys.map((key) => list(key))));
  assert.ok(first.cpuMs > keys.length * BCRYPT_MS, `${first.cpuMs} ms`);
  const again = await costOf(() => Promise.all(keys.map((key) => list(key))));
  assert.ok(again.cpuMs < BCRYPT_MS, `${again.cpuMs} ms`);
});

test('no wrong key does, whatever is wrong with it, and all take the same', async (t) => {
  const { make, ask } = await person();
  const { key: good } = await make();
  assert.equal((await list(good)).status, 200);
  const kinds = {
    unknown: () => `isk_${hex(32)}`,
    'with the beginning of a good one': () => good.slice(0, 12) + hex(28),
    'a good one but for the last digit': (i) => good.slice(0, -1) + DIGITS.filter((digit) => !good.endsWith(digit))[i],
    ...await endedKeys(make, ask),
  };
  const costs = Object.fromEntries(Object.keys(kinds).map((name) => [name, { cpuMs: [], wallMs: [] }]));
  // By turns, so that whatever else happens meanwhile happens to all.
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [name, makeWrong] of Object.entries(kinds)) {
      const { cpuMs, wallMs } = await costOf(async () => {
        const replies = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => list(makeWrong(i))));
        assert.ok(replies.every(({ status, json }) => status === 401 && json.code === 'invalid_api_key'), name);
      });
      costs[name].cpuMs.push(cpuMs / AT_ONCE);
      costs[name].wallMs.push(wallMs);
    }
  }
  const typical = Object.entries(costs).map(([name, { cpuMs, wallMs }]) => ({ name, cpuMs: median(cpuMs), wallMs: median(wallMs) }));
  typical.forEach(({ name, cpuMs, wallMs }) => t.diagnostic(`${name}: ${cpuMs.toFixed(2)} ms of CPU a key, ${wallMs.toFixed(1)} ms for ${AT_ONCE}`));
  for (const { name, cpuMs } of typical) {
    assert.ok(cpuMs < BCRYPT_MS / 3, `${name}: ${cpuMs} ms`);
  }
  // A look at a row more or less is not told apart from the outside; a bcrypt would be.
  for (const [measure, noiseMs] of [['cpuMs', 0.5], ['wallMs', 10]]) {
    const values = typical.map((kind) => kind[measure]);
    assert.ok(Math.max(...values) < 2 * Math.min(...values) + noiseMs, `${measure}: ${values}`);
  }
});

test('a text that is no key costs the auth-service nothing', async () => {
  const { cpuMs } = await costOf(async () => {
    for (const text of ['isk_', `isk_${'0'.repeat(63)}`, `isk_${'g'.repeat(64)}`, 'x'.repeat(4000), `isk_${hex(32)}0`]) {
      await Promise.all(Array.from({ length: 20 }, async () => assert.equal((await list(text)).status, 401)));
    }
  });
  assert.ok(cpuMs < 5 * BCRYPT_MS, `${cpuMs} ms for 100`);
});
