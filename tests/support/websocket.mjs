// A client's WebSocket: requests and answers by id, streams, and everything else in the order it
// came.
import { createRequire } from 'node:module';
import { trusted } from './connections.mjs';
import { rememberGiven, rememberSent } from './secrets.mjs';
import { apiKey, wsUrl } from './stack.mjs';
import { StreamTable } from './streams.mjs';

export const WebSocket = loadLibrary();

// Debian's package node-ws lies where only Debian's own Node looks.
function loadLibrary() {
  const require = createRequire(import.meta.url);
  try {
    return require('ws');
  } catch {
    return require('/usr/share/nodejs/ws');
  }
}

const ANSWER_MS = 30_000;
const NEXT = Symbol('the next message'); // what next() waits for, among the ids

export class ClientSocket {
  #socket;
  #waiting = new Map();
  #lastId = 0;
  #streams;
  messages = []; // those that answer no request of this socket and belong to no stream
  closed; // a promise of {code, reason}

  constructor(socket) {
    this.#socket = socket;
    this.#streams = new StreamTable(socket);
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        const error = new Error(`closed: ${code} ${reason}`);
        this.#waiting.forEach(({ reject }) => reject(error));
        this.#streams.onClose(error);
        resolve({ code, reason: reason.toString() });
      });
    });
    socket.on('error', () => {}); // a close always follows
    socket.on('message', (data, isBinary) => {
      try {
        if (isBinary) {
          this.#streams.onFrame(data);
        } else {
          this.#onMessage(JSON.parse(data.toString()));
        }
      } catch (error) {
        this.#refuse(error);
      }
    });
  }

  // The other side broke the protocol: all that waits fails with the reason.
  #refuse(error) {
    this.#waiting.forEach(({ reject }) => reject(error));
    this.#streams.onClose(error);
    this.#socket.close(1002, error.message.slice(0, 100));
  }

  #onMessage(message) {
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined && this.#streams.onText(message)) {
      return;
    }
    if (waiting === undefined) {
      this.messages.push(message);
      this.#waiting.get(NEXT)?.resolve();
      return;
    }
    this.#waiting.delete(message.id);
    waiting.stream?.onAnswer(message);
    waiting.resolve(message);
  }

  #answerTo(id, timeoutMs, stream) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${String(id)} in ${timeoutMs} ms`)), timeoutMs);
      const settle = (outcome) => (value) => {
        clearTimeout(timer);
        outcome(value);
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject), stream });
    });
  }

  // Sends a message, with an id if it has none; resolves to the answer with that id.
  request(message, timeoutMs = ANSWER_MS) {
    const id = message.id ?? `r${++this.#lastId}`;
    const answer = this.#answerTo(id, timeoutMs);
    this.#socket.send(JSON.stringify({ id, ...message }));
    return answer;
  }

  // Sends a request that opens a stream. The answer is a promise: that of an upload comes at the end.
  open(message, timeoutMs = ANSWER_MS) {
    const id = message.id ?? `r${++this.#lastId}`;
    const stream = this.#streams.begin(message);
    const answer = this.#answerTo(id, timeoutMs, stream);
    answer.catch(() => {}); // who does not wait for it sees the stream end
    this.#socket.send(JSON.stringify({ id, ...message, streamId: stream.id }));
    return { stream, answer };
  }

  // The next message that answers no request, from now or from before.
  async next(timeoutMs = ANSWER_MS) {
    if (this.messages.length === 0) {
      await this.#answerTo(NEXT, timeoutMs).finally(() => this.#waiting.delete(NEXT));
    }
    return this.messages.shift();
  }

  send(text) {
    this.#socket.send(text);
  }

  // Reads nothing of what comes, so that it stays on its way.
  pause() {
    this.#socket.pause();
  }

  resume() {
    this.#socket.resume();
  }

  close() {
    this.#socket.close();
    return this.closed;
  }

  // Breaks the connection off, as a client that dies.
  terminate() {
    this.#socket.terminate();
    return this.closed;
  }
}

function connect(path, { key = apiKey, headers = {}, base = wsUrl, protocols = [] } = {}) {
  const auth = key === null ? {} : { 'X-API-Key': key };
  rememberSent({ ...auth, ...headers });
  rememberGiven(path);
  return new WebSocket(new URL(path, base).href, protocols, {
    headers: { ...auth, ...headers }, handshakeTimeout: 10_000, perMessageDeflate: false, ...trusted(),
  });
}

// options.query: what follows the path, such as "?session=...".
export function openClient(sandboxId, { query = '', ...options } = {}) {
  const socket = connect(`/client/${sandboxId}${query}`, options);
  const client = new ClientSocket(socket);
  return new Promise((resolve, reject) => {
    socket.on('open', () => resolve(client));
    socket.on('error', reject);
  });
}

// Resolves to the plain answer that refuses the upgrade.
export function refusal(path, options) {
  const socket = connect(path, options);
  return new Promise((resolve, reject) => {
    socket.on('open', () => {
      socket.terminate();
      reject(new Error(`${path} was accepted`));
    });
    socket.on('error', reject);
    socket.on('unexpected-response', (request, reply) => {
      const { socket: tcp } = reply;
      let text = '';
      reply.on('data', (chunk) => { text += chunk; });
      reply.on('end', () => {
        request.destroy();
        tcp.destroy(); // kept alive, it would hold up the end of the tests
        let json;
        try {
          json = JSON.parse(text);
        } catch {
          json = undefined;
        }
        resolve({ status: reply.statusCode, headers: reply.headers, text, json });
      });
    });
  });
}
