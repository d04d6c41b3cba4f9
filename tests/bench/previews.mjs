// The preview proxy beside nginx, both in front of the same server in a sandbox, by turns. Both tell
// the server the same of the request: each header costs it time, and it is busy most of the time.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { apiUrl, docker, until } from '../support/stack.mjs';
import { median } from './statistics.mjs';

const SECONDS = 3;
const ROUNDS = 5;
const CONNECTIONS = 32;
const NGINX_PORT = 4480;
const PROGRAM = `
const http = require('http');
http.createServer((request, reply) => reply.end('x'.repeat(1024))).listen(8000, '0.0.0.0');
`;

const run = promisify(execFile);

async function requestsPerSecond(url, host) {
  const { stdout } = await run('wrk', ['-t', '1', '-c', String(CONNECTIONS), '-d', `${SECONDS}s`, '-H', `Host: ${host}`, url]);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)[1]);
}

function startNginx(folder, address) {
  writeFileSync(path.join(folder, 'nginx.conf'), `
    daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
    events { worker_connections 1024; }
    http {
      access_log off;
      upstream sandbox { server ${address}:8000; keepalive 64; }
      server {
        listen 127.0.0.1:${NGINX_PORT};
        location / {
          proxy_pass http://sandbox;
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_set_header Host $http_host;
          proxy_set_header X-Forwarded-For $remote_addr;
          proxy_set_header X-Forwarded-Host $http_host;
          proxy_set_header X-Forwarded-Port $server_port;
          proxy_set_header X-Forwarded-Proto $scheme;
        }
      }
    }`);
  return execFile('nginx', ['-p', folder, '-c', path.join(folder, 'nginx.conf')]);
}

export async function measure() {
  const { sandboxId } = await createSandbox({ template: 'base', network: 'open' });
  await exec(sandboxId, 'node', ['-e', PROGRAM], { background: true });
  const { json: port } = await call('POST', `/sandbox/${sandboxId}/expose`, { body: { containerPort: 8000, visibility: 'public' } });
  const { host } = new URL(port.previewUrl);
  await until('the server answers', async () => (await fetch(new URL(port.previewPath, apiUrl))).ok, 10_000);
  const folder = mkdtempSync(path.join(tmpdir(), 'insien-bench-'));
  const nginxProcess = startNginx(folder, await docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', `insien-${sandboxId}`));
  try {
    await until('nginx answers', () => fetch(`http://127.0.0.1:${NGINX_PORT}/`).then((reply) => reply.ok, () => false), 10_000);
    const ours = [];
    const nginx = [];
    await requestsPerSecond(`${apiUrl}/`, host); // the server's own compiler is done behind it
    for (let round = 0; round < ROUNDS; round++) {
      ours.push(await requestsPerSecond(`${apiUrl}/`, host));
      nginx.push(await requestsPerSecond(`http://127.0.0.1:${NGINX_PORT}/`, host));
    }
    const share = (100 * median(ours)) / median(nginx);
    return [
      { what: 'nginx in front of a server in a sandbox (floor)', measured: `${median(nginx).toFixed(0)} req/s` },
      { what: 'the preview proxy', measured: `${median(ours).toFixed(0)} req/s, ${share.toFixed(0)} %`, goal: '≥ 60 % of nginx' },
    ];
  } finally {
    nginxProcess.kill();
    rmSync(folder, { recursive: true });
    await destroySandbox(sandboxId);
  }
}
