// Bodies that are too large to hold, or that come in pieces: requests that stream both ways.
import { createHash } from 'node:crypto';
import { agents, request as requestOf } from './connections.mjs';
import { checkAnswer, checkEvent } from './openapi.mjs';
import { apiKey, apiUrl } from './stack.mjs';

const keepAlive = agents(128);
const PIECE = 64 * 1024;

// Bytes that do not repeat early, so that a piece that is lost, doubled or moved shows.
export function* pattern(size) {
  const piece = Buffer.alloc(PIECE);
  for (let at = 0; at < size; at += PIECE) {
    for (let i = 0; i < PIECE; i += 4) {
      piece.writeUInt32BE((Math.imul(at + i, 2654435761) >>> 0), i);
    }
    yield Buffer.from(piece.subarray(0, Math.min(PIECE, size - at)));
  }
}

export const hashOf = (pieces) => {
  const hash = createHash('sha256');
  for (const piece of pieces) {
    hash.update(piece);
  }
  return hash.digest('hex');
};

function begin(method, url, { key = apiKey, headers = {}, base = apiUrl, agent } = {}) {
  const sent = { ...(key === null ? {} : { 'X-API-Key': key }), ...headers };
  const target = new URL(url, base);
  return requestOf(target, { method, headers: sent, agent: agent ?? keepAlive[target.protocol] });
}

const headOf = (request) => new Promise((resolve, reject) => {
  request.on('response', resolve);
  request.on('error', reject);
});

// What a program behind a preview answers is not ours to describe.
const isPreview = (url, options) => options?.headers?.Host !== undefined || url.startsWith('/preview/');

// text: undefined while the body is still to come.
function check(method, url, options, reply, text) {
  const { statusCode: status, headers } = reply;
  const isJson = headers['content-type']?.startsWith('application/json');
  if (!isPreview(url, options) && !(isJson && text === undefined)) {
    checkAnswer(method, url, { status, headers, text: text ?? '(to come)', json: isJson && text !== '' ? JSON.parse(text) : undefined });
  }
}

// Resolves to the answer as node has it: a stream of bytes, with statusCode and headers.
export async function open(method, url, options = {}) {
  const request = begin(method, url, options);
  request.end(options.body);
  const reply = await headOf(request);
  check(method, url, options, reply);
  return reply;
}

export async function bytesOf(reply) {
  const pieces = [];
  for await (const piece of reply) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

export async function get(url, options) {
  const reply = await open('GET', url, options);
  return { status: reply.statusCode, headers: reply.headers, bytes: await bytesOf(reply) };
}

// Reads all and keeps nothing: resolves to {status, size, hash}.
export async function digest(url, options) {
  const reply = await open('GET', url, options);
  const hash = createHash('sha256');
  let size = 0;
  for await (const piece of reply) {
    hash.update(piece);
    size += piece.length;
  }
  return { status: reply.statusCode, size, hash: hash.digest('hex') };
}

// Sends an iterable of buffers, chunked unless options.headers says Content-Length.
export async function send(method, url, pieces, options = {}) {
  const request = begin(method, url, options);
  const head = headOf(request);
  head.catch(() => {}); // told below
  for (const piece of pieces) {
    if (request.destroyed || request.errored) {
      break;
    }
    if (!request.write(piece)) {
      await Promise.race([new Promise((resolve) => { request.once('drain', resolve); }), head]);
    }
  }
  request.end();
  const reply = await head;
  const text = (await bytesOf(reply)).toString();
  check(method, url, options, reply, text);
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: reply.statusCode, headers: reply.headers, text, json };
}

// The lines of an NDJSON answer, or the events of an SSE one, as they come.
export async function* eventsOf(reply) {
  const isSse = reply.headers['content-type'].startsWith('text/event-stream');
  const separator = isSse ? '\n\n' : '\n';
  let text = '';
  for await (const piece of reply.setEncoding('utf8')) {
    text += piece;
    let end;
    while ((end = text.indexOf(separator)) >= 0) {
      const block = text.slice(0, end);
      text = text.slice(end + separator.length);
      const event = isSse ? sseEvent(block) : JSON.parse(block);
      if (event !== null) {
        checkEvent(event);
        yield event;
      }
    }
  }
}

// A comment (": ping") is no event.
function sseEvent(block) {
  const fields = Object.fromEntries(block.split('\n').filter((line) => !line.startsWith(':'))
    .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]));
  return fields.data === undefined ? null : { type: fields.event, lastEventId: fields.id, ...JSON.parse(fields.data) };
}
