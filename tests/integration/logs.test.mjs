// What the services wrote while the other tests used and broke them.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { stateDir } from '../support/stack.mjs';

const services = ['gateway', 'auth', 'sandbox'];

const lines = services.flatMap((service) => {
  const dir = path.join(stateDir, 'log', service);
  return readdirSync(dir).filter((name) => name === 'current' || name.startsWith('@'))
    .flatMap((name) => readFileSync(path.join(dir, name), 'utf8').split('\n'))
    .filter((line) => line !== '').map((line) => ({ service, line }));
});
const found = (pattern) => lines.filter(({ line }) => pattern.test(line)).map(({ service, line }) => `${service}: ${line}`);

test('no sanitizer and no assertion had anything to say', () => {
  assert.deepEqual(found(/Sanitizer|runtime error:|Assertion/), []);
});

test('no answer was 500', () => {
  assert.deepEqual(found(/"status":500/), []);
});

test('every line is one JSON object with a time, a level and a name', () => {
  const odd = lines.filter(({ line }) => {
    try {
      const { level, event } = JSON.parse(line);
      return typeof level !== 'string' || !/^[a-z0-9_]+(\.[a-z0-9_]+)*$/.test(event);
    } catch {
      return true;
    }
  });
  assert.deepEqual(odd.slice(0, 10), []);
});

test('no key and no token is in them', () => {
  assert.deepEqual(found(/isk_[0-9a-f]{16}|e2b_[0-9a-f]{16}|eyJ[\w-]+\.eyJ/), []);
});
