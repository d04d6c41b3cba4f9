// How sandboxes are kept apart, by choice of the operator: other runtimes than the engine's, and a
// /proc that tells of the sandbox instead of the machine. What this host has not is skipped.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  call, createSandbox, destroySandbox, exec, shell, shellOutput, whenHealthy,
} from '../support/api.mjs';
import { docker, kill9, run, until } from '../support/stack.mjs';

const PATIENCE_MS = 60_000;

// Why it can't be used here, or false.
async function lacks(runtime) {
  if (!Object.keys(JSON.parse(await docker('info', '-f', '{{json .Runtimes}}'))).includes(runtime)) {
    return 'the engine does not know it';
  }
  const { code, stderr } = await run('docker', ['run', '--rm', '--runtime', runtime, '--network', 'none', '--entrypoint', '/bin/true', 'insien/base']);
  return code === 0 ? false : stderr.trim().split('\n')[0];
}

// Both are gone when the test ends.
async function sandboxUnder(t, runtime, more) {
  const name = `under-${runtime}-${process.pid}`;
  const made = await call('POST', '/api/templates', { body: { name, image: 'insien/base', profile: 'locked', runtime } });
  assert.equal(made.status, 201, made.text);
  let id;
  t.after(async () => {
    await (id && destroySandbox(id));
    await until('it is deleted', async () => (await call('DELETE', `/api/templates/${name}`)).status !== 409, PATIENCE_MS);
  });
  await until('it is made', async () => (await call('GET', `/api/templates/${name}`)).json.status === 'ready', PATIENCE_MS);
  id = (await createSandbox({ template: name, ...more })).sandboxId;
  return id;
}

describe('a sandbox under', () => {
  for (const runtime of ['crun', 'runsc']) {
    it(`${runtime} lives as any other`, async (t) => {
      const lack = await lacks(runtime);
      if (lack) {
        t.skip(lack);
        return;
      }
      const id = await sandboxUnder(t, runtime, { memoryMB: 128 });
      assert.equal(await docker('inspect', '-f', '{{.HostConfig.Runtime}}', `insien-${id}`), runtime);
      assert.equal(await shellOutput(id, 'echo kept > /tmp/file; nproc >/dev/null && id -u'), '1000');
      const { json: { stats, resourceLimits } } = await call('GET', `/sandbox/${id}/stats`);
      assert.equal(stats.memory.limit, resourceLimits.memoryMB * 2 ** 20);
      for (const mode of ['freeze', 'disk']) {
        assert.equal((await call('POST', `/sandbox/${id}/pause`, { body: { mode } })).json.status, 'paused', mode);
        assert.equal((await call('POST', `/sandbox/${id}/resume`)).json.status, 'running', mode);
        assert.equal((await exec(id, 'cat', ['/tmp/file'])).stdout, 'kept\n', mode);
      }
      const greedy = await shell(id, 'head -c 400m /dev/zero | tail -c 300m');
      assert.notEqual(greedy.exitCode, 0, 'more memory than it has');
      await destroySandbox(id);
      await until('nothing is left', async () => await docker('ps', '-aq', '--filter', `label=insien.sandbox=${id}`) === '', PATIENCE_MS);
    });
  }
});

describe('lxcfs', () => {
  const dir = process.env.LXCFS_DIR;

  async function startService() {
    await kill9('sandbox');
    await whenHealthy(PATIENCE_MS);
  }

  async function mount(t) {
    mkdirSync(dir, { recursive: true });
    const lxcfs = spawn('lxcfs', ['-p', `${dir}.pid`, dir], { stdio: 'ignore' });
    t.after(async () => {
      lxcfs.kill();
      await until('it has ended', () => lxcfs.exitCode !== null || lxcfs.signalCode !== null, PATIENCE_MS);
      rmdirSync(dir);
      await startService(); // without it again
    });
    await until('it serves', () => existsSync(`${dir}/proc/meminfo`), PATIENCE_MS);
  }

  it('tells a sandbox its own memory and processors, and for how long it runs', async (t) => {
    if (!existsSync('/usr/bin/lxcfs') || !existsSync('/dev/fuse')) {
      t.skip('it is not installed, or the kernel has no FUSE');
      return;
    }
    await mount(t);
    await startService();
    const { sandboxId: id } = await createSandbox({ memoryMB: 96, cpu: 1 });
    t.after(() => destroySandbox(id));
    assert.equal(await shellOutput(id, "sed -n 's/^MemTotal: *//p' /proc/meminfo"), `${96 * 1024} kB`);
    assert.equal(await shellOutput(id, 'grep -c ^processor /proc/cpuinfo; nproc'), '1\n1');
    assert.ok(Number(await shellOutput(id, 'cut -d. -f1 /proc/uptime')) < 600);
    const swap = await shellOutput(id, "sed -n 's/^SwapTotal: *//p' /proc/meminfo");
    assert.equal(swap, '0 kB');
  });
});
