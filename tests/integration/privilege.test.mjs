// Least privilege inside: what each service may do in the stores, who can read its secrets, and which
// secrets it starts with.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, it } from 'node:test';
import { sandboxFor } from '../support/api.mjs';
import {
  instance, pidOf, programOf, redis, redisAs, run, runDir, secret, settingsToStart, sql, stateDir,
} from '../support/stack.mjs';

const SERVICES = ['gateway', 'auth', 'sandbox'];
const key = (name) => `insien:${instance}:${name}`;

describe('PostgreSQL', () => {
  const as = (service, text) => run('psql', ['-qAtX', '-h', path.join(runDir, 'postgres'), '-U', `insien_${service}`, '-d', 'insien', '-c', text],
    { cwd: '/', env: { ...process.env, PGPASSWORD: secret(`database_password_${service}`) } });

  it('knows each service as a role of its own, and nobody as the owner', async () => {
    const roles = (await sql("SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'insien' AND pid <> pg_backend_pid()")).split('\n').sort();
    assert.deepEqual(roles.filter((role) => role !== 'postgres'), ['insien_auth', 'insien_sandbox']);
    assert.equal(await sql(`SELECT count(*) FROM pg_roles WHERE rolname LIKE 'insien%'
      AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)`), '0');
  });

  for (const [service, text] of [
    ['auth', "UPDATE audit_log SET result = 'ok'"],
    ['auth', 'DELETE FROM audit_seals'],
    ['auth', "UPDATE users SET role = 'admin'"],
    ['auth', 'SELECT env FROM sandboxes'],
    ['auth', 'CREATE TABLE mine (id int)'],
    ['auth', 'CREATE TEMP TABLE mine (id int)'],
    ['sandbox', 'SELECT bcrypt FROM api_keys'],
    ['sandbox', 'SELECT email FROM users'],
    ['sandbox', 'DELETE FROM audit_log'],
    ['sandbox', "UPDATE sandboxes SET expires_at = now() + interval '1 year'"],
  ]) {
    it(`lets ${service} not ${text}`, async () => {
      const { code, stderr } = await as(service, text);
      assert.notEqual(code, 0);
      assert.match(stderr, /permission denied/);
    });
  }

  it('lets them do what they are for', async () => {
    assert.equal((await as('auth', 'SELECT count(*) FROM users, api_keys')).code, 0);
    assert.equal((await as('sandbox', 'SELECT count(*) FROM sandboxes, ports')).code, 0);
  });
});

describe('Redis', () => {
  // The first, as nothing here has been refused yet.
  it('has refused nothing to anybody', async (t) => {
    await sandboxFor(t);
    assert.equal(await redis('ACL', 'LOG'), '');
  });

  it('serves nobody who does not sign in', async () => {
    const { stdout } = await run('redis-cli', ['-s', path.join(runDir, 'redis.sock'), 'PING']);
    assert.match(stdout, /NOAUTH/);
  });

  const mayNot = {
    gateway: [
      ['SET', key('clerk:revoked:sess_x'), '1'], ['EXISTS', key('clerk:revoked:sess_x')], ['DEL', key('clerk:revoked:sess_x')],
      ['GET', key('keycheck:x')], ['SET', key('keycheck:x'), 'y'], ['PUBLISH', key('invalidate'), '{}'],
      ['HGETALL', key('agent:x')], ['SUBSCRIBE', 'insien:another:invalidate'], ['HGETALL', 'insien:another:limit:x'],
      ['EVAL', `return redis.call('HGETALL', '${key('keycheck:x')}')`, '0'], ['EVAL', 'return redis.call(\'KEYS\', \'*\')', '0'],
    ],
    auth: [
      ['SET', key('limit:x'), '1'], ['SET', key('pending:x'), '1'], ['GET', key('agent:x')], ['SET', key('ports:x'), '1'],
      ['EVAL', 'return 1', '0'], ['PUBLISH', 'insien:another:invalidate', '{}'],
    ],
    sandbox: [
      ['SET', key('clerk:revoked:sess_x'), '1'], ['DEL', key('clerk:revoked:sess_x')], ['SET', key('keycheck:x'), 'y'],
      ['SET', key('limit:x'), '1'], ['DEL', key('pending:x')], ['EVAL', 'return 1', '0'],
    ],
  };
  const nobodyMay = [
    ['KEYS', '*'], ['SCAN', '0'], ['FLUSHALL'], ['CONFIG', 'GET', '*'], ['ACL', 'LIST'], ['ACL', 'SETUSER', 'gateway', '+@all'],
    ['CLIENT', 'LIST'], ['MONITOR'], ['SHUTDOWN'], ['SCRIPT', 'FLUSH'], ['MODULE', 'LIST'],
  ];
  for (const service of SERVICES) {
    it(`lets ${service} do nothing to what is another's`, async () => {
      for (const words of [...mayNot[service], ...nobodyMay]) {
        const { stdout } = await redisAs(service, ...words);
        assert.match(stdout, /NOPERM|The user executing the script can't/, words.join(' '));
      }
    });
  }

  it('lets them do what they are for', async () => {
    assert.equal((await redisAs('gateway', 'HGETALL', key('limit:none'))).stdout.trim(), '');
    assert.equal((await redisAs('auth', 'EXISTS', key('clerk:revoked:none'))).stdout.trim(), '0');
    assert.equal((await redisAs('sandbox', 'DEL', key('agent:none'))).stdout.trim(), '0');
    await redis('ACL', 'LOG', 'RESET'); // what was refused here was asked for here
  });
});

describe('secrets', () => {
  const dir = path.join(stateDir, 'data/secrets');

  it('can be read by root alone', async () => {
    for (const name of readdirSync(dir)) {
      const { uid, mode } = statSync(path.join(dir, name));
      assert.deepEqual([uid, mode & 0o777], [0, 0o600], name);
      assert.notEqual((await run('chpst', ['-u', 'insien', 'cat', path.join(dir, name)], { cwd: '/' })).code, 0, name);
    }
  });

  it('are told to a service by nothing that others see', async () => {
    const values = readdirSync(dir).map((name) => secret(name)).filter((value) => value.length >= 16);
    for (const service of SERVICES) {
      const pid = await pidOf(service);
      const seen = `${readFileSync(`/proc/${pid}/cmdline`)}${readFileSync(`/proc/${pid}/environ`)}`;
      assert.deepEqual(values.filter((value) => seen.includes(value)), [], service);
    }
  });

  // Starts the service with these settings, in a folder of its own; resolves to its log.
  async function start(service, change) {
    const own = mkdtempSync(path.join(tmpdir(), 'insien-start-'));
    const settings = { ...settingsToStart(service), INSIEN_RUN_DIR: own, ...change };
    const env = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
    const child = spawn(await programOf(service), [], { cwd: '/', env, stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    child.stderr.on('data', (data) => {
      log += data;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
    const code = await new Promise((resolve) => child.on('close', resolve));
    clearTimeout(timer);
    rmSync(own, { recursive: true });
    return { code, log };
  }

  const weak = {
    missing: [undefined, /is not set; set it or \w+_FILE/],
    short: [randomBytes(15).toString('hex'), /at least 32 bytes; make one: openssl rand -hex 32/],
    'well-known': ['your-super-secret-jwt-key-change-this-in-production', /well-known value; make one/],
    repeated: ['0123456789abcdef'.repeat(4), /is not random; make one/],
  };
  for (const [service, names] of Object.entries({
    gateway: ['FILE_URL_SECRET', 'PREVIEW_SECRET'],
    auth: ['KEY_CACHE_SECRET', 'IDEMPOTENCY_SECRET'],
    sandbox: ['AGENT_JWT_SECRET'],
  })) {
    for (const name of names) {
      it(`make ${service} refuse to start when ${name} is missing, short, well-known or repeats itself`, async () => {
        for (const [what, [value, sentence]] of Object.entries(weak)) {
          const { code, log } = await start(service, { [name]: value });
          assert.ok(code > 0, `${what}: ${code}`);
          const line = log.split('\n').find((text) => text.includes('config.invalid'));
          assert.equal(JSON.parse(line).variable, name);
          assert.match(JSON.parse(line).error, sentence, what);
          assert.ok(value === undefined || !log.includes(value), 'it is not shown');
        }
      });
    }
  }

  it('are no well-known passwords of a store either', async () => {
    for (const [service, name, url] of [
      ['auth', 'DATABASE_URL', 'postgresql://insien:postgres@127.0.0.1/insien'],
      ['gateway', 'REDIS_URL', 'redis://:changeme@127.0.0.1'],
    ]) {
      const { code, log } = await start(service, { [name]: url });
      assert.ok(code > 0);
      assert.match(log, /has a well-known password/);
    }
  });
});
