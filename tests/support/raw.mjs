// TCP connections that carry exactly the bytes they are told, in exactly the writes they are told,
// and what comes back.
import assert from 'node:assert/strict';
import net from 'node:net';
import { apiUrl } from './stack.mjs';

const AT_ONCE = 64; // connections
const END_MS = 10_000;
const WHOLE_UP_TO = 1024; // what is longer is cut at CUTS_OF_LONG places
const CUTS_OF_LONG = 24;

const api = new URL(apiUrl);
export const host = api.host;

export class RawSocket {
  #socket;
  #chunks = [];
  #look = () => {};
  state = 'open'; // 'ended' when the other side ended it, 'reset' when it broke it before
  isBroken = false; // at any time

  // options: another port, or an address to come from.
  static open(options = {}) {
    return new Promise((resolve, reject) => {
      const socket = net.connect({
        host: api.hostname, port: api.port, noDelay: true, allowHalfOpen: true, ...options,
      });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new RawSocket(socket));
      });
    });
  }

  constructor(socket) {
    this.#socket = socket;
    socket.on('data', (chunk) => {
      this.#chunks.push(chunk);
      this.#look();
    });
    socket.on('end', () => this.#over('ended'));
    socket.on('error', () => {
      this.isBroken = true;
      this.#over('reset');
    });
  }

  #over(state) {
    this.state = this.state === 'open' ? state : this.state;
    this.#look();
  }

  get received() {
    return Buffer.concat(this.#chunks);
  }

  forget() {
    this.#chunks = [];
  }

  // Resolves when the kernel has it all; what a broken connection does not take is dropped.
  write(bytes) {
    return new Promise((resolve) => this.#socket.write(bytes, () => resolve()));
  }

  // Resolves when the condition holds or the other side is through.
  async when(condition, timeoutMs = END_MS) {
    if (this.state !== 'open' || condition(this)) {
      return;
    }
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        reject(new Error(`still open after ${timeoutMs} ms, with ${this.received.toString('latin1')}`));
      }, timeoutMs);
      this.#look = () => {
        if (this.state !== 'open' || condition(this)) {
          clearTimeout(timer);
          this.#look = () => {};
          resolve();
        }
      };
    }).finally(() => { this.#look = () => {}; });
  }

  whenOver(timeoutMs) {
    return this.when(() => false, timeoutMs);
  }

  // Ends our side; the other one may still send.
  end() {
    this.#socket.end();
  }

  // Takes nothing any more, until it resumes.
  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  destroy() {
    this.#socket.destroy();
  }
}

// The server reads what came first first: once it has answered here twice (it accepts a connection
// in one turn of its loop and reads from it in a later one), it has read all that was sent before.
class Fence {
  #socket;
  #passed = 0;

  static async open() {
    const fence = new Fence();
    fence.#socket = await RawSocket.open();
    return fence;
  }

  async pass() {
    for (let i = 0; i < 2; i += 1) {
      this.#passed += 1;
      const mark = `x-request-id: fence-${this.#passed}\r\n`;
      await this.#socket.write(`GET /nothing HTTP/1.1\r\nHost: ${host}\r\n${mark}\r\n`);
      await this.#socket.when(({ received }) => received.toString('latin1').toLowerCase().includes(mark));
      assert.equal(this.#socket.state, 'open');
      this.#socket.forget();
    }
  }

  close() {
    this.#socket.destroy();
  }
}

async function converseOnce(talks, fence, { greet, timeoutMs, onData }) {
  const sockets = await Promise.all(talks.map(async () => {
    const socket = await RawSocket.open();
    await greet?.(socket);
    return socket;
  }));
  const steps = Math.max(...talks.map((pieces) => pieces.length));
  for (let step = 0; step < steps; step += 1) {
    await Promise.all(sockets.map((socket, i) => (step < talks[i].length ? socket.write(talks[i][step]) : undefined)));
    if (step + 1 < steps) {
      await fence.pass();
    }
  }
  await Promise.all(sockets.map(async (socket) => {
    if (onData !== undefined) {
      await socket.when(onData, timeoutMs);
      socket.end();
    }
    await socket.whenOver(timeoutMs);
  })).finally(() => sockets.forEach((socket) => socket.destroy()));
  return sockets.map((socket) => ({ bytes: socket.received, state: socket.state }));
}

// Each talk is a list of pieces: each is one write, and is read by the server before the next one
// is sent. Resolves to {bytes, state} of each, once the server has ended it.
// greet: what comes before, on each connection. onData: when true, our side ends.
export async function converse(talks, options = {}) {
  const fence = await Fence.open();
  const results = [];
  try {
    for (let at = 0; at < talks.length; at += AT_ONCE) {
      results.push(...await converseOnce(talks.slice(at, at + AT_ONCE), fence, options));
    }
  } finally {
    fence.close();
  }
  return results;
}

const bytesOf = (text) => (Buffer.isBuffer(text) ? text : Buffer.from(text, 'latin1'));

// Where to cut behind from: everywhere, or spread evenly.
function cutsOf(length, from) {
  const count = length - from <= WHOLE_UP_TO ? length - from - 1 : CUTS_OF_LONG;
  return Array.from({ length: count }, (_, i) => from + Math.round(((i + 1) * (length - from)) / (count + 1)));
}

// Sends message and tail in one write, and then again in two for every byte of the message where it
// can be cut (behind from, if there is one), and again in as many as it has bytes where single says
// so. All must be answered alike. check(case, {bytes, state}) looks at the answer to the first.
export async function sendInEveryWay(cases, { readable, check, single = () => false, ...options }) {
  const talks = [];
  for (const { name, message, tail = '', from = 0 } of cases) {
    const [head, behind] = [bytesOf(message), bytesOf(tail)];
    const all = Buffer.concat([head, behind]);
    talks.push({ name, pieces: [all] });
    for (const cut of cutsOf(head.length, from)) {
      talks.push({ name, pieces: [all.subarray(0, cut), all.subarray(cut)], how: `cut at ${cut}` });
    }
    if (single(name)) {
      const bytes = Array.from(head, (_, i) => head.subarray(i, i + 1));
      talks.push({ name, pieces: [...bytes, behind].filter(({ length }) => length > 0), how: 'byte by byte' });
    }
  }
  const results = await converse(talks.map(({ pieces }) => pieces), options);
  let whole;
  talks.forEach(({ name, how }, i) => {
    const answer = readable(results[i].bytes);
    if (how === undefined) {
      whole = answer;
      check(cases.find((each) => each.name === name), results[i]);
    }
    assert.deepEqual(answer, whole, `${name}, ${how}`);
  });
  return talks.length;
}

function readChunks(text, where) {
  let body = '';
  let at = 0;
  for (;;) {
    const end = text.indexOf('\r\n', at);
    const size = /^[0-9a-f]+$/.test(text.slice(at, end)) ? parseInt(text.slice(at, end), 16) : NaN;
    assert.ok(size >= 0, `a chunk size in ${where}`);
    body += text.slice(end + 2, end + 2 + size);
    at = end + 2 + size + 2;
    assert.equal(text.slice(at - 2, at), '\r\n', `the end of a chunk in ${where}`);
    if (size === 0) {
      return { body, length: at };
    }
  }
}

function readBody(headers, text, { status, isHead }) {
  const [length, coding] = [headers['content-length'], headers['transfer-encoding']];
  assert.ok(length === undefined || coding === undefined, 'an answer has a length or chunks, never both');
  if (status < 200 || status === 204 || status === 304) {
    assert.deepEqual([length, coding], [undefined, undefined], `${status} has no body`);
    return { body: '', length: 0 };
  }
  if (isHead) {
    return { body: '', length: 0 };
  }
  if (coding !== undefined) {
    assert.equal(coding, 'chunked');
    return readChunks(text, 'an answer');
  }
  assert.match(length ?? '', /^\d+$/, 'an answer says where it ends');
  assert.ok(text.length >= Number(length), 'the body is whole');
  return { body: text.slice(0, Number(length)), length: Number(length) };
}

// All the answers in bytes, which must be nothing else: {status, headers, body, json}.
// heads: which of them answer a HEAD.
export function readAnswers(bytes, heads = []) {
  let text = bytes.toString('latin1');
  const answers = [];
  while (text !== '') {
    const end = text.indexOf('\r\n\r\n');
    assert.notEqual(end, -1, `a whole head: ${text}`);
    const [first, ...lines] = text.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) [A-Z][\w -]*$/.exec(first)?.[1]);
    assert.ok(status >= 100, `a status line: ${first}`);
    const headers = {};
    for (const line of lines) {
      const [, name, value] = /^([\w-]+): ([^\r\n]*)$/.exec(line) ?? assert.fail(`a header: ${line}`);
      assert.equal(headers[name.toLowerCase()], undefined, `${name} once`);
      headers[name.toLowerCase()] = value;
    }
    const { body, length } = readBody(headers, text.slice(end + 4), { status, isHead: heads.includes(answers.length) });
    const isJson = headers['content-type']?.startsWith('application/json') && body !== '';
    answers.push({ status, headers, body, json: isJson ? JSON.parse(body) : undefined });
    text = text.slice(end + 4 + length);
  }
  return answers;
}

// The bytes without what differs between two answers to the same request.
export const comparable = (bytes) => bytes.toString('latin1')
  .replace(/^date: .*\r\n/gmi, '').replace(/^(x-request-id|traceparent): .*\r\n/gmi, '$1: *\r\n')
  .replace(/"requestId":"[\w-]+"/g, '"requestId":"*"');
