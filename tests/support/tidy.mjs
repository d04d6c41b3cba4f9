// clang-tidy over every file of the build, as many at a time as there are cores. A file that was
// clean is not read again while what the compiler sees of it is the same.
//   node tidy.mjs STATE-FOLDER
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const stateDir = path.resolve(process.argv[2]);
const buildDir = path.join(stateDir, 'build/Sanitize');
const cacheDir = path.join(stateDir, 'tidy');
const rules = readFileSync(path.join(root, '.clang-tidy'));

function run(file, args, cwd) {
  return new Promise((resolve) => {
    execFile(file, args, { cwd, maxBuffer: 64 << 20 }, (error, stdout, stderr) => resolve({ failed: error !== null, stdout, stderr }));
  });
}

// The command's flags that a preprocessor needs: everything but the compiler and the output.
function preprocessorArgs(entry) {
  const words = entry.command.split(/ +/);
  const kept = words.filter((word) => /^-(D|I|isystem|std)/.test(word) || words[words.indexOf(word) - 1] === '-isystem');
  return [...kept, '-E', entry.file];
}

async function fingerprint(entry, version) {
  const seen = await run('clang', preprocessorArgs(entry), entry.directory);
  const content = readFileSync(entry.file); // comments steer clang-tidy and are not in the above
  return createHash('sha256').update(version).update(rules).update(content).update(seen.stdout).digest('hex');
}

async function tidy(entry, version) {
  const stamp = path.join(cacheDir, await fingerprint(entry, version));
  if (existsSync(stamp)) {
    return true;
  }
  const { failed, stdout, stderr } = await run('clang-tidy', ['-quiet', '-p', buildDir, entry.file], root);
  if (failed) {
    console.log(`${entry.file}:\n${stdout}${stderr}`.trim());
    return false;
  }
  writeFileSync(stamp, '');
  return true;
}

const { stdout: version } = await run('clang-tidy', ['--version'], root);
const entries = JSON.parse(readFileSync(path.join(buildDir, 'compile_commands.json'), 'utf8'));
const queue = [...new Map(entries.map((entry) => [entry.file, entry])).values()];
const total = queue.length;
let clean = 0;
mkdirSync(cacheDir, { recursive: true });
await Promise.all(cpus().map(async () => {
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    const isClean = await tidy(entry, version); // not in the next line: the cores would overwrite each other
    clean += isClean ? 1 : 0;
  }
}));
console.log(`${clean} of ${total} files are clean`);
process.exitCode = clean === total && total > 0 ? 0 : 1;
