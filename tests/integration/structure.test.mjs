// The tree shows the architecture, and these rules keep it so.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { root } from '../support/stack.mjs';

const services = ['auth-service', 'sandbox-service', 'gateway'];
const notOurs = new Set(['.git', 'node_modules', 'state', 'build']);

function* walk(dir) {
  for (const entry of readdirSync(path.join(root, dir), { withFileTypes: true })) {
    const name = path.join(dir, entry.name);
    if (notOurs.has(entry.name) || entry.name.startsWith('build-')) {
      continue;
    }
    if (entry.isDirectory()) {
      yield* walk(name);
    } else if (entry.isFile()) {
      yield name;
    }
  }
}

const files = [...walk('.')].filter((file) => !file.startsWith('tests/fuzz/corpus/'));
const read = (file) => readFileSync(path.join(root, file), 'utf8');
const sources = files.filter((file) => /\.[ch]$/.test(file));
const includesOf = (file) => [...read(file).matchAll(/^#include "([^"]+)"/gm)].map(([, name]) => name);

test('the root is a closed list', () => {
  const allowed = ['.ci', '.clang-format', '.clang-tidy', '.git', '.gitignore', 'CMakeLists.txt', 'README.md',
    'auth-service', 'common', 'deploy', 'gateway', 'migrations', 'sandbox-service', 'tests'];
  const found = readdirSync(root).filter((name) => name !== 'build' && !name.startsWith('build-'));
  assert.deepEqual(found.filter((name) => !allowed.includes(name)), []);
});

test('what the database refuses has a sentence for clients', () => {
  const sentences = read('gateway/native/errors.c');
  const raised = files.filter((file) => /^migrations\/.*\.sql$/.test(file))
    .flatMap((file) => [...read(file).matchAll(/RAISE EXCEPTION '([a-z_]+)'/g)].map(([, reason]) => reason));
  const inner = ['pool_stale']; // the service tries again
  assert.ok(raised.length > 10);
  assert.deepEqual([...new Set(raised)].filter((reason) => !sentences.includes(`{"${reason}"`) && !inner.includes(reason)), []);
});

test('includes are written from the root and exist', () => {
  const broken = sources.flatMap((file) => includesOf(file)
    .filter((name) => !existsSync(path.join(root, name))).map((name) => `${file}: ${name}`));
  assert.deepEqual(broken, []);
});

test('a service includes its own headers and common ones, never another service\'s', () => {
  const foreign = sources.filter((file) => services.includes(file.split('/')[0])).flatMap((file) => includesOf(file)
    .filter((name) => ![file.split('/')[0], 'common'].includes(name.split('/')[0])).map((name) => `${file}: ${name}`));
  assert.deepEqual(foreign, []);
});

test('common knows nothing of any service', () => {
  const upward = sources.filter((file) => file.startsWith('common/')).flatMap((file) => includesOf(file)
    .filter((name) => !name.startsWith('common/')).map((name) => `${file}: ${name}`));
  assert.deepEqual(upward, []);
});

test('the agent needs the base alone', () => {
  const allowed = ['base', 'event', 'json', 'ws', 'contracts'];
  const more = sources.filter((file) => file.startsWith('sandbox-service/agent/')).flatMap((file) => includesOf(file)
    .filter((name) => !name.startsWith('sandbox-service/agent/') && !allowed.includes(name.split('/')[1]))
    .map((name) => `${file}: ${name}`));
  assert.deepEqual(more, []);
});

test('SQL on tables stands only where a store keeps it', () => {
  const statement = /"[^"]*(\bFROM|INSERT INTO|UPDATE)\s+[a-z_]+/;
  const misplaced = sources.filter((file) => services.includes(file.split('/')[0])
    && !path.basename(file).includes('store') && statement.test(read(file)));
  assert.deepEqual(misplaced, []);
});

test('no function is used that writes past an end or keeps hidden state', () => {
  const banned = /(?<![\w.>])(strcpy|strcat|sprintf|strtok|gets|alloca|system|popen)\s*\(/;
  assert.deepEqual(sources.filter((file) => banned.test(read(file).replace(/\/\*[\s\S]*?\*\//g, ''))), []);
});

test('a file is one idea', () => {
  const long = files.filter((file) => /\.(c|h|mjs|sh)$/.test(file)).map((file) => [file, read(file).split('\n').length])
    .filter(([, lines]) => lines > 600);
  assert.deepEqual(long, []);
});

test('no text speaks of where and how it was written', () => {
  // Put together here, so that this file does not find itself.
  const words = [['/wo', 'rk/'], ['TO', 'DO'], ['FIX', 'ME'], ['XX', 'X:'], ['registry.np', 'mjs'], ['deb.deb', 'ian.org'],
    ['issue', ' 2'], ['tick', 'et #'], ['place', 'holder for']].map((parts) => parts.join(''));
  const texts = files.filter((file) => statSync(path.join(root, file)).size < 1 << 20);
  const found = texts.flatMap((file) => {
    const text = read(file);
    return words.filter((word) => text.includes(word)).map((word) => `${file}: ${word}`);
  });
  assert.deepEqual(found, []);
});

test('scripts that are run can be run', () => {
  const scripts = files.filter((file) => !file.endsWith('.mjs') && read(file).startsWith('#!'));
  assert.deepEqual(scripts.filter((file) => (statSync(path.join(root, file)).mode & 0o111) === 0), []);
});
