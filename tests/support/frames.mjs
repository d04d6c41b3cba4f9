// WebSocket frames byte for byte (RFC 6455): ours may be wrong in every way, theirs must be right.
import assert from 'node:assert/strict';

export const TEXT = 1;
export const BINARY = 2;
export const CLOSE = 8;
export const PING = 9;
export const PONG = 10;

const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

// coding: how the length is written, 7, 16 or 64 bits; the shortest way if not given. length: what
// is said instead of the truth.
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = MASK, coding, length } = {}) {
  const bytes = Buffer.isBuffer(payload) ? payload : Buffer.from(payload);
  const said = BigInt(length ?? bytes.length);
  const bits = coding ?? (said < 126n ? 7 : said < 65536n ? 16 : 64);
  const head = Buffer.alloc({ 7: 2, 16: 4, 64: 10 }[bits]);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (mask === null ? 0 : 0x80) | { 7: Number(said & 127n), 16: 126, 64: 127 }[bits];
  if (bits === 16) {
    head.writeUInt16BE(Number(said), 2);
  } else if (bits === 64) {
    head.writeBigUInt64BE(said, 2);
  }
  const masked = mask === null ? bytes : Buffer.from(bytes.map((byte, i) => byte ^ mask[i % 4]));
  return Buffer.concat([head, mask ?? Buffer.alloc(0), masked]);
}

export function closeFrame(code, reason = '', options) {
  const bytes = Buffer.isBuffer(reason) ? reason : Buffer.from(reason);
  return frame(CLOSE, Buffer.concat([Buffer.from([code >> 8, code & 255]), bytes]), options);
}

// null when there is not enough of the header yet.
function readLength(bytes) {
  const said = bytes[1];
  if (bytes.length < ({ 126: 4, 127: 10 }[said] ?? 2)) {
    return null;
  }
  assert.equal(said & 0x80, 0, 'a server masks nothing');
  if (said < 126) {
    return { start: 2, length: said };
  }
  const [start, length] = said === 126 ? [4, bytes.readUInt16BE(2)] : [10, Number(bytes.readBigUInt64BE(2))];
  assert.ok(length >= (said === 126 ? 126 : 65536), 'a length is written in the shortest way');
  return { start, length };
}

// The whole frames in bytes: {text}, {binary}, {ping}, {pong}, {close, reason}; rest says how many
// bytes are left.
export function readFrames(bytes) {
  const names = { [TEXT]: 'text', [BINARY]: 'binary', [PING]: 'ping', [PONG]: 'pong' };
  const frames = [];
  let left = bytes;
  for (;;) {
    const said = readLength(left);
    if (said === null || left.length < said.start + said.length) {
      return { frames, rest: left.length };
    }
    const { start, length } = said;
    assert.equal(left[0] & 0xf0, 0x80, 'a server sends whole messages, without reserved bits');
    const opcode = left[0] & 15;
    const payload = left.subarray(start, start + length);
    left = left.subarray(start + length);
    if (opcode === CLOSE) {
      frames.push({ close: payload.length === 0 ? null : payload.readUInt16BE(0), reason: payload.subarray(2).toString() });
    } else {
      assert.ok(names[opcode], `a known opcode: ${opcode}`);
      frames.push({ [names[opcode]]: opcode === BINARY ? payload.toString('hex') : payload.toString() });
    }
  }
}
