// One command after the other, from the request to its answer.
import { spawnSync } from 'node:child_process';
import { createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { openClient } from '../support/websocket.mjs';
import { inMs, quantile, spread, timed } from './statistics.mjs';

const COUNT = 2000;
const WARM_UP = 100;

async function times(action) {
  const all = [];
  for (let i = 0; i < WARM_UP + COUNT; i += 1) {
    const [ms] = await timed(action);
    all.push(ms);
  }
  return all.slice(WARM_UP);
}

export async function measure() {
  const { sandboxId } = await createSandbox({ template: 'base' });
  const socket = await openClient(sandboxId);
  const webSocket = await times(() => socket.request({ type: 'exec', cmd: '/bin/true' }));
  const rest = await times(() => exec(sandboxId, '/bin/true'));
  const [onHost] = await timed(() => spawnSync('bash', ['-c', `for ((i = 0; i < ${COUNT}; i++)); do /bin/true; done`]));
  await socket.close();
  await destroySandbox(sandboxId);
  return [
    { what: 'a shell on the host runs /bin/true (floor)', measured: `mean ${inMs(onHost / COUNT)}` },
    { what: 'exec /bin/true over an open WebSocket', measured: spread(webSocket), goal: 'p50 ≤ 1.5 ms, p99 ≤ 10 ms' },
    { what: 'POST …/exec /bin/true', measured: spread(rest), goal: 'p50 ≤ 2 ms' },
    { what: '  slowest one in a thousand', measured: `${quantile(rest, 0.999).toFixed(1)} ms` },
  ];
}
