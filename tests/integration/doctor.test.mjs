// What `insien-admin doctor` says of this host and its engine.
import assert from 'node:assert/strict';
import path from 'node:path';
import { before, describe, it } from 'node:test';
import { docker, programOf, root, run } from '../support/stack.mjs';

const HOST = ['firewall', 'allow-lists', 'volumes', 'core-pattern', 'processor', 'kernel-pointers', 'kernel-messages',
  'bpf', 'inotify', 'terminals', 'truth-inside'];
const ENGINE = ['runc', 'user-namespaces', 'seccomp', 'mandatory-access', 'limits', 'swap', 'live-restore', 'disk-quota', 'runtimes'];

// [{severity, name, detail, advice}], in order.
function read(text) {
  const findings = [];
  for (const line of text.trimEnd().split('\n')) {
    const found = /^(ok|note|WARNING|BAD) +(\S+) +(.*)$/.exec(line);
    if (found) {
      findings.push({ severity: found[1], name: found[2], detail: found[3], advice: [] });
    } else {
      findings.at(-1).advice.push(line.trim());
    }
  }
  return findings;
}

describe('the doctor', () => {
  let code;
  let findings;
  const of = (name) => findings.find((finding) => finding.name === name);

  before(async () => {
    const reply = await run(path.join(root, 'deploy/admin'), ['doctor']);
    code = reply.code;
    findings = read(reply.stdout);
  });

  it('looks at every protection once, and says what to do about what is missing', () => {
    assert.deepEqual(findings.map(({ name }) => name).sort(), ['engine', ...ENGINE, ...HOST].sort());
    for (const { severity, name, detail, advice } of findings) {
      assert.notEqual(detail, '', name);
      assert.equal(advice.length, severity === 'ok' ? 0 : 2, name);
      assert.ok(severity === 'ok' || advice[1].startsWith('Do: '), name);
    }
    assert.equal(code, findings.some(({ severity }) => severity === 'BAD') ? 1 : 0);
  });

  it('knows the engine', async () => {
    const info = JSON.parse(await docker('info', '-f', '{{json .}}'));
    assert.equal(of('engine').detail, `version ${info.ServerVersion}`);
    assert.equal(of('live-restore').severity === 'ok', info.LiveRestoreEnabled);
    assert.equal(of('user-namespaces').severity === 'ok', info.SecurityOptions.some((option) => /userns|rootless/.test(option)));
    assert.deepEqual(of('runtimes').detail.split(':')[1].trim().split(' ').sort(), Object.keys(info.Runtimes).sort());
    assert.match(of('runc').detail, /^version \d+\.\d+/);
    assert.match(of('disk-quota').detail, new RegExp(`^${info.Driver} on `));
  });

  it('looks at the host without an engine too, and says no', async () => {
    const program = path.join(path.dirname(await programOf('sandbox')), 'insien-admin');
    const reply = await run(program, ['doctor'], { env: { PATH: process.env.PATH, DOCKER_HOST: 'unix:///nowhere.sock' } });
    assert.equal(reply.code, 1);
    const told = read(reply.stdout);
    assert.equal(told[0].name, 'engine');
    assert.equal(told[0].severity, 'BAD');
    assert.deepEqual(told.slice(1).map(({ name }) => name).sort(), [...HOST].sort());
    assert.equal((await run(program, ['doctor'], { env: { PATH: process.env.PATH, DOCKER_HOST: 'tcp://somewhere' } })).code, 2);
  });
});
