// People who sign in, the keys they make, and what ends them.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { call } from './api.mjs';
import { sessionToken } from './session.mjs';
import { sql } from './stack.mjs';

export const newSubject = () => `user_${randomBytes(12).toString('hex')}`;

export const bearer = (token) => ({ Authorization: `Bearer ${token}` });

export async function made(answer) {
  const reply = await answer;
  assert.equal(reply.status, 201, reply.text);
  return reply.json.apiKey;
}

// A key that came of that key.
export const childOf = (key, body = {}, base = undefined) => made(call('POST', '/api/keys', { key, body, base }));

// Somebody new, who asks by a session; seconds: how long its token is good.
export async function person({ seconds = 600 } = {}) {
  const sub = newSubject();
  const sid = `sess_${randomBytes(9).toString('hex')}`;
  const headers = bearer(await sessionToken({ sub, sid, ttl: seconds }));
  const ask = (method, url, body, base) => call(method, url, { key: null, body, headers, base });
  return { sub, sid, headers, ask, make: (body = {}) => made(ask('POST', '/api/keys', body)) };
}

// Somebody new with that role: {key, plain}, a key with the scope and one without.
export async function makeAdministrator() {
  const { sub, make } = await person();
  const plain = await make();
  await sql(`UPDATE users SET role = 'admin' FROM identities WHERE user_id = users.id AND subject = '${sub}'`);
  return { plain: plain.key, key: (await make({ scopes: [...plain.scopes, 'admin'] })).key };
}
