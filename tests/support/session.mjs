// Session tokens and webhooks as Clerk would sign them, from the stand-in that tests/run starts.
import http from 'node:http';
import { rememberSecret } from './secrets.mjs';
import { apiUrl } from './stack.mjs';

const sharedPort = process.env.CLERK_STAND_IN_PORT ?? '4302';

function ask(port, path, body) {
  const bytes = body === undefined ? '' : Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1', port, path, method: body === undefined ? 'GET' : 'POST', timeout: 5000,
      headers: { 'Content-Type': 'application/json', 'Content-Length': bytes.length },
    }, (reply) => {
      let text = '';
      reply.on('data', (chunk) => { text += chunk; });
      reply.on('end', () => resolve(JSON.parse(text)));
    });
    request.on('error', reject);
    request.end(bytes);
  });
}

// The stand-in that listens on that port of this machine. What is not given to token is as in a
// token of a person who is signed in: {sub, sid, ttl, claims, header, key}. webhook: {type,
// userId | sessionId, patch, id, secret, timestamp} -> {status, id}. describeUser: what the Backend
// API says of a user from now on; describeSession: {id, status} of a session. fault: {jwks: '500' | 'timeout' | ..., users: ...}; {}: none.
export const standIn = (port) => ({
  token: async (options) => {
    const { token } = await ask(port, '/__stub/token', options);
    rememberSecret(token);
    return token;
  },
  webhook: (event) => ask(port, '/__stub/webhook', { url: `${apiUrl}/webhooks/clerk`, ...event }),
  describeUser: (user) => ask(port, '/__stub/user', user),
  describeSession: (session) => ask(port, '/__stub/session', session),
  fault: (faults) => ask(port, '/__stub/fault', faults),
  rotate: (how = {}) => ask(port, '/__stub/rotate', how),
  hits: () => ask(port, '/__stub/hits'),
});

// Of the stand-in that all tests share.
export const { token: sessionToken, webhook, describeUser } = standIn(sharedPort);
