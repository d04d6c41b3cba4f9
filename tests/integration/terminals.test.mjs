// Terminals over a client's WebSocket, with programs that take the whole screen.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { createSandbox, destroySandbox, shellOutput } from '../support/api.mjs';
import { run } from '../support/stack.mjs';
import { send } from '../support/transfer.mjs';
import { openClient } from '../support/websocket.mjs';

// The image has no editor of that kind: those of this machine, with the libraries they need.
const PROGRAMS = ['/usr/bin/vim.tiny', '/usr/bin/tmux'];
const OF_THE_IMAGE = /\/(ld-linux|libc\.|libm\.)/;
const WITH_LIBRARIES = 'export LD_LIBRARY_PATH=/app/lib PATH=/app/bin:$PATH; ';

async function putPrograms(id) {
  const { stdout } = await run('ldd', PROGRAMS);
  const libraries = [...stdout.matchAll(/=> (\/\S+)/g)].map(([, file]) => file).filter((file) => !OF_THE_IMAGE.test(file));
  const pack = async (files, path) => {
    const { code, stdout: bytes } = await run('tar', ['-ch', '--transform=s,.*/,,', '-f', '-', '-P', ...new Set(files)],
      { encoding: 'buffer' });
    assert.equal(code, 0);
    const reply = await send('PUT', `/sandbox/${id}/archive?path=${path}`, [bytes]);
    assert.equal(reply.status, 200, reply.text);
  };
  await pack(PROGRAMS, 'bin');
  await pack(libraries, 'lib');
}

describe('a terminal', () => {
  let id;
  let client;
  before(async () => {
    assert.ok(PROGRAMS.every((file) => existsSync(file)), PROGRAMS.join());
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    await putPrograms(id);
    client = await openClient(id);
  });
  after(async () => {
    await client.close();
    await destroySandbox(id);
  });

  const begin = async (text, more = {}) => {
    const { stream, answer } = client.open({
      type: 'exec', cmd: 'bash', args: ['-c', text], stream: true, pty: { cols: 80, rows: 24 }, ...more,
    });
    const started = await answer;
    assert.equal(started.type, 'execResponse', JSON.stringify(started));
    const see = (wanted) => stream.until(wanted, { kind: 'data' });
    return { stream, see, pid: started.pid };
  };

  it('is the one the program talks to, of a kind it knows', async () => {
    const { stream } = await begin('tty; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all; ps -o tty= -p $$; tput colors');
    const { data, exit } = await stream.collect();
    assert.match(data.toString(), /^\/dev\/pts\/\d+\r\nxterm-256color\r\nall\r\npts\/\d+\s*\r\n256\r\n$/);
    assert.equal(exit.exitCode, 0);
  });

  it('takes the TERM that is asked for', async () => {
    const { stream } = await begin('echo $TERM', { env: { TERM: 'vt100' } });
    assert.equal((await stream.collect()).data.toString(), 'vt100\r\n');
  });

  it('passes UTF-8 both ways, and deletes whole characters', async () => {
    const { stream, see } = await begin('stty -a | grep -o -- -*iutf8; echo up; read line; printf "[%s]" "$line"');
    assert.match((await see('up\r\n')).toString(), /^iutf8/);
    await stream.write('grüße 😀ä\x7f\x7f日本\n');
    const { data } = await stream.collect();
    assert.ok(data.toString().endsWith('[grüße 日本]'), data.toString());
  });

  it('turns keys into signals, and goes on when it is left', async () => {
    const { stream, see, pid } = await begin('trap "echo interrupted" INT; trap "echo quitted" QUIT; echo up; while :; do sleep 0.05; done');
    await see('up');
    await stream.write('\x03');
    await see('interrupted');
    await stream.write('\x1c');
    await see('quitted');
    stream.reset();
    assert.equal((await client.request({ type: 'signal', pid, signal: 'SIGKILL' })).pid, pid, 'who leaves a terminal leaves it running');
  });

  it('tells the foreground program of its new size', async () => {
    const { see, stream, pid } = await begin('trap "stty size" WINCH; echo up; while :; do sleep 0.05; done');
    await see('up');
    await client.request({ type: 'resize', pid, cols: 132, rows: 50 });
    await see('50 132');
    await client.request({ type: 'signal', pid, signal: 'SIGKILL' });
    await stream.collect();
  });

  it('reattached to replays the recent screen and goes on', async () => {
    const first = await begin('printf "\\033[2J\\033[Hscreen"; read x; echo "more $x"');
    await first.see('screen');
    await client.terminate();
    client = await openClient(id);
    const { stream, answer } = client.open({ type: 'attach', pid: first.pid, offset: 0 });
    const { pty, running } = await answer;
    assert.deepEqual([pty, running], [true, true]);
    assert.equal((await stream.until('screen', { kind: 'data' })).toString(), '\x1b[2J\x1b[Hscreen');
    await stream.write('typed\n');
    const { data, exit } = await stream.collect();
    assert.deepEqual([data.toString(), exit.exitCode], ['typed\r\nmore typed\r\n', 0]);
  });

  it('runs vim: a file is written with it', async () => {
    const { stream, see } = await begin(`${WITH_LIBRARIES}exec vim.tiny -u NONE -N written.txt`);
    await see('written.txt');
    await stream.write('ione line\x1b');
    await stream.write('yyp:s/one/zwölf/\r');
    await see('zwölf');
    await stream.write(':wq\r');
    assert.equal((await stream.collect()).exit.exitCode, 0);
    assert.equal(await shellOutput(id, 'cat written.txt'), 'one line\nzwölf line');
  });

  it('runs top, which redraws at its own pace and ends by a key', async () => {
    const { stream, see } = await begin('exec top -d 0.2');
    await see('load average');
    await see('\x1b[H'); // the second screen
    await stream.write('q');
    assert.equal((await stream.collect()).exit.exitCode, 0);
  });

  it('runs tmux: two windows, left and attached to again', async () => {
    // It takes keys that come within a millisecond for pasted text, and ours do.
    await shellOutput(id, "echo 'set -g assume-paste-time 0' > tmux.conf");
    const { stream, see } = await begin(`${WITH_LIBRARIES}exec tmux -u -L ours -f tmux.conf new-session 'bash --norc'`);
    await see('[0]');
    await stream.write('echo first-$((6*7))\r');
    await see('first-42');
    await stream.write('\x02c');
    await see('1:');
    await stream.write('\x02d');
    assert.equal((await stream.collect()).exit.exitCode, 0);
    const again = await begin(`${WITH_LIBRARIES}exec tmux -u -L ours attach`);
    await again.see('[0]');
    await again.stream.write('\x020');
    await again.see('first-42');
    await shellOutput(id, `${WITH_LIBRARIES}tmux -L ours kill-server`);
    await again.stream.collect();
  });
});
