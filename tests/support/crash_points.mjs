// Points of the sandbox-service at which it can be killed (common/base/crash_point.h): its program
// lists them, and a file names those at which it is to die, once at each.
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { call } from './api.mjs';
import { pidOf, programOf, run, runDir, until } from './stack.mjs';

const PATIENCE_MS = 60_000;
const SHORT_MS = 2000; // or it passes in the next round
const armed = path.join(runDir, 'crash-point');

export async function crashPoints() {
  const { stdout } = await run(await programOf('sandbox'), ['--crash-points']);
  return stdout.split('\n').filter((line) => /^[a-z_]+\.[a-z_]+$/.test(line)).sort();
}

// What is a service's word that it is not there just now, and not what becomes of the request.
const passing = ['idempotency_in_progress', 'service_unavailable', 'sandbox_unavailable', 'internal_error',
  'docker_unavailable', 'shutting_down', 'resume_failed', 'pause_failed', 'agent_unavailable'];
const isPassing = ({ status, json }) => [0, 500, 502, 503, 504].includes(status)
  ? json === undefined || passing.includes(json.code) : json?.code === passing[0];

// What becomes of a request that is repeated until it is told.
export function settled(method, url, options) {
  let last;
  return until(`${method} ${url} is decided`, async () => {
    last = await call(method, url, options).catch((error) => ({ status: 0, text: error.message }));
    return !isPassing(last) && last;
  }, PATIENCE_MS).catch((error) => assert.fail(`${error.message}: ${last.status} ${last.text}`));
}

const left = () => {
  try {
    return readFileSync(armed, 'utf8').split('\n').filter((line) => line !== '');
  } catch {
    return []; // all are passed
  }
};

// Runs acts until the service has died once at each of the points, since an act that a death breaks off
// may end before it comes to the next. It serves again behind that.
export async function dieAt(points, acts) {
  const pid = await pidOf('sandbox');
  writeFileSync(armed, points.map((point) => `${point}\n`).join(''));
  try {
    for (let times = 0; times <= points.length && left().length > 0; times += 1) {
      await acts();
      await until('what goes on behind the acts has passed', () => left().length === 0, SHORT_MS).catch(() => null);
    }
    assert.deepEqual(left(), [], 'all are passed');
  } finally {
    rmSync(armed, { force: true });
  }
  await until('the service is started again', async () => ![0, pid].includes(await pidOf('sandbox')), PATIENCE_MS);
}
