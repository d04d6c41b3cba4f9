// A second gateway and auth-service beside the deployment under test, on the same stores, with
// settings of their own: for tests of settings, and of two gateways.
import { mkdirSync, rmSync } from 'node:fs';
import { call } from './api.mjs';
import { apiUrl, programOf, run, runDir, settingsToStart, startProgram, until } from './stack.mjs';

// name: of its folder; its ports are step above those of the deployment. change: what is to be set otherwise, or
// (undefined) not at all. Resolves, once it serves, to its address; ends when the test does.
export async function startBeside(t, { name, step, change = {} }) {
  const port = Number(new URL(apiUrl).port) + step;
  const dir = `${runDir}-${name}`;
  for (const folder of ['agents', 'locks']) {
    mkdirSync(`${dir}/${folder}`, { recursive: true });
  }
  await run('chown', ['-R', 'insien:', dir]);
  const own = {
    INSIEN_RUN_DIR: dir, PORT: port, WS_PORT: port + 1, AUTH_IPC: `ipc://${dir}/auth-1.sock`,
    SANDBOX_IPC: `ipc://${runDir}/sandbox-1.sock`, HOST_PORT_RANGE: 'none',
  };
  const children = await Promise.all(['auth', 'gateway'].map(async (service) => {
    const program = await programOf(service);
    const settings = Object.entries({ ...settingsToStart(service), ...own, ...change }).filter(([, value]) => value !== undefined);
    return startProgram(program, Object.fromEntries(settings));
  }));
  t.after(() => {
    children.forEach((child) => child.kill());
    rmSync(dir, { recursive: true });
  });
  const base = `http://127.0.0.1:${port}`;
  await until('the second gateway serves the key', async () => {
    const reply = await call('GET', '/sandbox?limit=1', { base }).catch(() => null);
    return reply?.status === 200;
  }, 10_000);
  return base;
}

// For change: nothing of what makes people sign in.
export const noSignIn = Object.fromEntries([
  'PUBLISHABLE_KEY', 'SECRET_KEY', 'SECRET_KEY_FILE', 'JWKS_URL', 'JWT_KEY', 'JWT_KEY_FILE', 'ISSUER',
  'AUTHORIZED_PARTIES', 'API_URL', 'WEBHOOK_SIGNING_SECRET', 'WEBHOOK_SIGNING_SECRET_FILE',
].map((name) => [`CLERK_${name}`, undefined]).concat(['ISSUER', 'JWKS_URL', 'AUDIENCE'].map((name) => [`AUTH_${name}`, undefined])));
