// Agents of sandboxes that exist only as rows: to the gateway they are like any other, which a
// machine that can't hold thousands of containers needs to see how it is with thousands of agents.
import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { serviceSettings, sql, wsUrl } from '../support/stack.mjs';
import { WebSocket } from '../support/websocket.mjs';

// The reconciler looks after the sandboxes of its own instance: it leaves these alone.
const INSTANCE = 'insien-rows-alone';
const SETUP_MS = 10_000;

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

function tokenOf(id, secret) {
  const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: id, typ: 'agent', gen: 1 })}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

// Rows like that of an existing sandbox; resolves to their ids.
export async function insertSandboxes(count, like) {
  const ids = await sql(`INSERT INTO sandboxes (id, user_id, api_key_id, template, image, profile, tier, status, network, instance, node,
      work_dir, image_user, memory_mb, cpu_milli, pids, lifetime_hours, container_running, container_status, started_at, expires_at)
    SELECT gen_random_uuid(), user_id, api_key_id, template, image, profile, tier, 'running', network, '${INSTANCE}', node,
      work_dir, image_user, memory_mb, cpu_milli, pids, lifetime_hours, true, 'running', now(), expires_at
    FROM sandboxes, generate_series(1, ${count}) WHERE id = '${like}' RETURNING id`);
  return ids.split('\n');
}

export const removeSandboxes = () => sql(`DELETE FROM sandboxes WHERE instance = '${INSTANCE}'`);

// Resolves to a socket that has said hello and took its configuration, and answers nothing else.
export function connectAgent(id) {
  const secret = readFileSync(serviceSettings('sandbox').AGENT_JWT_SECRET_FILE, 'utf8').trim();
  const socket = new WebSocket(`${wsUrl}/agent/${id}`, {
    headers: { Authorization: `Bearer ${tokenOf(id, secret)}` }, handshakeTimeout: SETUP_MS, perMessageDeflate: false,
  });
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', (code, reason) => reject(new Error(`the agent's socket was closed: ${code} ${reason}`)));
    socket.on('open', () => socket.send(JSON.stringify({ type: 'hello', protocol: 1, version: '0.1.0' })));
    socket.once('message', (data) => {
      socket.send(JSON.stringify({ id: JSON.parse(data).id, type: 'configureResponse' }), () => resolve(socket));
    });
  });
}
