import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertError, call, createSandbox, destroySandbox, exec, sandboxFor, tryExec } from '../support/api.mjs';
import { docker, nothingIsOrphaned, until, wsUrl } from '../support/stack.mjs';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

test('create answers with these members when the sandbox is usable', async (t) => {
  const reply = await call('POST', '/sandbox/create', { body: {} });
  assert.equal(reply.status, 200, reply.text);
  const { sandboxId, agentUrl, tier, resourceLimits, expiresAt, ...rest } = reply.json;
  t.after(() => destroySandbox(sandboxId));
  assert.deepEqual(rest, {});
  assert.match(sandboxId, UUID);
  assert.equal(agentUrl, `${wsUrl}/agent/${sandboxId}`);
  assert.equal(tier, 'enterprise');
  assert.deepEqual(Object.keys(resourceLimits).sort(), ['cpu', 'cpuShares', 'diskMB', 'lifetimeHours', 'memoryMB', 'pids']);
  assert.equal(resourceLimits.memoryMB, 2048);
  assert.equal(resourceLimits.lifetimeHours, 168);
  assert.ok(Number.isInteger(resourceLimits.cpuShares) && resourceLimits.cpuShares > 0);
  const hoursLeft = (Date.parse(expiresAt) - Date.now()) / 3_600_000;
  assert.ok(hoursLeft > 167.9 && hoursLeft <= 168, expiresAt);

  const result = await exec(sandboxId, 'echo', ['first']);
  assert.equal(result.stdout, 'first\n');
});

test('a create without a body is a create with every default', async () => {
  const reply = await call('POST', '/sandbox/create');
  assert.equal(reply.status, 200, reply.text);
  await destroySandbox(reply.json.sandboxId);
});

test('timeoutMs shortens the life and never lengthens it', async (t) => {
  const { sandboxId, expiresAt } = await createSandbox({ timeoutMs: 60_000 });
  t.after(() => destroySandbox(sandboxId));
  const seconds = (Date.parse(expiresAt) - Date.now()) / 1000;
  assert.ok(seconds > 50 && seconds <= 60, expiresAt);
});

test('a sandbox ends when its time is over', async () => {
  const { sandboxId } = await createSandbox({ timeoutMs: 1500 });
  const ended = await until('the sandbox ends', async () => {
    const { json } = await call('GET', `/sandbox/${sandboxId}/status`);
    return json.status === 'destroyed' && json;
  }, 15_000);
  assert.equal(ended.endReason, 'timeout');
});

test('status has these members', async (t) => {
  const id = await sandboxFor(t);
  const reply = await call('GET', `/sandbox/${id}/status`);
  assert.equal(reply.status, 200);
  const { createdAt, expiresAt, ...rest } = reply.json;
  assert.ok(Date.parse(expiresAt) > Date.now(), expiresAt);
  assert.deepEqual(rest, {
    sandboxId: id,
    connected: true,
    status: 'running',
    containerStatus: { running: true, status: 'running', exitCode: 0, error: '' },
  });
  assert.ok(Math.abs(Date.parse(createdAt) - Date.now()) < 60_000, createdAt);
});

for (const [method, suffix] of [['POST', '/destroy'], ['DELETE', '']]) {
  test(`${method} {id}${suffix} destroys, again and again`, async () => {
    const { sandboxId } = await createSandbox();
    for (let round = 0; round < 3; round += 1) {
      const reply = await call(method, `/sandbox/${sandboxId}${suffix}`);
      assert.equal(reply.status, 200, reply.text);
      assert.deepEqual(reply.json, { success: true, sandboxId });
    }
    await until('the container is gone', async () => await docker(
      'ps', '-aq', '--filter', `label=insien.sandbox=${sandboxId}`) === '', 15_000);
  });
}

test('an ended sandbox tells how it ended and refuses everything else', async () => {
  const { sandboxId } = await createSandbox();
  await destroySandbox(sandboxId);
  const { status, json } = await call('GET', `/sandbox/${sandboxId}/status`);
  assert.equal(status, 200);
  assert.ok(['stopping', 'destroyed'].includes(json.status), json.status);
  const ended = await until('the row is destroyed', async () => {
    const reply = await call('GET', `/sandbox/${sandboxId}/status`);
    return reply.json.status === 'destroyed' && reply.json;
  }, 15_000);
  assert.equal(ended.endReason, 'user');
  assert.ok(Date.parse(ended.endedAt) >= Date.parse(ended.createdAt));
  assert.equal(ended.connected, false);
  assert.equal(ended.containerStatus.running, false);
  assertError(await tryExec(sandboxId, { cmd: 'true' }), 409, 'sandbox_ended');
});

test('a container that dies ends its sandbox', async () => {
  const { sandboxId } = await createSandbox();
  await docker('kill', `insien-${sandboxId}`);
  await until('the sandbox is ended', async () => {
    const { json } = await call('GET', `/sandbox/${sandboxId}/status`);
    return ['destroyed', 'failed'].includes(json.status) && json.endReason !== undefined;
  }, 15_000);
  assertError(await tryExec(sandboxId, { cmd: 'true' }), 409, 'sandbox_ended');
});

test('a command whose sandbox is destroyed is answered', async () => {
  const { sandboxId } = await createSandbox();
  const running = tryExec(sandboxId, { cmd: 'sleep', args: ['60'] });
  await until('the command runs', async () => (await exec(sandboxId, 'pidof', ['sleep'])).exitCode === 0, 30_000);
  await destroySandbox(sandboxId);
  const reply = await running;
  if (reply.status === 200) {
    assert.ok(['sandbox_gone', 'agent_lost'].includes(reply.json.reason), reply.text);
    assert.equal(reply.json.exitCode, null);
  } else {
    assertError(reply, 409, 'sandbox_gone');
  }
});

test('eight creates at once all succeed and nothing is left of them', async () => {
  const boxes = await Promise.all(Array.from({ length: 8 }, () => createSandbox()));
  assert.equal(new Set(boxes.map((box) => box.sandboxId)).size, 8);
  await Promise.all(boxes.map(async ({ sandboxId }) => {
    assert.equal((await exec(sandboxId, 'echo', [sandboxId])).stdout, `${sandboxId}\n`);
    await destroySandbox(sandboxId);
  }));
  await nothingIsOrphaned();
});
