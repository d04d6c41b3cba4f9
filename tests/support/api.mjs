// The REST API as a client sees it.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { agents, request as requestOf } from './connections.mjs';
import { checkAnswer } from './openapi.mjs';
import { rememberGiven, rememberSecret, rememberSent } from './secrets.mjs';
import { apiKey, apiUrl, root, run, until } from './stack.mjs';

const keepAlive = agents(64);

// Resolves to {status, headers, text, json}; json is undefined when the body is not JSON.
// key null: no key. body: an object (sent as JSON), or bytes and text as they are.
export function call(method, url, {
  key = apiKey, body, headers = {}, base = apiUrl, agent, timeoutMs = 70_000,
} = {}) {
  const bytes = encodeBody(body);
  const sent = {
    ...(key === null ? {} : { 'X-API-Key': key }),
    ...(bytes === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': bytes.length }),
    ...headers,
  };
  for (const name of Object.keys(sent)) {
    if (sent[name] === undefined) {
      delete sent[name];
    }
  }
  rememberSent(sent);
  const target = new URL(url, base);
  const options = { method, headers: sent, agent: agent ?? keepAlive[target.protocol], timeout: timeoutMs };
  return new Promise((resolve, reject) => {
    const request = requestOf(target, options, (reply) => {
      const chunks = [];
      reply.on('data', (chunk) => chunks.push(chunk));
      reply.on('error', reject);
      reply.on('end', () => {
        const answer = readReply(reply, Buffer.concat(chunks).toString());
        try {
          checkAnswer(method, url, answer);
          rememberGiven(answer.json);
          resolve(answer);
        } catch (error) {
          reject(error);
        }
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${method} ${url}: no answer in ${timeoutMs} ms`)));
    request.on('error', reject);
    request.end(bytes);
  });
}

function encodeBody(body) {
  if (body === undefined || Buffer.isBuffer(body)) {
    return body;
  }
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}

function readReply(reply, text) {
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: reply.statusCode, headers: reply.headers, text, json };
}

// An error answer has this shape and nothing else; returns it for more checks.
export function assertError(reply, status, code) {
  assert.equal(reply.status, status, reply.text);
  assert.equal(reply.json?.code, code, reply.text);
  assert.match(reply.headers['content-type'], /^application\/json/);
  const { error, requestId, details, ...rest } = reply.json;
  assert.deepEqual(Object.keys(rest), ['code'], 'no other members');
  assert.ok(typeof error === 'string' && error.includes(' '), `a sentence for a person: ${error}`);
  assert.match(requestId, /^[\w-]{8,64}$/);
  assert.doesNotMatch(reply.text, /\/run\/|\/var\/|SELECT |nng|errno|\.c:\d/, 'nothing internal');
  if ([429, 503].includes(status) && code !== 'clerk_not_configured') { // waiting would not help there
    assert.match(reply.headers['retry-after'] ?? '', /^[1-9]\d*$/, 'says when to try again');
  }
  if (status === 401) {
    assert.ok(reply.headers['www-authenticate'], 'says how to authenticate');
  }
  return reply.json;
}

// Resolves to the answer of create. What is not said: template tiny, no network, ten minutes.
export async function createSandbox(options = {}, key = apiKey) {
  const reply = await call('POST', '/sandbox/create', {
    key, body: { template: 'tiny', network: 'none', timeoutMs: 600_000, ...options },
  });
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

export async function destroySandbox(id, key = apiKey) {
  const reply = await call('DELETE', `/sandbox/${id}`, { key });
  assert.equal(reply.status, 200, reply.text);
}

// Makes a sandbox for one test; it goes when the test ends.
export async function sandboxFor(t, options, key) {
  const { sandboxId } = await createSandbox(options, key);
  t.after(() => destroySandbox(sandboxId, key));
  return sandboxId;
}

// Resolves to the whole answer: refusals are looked at too.
export const tryExec = (id, body, options) => call('POST', `/sandbox/${id}/exec`, { body, ...options });

export async function exec(id, cmd, args = [], more = {}) {
  const reply = await tryExec(id, { cmd, args, ...more });
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
}

export const shell = (id, script, more) => exec(id, 'sh', ['-c', script], more);

// The output of a script that must succeed.
export async function shellOutput(id, script, more) {
  const result = await shell(id, script, more);
  assert.equal(result.exitCode, 0, JSON.stringify(result));
  return result.stdout.trim();
}

export async function isHealthy() {
  const reply = await call('GET', '/health', { key: null, timeoutMs: 5000 }).catch(() => null);
  return reply?.status === 200;
}
export const whenHealthy = (timeoutMs = 10_000) => until('the service is healthy', isHealthy, timeoutMs);

// Resolves once a command runs in the sandbox.
export const whenUsable = (id, timeoutMs = 10_000, key = apiKey) => until(`sandbox ${id} is usable`, async () => {
  const reply = await tryExec(id, { cmd: 'echo', args: ['usable'] }, { key, timeoutMs: 5000 }).catch(() => null);
  return reply?.json?.stdout === 'usable\n';
}, timeoutMs);

// A new user of that tier; resolves to its API key.
export async function makeUser(tier) {
  const email = `${tier}-${randomBytes(6).toString('hex')}@example.test`;
  const { code, stdout, stderr } = await run(path.join(root, 'deploy/key'), [email, '--tier', tier]);
  assert.equal(code, 0, stderr);
  rememberSecret(stdout.trim());
  return stdout.trim();
}
