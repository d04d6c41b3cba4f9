// An act is something that a client may do to a sandbox and whose outcome is known beforehand. It
// gets {id, random, folder, ports, socket, agent, reconnect}: socket is the client's own, agent the
// pool of connections for REST calls. It leaves nothing running.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import http from 'node:http';
import { apiKey, apiUrl } from '../stack.mjs';

export const MIB = 1024 * 1024;

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

export async function ask(world, message) {
  const reply = await world.socket.request(message);
  assert.equal(reply.type, `${message.type}Response`, JSON.stringify(reply));
  return reply;
}

// A request that is begun and given up by the caller.
export function beginRequest(world, method, url, headers) {
  const request = http.request(new URL(url, apiUrl), { method, agent: world.agent, headers: { 'X-API-Key': apiKey, ...headers } });
  request.on('error', () => {});
  return request;
}
