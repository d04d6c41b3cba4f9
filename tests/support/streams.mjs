// The streams of a client's WebSocket, as common/contracts/stream.h has them. Strict: whatever the
// other side may not send is a breach, and a breach is not forgiven. Bytes are granted anew when
// the test takes them, so a test that does not read holds the other side back.

export const WINDOW = 256 * 1024;
const GRANT_FROM = WINDOW / 4;
const PAYLOAD_MAX = 64 * 1024;
const HEADER_SIZE = 8;
const CREDIT_MAX = 64 * 1024 * 1024;
const NEXT_MS = 30_000;

const DATA = 0;
const WINDOW_FRAME = 3;
const FIN = 4;
const RESET = 5;
const byteKinds = ['data', 'stdout', 'stderr'];

// What a stream of this request ends with; 'fins': each side says that it has no more.
const ends = {
  exec: 'exit', attach: 'exit', upload: 'answer', download: 'fin', watch: 'reset', dial: 'fins',
};

function frame(id, kind, payload = Buffer.alloc(0)) {
  const header = Buffer.alloc(HEADER_SIZE);
  header.writeUInt32BE(id, 0);
  header[4] = kind;
  return Buffer.concat([header, payload]);
}

export class Stream {
  #table;
  #end;
  #mayGet = WINDOW;
  #taken = 0;
  #maySend = WINDOW;
  #events = [];
  #waiting = null; // {resolve, reject, timer} of next()
  #creditWaiters = [];
  #answered = false;
  #sentFin = false;
  #gotFin = false;
  #begun = new Set(); // kinds of which something came
  #failure = null;
  id;
  offsets = {}; // of each kind, as received so far
  ended = false;

  constructor(table, id, end) {
    this.#table = table;
    this.#end = end;
    this.id = id;
  }

  // The next thing that came: {kind: 'stdout', bytes, offset}, {kind: 'gap' | 'exit' | 'watchEvent',
  // message}, {kind: 'fin'}, {kind: 'reset', code}; null when the stream has ended and all of it was
  // taken.
  async next(timeoutMs = NEXT_MS) {
    if (this.#events.length === 0 && !this.ended) {
      await new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          this.#waiting = null;
          reject(new Error(`nothing on stream ${this.id} in ${timeoutMs} ms`));
        }, timeoutMs);
        this.#waiting = { resolve, reject, timer };
      });
    }
    const event = this.#events.shift();
    if (event === undefined) {
      if (this.#failure !== null) {
        throw this.#failure;
      }
      return null;
    }
    if (event.bytes !== undefined) {
      this.#grant(event.bytes.length);
    }
    return event;
  }

  async* [Symbol.asyncIterator]() {
    for (let event = await this.next(); event !== null; event = await this.next()) {
      yield event;
    }
  }

  // Everything up to the end: {data, stdout, stderr, gaps, exit, code}; code: that of a reset.
  async collect(timeoutMs = NEXT_MS) {
    const pieces = { data: [], stdout: [], stderr: [] };
    const rest = { gaps: [] };
    for (let event = await this.next(timeoutMs); event !== null; event = await this.next(timeoutMs)) {
      if (event.bytes !== undefined) {
        pieces[event.kind].push(event.bytes);
      } else if (event.kind === 'gap') {
        rest.gaps.push(event.message);
      } else if (event.kind === 'exit') {
        rest.exit = event.message;
      } else if (event.kind === 'reset') {
        rest.code = event.code;
      }
    }
    return { ...Object.fromEntries(byteKinds.map((kind) => [kind, Buffer.concat(pieces[kind])])), ...rest };
  }

  // Takes what comes until the bytes of a kind hold the text; resolves to all of that kind until
  // then.
  async until(text, { kind = 'stdout', timeoutMs = NEXT_MS } = {}) {
    let got = Buffer.alloc(0);
    while (!got.includes(text)) {
      const event = await this.next(timeoutMs);
      if (event === null) {
        throw new Error(`stream ${this.id} ended before ${JSON.stringify(text)}, after: ${got}`);
      }
      got = event.kind === kind ? Buffer.concat([got, event.bytes]) : got;
    }
    return got;
  }

  // Resolves once all of it is sent, within the credit.
  async write(data) {
    let rest = Buffer.from(data);
    while (rest.length > 0) {
      await this.#credit();
      const length = Math.min(rest.length, this.#maySend, PAYLOAD_MAX);
      this.#maySend -= length;
      this.#table.send(frame(this.id, DATA, rest.subarray(0, length)));
      rest = rest.subarray(length);
      await this.#table.drained();
    }
  }

  get credit() {
    return this.#maySend;
  }

  fin() {
    this.#sentFin = true;
    this.#table.send(frame(this.id, FIN));
    this.#closeAfterFins();
  }

  // Leaves; what still comes is dropped.
  reset(code = '') {
    this.#table.send(frame(this.id, RESET, Buffer.from(code)));
    this.#events = [];
    this.#close();
  }

  async #credit() {
    while (this.#maySend === 0 && !this.ended) {
      await new Promise((resolve) => { this.#creditWaiters.push(resolve); });
    }
    if (this.ended) {
      throw this.#failure ?? new Error(`stream ${this.id} has ended`);
    }
  }

  // Lets so many bytes more come than were taken.
  grantAhead(bytes) {
    this.#grant(bytes);
  }

  #grant(length) {
    this.#taken += length;
    if (this.#taken >= GRANT_FROM && !this.ended && !this.#gotFin) {
      const payload = Buffer.alloc(4);
      payload.writeUInt32BE(this.#taken, 0);
      this.#mayGet += this.#taken;
      this.#taken = 0;
      this.#table.send(frame(this.id, WINDOW_FRAME, payload));
    }
  }

  #push(event) {
    this.#events.push(event);
    this.#wake();
  }

  #wake() {
    if (this.#waiting !== null) {
      clearTimeout(this.#waiting.timer);
      this.#waiting.resolve();
      this.#waiting = null;
    }
  }

  #close(failure = null) {
    this.ended = true;
    this.#failure = failure;
    this.#table.forget(this.id);
    this.#wake();
    this.#creditWaiters.splice(0).forEach((resolve) => resolve());
  }

  #closeAfterFins() {
    if (this.#end === 'fins' && this.#sentFin && this.#gotFin) {
      this.#close();
    }
  }

  // The rest is for the table.

  onAnswer(answer) {
    this.#answered = true;
    if (answer.type === 'error' || this.#end === 'answer') {
      this.#close();
      return;
    }
    for (const [kind, offset] of Object.entries(answer.offsets ?? {})) {
      this.offsets[kind] ??= offset;
    }
  }

  onBytes(kind, bytes) {
    if (bytes.length > this.#mayGet) {
      throw new Error(`stream ${this.id}: ${bytes.length} bytes with a credit of ${this.#mayGet}`);
    }
    if (this.#gotFin || !this.#answered) {
      throw new Error(`stream ${this.id}: bytes ${this.#gotFin ? 'behind fin' : 'before the answer'}`);
    }
    this.#begun.add(kind);
    this.#mayGet -= bytes.length;
    const offset = this.offsets[kind] ?? 0;
    this.offsets[kind] = offset + bytes.length;
    this.#push({ kind, bytes, offset });
  }

  onWindow(bytes) {
    if (bytes === 0 || this.#maySend + bytes > CREDIT_MAX) {
      throw new Error(`stream ${this.id}: a window of ${bytes} on a credit of ${this.#maySend}`);
    }
    this.#maySend += bytes;
    this.#creditWaiters.splice(0).forEach((resolve) => resolve());
  }

  onFin() {
    if (this.#gotFin || this.#end === 'exit') {
      throw new Error(`stream ${this.id}: a fin that does not belong there`);
    }
    this.#gotFin = true;
    this.#push({ kind: 'fin' });
    if (this.#end === 'fin') {
      this.#close();
    }
    this.#closeAfterFins();
  }

  onReset(code) {
    this.#push({ kind: 'reset', code });
    this.#close();
  }

  onText(message) {
    if (message.type === 'gap') {
      const { kind, from, to } = message;
      const at = this.offsets[kind] ?? 0;
      // The answer to attach tells where the bytes begin now: behind a first gap.
      if (to <= from || (from !== at && (to !== at || this.#begun.has(kind)))) {
        throw new Error(`stream ${this.id}: a gap from ${from} to ${to} at ${at}`);
      }
      this.#begun.add(kind);
      this.offsets[kind] = to;
    }
    this.#push({ kind: message.type, message });
    if (message.type === 'exit') {
      this.#close();
    }
  }

  fail(error) {
    this.#close(error);
  }
}

// The open streams of one socket.
export class StreamTable {
  #open = new Map();
  #left = new Set(); // was closed by us, or ended: what was under way may still come
  #lastId = 0;
  #socket;

  constructor(socket) {
    this.#socket = socket;
  }

  send(bytes) {
    this.#socket.send(bytes);
  }

  // So that a large upload does not pile up in this process.
  async drained() {
    while (this.#socket.bufferedAmount > WINDOW && this.#socket.readyState === this.#socket.OPEN) {
      await new Promise((resolve) => { setTimeout(resolve, 1); });
    }
  }

  // A stream for this request, which goes out with the stream's id.
  begin(message) {
    const id = message.streamId ?? ++this.#lastId;
    const stream = new Stream(this, id, ends[message.type]);
    this.#left.delete(id);
    this.#open.set(id, stream);
    return stream;
  }

  forget(id) {
    if (this.#open.delete(id)) {
      this.#left.add(id);
    }
  }

  // Throws on a breach.
  onFrame(bytes) {
    if (bytes.length < HEADER_SIZE || bytes.readUIntBE(5, 3) !== 0) {
      throw new Error('a binary message is no frame');
    }
    const id = bytes.readUInt32BE(0);
    const kind = bytes[4];
    const payload = bytes.subarray(HEADER_SIZE);
    const stream = this.#open.get(id);
    if (stream === undefined) {
      if (!this.#left.has(id)) {
        throw new Error(`a frame of stream ${id}, which nobody opened`);
      }
    } else if (kind < byteKinds.length) {
      stream.onBytes(byteKinds[kind], payload);
    } else if (kind === WINDOW_FRAME && payload.length === 4) {
      stream.onWindow(payload.readUInt32BE(0));
    } else if (kind === FIN && payload.length === 0) {
      stream.onFin();
    } else if (kind === RESET) {
      stream.onReset(payload.toString());
    } else {
      throw new Error(`a frame of kind ${kind} with ${payload.length} bytes`);
    }
  }

  // Whether the message belonged to a stream. Throws on a breach.
  onText(message) {
    if (!['exit', 'gap', 'watchEvent'].includes(message.type)) {
      return false;
    }
    const stream = this.#open.get(message.streamId);
    stream?.onText(message);
    return stream !== undefined || this.#left.has(message.streamId);
  }

  onClose(error) {
    this.#open.forEach((stream) => stream.fail(error));
  }
}
