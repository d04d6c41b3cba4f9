// Stands in for Clerk in tests: serves a key set, signs session tokens, and breaks when told to.
//   node server.mjs [port]     on 127.0.0.1; prints {"port":N} once it listens
//
// As Clerk:   GET /.well-known/jwks.json      GET /v1/jwks (with a secret key)
// For tests:  POST /__stub/token {sub, sid, ttl, claims, header, key} -> {token}
//             POST /__stub/fault {jwks: '500' | '429' | 'timeout' | 'slow' | 'garbage' | 'empty' | 'hostile' | ''}
//             POST /__stub/rotate, POST /__stub/reset, GET /__stub/hits
// Tokens name the issuer and the party that the auth-service of the same environment believes.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';

const vectors = JSON.parse(readFileSync(new URL('vectors.json', import.meta.url), 'utf8'));
const issuer = process.env.CLERK_ISSUER || vectors.policy.issuer;
const [party] = (process.env.CLERK_AUTHORIZED_PARTIES || vectors.policy.authorizedParties[0]).split(',');
const SLOW_MS = 1500;
const BODY_MAX = 1 << 20;

// New keys for each run. The attacker's claims to be the primary one.
const makeKey = (kid) => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n, e } = publicKey.export({ format: 'jwk' });
  return { kid, privateKey, jwk: { use: 'sig', kty: 'RSA', kid, alg: 'RS256', n, e } };
};
const keys = {
  primary: makeKey('ins_standInPrimary'),
  rotated: makeKey('ins_standInRotated'),
  attacker: makeKey('ins_standInPrimary'),
};

let state;
const reset = () => {
  state = { rotated: false, fault: '', hits: 0 };
};
reset();

const keySet = () => (state.rotated
  ? { keys: [keys.rotated.jwk, keys.primary.jwk, ...vectors.jwksAfterRotation.keys] }
  : { keys: [keys.primary.jwk, ...vectors.jwks.keys] });

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function token({ sub = 'user_standInAlice', sid = 'sess_standIn', ttl = 60, claims = {}, header = {}, key } = {}) {
  const { kid, privateKey } = keys[key ?? (state.rotated ? 'rotated' : 'primary')];
  const now = Math.floor(Date.now() / 1000);
  const head = { alg: 'RS256', cat: 'cl_B7d4PD111AAA', kid, typ: 'JWT', ...header };
  const payload = {
    azp: party, exp: now + ttl, fva: [0, -1], iat: now, iss: issuer, jti: randomBytes(10).toString('hex'),
    nbf: now - 10, sid, sts: 'active', sub, v: 2, ...claims,
  };
  const signed = `${encode(head)}.${encode(payload)}`;
  return `${signed}.${sign('sha256', Buffer.from(signed), privateKey).toString('base64url')}`;
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

const faults = {
  500: (response) => answer(response, 500, 'broken'),
  429: (response) => answer(response, 429, {}, { 'Retry-After': '1' }),
  timeout: () => {},
  slow: (response) => setTimeout(() => answer(response, 200, keySet()), SLOW_MS),
  garbage: (response) => answer(response, 200, '<html></html>'),
  empty: (response) => answer(response, 200, { keys: [] }),
  hostile: (response) => answer(response, 200, vectors.jwksHostile),
};

function serveKeys(response) {
  state.hits += 1;
  const fault = faults[state.fault];
  return fault ? fault(response) : answer(response, 200, keySet());
}

const hasSecretKey = (request) => /^Bearer sk_(test|live)_\S+$/.test(request.headers.authorization ?? '');

const routes = {
  'GET /.well-known/jwks.json': (request, body, response) => serveKeys(response),
  'GET /v1/jwks': (request, body, response) => (hasSecretKey(request)
    ? serveKeys(response)
    : answer(response, 401, { errors: [{ code: 'clerk_key_invalid', message: 'no such secret key' }] })),
  'POST /__stub/token': (request, body, response) => answer(response, 200, { token: token(body) }),
  'POST /__stub/fault': (request, body, response) => {
    state.fault = body.jwks ?? '';
    answer(response, 200, {});
  },
  'POST /__stub/rotate': (request, body, response) => {
    state.rotated = true;
    answer(response, 200, {});
  },
  'POST /__stub/reset': (request, body, response) => {
    reset();
    answer(response, 200, {});
  },
  'GET /__stub/hits': (request, body, response) => answer(response, 200, { jwks: state.hits }),
};

const server = http.createServer(async (request, response) => {
  const route = routes[`${request.method} ${request.url}`];
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
      answer(response, 404, { errors: [{ code: 'resource_not_found', message: 'not found' }] });
      return;
    }
    route(request, text === '' ? {} : JSON.parse(text), response);
  } catch (error) {
    answer(response, 400, { error: error.message });
  }
});
server.listen(Number(process.argv[2] ?? 0), '127.0.0.1', () => {
  process.stdout.write(`${JSON.stringify({ port: server.address().port })}\n`);
});
