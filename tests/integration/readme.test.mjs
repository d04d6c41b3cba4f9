// Every command that README.md shows is run: here, or by tests/run itself.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, test } from 'node:test';
import { call, destroySandbox, sandboxFor, whenHealthy } from '../support/api.mjs';
import { root, run, stateDir, until } from '../support/stack.mjs';
import { openClient } from '../support/websocket.mjs';

// What runs these tests, and what it does when it ends, can not be run by them.
const runElsewhere = new Set(['tests/run', 'tests/run unit lint', 'tests/run --long', 'tests/bench/run', 'deploy/down --purge']);

const readme = readFileSync(path.join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text);
const here = blocks.map((text) => text.split('\n').filter((line) => !runElsewhere.has(line.trim())).join('\n').trim())
  .filter((text) => text !== '');

const left = []; // sandboxes that a reader would let end by themselves

after(async () => {
  assert.equal((await run(path.join(root, 'deploy/up'), [], { timeoutMs: 300_000 })).code, 0);
  await whenHealthy();
  // What a reader would keep.
  const { attachments = [] } = (await call('GET', '/api/volumes')).json.volumes.find(({ name }) => name === 'data') ?? {};
  await Promise.all([...attachments.map(({ sandboxId }) => sandboxId), ...left].map((id) => destroySandbox(id)));
  const { webhooks } = (await call('GET', '/api/webhooks')).json;
  await Promise.all(webhooks.filter(({ url }) => readme.includes(`"${url}"`)).map(({ id }) => call('DELETE', `/api/webhooks/${id}`)));
  await until('the volume is gone', async () => [200, 404].includes((await call('DELETE', '/api/volumes/data')).status), 30_000);
  await call('DELETE', '/api/secrets/db-password');
});

test('the messages that are shown are answered, and every type that is named is known', async (t) => {
  const id = await sandboxFor(t, { template: 'base' });
  const client = await openClient(id);
  const shown = [...readme.matchAll(/^```json\n([\s\S]*?)^```$/gm)].flatMap(([, text]) => text.trim().split('\n'))
    .map((line) => JSON.parse(line));
  assert.ok(shown.length > 0);
  for (const message of shown) {
    const answer = await ('streamId' in message ? client.open(message).answer : client.request(message));
    assert.deepEqual([answer.id, answer.type], [message.id, `${message.type}Response`], JSON.stringify(answer));
  }
  const table = /^\| type \| members \|.*\n\|.*\n((?:\|.*\n)+)/m.exec(readme)[1].trim().split('\n');
  const types = table.flatMap((row) => [...row.split('|')[1].replace(/with .*/, '').matchAll(/`(\w+)`/g)].map(([, type]) => type));
  assert.ok(types.length > 20, types.join());
  for (const type of new Set(types)) {
    const answer = await client.request({ type, streamId: 99, pid: 1 });
    assert.notEqual(answer.code, 'unknown_type', type);
  }
  await client.close();
});

test('the commands run one after the other in one shell', async () => {
  const mark = '=== block';
  const script = here.map((text, i) => `echo "${mark} ${i}"\n${text}\necho`).join('\n').replaceAll('deploy/state', stateDir);
  const { code, stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', script], { timeoutMs: 300_000 });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  const answers = stdout.split(/^=== block \d+\n/m).slice(1);
  assert.equal(answers.length, here.length);
  const answerTo = (text) => answers[here.findIndex((block) => block.includes(text))];
  assert.match(answerTo('/health'), /"status":"ok"/);
  assert.equal(JSON.parse(answerTo('/exec')).stdout, '6\n');
  assert.match(answerTo('/status'), /"connected":true[^]*"sandboxes":\[/);
  left.push(...[...answerTo('/fork').matchAll(/"sandboxId":"([^"]+)"/g)].map(([, id]) => id));
  assert.equal(left.length, 2);
  assert.match(answerTo('/api/templates/site'), /"success":true/);
  assert.match(answerTo('/api/webhooks'), /"secret" ?: ?"whsec_/);
  assert.match(answerTo('-X DELETE "$INSIEN_API_URL/sandbox/$id"'), /"success":true/);
  assert.match(answerTo('deploy/key'), /^isk_[0-9a-f]{64}$/m);
  assert.match(answerTo('audit verify'), /^\d+ rows verified, last seal \d+ [0-9a-f]{64}$/m);
});

test('what is not run here is what runs this', () => {
  assert.equal(process.env.TESTS_RUN, 'yes', 'use tests/run');
});

test('every path that the text names is there', () => {
  const named = [...readme.matchAll(/`((?:deploy|tests|common|gateway|migrations|auth-service|sandbox-service)\/[\w./-]*)/g)]
    .map(([, name]) => name).filter((name) => name !== 'deploy/.env' && !name.startsWith('deploy/state/'));
  assert.deepEqual(named.filter((name) => !existsSync(path.join(root, name))), []);
});
