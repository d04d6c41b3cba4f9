// What all parts of the deployment wrote while the other tests used and broke them.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { sandboxFor } from '../support/api.mjs';
import { allSecrets } from '../support/secrets.mjs';
import { BESIDE, docker, instance, redis, run, stateDir } from '../support/stack.mjs';

const services = ['gateway', 'auth', 'sandbox', BESIDE];

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

test('no service asked a store for more than it may', async () => {
  assert.deepEqual(found(/permission denied|NOPERM|No permissions/), []);
  assert.equal(await redis('ACL', 'LOG'), '');
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

// The deployment's own: those that were made for it, and what it was told.
function ownSecrets() {
  const dir = path.join(stateDir, 'data/secrets');
  const passwords = readdirSync(dir).map((name) => readFileSync(path.join(dir, name), 'utf8').trim())
    .map((text) => /^\w+:\/\/[^@]*:([^@]+)@/.exec(text)?.[1] ?? text);
  return passwords.filter((text) => text !== '' && !/\s|^unix:/.test(text));
}

const linesOf = (text) => text.split('\n').filter((line) => line !== '');

test('no secret that a test made, sent or was given, and none of the deployment, is in any log', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'insien-secrets-'));
  t.after(() => rmSync(dir, { recursive: true }));
  assert.ok(allSecrets().length > 10, 'the tests keep what they make');
  assert.ok(ownSecrets().length > 5, 'and the deployment has its own');
  const file = path.join(dir, 'patterns'); // one a line: grep looks for all of them at once
  writeFileSync(file, `${[...allSecrets(), ...ownSecrets()].join('\n')}\n`, { mode: 0o600 });
  const logs = path.join(stateDir, 'log');
  const { code, stdout } = await run('grep', ['-rnaF', '-f', file, '--', logs]);
  assert.deepEqual(linesOf(stdout).slice(0, 5), []);
  assert.equal(code, 1, 'all logs were read');
  writeFileSync(path.join(dir, 'current'), `{"key":"${allSecrets()[0]}"}\n`);
  assert.equal((await run('grep', ['-rnaF', '-f', file, '--include=current', '--', dir])).code, 0, 'one would be found');
});

test('no secret is in the arguments of a program, in the settings of a container or in its environment', async (t) => {
  const id = await sandboxFor(t);
  const containers = linesOf(await docker('ps', '-q', '--filter', `label=insien.instance=${instance}`));
  assert.ok(containers.length > 0, `${id} has one`);
  const views = [await docker('inspect', ...containers)];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)) {
    try {
      views.push(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
    } catch {
      // It has just ended.
    }
  }
  const seen = [...allSecrets(), ...ownSecrets()].filter((secret) => views.some((view) => view.includes(secret)));
  assert.equal(seen.length, 0, `${seen.length} of them are to be seen`);
});
