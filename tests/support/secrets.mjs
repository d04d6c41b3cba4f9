// Every secret that a test makes or sends, kept in a file, so that the last test can look for them
// where none may be.
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { stateDir } from './stack.mjs';

export const secretsFile = path.join(stateDir, 'test-secrets');
const LENGTH_MIN = 20; // what is shorter, or has hardly any variety, is no secret and may well stand in a log
const VARIETY_MIN = 8;
const SENT_IN = /^(x-api-key|x-preview-token|authorization|cookie)$/i;
const NAMED = /^(key|token|secret|signature)$/;

const known = new Set();

// The part that nobody can guess: of a key what follows its prefix, of a token its signature.
function essence(text) {
  const hex = /^(?:isk|e2b)_([0-9a-f]{64})$/.exec(text);
  return hex ? hex[1] : text.slice(text.lastIndexOf('.') + 1);
}

export function rememberSecret(text) {
  const secret = essence(text);
  if (secret.length >= LENGTH_MIN && new Set(secret).size >= VARIETY_MIN && !known.has(secret) && !/\s/.test(secret)) {
    known.add(secret);
    appendFileSync(secretsFile, `${secret}\n`, { mode: 0o600 });
  }
}

// What came with a request: "Bearer x", "x", "name=x; name=y".
export function rememberSent(headers) {
  Object.entries(headers).filter(([name]) => SENT_IN.test(name))
    .forEach(([, value]) => String(value).split(/[ ;=]+/).forEach(rememberSecret));
}

// What an answer gave: members of those names, and signatures in addresses.
export function rememberGiven(value) {
  if (typeof value === 'string') {
    [...value.matchAll(/[?&](?:sig|token|apiKey)=([^&#"\s]+)/g)].forEach(([, secret]) => rememberSecret(secret));
  } else if (value !== null && typeof value === 'object') {
    for (const [name, member] of Object.entries(value)) {
      if (NAMED.test(name) && typeof member === 'string') {
        rememberSecret(member);
      }
      rememberGiven(member);
    }
  }
}

export const allSecrets = () => (existsSync(secretsFile)
  ? [...new Set(readFileSync(secretsFile, 'utf8').split('\n').filter((line) => line !== ''))] : []);
