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
  assert.deepEqual(first.resourceLimits, { memoryMB: 512, cpuShares: 1024, lifetimeHours: 2 });
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
