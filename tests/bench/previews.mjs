// The preview proxy beside nginx, both in front of the same server in a sandbox.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { call, createSandbox, destroySandbox, exec } from '../support/api.mjs';
import { apiUrl, docker, until } from '../support/stack.mjs';

const SECONDS = 5;
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
        location / { proxy_pass http://sandbox; proxy_http_version 1.1; proxy_set_header Connection ""; }
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
  const ours = await requestsPerSecond(`${apiUrl}/`, host);
  const folder = mkdtempSync(path.join(tmpdir(), 'insien-bench-'));
  const nginxProcess = startNginx(folder, await docker('inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', `insien-${sandboxId}`));
  try {
    await until('nginx answers', () => fetch(`http://127.0.0.1:${NGINX_PORT}/`).then((reply) => reply.ok, () => false), 10_000);
    const nginx = await requestsPerSecond(`http://127.0.0.1:${NGINX_PORT}/`, host);
    return [
      { what: 'nginx in front of a server in a sandbox (floor)', measured: `${nginx.toFixed(0)} req/s` },
      { what: 'the preview proxy', measured: `${ours.toFixed(0)} req/s, ${((100 * ours) / nginx).toFixed(0)} %`, goal: '≥ 60 % of nginx' },
    ];
  } finally {
    nginxProcess.kill();
    rmSync(folder, { recursive: true });
    await destroySandbox(sandboxId);
  }
}
