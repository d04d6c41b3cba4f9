// A gateway of our own beside the one of the deployment, on the same services and stores, for what
// must not happen to everybody: other limits, and its end.
import { mkdtempSync, mkdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { call } from './api.mjs';
import { apiUrl, programOf, run, runDir, settingsToStart, startProgram, until } from './stack.mjs';

const BESIDE = 93; // its port, from that of the deployment

// Resolves to {port, stop} once it serves; stop(signal) resolves to the exit code.
// settings.PORT_STEP: for a second one at the same time, how far its ports are from those of the first.
export async function gatewayBeside(t, { PORT_STEP: step = 0, ...settings }) {
  const dir = mkdtempSync(path.join(tmpdir(), 'insien-gateway-'));
  const port = Number(new URL(apiUrl).port) + BESIDE + step;
  ['agents', 'locks'].forEach((folder) => mkdirSync(path.join(dir, folder)));
  await run('chown', ['-R', 'insien:', dir]);
  const program = await programOf('gateway');
  const own = {
    INSIEN_RUN_DIR: dir, PORT: port, WS_PORT: port + 1, HOST_PORT_RANGE: 'none',
    AUTH_IPC: `ipc://${runDir}/auth-1.sock`, SANDBOX_IPC: `ipc://${runDir}/sandbox-1.sock`,
  };
  const child = startProgram(program, { ...settingsToStart('gateway'), ...own, ...settings });
  const exited = new Promise((resolve) => child.on('exit', (code) => resolve(code)));
  const stop = (signal) => {
    child.kill(signal);
    return exited;
  };
  t.after(async () => {
    await stop('SIGKILL');
    rmSync(dir, { recursive: true });
  });
  await until('the second gateway serves', async () => {
    const reply = await call('GET', '/sandbox?limit=1', { base: `http://127.0.0.1:${port}`, agent: false }).catch(() => null);
    return reply?.status === 200;
  }, 10_000);
  return { port, stop };
}
