// What happens to sandboxes, as a stream, as a page, and as webhooks.
import assert from 'node:assert/strict';
import { createHmac, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { describe, it, test } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, makeUser,
} from '../support/api.mjs';
import { settingsToStart, sql, until } from '../support/stack.mjs';
import { eventsOf, open } from '../support/transfer.mjs';

const typesOf = (events) => events.map(({ type }) => type);
const page = async (target, key) => (await call('GET', target, { key, headers: { Accept: 'application/json' } })).json;
const wholeLife = ['sandbox.creating', 'sandbox.running', 'sandbox.stopping', 'sandbox.destroyed'];

async function all(reply) {
  assert.equal(reply.statusCode, 200);
  const events = [];
  for await (const event of eventsOf(reply)) {
    events.push(event);
  }
  return events;
}

describe('the events of a sandbox', () => {
  it('come from its creation to its end, each once and in order', async () => {
    const { sandboxId } = await createSandbox();
    const stream = open('GET', `/sandbox/${sandboxId}/events`).then(all);
    await destroySandbox(sandboxId);
    const events = await stream;
    assert.deepEqual(typesOf(events), wholeLife);
    assert.ok(events.every((event) => event.sandboxId === sandboxId && event.lastEventId === event.id));
    assert.deepEqual(events.map(({ previousStatus }) => previousStatus), [null, 'creating', 'running', 'stopping']);
    assert.deepEqual(events.map(({ cause }) => cause), ['create', null, 'user', 'user']);
    assert.deepEqual(events.map(({ actor }) => actor.kind), ['user', 'system', 'user', 'system']);
    assert.ok(events[2].actor.apiKeyId);
    const numbers = events.map(({ id }) => Number(id));
    assert.deepEqual(numbers, [...numbers].sort((a, b) => a - b));
  });

  it('are resumed behind the last one, at whichever time', async () => {
    const { sandboxId } = await createSandbox();
    const first = (await page(`/sandbox/${sandboxId}/events?limit=1`)).events;
    assert.deepEqual(typesOf(first), wholeLife.slice(0, 1));
    await destroySandbox(sandboxId);
    const rest = await all(await open('GET', `/sandbox/${sandboxId}/events`, { headers: { 'Last-Event-ID': first[0].id } }));
    assert.deepEqual(typesOf(rest), wholeLife.slice(1));
    const over = await call('GET', `/sandbox/${sandboxId}/events`, { headers: { 'Last-Event-ID': rest.at(-1).id } });
    assert.equal(over.status, 204);
    assertError(await call('GET', `/sandbox/${sandboxId}/events`, { headers: { 'Last-Event-ID': 'x' } }), 400, 'validation_failed');
  });

  it('say why it ended', async () => {
    const { sandboxId } = await createSandbox({ timeoutMs: 1500 });
    const events = await all(await open('GET', `/sandbox/${sandboxId}/events`));
    assert.equal(events.find(({ type }) => type === 'sandbox.stopping').cause, 'timeout');
  });

  it('are their owner\'s alone', async () => {
    const { sandboxId } = await createSandbox();
    const stranger = await makeUser('free');
    assertError(await call('GET', `/sandbox/${sandboxId}/events`, { key: stranger }), 404, 'sandbox_not_found');
    assert.deepEqual((await page('/api/events', stranger)).events, []);
    await destroySandbox(sandboxId);
  });
});

test('the events of all one\'s sandboxes come as they happen, and in pages', async () => {
  const key = await makeUser('pro');
  const reply = await open('GET', '/api/events', { key });
  const events = eventsOf(reply);
  const made = [await createSandbox({}, key), await createSandbox({}, key)].map(({ sandboxId }) => sandboxId);
  await Promise.all(made.map((id) => destroySandbox(id, key)));
  const seen = [];
  while (seen.length < 2 * wholeLife.length) {
    seen.push((await events.next()).value);
  }
  reply.destroy();
  for (const id of made) {
    assert.deepEqual(typesOf(seen.filter(({ sandboxId }) => sandboxId === id)), wholeLife);
  }
  let after = 0;
  const paged = [];
  for (let count = 1; count > 0;) {
    const { events: some, next } = await page(`/api/events?limit=3&after=${after}`, key);
    paged.push(...some);
    count = some.length;
    after = next;
  }
  assert.deepEqual(paged.map(({ id }) => id), seen.map(({ id }) => id));
});

// A receiver on this machine that answers with what statuses says, then 200.
async function receiver(t, statuses = []) {
  const got = [];
  const server = createServer((request, reply) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk));
    request.on('end', () => {
      got.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
      reply.writeHead(statuses.shift() ?? 200).end();
    });
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.after(() => server.close());
  return { got, url: `http://127.0.0.1:${server.address().port}/hook` };
}

const receives = settingsToStart('sandbox').WEBHOOK_ALLOWED_CIDRS?.includes('127.0.0.0/8');

function isSigned({ headers, body }, secret) {
  const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
  const text = `${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`;
  return headers['webhook-signature'] === `v1,${createHmac('sha256', key).update(text).digest('base64')}`;
}

async function makeWebhook(body, key) {
  const reply = await call('POST', '/api/webhooks', { key, body });
  assert.equal(reply.status, 201, reply.text);
  return reply.json;
}

describe('webhooks', () => {
  it('get the events they ask for, signed', { skip: !receives }, async (t) => {
    const key = await makeUser('pro');
    const { got, url } = await receiver(t);
    const { webhook, secret } = await makeWebhook({ url, types: ['sandbox.running', 'sandbox.destroyed'] }, key);
    const { sandboxId } = await createSandbox({}, key);
    await destroySandbox(sandboxId, key);
    await until('both have come', () => got.length >= 2, 20_000);
    assert.deepEqual(got.map(({ body }) => JSON.parse(body).type), ['sandbox.running', 'sandbox.destroyed']);
    assert.ok(got.every((delivery) => isSigned(delivery, secret)));
    const { data, timestamp } = JSON.parse(got[0].body);
    assert.equal(data.sandboxId, sandboxId);
    assert.equal(timestamp, data.at);
    assert.equal(got[0].headers['webhook-id'], `evt_${data.id}`);
    assert.ok((await call('GET', '/api/webhooks', { key })).json.webhooks[0].deliveredAt);
    assert.equal((await call('DELETE', `/api/webhooks/${webhook.id}`, { key })).status, 200);
    assertError(await call('DELETE', `/api/webhooks/${webhook.id}`, { key }), 404, 'webhook_not_found');
  });

  it('come again with the same id when they did not arrive', { skip: !receives }, async (t) => {
    const key = await makeUser('pro');
    const { got, url } = await receiver(t, [500]);
    await makeWebhook({ url, types: ['sandbox.creating'] }, key);
    const { sandboxId } = await createSandbox({}, key);
    await until('it has come again', () => got.length >= 2, 30_000);
    assert.equal(got[0].headers['webhook-id'], got[1].headers['webhook-id']);
    assert.equal(got[0].body, got[1].body);
    await destroySandbox(sandboxId, key);
  });

  it('that were given up are listed, and tried again when asked', { skip: !receives }, async (t) => {
    const key = await makeUser('pro');
    const { got, url } = await receiver(t, [410]);
    const { webhook } = await makeWebhook({ url, types: ['sandbox.creating'] }, key);
    const { sandboxId } = await createSandbox({}, key);
    const letters = () => call('GET', `/api/webhooks/${webhook.id}/dead-letters`, { key });
    await until('it is given up', async () => (await letters()).json.deadLetters.length === 1, 20_000);
    const [letter] = (await letters()).json.deadLetters;
    assert.deepEqual([letter.attempts, letter.lastStatus, letter.event.type], [1, 410, 'sandbox.creating']);
    assert.equal((await call('GET', '/api/webhooks', { key })).json.webhooks[0].disabledReason, 'gone');
    const again = await call('POST', `/api/webhooks/${webhook.id}/redeliver`, { key });
    assert.deepEqual(again.json, { success: true, queued: 1 });
    await until('it has come', () => got.length === 2, 20_000);
    await destroySandbox(sandboxId, key);
  });

  it('go to public hosts over TLS only', async () => {
    const key = await makeUser('free');
    for (const url of ['https://10.0.0.1/', 'https://169.254.169.254/latest', 'https://[::1]/', 'ftp://example.org/',
      'https://user@example.org/', 'no address']) {
      assertError(await call('POST', '/api/webhooks', { key, body: { url } }), 400, 'invalid_webhook_url');
    }
  });

  it('are at most twenty, made once for an Idempotency-Key, and nobody else\'s', async () => {
    const key = await makeUser('free');
    const stranger = await makeUser('free');
    const headers = { 'Idempotency-Key': randomUUID() };
    const body = { url: 'https://example.org/hook' };
    const [first, second] = [await call('POST', '/api/webhooks', { key, headers, body }), await call('POST', '/api/webhooks', { key, headers, body })];
    assert.equal(first.json.webhook.id, second.json.webhook.id);
    assert.equal(first.json.secret, second.json.secret);
    for (let i = 1; i < 20; i += 1) {
      await makeWebhook(body, key);
    }
    assertError(await call('POST', '/api/webhooks', { key, body }), 429, 'webhook_limit');
    assertError(await call('DELETE', `/api/webhooks/${first.json.webhook.id}`, { key: stranger }), 404, 'webhook_not_found');
    assertError(await call('GET', `/api/webhooks/${first.json.webhook.id}/dead-letters`, { key: stranger }), 404, 'webhook_not_found');
    assert.equal((await call('GET', '/api/webhooks', { key })).json.webhooks.length, 20);
    const told = () => sql(`SELECT string_agg(concat_ws(' ', action, result, target_kind), ',' ORDER BY id) FROM audit_log
      WHERE target = '${first.json.webhook.id}'`);
    assert.deepEqual((await call('POST', `/api/webhooks/${first.json.webhook.id}/redeliver`, { key })).json, { success: true, queued: 0 });
    assert.equal((await call('DELETE', `/api/webhooks/${first.json.webhook.id}`, { key })).status, 200);
    await until('the trail has it', async () => await told() === 'webhook.created ok webhook,'
      + 'webhook.removed refused webhook,webhook.redelivered ok webhook,webhook.removed ok webhook', 20_000);
    assert.doesNotMatch(await sql('SELECT string_agg(w::text, \' \') FROM webhooks w'), /whsec_/);
  });
});
