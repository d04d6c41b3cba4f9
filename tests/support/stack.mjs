// The deployment under test: where it is, what it runs, and its insides for tests that look there.
import { execFile, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const stateDir = path.resolve(process.env.INSIEN_STATE_DIR ?? path.join(root, 'deploy/state'));
export const runDir = process.env.INSIEN_RUN_DIR ?? '/run/insien';
export const BESIDE = 'beside'; // the log of what tests start beside the deployment
export const instance = process.env.INSIEN_INSTANCE ?? 'insien';

// Lines of NAME='value', as deploy/up writes them. A secret is NAME_FILE='/dev/fd/N', with a line
// exec N<'file' before it: that file is its value here.
function readAssignments(file) {
  const text = readFileSync(file, 'utf8');
  const opened = Object.fromEntries([...text.matchAll(/^exec (\d+)<'(.*)'$/gm)].map(([, fd, path]) => [`/dev/fd/${fd}`, path]));
  return Object.fromEntries([...text.matchAll(/^(\w+)='?(.*?)'?$/gm)].map(([, name, value]) => [name, opened[value] ?? value]));
}

export let apiUrl;
export let wsUrl;
export let apiKey;

// Once, and again by who changes the deployment.
export function readFacts() {
  ({ INSIEN_API_URL: apiUrl, INSIEN_WS_URL: wsUrl, INSIEN_API_KEY: apiKey } = readAssignments(path.join(stateDir, 'env')));
}
readFacts();

const execFileAsync = promisify(execFile);

// Runs a program; resolves to {code, stdout, stderr} whatever its exit code is.
export async function run(file, args, { timeoutMs = 120_000, ...options } = {}) {
  try {
    const { stdout, stderr } = await execFileAsync(file, args, {
      timeout: timeoutMs, maxBuffer: 64 << 20, cwd: root, ...options,
    });
    return { code: 0, stdout, stderr };
  } catch (error) {
    if (typeof error.code !== 'number') {
      throw error;
    }
    return { code: error.code, stdout: error.stdout, stderr: error.stderr };
  }
}

async function mustRun(file, args, options) {
  const { code, stdout, stderr } = await run(file, args, options);
  if (code !== 0) {
    throw new Error(`${file} ${args.join(' ')}: exit code ${code}\n${stderr}`);
  }
  return stdout.trim();
}

export const docker = (...args) => mustRun('docker', args);
export const secret = (name) => readFileSync(path.join(stateDir, 'data/secrets', name), 'utf8').trim();
// As the operator, or as one of the services.
export const redisAs = (user, ...args) => run('redis-cli', ['-s', path.join(runDir, 'redis.sock'), '--user', user, ...args],
  { env: { ...process.env, REDISCLI_AUTH: secret(`redis_password_${user}`) } });
export async function redis(...args) {
  const { code, stdout, stderr } = await redisAs('operator', ...args);
  if (code !== 0) {
    throw new Error(`redis-cli ${args.join(' ')}: ${stderr}`);
  }
  return stdout.trim();
}
export const sql = (text) => mustRun('chpst', [
  '-u', 'postgres', 'psql', '-qAtX', '-h', path.join(runDir, 'postgres'), '-d', 'insien', '-c', text,
], { cwd: '/' });

const lines = (text) => text.split('\n').filter((line) => line !== '');

const serviceDir = (name) => path.join(stateDir, 'service', name);
export const serviceSettings = (name) => readAssignments(path.join(serviceDir(name), 'env'));
// The same for a process of a test's own, as its environment: secrets are in it themselves, as their
// files are root's.
export const settingsToStart = (name) => Object.fromEntries(Object.entries(serviceSettings(name))
  .map(([setting, value]) => (isSecretFile(setting, value)
    ? [setting.replace(/_FILE$/, ''), readFileSync(value, 'utf8').trim()] : [setting, value])));
const isSecretFile = (setting, value) => setting.endsWith('_FILE') && value.startsWith('/') && !/^(TLS|IPC)_/.test(setting);
const sv = (command, name) => mustRun('sv', ['-w', '30', command, serviceDir(name)]);

export async function supervise(command, name) {
  const pid = await pidOf(name);
  if (pid !== 0 && (command === 'down' || command === 'restart')) {
    await stopOnce(name, pid);
  }
  await sv(command === 'restart' ? 'up' : command, name);
}

// Starts the service anew with these settings beside its own. Resolves to who gives it back what it
// had; the next deploy/up would too.
export async function withSettings(name, settings) {
  const file = path.join(serviceDir(name), 'env');
  const before = readFileSync(file, 'utf8');
  const added = Object.entries(settings).map(([setting, value]) => `${setting}='${value}'\n`);
  const startWith = async (text) => {
    writeFileSync(file, text);
    await supervise('restart', name);
  };
  await startWith(before + added.join(''));
  return () => startWith(before);
}

// runit sends CONT behind each TERM. One that comes when a program is at its end already takes away
// the stop by which its leak checker holds the threads, and that waits for ever. PostgreSQL would
// wait for its clients at a TERM.
async function stopOnce(name, pid) {
  await sv('once', name);
  process.kill(pid, name === 'postgres' ? 'SIGINT' : 'SIGTERM');
  await until(`${name} has stopped`, async () => await pidOf(name) === 0, 30_000);
}

export async function serviceExists(name) {
  return (await readdir(path.join(stateDir, 'service'))).includes(name);
}

// 0 while the service is down.
export async function pidOf(name) {
  return Number(await readFile(path.join(serviceDir(name), 'supervise/pid'), 'utf8').catch(() => 0));
}

// The program that the service runs, also when the same one was installed over it since.
export async function programOf(name) {
  return (await mustRun('readlink', [`/proc/${await pidOf(name)}/exe`])).replace(/ \(deleted\)$/, '');
}

// Starts a program of ours beside the deployment, as the user of the services, with these settings
// and no others. What it logs goes beside the logs of the deployment.
export function startProgram(program, settings) {
  const dir = path.join(stateDir, 'log', BESIDE);
  mkdirSync(dir, { recursive: true });
  const log = openSync(path.join(dir, 'current'), 'a', 0o600);
  const child = spawn('/usr/bin/chpst', ['-u', 'insien', program], { cwd: '/', stdio: ['ignore', 'ignore', log], env: settings });
  closeSync(log);
  return child;
}

// Resolves when the supervisor has started the service anew.
export async function kill9(name) {
  const pid = await pidOf(name);
  process.kill(pid, 'SIGKILL');
  await until(`${name} is started again`, async () => ![0, pid].includes(await pidOf(name)), 30_000);
}

// Polls until the condition holds and resolves to its value.
export async function until(what, condition, timeoutMs) {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await condition();
    if (value) {
      return value;
    }
    if (performance.now() > deadline) {
      throw new Error(`not within ${timeoutMs} ms: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

// What each store believes to live, for tests that compare them. Ids are sorted.
export async function whatLives() {
  const [rows, containers, agentDirs, locks] = await Promise.all([
    sql(`SELECT id, status FROM sandboxes WHERE instance = '${instance}'
         AND status IN ('creating', 'running', 'stopping')
         UNION ALL SELECT id, CASE status WHEN 'ready' THEN 'running' ELSE status END
         FROM warm_sandboxes WHERE instance = '${instance}' ORDER BY id`),
    docker('ps', '-a', '--no-trunc', '--filter', `label=insien.instance=${instance}`,
      '--filter', 'label=insien.sandbox', '--format', '{{.Label "insien.sandbox"}}|{{.State}}'),
    readdir(path.join(runDir, 'agents')),
    readdir(path.join(runDir, 'locks')),
  ]);
  return { rows: lines(rows), containers: lines(containers).sort(), agentDirs: agentDirs.sort(), locks: locks.sort() };
}

// Rows, containers and folders tell the same story: for each running row one running container.
export async function nothingIsOrphaned(timeoutMs = 30_000) {
  let seen;
  try {
    await until('every row has its container and every container its row', async () => {
      seen = await whatLives();
      const ids = seen.rows.map((row) => row.split('|')[0]);
      const short = ids.map((id) => id.replaceAll('-', '')).sort();
      return seen.rows.every((row) => row.endsWith('|running'))
        && same(seen.containers, ids.map((id) => `${id}|running`).sort())
        && same(seen.agentDirs, short)
        && seen.locks.every((lock) => short.includes(lock));
    }, timeoutMs);
  } catch (error) {
    throw new Error(`${error.message}\n${JSON.stringify(seen, null, 2)}`);
  }
  return seen.rows.map((row) => row.split('|')[0]);
}

const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
