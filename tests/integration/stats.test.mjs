import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assertError, call, destroySandbox, exec, makeUser, sandboxFor, shell, tryExec } from '../support/api.mjs';
import { instance, redis, until } from '../support/stack.mjs';

const stats = (id, options) => call('GET', `/sandbox/${id}/stats`, options);
const history = (id, query = '', options) => call('GET', `/sandbox/${id}/stats/history${query}`, options);

describe('stats', { concurrency: true }, () => {
  it('tell what a sandbox uses and may use', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    const { status, json } = await stats(id);
    assert.equal(status, 200);
    assert.equal(json.sandboxId, id);
    assert.ok(json.stats.memory.usage > 0 && json.stats.memory.usage < json.stats.memory.limit);
    assert.equal(json.stats.memory.limit, json.resourceLimits.memoryMB * 2 ** 20);
    assert.equal(json.stats.cpu.limitPercent, json.resourceLimits.cpuShares / 10.24);
    assert.ok(json.stats.pids.current >= 1 && json.stats.pids.limit > json.stats.pids.current);
    assert.ok(Math.abs(Date.parse(json.stats.timestamp) - Date.now()) < 60_000);
    assert.deepEqual(json.violations.filter(({ type }) => type === 'oom'), []);
  });

  it('tell processor time as the kernel counts it', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    const before = (await stats(id)).json.stats.cpu.usageMs;
    await shell(id, 'timeout 2 sh -c "while :; do :; done"; true');
    const { usageMs, percent } = (await stats(id)).json.stats.cpu;
    assert.ok(usageMs - before > 100, `${before}..${usageMs}`); // however busy the machine is
    assert.ok(percent > 1, `${percent}`);
  });

  it('tell how much was written over the image', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    await shell(id, 'head -c 50000000 /dev/urandom > big');
    const disk = await until('the engine has measured it', async () => {
      const { json } = await stats(id);
      return json.stats.disk.usage >= 50_000_000 ? { ...json.stats.disk, diskMB: json.resourceLimits.diskMB } : null;
    }, 60_000);
    assert.equal(disk.limit, disk.diskMB * 2 ** 20);
  });

  it('tell kills for want of memory', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    const { reason } = await exec(id, 'python3', ['-c', 'x = bytearray(1 << 34); x[::4096] = b"x" * (1 << 22)'], { timeoutMs: 60_000 });
    if (reason === 'oom') {
      const { violations } = (await stats(id)).json;
      assert.ok(violations.some(({ type, count }) => type === 'oom' && count >= 1), JSON.stringify(violations));
    }
  });

  it('keep a history in Redis, also of one that has ended', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    await until('there are samples', async () => (await history(id)).json.samples.length >= 2, 30_000);
    await destroySandbox(id);
    assertError(await stats(id), 409, 'sandbox_ended');
    const { status, json } = await history(id, '?limit=1');
    assert.equal(status, 200);
    assert.equal(json.everyMs, 5000);
    assert.equal(json.samples.length, 1);
    assert.ok(json.samples[0].memory > 0);
    assert.ok(Number(await redis('pttl', `insien:${instance}:stats:${id}`)) > 0);
  });

  it('of one that rests are those of before, and leave it at rest', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    await until('there is a sample', async () => (await history(id)).json.samples.length >= 1, 30_000);
    assert.equal((await call('POST', `/sandbox/${id}/pause`)).status, 200);
    const { status, json } = await stats(id);
    assert.equal(status, 200);
    assert.ok(json.stats.memory.usage > 0 && json.stats.cpu.percent === 0, JSON.stringify(json.stats));
    assert.equal(json.stats.memory.limit, json.resourceLimits.memoryMB * 2 ** 20);
    assert.equal((await call('GET', `/sandbox/${id}/status`)).json.status, 'paused');
  });

  it('do not keep it from being idle', async (t) => {
    const id = await sandboxFor(t, { template: 'tiny', network: 'none', idleTimeoutMs: 10_000 });
    await until('it has ended', async () => {
      await stats(id);
      return (await call('GET', `/sandbox/${id}/status`)).json.endReason === 'idle';
    }, 60_000);
  });

  it('are the owner\'s alone', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    const key = await makeUser('free');
    assertError(await stats(id, { key }), 404, 'sandbox_not_found');
    assertError(await history(id, '', { key }), 404, 'sandbox_not_found');
    assertError(await history(id, '?limit=0'), 400, 'validation_failed');
  });
});

describe('an exec that is measured', () => {
  it('tells what it used', async (t) => {
    const id = await sandboxFor(t, { template: 'base', network: 'none' });
    const { json } = await tryExec(id, {
      cmd: 'python3', args: ['-c', 'x = bytearray(64 << 20); s = 0\nfor i in range(3000000): s += i'], measure: true,
    });
    assert.ok(json.cpuMs > 30, `${json.cpuMs}`);
    assert.ok(json.peakMemoryBytes >= 64 << 20, `${json.peakMemoryBytes}`);
    assert.equal('cpuMs' in (await tryExec(id, { cmd: 'true' })).json, false);
  });
});
