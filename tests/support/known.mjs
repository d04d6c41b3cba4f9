// Choices and bytes that follow from a seed, so that whatever comes back can be checked byte by
// byte and a run that failed can be had again.
import assert from 'node:assert/strict';
import { createCipheriv, createHash } from 'node:crypto';

const LINE = 11; // ten digits and a newline
const FIRST = 1_000_000_000;

// The same choices for the same seed.
export class Random {
  #seed;
  #drawn = 0;

  constructor(seed) {
    this.#seed = seed;
  }

  #digest() {
    this.#drawn += 1;
    return createHash('sha256').update(`${this.#seed}/${this.#drawn}`).digest();
  }

  // At least low, less than high.
  between(low, high) {
    return low + (this.#digest().readUIntBE(0, 6) % (high - low));
  }

  chance(part) {
    return this.between(0, 1_000_000) < part * 1_000_000;
  }

  pick(list) {
    return list[this.between(0, list.length)];
  }

  // Small ones and large ones alike: as often of two digits as of six.
  size(most) {
    return Math.floor(2 ** (Math.log2(most) * (this.between(0, 1_000_000) / 1_000_000)));
  }

  bytes(size) {
    const key = this.#digest().subarray(0, 16);
    return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(size));
  }
}

// What `seq first last` prints: lines of one length, so that the bytes at any offset are known.
export class Numbers {
  first;
  size;

  constructor(random, size) {
    this.count = Math.max(1, Math.ceil(size / LINE));
    this.first = random.between(FIRST, 9 * FIRST);
    this.size = this.count * LINE;
  }

  get command() {
    return `seq ${this.first} ${this.first + this.count - 1}`;
  }

  slice(from, to) {
    let text = '';
    for (let line = Math.floor(from / LINE); line * LINE < to; line += 1) {
      text += `${this.first + line}\n`;
    }
    const before = from - Math.floor(from / LINE) * LINE;
    return Buffer.from(text).subarray(before, before + to - from);
  }
}

// Takes the bytes of one kind as they come and holds them against what they must be.
export class Account {
  #known;
  #mayMiss;
  at = 0; // so far
  missed = 0; // of them told as gaps

  constructor(known, { mayMiss = false } = {}) {
    this.#known = known;
    this.#mayMiss = mayMiss;
  }

  take(bytes, offset) {
    assert.equal(offset, this.at, 'what comes continues what came');
    const expected = this.#known.slice(offset, offset + bytes.length);
    assert.ok(expected.equals(bytes), `the ${bytes.length} bytes at ${offset} of '${this.#known.command}'`);
    this.at += bytes.length;
  }

  gap({ from, to }) {
    assert.ok(this.#mayMiss, `a gap from ${from} to ${to}, and the spool holds all`);
    assert.equal(from, this.at, 'a gap begins where the bytes ended');
    this.missed += to - from;
    this.at = to;
  }

  get isWhole() {
    return this.at === this.#known.size;
  }

  mustBeWhole() {
    assert.equal(this.at, this.#known.size, `all of '${this.#known.command}'`);
  }
}
