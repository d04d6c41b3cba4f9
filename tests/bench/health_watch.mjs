// A thread of its own that asks GET /health again and again, until it is told to stop: then it posts
// how many milliseconds each answer took. On its own so that nothing but the gateway is measured.
import http from 'node:http';
import { parentPort, workerData } from 'node:worker_threads';

const GAP_MS = 5;
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const times = [];
let over = false;
parentPort.once('message', () => { over = true; });

const ask = () => new Promise((resolve, reject) => {
  http.get(new URL('/health', workerData), { agent }, (reply) => reply.resume().on('end', resolve)).on('error', reject);
});
parentPort.postMessage('ready');
while (!over) {
  const began = performance.now();
  await ask();
  times.push(performance.now() - began);
  await new Promise((resolve) => setTimeout(resolve, GAP_MS));
}
agent.destroy();
parentPort.postMessage(times);
