// Stands in for Clerk in tests: serves a key set, signs session tokens, and breaks when told to.
//   node server.mjs [port]     on 127.0.0.1; prints {"port":N} once it listens
//
// As Clerk:   GET /.well-known/jwks.json
//             GET /v1/jwks, /v1/users/{id}, /v1/sessions/{id}, POST /v1/sessions/{id}/revoke (with a secret key)
// As another issuer, with keys of its own:  GET /oidc/keys
// For tests:  POST /__stub/token {sub, sid, ttl, claims, header, key} -> {token}; keys 'oidc' and 'oidcEc' (ES256) are the other issuer's
//             POST /__stub/fault {jwks: FAULT, users: FAULT, sessions: FAULT}, FAULT being '500' | '429' | 'timeout' | 'slow' |
//               'drip' (never ends) | 'cut' | 'garbage' | 'empty' | 'hostile' | 'types' | 'huge' | 'redirect' | ''
//             POST /__stub/user {id, ...} -> what Clerk says of a user from now on; id alone: nothing any more
//             POST /__stub/session {id, status} -> what Clerk says of a session; without status: it knows none
//             POST /__stub/webhook {url, type, userId | sessionId, patch, id, secret, timestamp} -> {status, id}
//             POST /__stub/rotate {withdraw}: true takes the former key away; POST /__stub/reset, GET /__stub/hits -> {jwks, users, sessions, oidc}
// Tokens name the issuer and the party that the auth-service of the same environment believes, and
// webhooks are signed with its secret.
import { createHmac, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';

const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8'));
const issuer = process.env.CLERK_ISSUER || vectors.policy.issuer;
const webhookSecret = (process.env.CLERK_WEBHOOK_SIGNING_SECRET || vectors.webhookSecret).split(',')[0];
const otherIssuer = process.env.AUTH_ISSUER || 'https://id.sandbox.test/';
const otherAudience = process.env.AUTH_AUDIENCE || 'https://api.sandbox.test';
const [party] = (process.env.CLERK_AUTHORIZED_PARTIES || vectors.policy.authorizedParties[0]).split(',');
const SLOW_MS = 1500;
const DRIP_MS = 200;
const HUGE = 1 << 20;
const BODY_MAX = 1 << 20;

// New keys for each run. The attacker's claims to be the primary one.
const makeKey = (kid) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n, e } = publicKey.export({ format: 'jwk' });
  return { kid, privateKey, jwk: { use: 'sig', kty: 'RSA', kid, alg: 'RS256', n, e } };
};
const makeEcKey = (kid) => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { kid, privateKey, jwk: { use: 'sig', kid, alg: 'ES256', ...publicKey.export({ format: 'jwk' }) } };
};
const keys = {
  primary: makeKey('ins_standInPrimary'),
  rotated: makeKey('ins_standInRotated'),
  attacker: makeKey('ins_standInPrimary'),
  oidc: makeKey('other-1'),
  oidcEc: makeEcKey('other-2'),
};

let state;
const reset = () => {
  state = {
    rotated: false, withdrawn: false, faults: {}, hits: { jwks: 0, users: 0, sessions: 0, oidc: 0 },
    users: new Map(Object.values(vectors.users).map((user) => [user.id, user])), sessions: new Map(),
  };
};
reset();

const keySet = () => (state.rotated
  ? { keys: [keys.rotated.jwk, ...(state.withdrawn ? [] : [keys.primary.jwk]), ...vectors.jwksAfterRotation.keys] }
  : { keys: [keys.primary.jwk, ...vectors.jwks.keys] });

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

// What a token of each issuer says when nothing else is asked for.
const clerkClaims = (now, sid) => ({
  azp: party, fva: [0, -1], iss: issuer, jti: randomBytes(10).toString('hex'), nbf: now - 10, sid, sts: 'active', v: 2,
});
const otherClaims = () => ({ iss: otherIssuer, aud: otherAudience });

function token({ sub = 'user_standInAlice', sid = 'sess_standIn', ttl = 60, claims = {}, header = {}, key } = {}) {
  const { kid, privateKey, jwk: { alg } } = keys[key ?? (state.rotated ? 'rotated' : 'primary')];
  const now = Math.floor(Date.now() / 1000);
  const isOther = key === 'oidc' || key === 'oidcEc';
  const head = isOther
    ? { alg, kid, typ: 'at+jwt', ...header }
    : { alg, cat: 'cl_B7d4PD111AAA', kid, typ: 'JWT', ...header };
  const own = isOther ? otherClaims() : clerkClaims(now, sid);
  const signed = `${encode(head)}.${encode({ ...own, exp: now + ttl, iat: now, sub, ...claims })}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

// A user as Clerk describes them.
const describe = (id, patch) => ({
  ...Object.values(vectors.users)[0], id, primary_email_address_id: 'idn_1', updated_at: Date.now(),
  email_addresses: [{
    id: 'idn_1', object: 'email_address', email_address: `${id.toLowerCase()}@sandbox.test`,
    verification: { status: 'verified', strategy: 'email_code' },
  }],
  ...patch,
});

function webhookData({ type, userId, sessionId, patch }) {
  if (type.startsWith('session.')) {
    return { id: sessionId, object: 'session', user_id: userId, status: type.split('.')[1], ...patch };
  }
  return type === 'user.deleted'
    ? { id: userId, object: 'user', deleted: true }
    : describe(userId, { ...state.users.get(userId), ...patch });
}

// Signs an event and delivers it, as Clerk does.
async function webhook({ url, id = `msg_${randomBytes(9).toString('hex')}`, secret = webhookSecret, timestamp, ...event }) {
  const now = timestamp ?? Math.floor(Date.now() / 1000);
  const body = JSON.stringify({
    data: webhookData(event), event_attributes: { http_request: { client_ip: '127.0.0.1', user_agent: 'stand-in' } },
    instance_id: 'ins_standIn', object: 'event', timestamp: now * 1000, type: event.type,
  });
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  const signature = createHmac('sha256', key).update(`${id}.${now}.${body}`).digest('base64');
  const reply = await fetch(url, {
    method: 'POST', body,
    headers: { 'content-type': 'application/json', 'svix-id': id, 'svix-timestamp': String(now), 'svix-signature': `v1,${signature}` },
  });
  await reply.arrayBuffer();
  return { status: reply.status, id };
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

const faults = {
  500: (response) => answer(response, 500, 'broken'),
  429: (response) => answer(response, 429, {}, { 'Retry-After': '1' }),
  timeout: () => {},
  slow: (response, body) => setTimeout(() => answer(response, 200, body), SLOW_MS),
  garbage: (response) => answer(response, 200, '<html></html>'),
  empty: (response) => answer(response, 200, { keys: [] }),
  hostile: (response) => answer(response, 200, vectors.jwksHostile),
  types: (response) => answer(response, 200, { keys: [{ kty: 7, kid: ['ins_standInPrimary'], n: {}, e: null }, 'RSA', null] }),
  // All that is right, and more of it than anybody should take.
  huge: (response, body) => answer(response, 200, { ...body, padding: 'x'.repeat(HUGE) }),
  redirect: (response, body, { url }) => (url.includes('redirected')
    ? answer(response, 200, body) : answer(response, 302, {}, { Location: `${url}?redirected` })),
  drip: (response) => {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    const timer = setInterval(() => response.write(' '), DRIP_MS);
    response.on('close', () => clearInterval(timer));
  },
  cut: (response, body) => {
    const text = JSON.stringify(body);
    response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': text.length });
    response.write(text.slice(0, -1), () => response.destroy());
  },
};

function serve(kind, response, body) {
  state.hits[kind] += 1;
  const fault = faults[state.faults[kind]];
  return fault ? fault(response, body, response.req) : answer(response, 200, body);
}

const hasSecretKey = (request) => /^Bearer sk_(test|live)_\S+$/.test(request.headers.authorization ?? '');

const notFound = (response) => answer(response, 404, { errors: [{ code: 'resource_not_found', message: 'not found' }] });

function serveUser(response, id) {
  if (!state.users.has(id)) {
    state.hits.users += 1;
    notFound(response);
    return;
  }
  serve('users', response, state.users.get(id));
}

function serveSession(response, id, revoke) {
  if (revoke) {
    state.sessions.set(id, 'revoked');
  }
  const status = state.sessions.has(id) ? state.sessions.get(id) : 'active';
  if (status === undefined) {
    state.hits.sessions += 1;
    notFound(response);
    return;
  }
  serve('sessions', response, { object: 'session', id, status });
}

// The Backend API: what needs the secret key.
const backend = [
  [/^GET \/v1\/jwks$/, (response) => serve('jwks', response, keySet())],
  [/^GET \/v1\/users\/([^/]+)$/, (response, id) => serveUser(response, id)],
  [/^GET \/v1\/sessions\/([^/]+)$/, (response, id) => serveSession(response, id, false)],
  [/^POST \/v1\/sessions\/([^/]+)\/revoke$/, (response, id) => serveSession(response, id, true)],
];

function serveBackend(request, response) {
  for (const [pattern, handle] of backend) {
    const match = pattern.exec(`${request.method} ${request.url}`);
    if (match !== null && !hasSecretKey(request)) {
      answer(response, 401, { errors: [{ code: 'clerk_key_invalid', message: 'no such secret key' }] });
      return;
    }
    if (match !== null) {
      handle(response, match[1]);
      return;
    }
  }
  notFound(response);
}

const routes = {
  'GET /.well-known/jwks.json': (body, response) => serve('jwks', response, keySet()),
  'GET /oidc/keys': (body, response) => serve('oidc', response, { keys: [keys.oidc.jwk, keys.oidcEc.jwk] }),
  'POST /__stub/token': (body, response) => answer(response, 200, { token: token(body) }),
  'POST /__stub/fault': (body, response) => {
    state.faults = body;
    answer(response, 200, {});
  },
  'POST /__stub/user': ({ id, ...patch }, response) => {
    if (Object.keys(patch).length > 0) {
      state.users.set(id, describe(id, patch));
    } else {
      state.users.delete(id);
    }
    answer(response, 200, {});
  },
  'POST /__stub/session': ({ id, status }, response) => {
    state.sessions.set(id, status);
    answer(response, 200, {});
  },
  'POST /__stub/webhook': async (body, response) => answer(response, 200, await webhook(body)),
  'POST /__stub/rotate': ({ withdraw = false }, response) => {
    state.rotated = true;
    state.withdrawn = withdraw;
    answer(response, 200, {});
  },
  'POST /__stub/reset': (body, response) => {
    reset();
    answer(response, 200, {});
  },
  'GET /__stub/hits': (body, response) => answer(response, 200, state.hits),
};

const server = http.createServer(async (request, response) => {
  const route = routes[`${request.method} ${request.url.split('?')[0]}`];
  let text = '';
  for await (const chunk of request) {
    text += chunk;
    if (text.length > BODY_MAX) {
      request.destroy();
      return;
    }
  }
  try {
    if (!route) {
      serveBackend(request, response);
      return;
    }
    await route(text === '' ? {} : JSON.parse(text), response);
  } catch (error) {
    answer(response, 400, { error: error.message });
  }
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
});
