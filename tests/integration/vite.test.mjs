// A developer's day: Vite serves a project out of a sandbox, a browser shows it through the preview,
// and what is saved appears in the page without a reload.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { chromium } from 'playwright-core';
import { call, exec, sandboxFor } from '../support/api.mjs';
import { root, run, until } from '../support/stack.mjs';
import { eventsOf, open, send } from '../support/transfer.mjs';

const PORT = 5173;
const modules = path.join(root, 'tests/node_modules');
const CHROMIUM_FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];
const say = (text) => `export const text = ${JSON.stringify(text)};\n`;
const colour = (value) => `h1 { color: ${value}; }\n`;
const PROJECT = {
  'package.json': '{ "type": "module" }\n',
  'index.html': '<!doctype html>\n<link rel="icon" href="data:,">\n<h1></h1>\n<script type="module" src="/main.js"></script>\n',
  'main.js': `import './style.css';
import { text } from './text.js';
const show = (words) => { document.querySelector('h1').textContent = words; };
show(text);
import.meta.hot.accept('./text.js', (changed) => show(changed.text));
`,
  'text.js': say('first words'),
  'style.css': colour('rgb(200, 0, 0)'),
};

// The package and all that it needs, of what is installed for this kind of machine.
function withDependencies(name, found = new Set()) {
  if (!found.has(name) && existsSync(path.join(modules, name))) {
    found.add(name);
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(path.join(modules, name, 'package.json'), 'utf8'));
    Object.keys({ ...dependencies, ...optionalDependencies }).forEach((needed) => withDependencies(needed, found));
  }
  return [...found];
}

async function archiveOf(names) {
  const { code, stdout, stderr } = await run('tar', ['-C', modules, '-cf', '-', ...names], {
    encoding: 'buffer', maxBuffer: 100 << 20,
  });
  assert.equal(code, 0, stderr.toString());
  return stdout;
}

async function write(id, name, text) {
  const reply = await send('PUT', `/sandbox/${id}/files?path=${name}`, [Buffer.from(text)]);
  assert.ok([200, 201].includes(reply.status), reply.text);
}

async function writeProject(id) {
  const archive = await archiveOf(withDependencies('vite'));
  const reply = await send('PUT', `/sandbox/${id}/archive?path=node_modules`, [archive]);
  assert.equal(reply.status, 200, reply.text);
  await Promise.all(Object.entries(PROJECT).map(([name, text]) => write(id, name, text)));
}

async function expose(id) {
  const reply = await call('POST', `/sandbox/${id}/expose`, { body: { containerPort: PORT, visibility: 'public' } });
  assert.equal(reply.status, 200, reply.text);
  return reply.json.previewUrl;
}

async function openBrowser(t) {
  const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: CHROMIUM_FLAGS, timeout: 20_000 });
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  return page;
}

// What went wrong in the page, the hosts that it opened sockets to, and whether Vite greeted it there.
function watch(page) {
  const seen = { errors: [], sockets: [], connected: false };
  page.on('pageerror', (error) => seen.errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && seen.errors.push(message.text()));
  page.on('websocket', (socket) => {
    seen.sockets.push(new URL(socket.url()).host);
    socket.on('framereceived', ({ payload }) => { seen.connected ||= payload.includes('"connected"'); });
  });
  return seen;
}

const shows = (page, text) => page.getByRole('heading', { name: text, exact: true }).waitFor();
const colourOf = (page) => page.evaluate(() => getComputedStyle(document.querySelector('h1')).color);

// Resolves once Vite listens.
async function startVite(id) {
  const args = ['node_modules/vite/bin/vite.js', '--host', '127.0.0.1', '--port', `${PORT}`, '--strictPort'];
  const { pid } = await exec(id, 'node', args, { background: true });
  const reply = await open('GET', `/sandbox/${id}/processes/${pid}/output?follow=true`);
  let text = '';
  for await (const event of eventsOf(reply)) { // leaving the loop leaves the output
    text += event.data ?? '';
    if (text.includes('ready in')) {
      return;
    }
  }
  assert.fail(`Vite ended: ${text}`);
}

test('a page of Vite changes in the browser when its source is written', { timeout: 58_000 }, async (t) => {
  const id = await sandboxFor(t, { template: 'base' });
  await writeProject(id);
  await startVite(id);
  const previewUrl = await expose(id);
  const page = await openBrowser(t);
  const seen = watch(page);

  await page.goto(previewUrl);
  await shows(page, 'first words');
  assert.equal(await colourOf(page), 'rgb(200, 0, 0)');
  await until('the page listens for changes', () => seen.connected, 15_000);
  await page.evaluate(() => { window.marker = 'still here'; });

  await write(id, 'text.js', say('second words'));
  await shows(page, 'second words');
  await write(id, 'style.css', colour('rgb(0, 0, 200)'));
  await until('the style is the new one', async () => await colourOf(page) === 'rgb(0, 0, 200)', 15_000);
  assert.equal(await page.evaluate(() => window.marker), 'still here', 'the page was not loaded again');

  assert.deepEqual(seen.sockets, [new URL(previewUrl).host], 'one socket, through the preview');
  assert.deepEqual(seen.errors, []);
});
