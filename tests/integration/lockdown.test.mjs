// What a tenant, its root included, can not do; looked at from inside and, for the settings of the
// container, from the engine.
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { call, createSandbox, destroySandbox, exec, shell, shellOutput } from '../support/api.mjs';
import { docker, runDir } from '../support/stack.mjs';

// What the agent has; tenants get it less SETPCAP, or nothing.
const capabilityNames = ['CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP', 'AUDIT_WRITE'];
// CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID AUDIT_WRITE
const SUDO_SET = '00000000200000fb';
const NO_CAPABILITY = '0000000000000000';

async function processStatus(id, more) {
  const text = await shellOutput(id, 'cat /proc/self/status', more);
  return Object.fromEntries(text.split('\n').map((line) => line.split(/:\s*/)));
}

const capabilities = ({ CapInh, CapPrm, CapEff, CapBnd, CapAmb }) => ({ CapInh, CapPrm, CapEff, CapBnd, CapAmb });

// Calls that have no business in a sandbox: [what, expression in Python]; libc.syscall returns -1.
const deniedCalls = [
  ['io_uring_setup', 'libc.syscall(425, 8, ctypes.create_string_buffer(256))'],
  ['socket(AF_VSOCK)', 'libc.socket(40, 1, 0)'],
  ['socket(AF_PACKET)', 'libc.socket(17, 3, 0)'],
  ['socket(AF_ALG)', 'libc.socket(38, 5, 0)'],
  ['unshare(CLONE_NEWUSER)', 'libc.unshare(0x10000000)'],
  ['unshare(CLONE_NEWNS)', 'libc.unshare(0x20000)'],
  ['setns', 'libc.setns(os.open("/proc/self/ns/net", 0), 0)'],
  ['mount', 'libc.mount(b"none", b"/tmp", b"tmpfs", 0, None)'],
  ['umount2', 'libc.umount2(b"/.insien/run", 2)'],
  ['pivot_root', 'libc.syscall(155, b"/", b"/")'],
  ['bpf', 'libc.syscall(321, 0, ctypes.create_string_buffer(128), 128)'],
  ['perf_event_open', 'libc.syscall(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)'],
  ['userfaultfd', 'libc.syscall(323, 0)'],
  ['keyctl', 'libc.syscall(250, 0, -3, 1)'],
  ['add_key', 'libc.syscall(248, b"user", b"a", b"b", 1, -3)'],
  ['kexec_load', 'libc.syscall(246, 0, 0, None, 0)'],
  ['init_module', 'libc.syscall(175, b"", 0, b"")'],
  ['swapon', 'libc.swapon(b"/tmp/x", 0)'],
  ['reboot', 'libc.reboot(0)'],
  ['open_by_handle_at', 'libc.open_by_handle_at(-100, ctypes.create_string_buffer(128), 0)'],
  ['settimeofday', 'libc.settimeofday(ctypes.create_string_buffer(16), None)'],
  ['mknod of a disk', 'libc.mknod(b"/tmp/disk", 0o60600, 0x800)'],
];

const probe = `
import ctypes, errno, json, os, sys
libc = ctypes.CDLL(None, use_errno=True)
denied = {}
for name, call in json.loads(sys.stdin.read()):
    ctypes.set_errno(0)
    result = eval(call)
    denied[name] = errno.errorcode.get(ctypes.get_errno()) if result == -1 else "allowed"
print(json.dumps(denied))
`;

async function callsThatWork(id, user) {
  const { stdout, stderr } = await exec(id, 'python3', ['-c', probe], { user, stdin: JSON.stringify(deniedCalls) });
  const outcome = JSON.parse(stdout || JSON.stringify({ failed: stderr }));
  return Object.entries(outcome).filter(([, how]) => !['EPERM', 'ENOSYS'].includes(how));
}

for (const [template, profile] of [['base', 'sudo'], ['base-locked', 'locked']]) {
  describe(`a sandbox of the profile ${profile}`, () => {
    let id;
    before(async () => {
      ({ sandboxId: id } = await createSandbox({ template }));
    });
    after(() => destroySandbox(id));

    it('filters system calls', async () => {
      assert.equal((await processStatus(id)).Seccomp, '2');
      assert.deepEqual(await callsThatWork(id), []);
    });

    it('is a container with the settings of the design', async () => {
      const [{ HostConfig: host, Config: config, Mounts: mounts }] = JSON.parse(await docker('inspect', `insien-${id}`));
      assert.equal(host.Privileged, false);
      assert.deepEqual(host.CapDrop, ['ALL']);
      assert.deepEqual(host.CapAdd.filter((name) => !capabilityNames.includes(name)), []);
      assert.deepEqual([host.PidMode, host.UTSMode, host.UsernsMode, host.IpcMode, host.NetworkMode],
        ['', '', '', 'private', 'none']);
      assert.equal(host.LogConfig.Type, 'none');
      assert.ok(host.SecurityOpt.some((option) => option.startsWith('seccomp=')));
      assert.equal(host.SecurityOpt.some((option) => option.startsWith('no-new-privileges')), profile === 'locked');
      assert.equal(host.Memory, host.MemorySwap);
      assert.ok(host.Memory > 0 && host.CpuQuota > 0 && host.PidsLimit > 0);
      assert.ok(host.Ulimits.some((limit) => limit.Name === 'nofile'));
      assert.ok((host.Binds ?? []).length === 0);
      assert.deepEqual(mounts.map(({ Destination, RW }) => [Destination, RW]).sort(),
        [['/.insien', false], ['/.insien/run', false]]);
      assert.doesNotMatch(JSON.stringify(config.Env), /token|secret|eyJ/i);
    });

    it('sees no engine and no host', async () => {
      const { stdout } = await shell(id, 'ls /var/run/docker.sock /run/docker.sock 2>/dev/null; ls /sys/class/net');
      assert.equal(stdout, 'lo\n');
      assert.equal(await shellOutput(id, 'ps -e -o pid= | head -1 | tr -d " "'), '1');
    });

    it('lets processes of tenants die before the agent', async () => {
      const own = Number(await shellOutput(id, 'cat /proc/self/oom_score_adj'));
      const agents = Number(await shellOutput(id, 'cat /proc/1/oom_score_adj'));
      assert.ok(own > agents, `${own} > ${agents}`);
    });

    it('gives no descriptor of the agent to a command', async () => {
      assert.equal(await shellOutput(id, 'ls /proc/$$/fd; true'), '0\n1\n2');
    });
  });
}

describe('the profile sudo', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
  });
  after(() => destroySandbox(id));

  const asRoot = (script) => shell(id, script, { user: 'root' });
  const rootFails = async (script, why) => {
    const result = await asRoot(script);
    assert.notEqual(result.exitCode, 0, `${script}: ${result.stdout}`);
    assert.match(result.stderr, why, script);
    assert.equal(result.stdout, '', script);
  };

  it('gives a tenant nothing but what it may become', async () => {
    assert.deepEqual(capabilities(await processStatus(id)), {
      CapInh: NO_CAPABILITY, CapPrm: NO_CAPABILITY, CapEff: NO_CAPABILITY, CapBnd: SUDO_SET, CapAmb: NO_CAPABILITY,
    });
  });

  for (const [name, script] of [['user: "root"', (text) => asRoot(text)], ['sudo', (text) => exec(id, 'sudo', ['sh', '-c', text])]]) {
    it(`gives root by ${name} that set and no more`, async () => {
      const { stdout } = await script('grep -E "Cap(Prm|Eff|Bnd)" /proc/self/status');
      assert.deepEqual(stdout.match(/[0-9a-f]{16}/g), [SUDO_SET, SUDO_SET, SUDO_SET]);
    });
  }

  it('filters the system calls of root too', async () => {
    assert.deepEqual(await callsThatWork(id, 'root'), []);
  });

  for (const file of ['environ', 'mem', 'maps', 'smaps', 'stack', 'auxv', 'io']) {
    it(`keeps /proc/1/${file} from root`, () => rootFails(`head -c 64 /proc/1/${file}`, /denied|not permitted/i));
  }

  it('keeps the descriptors and the root folder of the agent from root', async () => {
    for (let fd = 0; fd < 16; fd += 1) {
      await rootFails(`readlink -v /proc/1/fd/${fd}`, /denied|not permitted|no such/i);
      await rootFails(`cat /proc/1/fd/${fd}`, /denied|not permitted|no such/i);
    }
    await rootFails('ls /proc/1/root/', /denied|not permitted/i);
    await rootFails('ls /proc/1/map_files', /denied|not permitted/i);
  });

  it('has no credential lying about', async () => {
    const { stdout } = await asRoot('ls -A /.insien/run');
    assert.equal(stdout, 'agent.sock\n');
    const found = await asRoot('cat /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n" | grep -c eyJ');
    assert.equal(found.stdout, '0\n');
  });

  it('lets root neither end nor stop nor trace nor limit the agent', async () => {
    for (const signal of ['KILL', 'STOP', 'TERM', 'INT', 'HUP', 'USR1', 'USR2', 'CHLD', 'PIPE', 'ALRM', 'QUIT', 'SEGV', 'ABRT']) {
      await asRoot(`kill -${signal} 1`);
    }
    await rootFails('python3 -c "import resource; resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3))"', /PermissionError|not permitted/);
    const attach = 'import ctypes, sys; sys.exit(0 if ctypes.CDLL(None).ptrace(16, 1, 0, 0) == 0 else "not permitted")';
    await rootFails(`python3 -c '${attach}'`, /not permitted/);
    assert.match((await asRoot('grep State /proc/1/status')).stdout, /State:\t[SR]/);
    assert.equal((await exec(id, 'echo', ['alive'])).stdout, 'alive\n');
  });

  it('lets root change nothing of the agent\'s files', async () => {
    await rootFails('touch /.insien/x', /read-only/i);
    await rootFails('rm /.insien/run/agent.sock', /read-only/i);
    await rootFails('echo x >> /.insien/agent', /read-only|busy/i);
    await rootFails('mkdir /.insien/run/x', /read-only/i);
  });

  it('keeps the agent\'s socket from the user, and root gets nowhere with it', async () => {
    const plain = await exec(id, 'curl', ['-sS', '--unix-socket', '/.insien/run/agent.sock', 'http://agent/health']);
    assert.notEqual(plain.exitCode, 0);
    const status = (url) => asRoot(`curl -s -o /dev/null -w '%{http_code}' --unix-socket /.insien/run/agent.sock \
      -H 'Upgrade: websocket' -H 'Connection: Upgrade' -H 'Sec-WebSocket-Version: 13' \
      -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' -H 'Authorization: Bearer x' http://agent${url}`);
    assert.equal((await status(`/agent/${id}`)).stdout, '401');
    for (const url of ['/health', '/sandbox', `/client/${id}`]) {
      assert.equal((await status(url)).stdout, '404', url);
    }
    assert.equal((await exec(id, 'echo', ['alive'])).stdout, 'alive\n');
  });

  it('raises no limit for root', async () => {
    await rootFails('ulimit -n 2000000', /not permitted|can.?t|cannot/i);
  });
});

describe('the profile locked', () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base-locked' }));
  });
  after(() => destroySandbox(id));

  it('gives nobody anything', async () => {
    const status = await processStatus(id);
    assert.deepEqual(capabilities(status), {
      CapInh: NO_CAPABILITY, CapPrm: NO_CAPABILITY, CapEff: NO_CAPABILITY, CapBnd: NO_CAPABILITY, CapAmb: NO_CAPABILITY,
    });
    assert.equal(status.NoNewPrivs, '1');
  });

  it('has no root to act as', async () => {
    for (const user of ['root', '0', '0:0', '1000:0']) {
      const reply = await call('POST', `/sandbox/${id}/exec`, { body: { cmd: 'id', user } });
      assert.ok([400, 403].includes(reply.status), `${user}: ${reply.text}`);
    }
    const reply = await call('POST', `/sandbox/${id}/exec`, { body: { cmd: 'id', user: 'root' } });
    assert.deepEqual([reply.status, reply.json.code], [403, 'root_denied']);
  });

  it('turns set-user-id programs into plain ones', async () => {
    for (const command of ['sudo -n id', 'su -c id']) {
      const result = await shell(id, command, { stdin: '\n' });
      assert.notEqual(result.exitCode, 0, command);
      assert.doesNotMatch(result.stdout, /uid=0/, command);
    }
  });

  it('keeps the agent closed', async () => {
    const { stdout } = await shell(id, 'cat /proc/1/environ /proc/1/maps /.insien/run/token; ls /proc/1/fd /.insien/run; kill -9 1');
    assert.equal(stdout, '');
  });
});

describe('on the host', () => {
  it('the agents\' folders are closed to everybody else', async () => {
    const { sandboxId } = await createSandbox();
    const dir = `${runDir}/agents/${sandboxId.replaceAll('-', '')}`;
    assert.equal(statSync(dir).mode & 0o007, 0);
    assert.deepEqual(readdirSync(dir), ['agent.sock'], 'the token is gone once used');
    await destroySandbox(sandboxId);
  });
});
