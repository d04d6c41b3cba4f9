// The engine alone, without any service of ours: what is measured beside them.
import http from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { createSandbox, destroySandbox } from '../support/api.mjs';

const socketPath = (process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock').replace('unix://', '');
const engine = new http.Agent({ keepAlive: true });

function engineCall(method, path, body) {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  return new Promise((resolve, reject) => {
    const request = http.request({
      socketPath, path: `/v1.41${path}`, method, agent: engine,
      headers: bytes === undefined ? {} : { 'Content-Type': 'application/json', 'Content-Length': bytes.length },
    }, (reply) => {
      let text = '';
      reply.on('data', (chunk) => { text += chunk; });
      reply.on('end', () => (reply.statusCode < 300 ? resolve(text && JSON.parse(text))
        : reject(new Error(`${method} ${path}: ${reply.statusCode} ${text}`))));
    });
    request.on('error', reject);
    request.end(bytes);
  });
}

// The create body of a container like that sandbox's, with an empty folder for its socket.
async function bodyLike(sandboxId, emptyDir) {
  const { Config: config, HostConfig: host } = await engineCall('GET', `/containers/insien-${sandboxId}/json`);
  const mounts = host.Mounts.map((mount) => (mount.Type === 'bind' ? { ...mount, Source: emptyDir } : mount));
  return { ...config, Labels: {}, HostConfig: { ...host, Mounts: mounts } };
}

// Calls use with the body of a container like a sandbox created with these options.
export async function withBodyLike(options, use) {
  const { sandboxId } = await createSandbox(options);
  const emptyDir = mkdtempSync('/run/insien-floor-');
  try {
    await use(await bodyLike(sandboxId, emptyDir));
  } finally {
    rmSync(emptyDir, { recursive: true });
    await destroySandbox(sandboxId);
  }
}

export async function startContainer(body) {
  const { Id } = await engineCall('POST', '/containers/create', body);
  await engineCall('POST', `/containers/${Id}/start`);
  return Id;
}

export const removeContainer = (id) => engineCall('DELETE', `/containers/${id}?force=1&v=1`);
