import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, makeUser } from '../support/api.mjs';
import { docker, until } from '../support/stack.mjs';

const tryCreate = (key) => call('POST', '/sandbox/create', { key, body: { template: 'tiny', network: 'none' } });

test('the tier free has two sandboxes, 512 MB and two hours', async (t) => {
  const key = await makeUser('free');
  const first = await createSandbox({ timeoutMs: undefined }, key);
  const second = await createSandbox({}, key);
  t.after(() => destroySandbox(first.sandboxId, key));
  assert.equal(first.tier, 'free');
  assert.deepEqual(first.resourceLimits, { memoryMB: 512, cpu: 1, cpuShares: 1024, pids: 256, diskMB: 2048, lifetimeHours: 2 });
  const hours = (Date.parse(first.expiresAt) - Date.now()) / 3_600_000;
  assert.ok(hours > 1.9 && hours <= 2, first.expiresAt);

  assertError(await tryCreate(key), 429, 'quota_exceeded');

  await destroySandbox(second.sandboxId, key);
  const third = await tryCreate(key);
  assert.equal(third.status, 200, 'a destroyed sandbox does not count');
  await destroySandbox(third.json.sandboxId, key);
});

test('creates at the same time do not get past the quota', async () => {
  const key = await makeUser('free');
  const replies = await Promise.all(Array.from({ length: 8 }, () => tryCreate(key)));
  const made = replies.filter((reply) => reply.status === 200);
  assert.equal(made.length, 2);
  replies.filter((reply) => reply.status !== 200).forEach((reply) => assertError(reply, 429, 'quota_exceeded'));
  await Promise.all(made.map((reply) => destroySandbox(reply.json.sandboxId, key)));
});

test('the tier in a request changes nothing', async () => {
  const key = await makeUser('free');
  const { sandboxId, tier } = await createSandbox({ tier: 'enterprise' }, key);
  assert.equal(tier, 'free');
  await destroySandbox(sandboxId, key);
});

test('the limits of the tier are those of the container', async (t) => {
  const key = await makeUser('free');
  const { sandboxId } = await createSandbox({ template: 'base-locked' }, key);
  t.after(() => destroySandbox(sandboxId, key));
  const [{ HostConfig: host }] = JSON.parse(await docker('inspect', `insien-${sandboxId}`));
  assert.deepEqual([host.Memory, host.MemorySwap, host.CpuQuota / host.CpuPeriod, host.PidsLimit],
    [512 << 20, 512 << 20, 1, 256]);
});

test('a fork bomb stops at the limit and the sandbox survives it', async (t) => {
  const key = await makeUser('free');
  const { sandboxId } = await createSandbox({ template: 'base-locked' }, key);
  t.after(() => destroySandbox(sandboxId, key));
  const script = `
import os, sys, time
children = 0
try:
    while children < 400:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        children += 1
except OSError as error:
    print(children, error.strerror)
sys.stdout.flush()
os.killpg(0, 9)
`;
  const reply = await call('POST', `/sandbox/${sandboxId}/exec`, { key, body: { cmd: 'python3', args: ['-c', script] } });
  const [children, ...reason] = reply.json.stdout.trim().split(' ');
  assert.ok(Number(children) > 100 && Number(children) < 256, reply.text);
  assert.equal(reason.join(' '), 'Resource temporarily unavailable');
  await until('commands run again', async () => {
    const next = await call('POST', `/sandbox/${sandboxId}/exec`, { key, body: { cmd: 'echo', args: ['alive'] } });
    return next.json?.stdout === 'alive\n';
  }, 30_000);
});

test('less than the tier gives can be asked for, and is what the container has', async (t) => {
  const key = await makeUser('free');
  const asked = { template: 'base-locked', memoryMB: 128, cpu: 0.5, pids: 64, diskMB: 100 };
  const { sandboxId, resourceLimits } = await createSandbox(asked, key);
  t.after(() => destroySandbox(sandboxId, key));
  assert.deepEqual(resourceLimits, { memoryMB: 128, cpu: 0.5, cpuShares: 512, pids: 64, diskMB: 100, lifetimeHours: 2 });
  const [{ HostConfig: host }] = JSON.parse(await docker('inspect', `insien-${sandboxId}`));
  assert.deepEqual([host.Memory, host.CpuQuota / host.CpuPeriod, host.PidsLimit], [128 << 20, 0.5, 64]);
});

test('more than the tier gives, and what is no limit, is refused and makes nothing', async () => {
  const key = await makeUser('free');
  const ask = (body) => call('POST', '/sandbox/create', { key, body: { template: 'tiny', network: 'none', ...body } });
  for (const body of [{ memoryMB: 513 }, { cpu: 1.5 }, { pids: 257 }, { diskMB: 2049 }]) {
    assertError(await ask(body), 403, 'tier_limit_exceeded');
  }
  for (const body of [{ memoryMB: 15 }, { cpu: 0 }, { cpu: '1' }, { pids: 1.5 }, { diskMB: -1 }]) {
    assertError(await ask(body), 400, 'validation_failed');
  }
  const usage = await call('GET', '/sandbox/quota/usage', { key });
  assert.equal(usage.json.sandboxes.used, 0);
});

test('usage is what is in use, and what may be', async (t) => {
  const key = await makeUser('free');
  const usage = async () => {
    const reply = await call('GET', '/sandbox/quota/usage', { key });
    assert.equal(reply.status, 200, reply.text);
    return reply.json;
  };
  assert.deepEqual(await usage(), {
    tier: 'free',
    sandboxes: { used: 0, limit: 2 },
    key: { used: 0, limit: null },
    inUse: { memoryMB: 0, cpu: 0, diskMB: 0 },
    perSandbox: { memoryMB: 512, cpu: 1, cpuShares: 1024, pids: 256, diskMB: 2048, lifetimeHours: 2 },
  });
  const { sandboxId } = await createSandbox({ template: 'tiny', memoryMB: 64, cpu: 0.25 }, key);
  t.after(() => destroySandbox(sandboxId, key));
  const { sandboxes, key: ofKey, inUse } = await usage();
  assert.deepEqual({ sandboxes, ofKey, inUse },
    { sandboxes: { used: 1, limit: 2 }, ofKey: { used: 1, limit: null }, inUse: { memoryMB: 64, cpu: 0.25, diskMB: 2048 } });
  await destroySandbox(sandboxId, key);
  assert.equal((await usage()).sandboxes.used, 0);
});

test('nproc tells the processors of the sandbox', async (t) => {
  const key = await makeUser('free');
  const { sandboxId } = await createSandbox({ template: 'base-locked' }, key);
  t.after(() => destroySandbox(sandboxId, key));
  const reply = await call('POST', `/sandbox/${sandboxId}/exec`, { key, body: { cmd: 'nproc' } });
  assert.equal(reply.json.stdout, '1\n');
});

test('a sandbox that writes more than its disk ends with that reason, or can not', async (t) => {
  const key = await makeUser('free');
  const { sandboxId } = await createSandbox({ template: 'tiny', diskMB: 16 }, key);
  const other = await createSandbox({ template: 'tiny', diskMB: 64 }, key);
  t.after(() => Promise.all([sandboxId, other.sandboxId].map((id) => destroySandbox(id, key))));
  const write = (id) => call('POST', `/sandbox/${id}/exec`,
    { key, body: { cmd: 'sh', args: ['-c', 'for i in 1 2 3; do dd if=/dev/zero of=/tmp/$i bs=1048576 count=12 || exit; done'],
      user: 'root' } });
  const [reply, fine] = await Promise.all([write(sandboxId), write(other.sandboxId)]);
  assert.equal(fine.json.exitCode, 0, fine.text);
  if (reply.json?.exitCode === 1) {
    assert.match(reply.json.stderr, /space|quota/i);
    return;
  }
  const state = async (id) => (await call('GET', `/sandbox/${id}/status`, { key })).json;
  await until('it ends', async () => (await state(sandboxId)).endReason === 'disk', 60_000);
  assert.equal((await state(other.sandboxId)).status, 'running');
});

test('no file grows beyond the disk, also where it does not count', async (t) => {
  const key = await makeUser('free');
  const { sandboxId } = await createSandbox({ template: 'tiny', diskMB: 16 }, key);
  t.after(() => destroySandbox(sandboxId, key));
  const grown = await call('POST', `/sandbox/${sandboxId}/exec`, { key,
    body: { cmd: 'dd', args: ['if=/dev/zero', 'of=/etc/hosts', 'bs=1048576', 'count=17'], user: 'root' } });
  assert.deepEqual([grown.json.signal, grown.json.reason], ['SIGXFSZ', 'signaled'], grown.text);
  const reply = await call('PUT', `/sandbox/${sandboxId}/files?path=/tmp/one`, { key, body: Buffer.alloc(17 * 2 ** 20) });
  assertError(reply, 409, 'no_space');
  const { json } = await call('GET', `/sandbox/${sandboxId}/status`, { key });
  assert.equal(json.status, 'running');
});
