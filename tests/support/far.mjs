// Machines far away, played by a network namespace: what a sandbox may and may not reach. They
// listen on each of their addresses, over TCP (what comes is sent back) and UDP (the same), and
// answer for names.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import net from 'node:net';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { run, until } from './stack.mjs';

const SERVER = fileURLToPath(new URL('far_server.mjs', import.meta.url));

// Names that the far servers are asked for begin with this label: only those questions are led away
// from the servers of this machine.
export const LABEL = 'insienfr';
const labelBytes = `0x08${Buffer.from(LABEL).toString('hex')}`;

async function must(file, args, options) {
  const { code, stderr } = await run(file, args, options);
  assert.equal(code, 0, `${file} ${args.join(' ')}: ${stderr}`);
}
const ip = (...args) => must('ip', args);

// Whether this machine's kernel and packages hold restricted sandboxes: why not, or false.
export async function whyNotRestricted() {
  const table = `inet insien_try_${process.pid}`;
  const { code, stderr } = await run('nft', [`add table ${table}; delete table ${table}`])
    .catch((error) => ({ code: 1, stderr: error.message }));
  return code !== 0 && `nft can't be used here: ${stderr.trim().split('\n')[0]}`;
}

export const hostReaches = (address, port) => new Promise((resolve) => {
  const socket = net.connect({ host: address, port, timeout: 2000 });
  const settle = (yes) => () => {
    socket.destroy();
    resolve(yes);
  };
  socket.on('connect', settle(true));
  socket.on('error', settle(false));
  socket.on('timeout', settle(false));
});

// name: of the namespace and of the link, at most 15 bytes. link: the first three numbers and the
// last of a /30's own. names: {name: [address, ...]}, answered at nameServer, one of the addresses.
export class Far {
  asked = []; // names that somebody asked the name server for, with the type
  #name;

  constructor(name) {
    this.#name = name;
  }

  async open({ link, addresses, ports, nameServer, names = {} }) {
    const name = this.#name;
    const [here, there] = [1, 2].map((n) => link.replace(/\d+$/, (last) => Number(last) + n));
    await this.close();
    await ip('netns', 'add', name);
    await ip('link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', name);
    await ip('addr', 'add', `${here}/30`, 'dev', name);
    await ip('link', 'set', name, 'up');
    await ip('-n', name, 'addr', 'add', `${there}/30`, 'dev', 'eth0');
    await ip('-n', name, 'link', 'set', 'lo', 'up');
    await ip('-n', name, 'link', 'set', 'eth0', 'up');
    await ip('-n', name, 'route', 'add', 'default', 'via', here);
    for (const address of addresses) {
      await ip('-n', name, 'addr', 'add', `${address}/32`, 'dev', 'eth0');
      await ip('route', 'add', `${address}/32`, 'via', there);
    }
    await this.#serve({ ports, nameServer, names });
    if (nameServer !== undefined) {
      await this.#leadNames(nameServer);
    }
    for (const address of addresses) {
      await until(`the host reaches ${address}`, () => hostReaches(address, ports[0]), 30_000);
    }
  }

  async #serve(what) {
    this.server = spawn('nsenter', [`--net=/run/netns/${this.#name}`, process.execPath, SERVER, JSON.stringify(what)],
      { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = readline.createInterface({ input: this.server.stdout });
    const ready = new Promise((resolve) => lines.once('line', resolve));
    lines.on('line', (line) => line.startsWith('asked ') && this.asked.push(line.slice('asked '.length)));
    assert.equal(await ready, 'ready');
  }

  // The questions of this machine's own programs.
  #leadNames(nameServer) {
    return must('nft', [`add table ip ${this.#table};
      add chain ip ${this.#table} own { type nat hook output priority -110; };
      add rule ip ${this.#table} own udp dport 53 @th,160,72 ${labelBytes} dnat ip to ${nameServer}`]);
  }

  // From one of its machines.
  async reaches(address, port) {
    const { code } = await run('timeout', ['3', 'nsenter', `--net=/run/netns/${this.#name}`, 'bash', '-c', `</dev/tcp/${address}/${port}`]);
    return code === 0;
  }

  get #table() {
    return this.#name.replaceAll('-', '_');
  }

  async close() {
    this.server?.kill();
    await run('nft', ['delete', 'table', 'ip', this.#table]).catch(() => {});
    await run('ip', ['netns', 'del', this.#name]);
    await run('ip', ['link', 'del', this.#name]);
  }
}
