// From the request to a usable sandbox, beside what the engine alone takes to create and start a
// container of the same image with the same settings. The two take turns.
import http from 'node:http';
import { mkdtempSync, rmSync } from 'node:fs';
import { createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { docker, until } from '../support/stack.mjs';
import { inMs, median, spread, timed } from './statistics.mjs';

const ROUNDS = 15;
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

async function floor(body) {
  const [ms, id] = await timed(async () => {
    const { Id } = await engineCall('POST', '/containers/create', body);
    await engineCall('POST', `/containers/${Id}/start`);
    return Id;
  });
  await engineCall('DELETE', `/containers/${id}?force=1&v=1`);
  return ms;
}

async function ours(template) {
  const [ms, { sandboxId }] = await timed(() => createSandbox({ template }));
  const [firstExec] = await timed(() => exec(sandboxId, 'true'));
  await destroySandbox(sandboxId);
  await until('its container is gone', async () => await docker('ps', '-aq', '--filter',
    `label=insien.sandbox=${sandboxId}`) === '', 10_000);
  return [ms, firstExec];
}

async function measureTemplate(template) {
  const { sandboxId } = await createSandbox({ template });
  const emptyDir = mkdtempSync('/run/insien-floor-');
  const floors = [];
  const creates = [];
  const firstExecs = [];
  try {
    const body = await bodyLike(sandboxId, emptyDir);
    await floor(body);
    for (let i = 0; i < ROUNDS; i += 1) {
      floors.push(await floor(body));
      const [create, firstExec] = await ours(template);
      creates.push(create);
      firstExecs.push(firstExec);
    }
  } finally {
    rmSync(emptyDir, { recursive: true });
    await destroySandbox(sandboxId);
  }
  const over = (median(creates) / median(floors) - 1) * 100;
  return [
    { what: `engine create + start, ${template} (floor)`, measured: spread(floors) },
    { what: `create → usable, ${template}`, measured: spread(creates) },
    { what: '  over the floor', measured: `${over.toFixed(0)} %`, goal: '≤ 25 %' },
    { what: '  first exec', measured: inMs(median(firstExecs)), goal: 'p50 ≤ 3 ms' },
  ];
}

export async function measure() {
  return [...await measureTemplate('base'), ...await measureTemplate('tiny')];
}
