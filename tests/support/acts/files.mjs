// Files that go up and come down, over the socket and over REST, also by halves.
import assert from 'node:assert/strict';
import { get, open, send } from '../transfer.mjs';
import { ask, beginRequest, MIB, sha256 } from './common.mjs';

async function uploadOver(world, name, bytes) {
  const { stream, answer } = world.socket.open({ type: 'upload', path: `${world.folder}/${name}` });
  await stream.write(bytes);
  stream.fin();
  const reply = await answer;
  assert.deepEqual([reply.type, reply.size], ['uploadResponse', bytes.length], JSON.stringify(reply));
}

async function socketFiles(world) {
  const { random } = world;
  const bytes = random.bytes(random.size(4 * MIB));
  await uploadOver(world, 'kept', bytes);
  const half = world.socket.open({ type: 'upload', path: `${world.folder}/kept` });
  await half.stream.write(random.bytes(random.size(MIB)));
  half.stream.reset(); // and the file stays as it was
  const [from, to] = [random.between(0, bytes.length + 1), random.between(0, bytes.length + 1)].sort((a, b) => a - b);
  const { stream, answer } = world.socket.open({ type: 'download', path: `${world.folder}/kept`, offset: from, length: to - from });
  const reply = await answer;
  assert.deepEqual([reply.type, reply.size, reply.offset, reply.length], ['downloadResponse', bytes.length, from, to - from], JSON.stringify(reply));
  if (random.chance(0.2)) {
    stream.reset();
    return;
  }
  assert.equal(sha256((await stream.collect()).data), sha256(bytes.subarray(from, to)));
}

async function watch(world) {
  const { stream, answer } = world.socket.open({ type: 'watch', path: world.folder });
  assert.equal((await answer).type, 'watchResponse');
  const name = `seen-${world.random.between(0, 1e9)}`;
  await ask(world, { type: 'mkdir', path: `${world.folder}/${name}` });
  let event;
  do {
    ({ message: event } = await stream.next());
  } while (!(event.event === 'create' && event.path.endsWith(`/${name}`)));
  stream.reset();
  await ask(world, { type: 'remove', path: `${world.folder}/${name}`, recursive: true });
}

const fileUrl = (world, name) => `/sandbox/${world.id}/files?path=${encodeURIComponent(`${world.folder}/${name}`)}`;

async function restFiles(world) {
  const { random, agent } = world;
  const bytes = random.bytes(random.size(4 * MIB));
  const url = fileUrl(world, 'kept by rest');
  const reply = await send('PUT', url, [bytes], { agent });
  assert.ok([200, 201].includes(reply.status), reply.text);
  const half = beginRequest(world, 'PUT', url, { 'Content-Length': 8 * MIB });
  await new Promise((resolve) => { half.on('close', resolve).write(random.bytes(random.size(MIB)), resolve); });
  half.destroy();
  const from = random.between(0, bytes.length);
  const got = await get(url, { agent, headers: { Range: `bytes=${from}-` } });
  assert.equal(got.status, bytes.length > 0 ? 206 : 416);
  assert.equal(sha256(got.bytes), sha256(bytes.subarray(from)));
  const abandoned = await open('GET', url, { agent });
  abandoned.on('error', () => {});
  abandoned.destroy();
}

export const files = { socketFiles, restFiles, watch };
