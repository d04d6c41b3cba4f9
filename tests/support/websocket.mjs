// A client's WebSocket: requests and answers by id, and everything else in the order it came.
import { createRequire } from 'node:module';
import { apiKey, wsUrl } from './stack.mjs';

const WebSocket = loadLibrary();

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
  messages = []; // those that answer no request of this socket
  closed; // a promise of {code, reason}

  constructor(socket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        this.#waiting.forEach(({ reject }) => reject(new Error(`closed: ${code} ${reason}`)));
        resolve({ code, reason: reason.toString() });
      });
    });
    socket.on('error', () => {}); // a close always follows
    socket.on('message', (data) => this.#onMessage(JSON.parse(data.toString())));
  }

  #onMessage(message) {
    const waiting = this.#waiting.get(message.id);
    if (waiting === undefined) {
      this.messages.push(message);
      this.#waiting.get(NEXT)?.resolve();
      return;
    }
    this.#waiting.delete(message.id);
    waiting.resolve(message);
  }

  #answerTo(id, timeoutMs) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${String(id)} in ${timeoutMs} ms`)), timeoutMs);
      const settle = (outcome) => (value) => {
        clearTimeout(timer);
        outcome(value);
      };
      this.#waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  // Sends a message, with an id if it has none; resolves to the answer with that id.
  request(message, timeoutMs = ANSWER_MS) {
    const id = message.id ?? `r${++this.#lastId}`;
    const answer = this.#answerTo(id, timeoutMs);
    this.#socket.send(JSON.stringify({ id, ...message }));
    return answer;
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

  close() {
    this.#socket.close();
    return this.closed;
  }
}

function connect(path, { key = apiKey, headers = {}, base = wsUrl } = {}) {
  const auth = key === null ? {} : { 'X-API-Key': key };
  return new WebSocket(new URL(path, base).href, {
    headers: { ...auth, ...headers }, handshakeTimeout: 10_000, perMessageDeflate: false,
  });
}

export function openClient(sandboxId, options) {
  const socket = connect(`/client/${sandboxId}`, options);
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
