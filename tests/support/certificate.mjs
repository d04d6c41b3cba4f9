// Certificates that sign themselves, as files that the gateway reads.
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { run } from './stack.mjs';

// A folder with pairs, and the pair that is in use.
export class Certificates {
  #folder = mkdtempSync(path.join(os.tmpdir(), 'certificates-'));

  constructor() {
    chmodSync(this.#folder, 0o755);
  }

  path(name) {
    return path.join(this.#folder, name);
  }

  get settings() {
    return { TLS_CERT_FILE: this.path('used.pem'), TLS_KEY_FILE: this.path('used.key') };
  }

  // Makes a pair; resolves to its certificate. names: such as "IP:127.0.0.1,DNS:*.example.com".
  async make(name, names) {
    const { code, stderr } = await run('openssl', [
      'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-addext', `subjectAltName=${names}`,
      '-keyout', this.path(`${name}.key`), '-out', this.path(`${name}.pem`),
    ]);
    if (code !== 0) {
      throw new Error(stderr);
    }
    chmodSync(this.path(`${name}.key`), 0o644); // the gateway's user reads it
    return readFileSync(this.path(`${name}.pem`), 'utf8');
  }

  // Puts files into use. The gateway does not know yet.
  use(certificate, key = certificate.replace('.pem', '.key')) {
    for (const [from, to] of [[certificate, 'used.pem'], [key, 'used.key']]) {
      copyFileSync(this.path(from), this.path('new'));
      renameSync(this.path('new'), this.path(to));
    }
  }

  remove() {
    rmSync(this.#folder, { recursive: true });
  }
}
