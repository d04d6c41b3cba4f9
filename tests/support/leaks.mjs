// What a deployment has outside of its processes' memory, counted before the tests and behind them:
//   node leaks.mjs note FILE
//   node leaks.mjs compare FILE    fails with a name for each thing that was not there before
// What goes on behind the last answers may take its time.
import { readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { docker, instance, pidOf, redis, run, runDir, serviceSettings, sql, stateDir } from './stack.mjs';

const PATIENCE_MS = 60_000;
const SERVICES = ['gateway', 'auth', 'sandbox'];
// Connections that are kept for the next to come, to Docker, Clerk and each other, and what libraries
// open when they are first needed.
const DESCRIPTORS_MORE = 16;
const lines = (text) => text.split('\n').filter((line) => line !== '');
const settings = serviceSettings('sandbox');
const table = `insien_${instance.replaceAll('-', '_')}`;

const label = (name) => ['--filter', `label=insien.${name}=${instance}`];
const containers = async () => [
  ...lines(await docker('ps', '-a', ...label('instance'), '--format', '{{.Names}}')),
  ...lines(await docker('ps', '-a', ...label('build'), '--format', 'step of a build {{.ID}}')),
];
const images = async () => lines(await docker('images', '--filter', `reference=${instance}/*`, '--format', '{{.Repository}}:{{.Tag}}'));
const networks = async () => lines(await docker('network', 'ls', '--format', '{{.Name}}')).filter((name) => name.includes(instance));
const volumes = async () => lines(await docker('volume', 'ls', ...label('instance'), '--format', '{{.Name}}'));

// Counters differ each time.
const rule = (line) => line.replace(/counter packets \d+ bytes \d+/, 'counter').trim();
// What ends by itself shows when that is.
async function rules() {
  const [nft, filter] = await Promise.all([
    run('nft', ['list', 'table', 'inet', table]).catch(() => ({ stdout: '' })),
    run('iptables-save', []).catch(() => ({ stdout: '' })),
  ]);
  return [...lines(nft.stdout).filter((line) => !line.includes('expires')).map(rule), ...lines(filter.stdout).filter((line) => line.includes(instance)).map(rule)];
}

const ownPaths = [settings.VOLUMES_DIR, runDir, stateDir].filter(Boolean);
const isOwn = (path) => ownPaths.some((own) => path.startsWith(`${own}/`));
const mounts = () => lines(readFileSync('/proc/self/mounts', 'utf8')).map((line) => line.split(' ')[1]).filter(isOwn);
const loops = () => readdirSync('/sys/block').filter((name) => name.startsWith('loop')).flatMap((name) => {
  try {
    return [readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8').trim()];
  } catch {
    return []; // it has no file
  }
}).filter(isOwn);

// The ends of containers' links on our bridges.
async function links() {
  const all = JSON.parse((await run('ip', ['-j', 'link'])).stdout || '[]');
  const ids = lines(await docker('network', 'ls', '--no-trunc', '--format', '{{.ID}} {{.Name}}'))
    .map((line) => line.split(' ')).filter(([, name]) => name.includes(instance)).map(([id]) => `br-${id.slice(0, 12)}`);
  return all.filter(({ master }) => master !== undefined && (ids.includes(master) || master.includes(instance))).map(({ ifname }) => ifname);
}

const rowsOf = async (what, query) => lines(await sql(query)).map((id) => `${what} ${id}`);
const rows = async () => (await Promise.all([
  rowsOf('sandbox', `SELECT id || ' ' || status FROM sandboxes WHERE instance = '${instance}' AND (status NOT IN ('destroyed', 'failed') OR container_status <> 'removed' AND status <> 'failed')`),
  rowsOf('waiting sandbox', 'SELECT id FROM warm_sandboxes'),
  rowsOf('port', "SELECT p.sandbox_id || '/' || p.container_port FROM ports p JOIN sandboxes s ON s.id = p.sandbox_id"),
  rowsOf('attachment', 'SELECT volume_id FROM volume_attachments'),
  rowsOf('volume', 'SELECT id FROM volumes'),
  rowsOf('template', 'SELECT id FROM templates WHERE user_id IS NOT NULL'),
])).flat();

// What goes by itself goes; what stays must be of something that is there.
const passing = ['clerk', 'client', 'disk', 'keycheck', 'limit', 'pending', 'session', 'stats'];
async function keys() {
  const all = lines(await redis('--scan'));
  const left = await Promise.all(all.map(async (key) => {
    const kind = key.split(':')[2] ?? '';
    const isShort = passing.includes(kind) && Number(await redis('TTL', key)) > 0;
    return isShort ? [] : [key];
  }));
  return left.flat();
}

const folders = () => ['agents', 'locks'].flatMap((name) => readdirSync(`${runDir}/${name}`).map((entry) => `${name}/${entry}`));
const disks = () => (settings.VOLUMES_DIR ? readdirSync(settings.VOLUMES_DIR) : []);

async function descriptors(service) {
  const pid = await pidOf(service);
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`).replace(/\[\d+\]$/, '')];
    } catch {
      return []; // it was closed meanwhile
    }
  });
}
const read = (file) => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return ''; // it ended meanwhile
  }
};
async function children(service) {
  const pid = await pidOf(service);
  return readdirSync(`/proc/${pid}/task`).flatMap((task) => read(`/proc/${pid}/task/${task}/children`).split(' '))
    .map((child) => read(`/proc/${child}/comm`)).filter((name) => name !== '').map((name) => `${service}: ${name}`);
}

async function look() {
  const [own, descriptorsOf, childrenOf] = await Promise.all([
    Promise.all([containers(), images(), networks(), volumes(), rules(), links(), rows(), keys()]),
    Promise.all(SERVICES.map(descriptors)), Promise.all(SERVICES.map(children)),
  ]);
  const [c, i, n, v, r, l, w, k] = own;
  return {
    containers: c, images: i, networks: n, volumes: v, rules: r, links: l, rows: w, keys: k,
    mounts: mounts(), 'loop devices': loops(), folders: folders(), disks: disks(), children: childrenOf.flat(),
    descriptors: Object.fromEntries(SERVICES.map((service, at) => [service, descriptorsOf[at]])),
  };
}

// Those that are more often there than before.
function added(before, now) {
  const left = [...before];
  return now.filter((name) => {
    const at = left.indexOf(name);
    if (at >= 0) {
      left.splice(at, 1);
    }
    return at < 0;
  });
}

function leaks(before, now) {
  const found = [];
  for (const [kind, names] of Object.entries(now).filter(([kind]) => kind !== 'descriptors')) {
    found.push(...added(before[kind], names).map((name) => `${kind}: ${name}`));
  }
  for (const service of SERVICES) {
    const more = added(before.descriptors[service], now.descriptors[service]);
    if (now.descriptors[service].length > before.descriptors[service].length + DESCRIPTORS_MORE) {
      found.push(...more.map((name) => `descriptors of ${service}: ${name}`));
    }
  }
  return found;
}

const [what, file] = process.argv.slice(2);
if (what === 'note') {
  writeFileSync(file, JSON.stringify(await look()));
} else {
  const before = JSON.parse(readFileSync(file, 'utf8'));
  const deadline = performance.now() + PATIENCE_MS;
  let found;
  do {
    found = leaks(before, await look());
    await new Promise((resolve) => setTimeout(resolve, found.length === 0 ? 0 : 1000));
  } while (found.length > 0 && performance.now() < deadline);
  console.log(found.length === 0 ? 'nothing is left over' : found.join('\n'));
  process.exitCode = found.length === 0 ? 0 : 1;
}
