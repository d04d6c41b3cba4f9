// Clerk's own libraries and ours agree: what one makes the other takes, and what one refuses the
// other refuses.
import assert from 'node:assert/strict';
import { createHmac, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import http from 'node:http';
import { once } from 'node:events';
import { test } from 'node:test';
import { verifyToken } from '@clerk/backend';
import { signJwt } from '@clerk/backend/jwt';
import { verifyWebhook } from '@clerk/backend/webhooks';
import { Webhook } from 'svix';
import { assertError, call } from '../support/api.mjs';
import { noSignIn, startBeside } from '../support/beside.mjs';
import { bearer, newSubject } from '../support/people.mjs';
import { rememberSecret } from '../support/secrets.mjs';
import { sessionToken } from '../support/session.mjs';
import { sql } from '../support/stack.mjs';

const { CLERK_ISSUER: issuer, CLERK_AUTHORIZED_PARTIES: party, CLERK_JWKS_URL: jwksUrl } = process.env;
const signingSecret = process.env.CLERK_WEBHOOK_SIGNING_SECRET;
const expected = { issuer, authorizedParties: [party] };

async function standInKey(token) {
  const { kid } = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));
  const { keys } = await (await fetch(jwksUrl)).json();
  const jwk = keys.find((key) => key.kid === kid);
  return createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
}

test('Clerk\'s library takes the tokens of our stand-in, by a PEM key and by its key set', async () => {
  const sub = newSubject();
  const token = await sessionToken({ sub, sid: 'sess_reference' });
  const apiUrl = new URL(jwksUrl).origin;
  for (const source of [{ jwtKey: await standInKey(token) }, { secretKey: 'sk_test_standIn', apiUrl, skipJwksCache: true }]) {
    const claims = await verifyToken(token, { ...source, ...expected });
    assert.deepEqual([claims.sub, claims.sid, claims.iss, claims.azp], [sub, 'sess_reference', issuer, party]);
  }
});

const misuses = {
  'has expired': [{ ttl: -60 }, 'token-expired'],
  'is for another site': [{ claims: { azp: 'https://evil.example' } }, 'token-invalid-authorized-parties'],
  'is of another issuer': [{ claims: { iss: 'https://clerk.evil.example' } }, 'token-invalid-issuer'],
  'is not good yet': [{ claims: { nbf: Math.floor(Date.now() / 1000) + 300 } }, 'token-not-active-yet'],
  'is of the future': [{ claims: { iat: Math.floor(Date.now() / 1000) + 300 } }, 'token-iat-in-the-future'],
  'is signed by somebody else': [{ key: 'attacker' }, 'token-invalid-signature'],
};
for (const [name, [options, reason]] of Object.entries(misuses)) {
  test(`a token that ${name} is refused by both`, async () => {
    const token = await sessionToken(options);
    const jwtKey = await standInKey(await sessionToken({}));
    await assert.rejects(verifyToken(token, { jwtKey, ...expected }), (error) => error.reason === reason);
    const reply = await call('GET', '/api/keys', { key: null, headers: bearer(token) });
    assertError(reply, 401, options.ttl ? 'token_expired' : 'invalid_session');
  });
}

test('we take the tokens that Clerk\'s library signs', async (t) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const kid = 'ins_reference';
  const keys = [{ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' }];
  const server = http.createServer((request, response) => response.end(JSON.stringify({ keys }))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  const base = await startBeside(t, {
    name: 'reference', step: 90,
    change: { ...noSignIn, CLERK_JWKS_URL: `http://127.0.0.1:${server.address().port}/`, CLERK_ISSUER: issuer, CLERK_AUTHORIZED_PARTIES: party },
  });
  const now = Math.floor(Date.now() / 1000);
  const sub = newSubject();
  const sign = async (algorithm) => {
    const claims = { sub, sid: 'sess_reference', iss: issuer, azp: party, exp: now + 60, iat: now, nbf: now - 10, sts: 'active', v: 2 };
    const jwk = privateKey.export({ format: 'jwk' });
    const token = await signJwt(claims, jwk, { algorithm, header: { kid, typ: 'JWT' } });
    rememberSecret(token);
    return token;
  };
  const ask = async (token) => call('GET', '/api/keys', { base, key: null, headers: bearer(token) });
  assert.equal((await ask(await sign('RS256'))).status, 200);
  assertError(await ask(await sign('RS384')), 401, 'invalid_session');
});

const event = (type, data) => JSON.stringify({
  data, event_attributes: { http_request: { client_ip: '127.0.0.1', user_agent: 'reference' } },
  instance_id: 'ins_reference', object: 'event', timestamp: Date.now(), type,
});
const deliver = (headers, body) => call('POST', '/webhooks/clerk', { key: null, body, headers });
const namedBy = (sub) => sql(`SELECT display_name FROM users JOIN identities ON user_id = users.id WHERE subject = '${sub}'`);
const userNamed = (id, name) => ({
  id, object: 'user', first_name: name, last_name: null, image_url: null, primary_email_address_id: null,
  email_addresses: [], banned: false, updated_at: Date.now(), created_at: Date.now(),
});

test('we take the webhooks that Svix\'s library signs', async () => {
  const sub = newSubject();
  const id = `msg_${randomBytes(9).toString('hex')}`;
  const at = new Date();
  const body = event('user.created', userNamed(sub, 'Ann'));
  const headers = {
    'svix-id': id, 'svix-timestamp': String(Math.floor(at / 1000)), 'svix-signature': new Webhook(signingSecret).sign(id, at, body),
  };
  assertError(await deliver({ ...headers, 'svix-signature': new Webhook(`whsec_${randomBytes(24).toString('base64')}`).sign(id, at, body) }, body), 400, 'webhook_refused');
  assertError(await deliver(headers, body.replace('Ann', 'Eve')), 400, 'webhook_refused');
  assert.equal((await deliver(headers, body)).status, 200);
  assert.equal(await namedBy(sub), 'Ann');
});

// As the stand-in signs, with a server in our place that keeps what it is sent.
async function signedByStandIn(t, { type = 'user.created' } = {}) {
  const seen = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    seen.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  await fetch(new URL('/__stub/webhook', jwksUrl), {
    method: 'POST', body: JSON.stringify({ url: `http://127.0.0.1:${server.address().port}/`, type, userId: newSubject() }),
  });
  return seen[0];
}

test('Clerk\'s and Svix\'s libraries take the webhooks that our stand-in signs', async (t) => {
  const { headers, body } = await signedByStandIn(t);
  const request = (text) => new Request('http://127.0.0.1/webhooks/clerk', { method: 'POST', headers: { ...pick(headers) }, body: text });
  const { type, data } = await verifyWebhook(request(body), { signingSecret });
  assert.equal(type, 'user.created');
  assert.match(data.id, /^user_/);
  assert.deepEqual(new Webhook(signingSecret).verify(body, pick(headers)), JSON.parse(body));
  await assert.rejects(verifyWebhook(request(body.replace('user.created', 'user.deleted')), { signingSecret }));
});

const pick = (headers) => Object.fromEntries(['svix-id', 'svix-timestamp', 'svix-signature'].map((name) => [name, headers[name]]));

test('we agree with them about several signatures, about versions and about time', async () => {
  const at = new Date();
  const sign = (text, seconds) => {
    const key = Buffer.from(signingSecret.slice('whsec_'.length), 'base64');
    return createHmac('sha256', key).update(text(seconds)).digest('base64');
  };
  const now = Math.floor(at / 1000);
  for (const [name, { age = 0, list = (good) => `v1,${good}` }] of Object.entries({
    plain: {}, 'an old one': { age: 400 }, 'one of the future': { age: -400 },
    'one among others': { list: (good) => `v1,AAAA v2,zzz v1,${good}` },
    'another version alone': { list: (good) => `v2,${good}` },
    'without a version': { list: (good) => good },
    none: { list: () => '' },
  })) {
    const id = `msg_${randomBytes(9).toString('hex')}`;
    const body = event('organization.created', { id: 'org_1' });
    const good = sign((seconds) => `${id}.${seconds}.${body}`, now - age);
    const headers = { 'svix-id': id, 'svix-timestamp': String(now - age), 'svix-signature': list(good) };
    let theirs = 200;
    try {
      new Webhook(signingSecret).verify(body, headers);
    } catch {
      theirs = 400;
    }
    assert.equal((await deliver(headers, body)).status, theirs, name);
  }
});
