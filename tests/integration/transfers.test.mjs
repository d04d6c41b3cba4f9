// Uploads that are cut or seen half way, downloads that are taken up again, many files at once,
// URLs that outlive their reason, and watches that are asked too much.
import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, exec, shell, shellOutput,
} from '../support/api.mjs';
import { apiKey, apiUrl, docker, until } from '../support/stack.mjs';
import {
  bytesOf, eventsOf, get, hashOf, open, pattern, send,
} from '../support/transfer.mjs';
import { openClient } from '../support/websocket.mjs';

const MIB = 1024 * 1024;

describe('files on their way', () => {
  let id;
  const at = (path, more = '') => `/sandbox/${id}/files?path=${encodeURIComponent(path)}${more}`;
  const put = (path, body, more = '', headers = {}) => send('PUT', at(path, more), [Buffer.from(body)], { headers });
  const lengthOf = (bytes) => ({ 'Content-Length': bytes });

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
  });
  after(() => destroySandbox(id));

  // An upload whose bytes are sent by the caller, piece by piece.
  const beginUpload = (path, headers = {}) => {
    const request = http.request(new URL(at(path), apiUrl), { method: 'PUT', agent: false, headers: { 'X-API-Key': apiKey, ...headers } });
    request.on('error', () => {});
    const reply = new Promise((resolve) => { request.on('response', resolve); });
    const write = (bytes) => new Promise((resolve) => { request.write(bytes, resolve); });
    return { request, reply, write };
  };
  // What is in the folder besides what is named: a draft, for as long as a file is on its way.
  const others = (folder, ...names) => shellOutput(id, `ls -A ${folder} | grep -vxE '${names.join('|') || '-'}' | wc -l`).then(Number);

  for (const [name, headers] of [['with a length', lengthOf(3 * MIB)], ['chunked', {}]]) {
    it(`an upload ${name} is not seen before it is whole`, async () => {
      const folder = name.replaceAll(' ', '-');
      await put(`${folder}/file`, 'old');
      const before = await shellOutput(id, `stat -c %i ${folder}/file`);
      const { request, reply, write } = beginUpload(`${folder}/file`, headers);
      await write(Buffer.alloc(2 * MIB, 'n'));
      await until('it is on its way', async () => Number(await shellOutput(id,
        `find ${folder} ! -name file -type f -size +1000k | wc -l`)) === 1, 5000);
      assert.equal(await shellOutput(id, `cat ${folder}/file`), 'old');
      assert.equal((await get(at(`${folder}/file`))).bytes.toString(), 'old');
      await exec(id, 'sh', ['-c', `tail -f ${folder}/file > seen-by-reader`], { background: true, tag: `reader-${folder}` });
      await until('the reader has it open', async () => await shellOutput(id, 'cat seen-by-reader') === 'old', 5000);
      request.end(Buffer.alloc(MIB, 'n'));
      assert.equal((await reply).statusCode, 200);
      assert.equal(await shellOutput(id, `tr -d n < ${folder}/file | wc -c; stat -c %s ${folder}/file`), `0\n${3 * MIB}`);
      assert.notEqual(await shellOutput(id, `stat -c %i ${folder}/file`), before, 'another file has its place');
      assert.equal(await shellOutput(id, 'cat seen-by-reader'), 'old', 'who has the old one open keeps it');
      assert.equal(await others(folder, 'file'), 0);
    });

    it(`an upload ${name} that is cut leaves nothing, and the old file`, async () => {
      const folder = `cut-${name.replaceAll(' ', '-')}`;
      await put(`${folder}/file`, 'old');
      const { request, write } = beginUpload(`${folder}/file`, headers);
      await write(Buffer.alloc(2 * MIB, 'n'));
      await until('it is on its way', async () => await others(folder, 'file') === 1, 5000);
      request.destroy();
      await until('nothing is left of it', async () => await others(folder, 'file') === 0, 5000);
      assert.equal(await shellOutput(id, `cat ${folder}/file`), 'old');
    });
  }

  it('uploads to one place at the same time leave one of them, whole', async () => {
    const replies = await Promise.all(Array.from({ length: 10 }, (_, i) => put('contested', Buffer.alloc(300_000, String(i)))));
    assert.ok(replies.every(({ status }) => [200, 201].includes(status)), replies.map(({ text }) => text).join());
    assert.match(await shellOutput(id, 'fold -w1 contested | sort | uniq -c'), /^300000 \d$/);
  });

  it('a mode, a user and sync are taken as they are given', async () => {
    assert.equal((await put('/srv/as-root', 'x', '&mode=4711&user=root&sync=true')).status, 201);
    assert.equal(await shellOutput(id, 'stat -c "%a %U:%G" /srv/as-root'), '4711 root:root');
    assert.equal((await put('/tmp/as-nobody', 'x', '&user=nobody&mode=0600')).status, 201);
    assert.equal(await shellOutput(id, 'stat -c "%a %U" /tmp/as-nobody'), '600 nobody');
    for (const more of ['&mode=999', '&mode=17777', '&sync=maybe', '&user=nemo']) {
      assert.equal((await put('refused', 'x', more)).status, 400, more);
    }
    assertError(await call('GET', at('refused')), 404, 'file_not_found');
  });

  it('a download that broke is taken up where it was, unless the file is another', async () => {
    const all = Buffer.concat([...pattern(2 * MIB)]);
    await put('resumed', all);
    const first = await open('GET', at('resumed'));
    const { etag } = first.headers;
    assert.deepEqual([first.headers['accept-ranges'], first.headers['content-length']], ['bytes', String(all.length)]);
    first.destroy();
    const from = 123_457;
    const rest = await get(at('resumed'), { headers: { Range: `bytes=${from}-`, 'If-Range': etag } });
    assert.deepEqual([rest.status, rest.headers.etag], [206, etag]);
    assert.ok(rest.bytes.equals(all.subarray(from)));
    await put('resumed', 'another');
    const other = await get(at('resumed'), { headers: { Range: `bytes=${from}-`, 'If-Range': etag } });
    assert.deepEqual([other.status, other.bytes.toString()], [200, 'another']);
    assert.notEqual(other.headers.etag, etag);
    assert.equal((await get(at('resumed'), { headers: { 'If-None-Match': `"no", ${other.headers.etag}` } })).status, 304);
    assert.equal((await get(at('resumed'), { headers: { 'If-None-Match': etag } })).status, 200);
  });

  it('files of one size, written in one moment, have tags of their own', async () => {
    const tags = [];
    for (const text of ['one', 'two', 'six']) {
      await put('quick', text);
      tags.push((await get(at('quick'))).headers.etag);
    }
    assert.equal(new Set(tags).size, 3, tags.join());
  });

  it('types are told by name', async () => {
    for (const [name, type] of [['a.html', 'text/html'], ['a.json', 'application/json'], ['a.png', 'image/png'], ['a.unknown', 'application/octet-stream']]) {
      await put(name, '{}');
      assert.ok((await get(at(name))).headers['content-type'].startsWith(type), name);
    }
  });

  it('a form of three hundred files is written, and each file has its own fate', async () => {
    await shell(id, 'mkdir -p form/taken');
    const form = new FormData();
    const bodies = Array.from({ length: 300 }, (_, i) => Buffer.concat([...pattern(1 + i * 37)]));
    bodies.forEach((body, i) => form.append('file', new Blob([body]), `d${i % 7}/f${i}`));
    form.append('file', new Blob(['x']), 'taken'); // a folder is there
    form.append('file', new Blob(['last']), 'last');
    const encoded = new Response(form);
    const reply = await send('POST', `/sandbox/${id}/files?path=form`, [Buffer.from(await encoded.arrayBuffer())], {
      headers: { 'Content-Type': encoded.headers.get('content-type') },
    });
    assert.ok(reply.status < 300, reply.text);
    assert.deepEqual([reply.json.files.length, reply.json.failed], [302, 1]);
    assert.deepEqual(reply.json.files.filter(({ code }) => code !== undefined).map(({ path, code }) => [path, code]),
      [['form/taken', 'is_a_directory']]);
    const sums = await shellOutput(id, 'cd form; for i in $(seq 0 299); do cat d$((i % 7))/f$i; done | sha256sum; cat last');
    assert.equal(sums, `${hashOf(bodies)}  -\nlast`);
  });

  it('a form that would leave its folder writes nothing there', async () => {
    const form = ['--b', 'Content-Disposition: form-data; name="f"; filename="../../tmp/escaped"', '', 'x', '--b--', ''].join('\r\n');
    const reply = await send('POST', `/sandbox/${id}/files?path=form`, [Buffer.from(form)], {
      headers: { 'Content-Type': 'multipart/form-data; boundary=b' },
    });
    assert.deepEqual([reply.json.failed, reply.json.files[0].code], [1, 'invalid_path'], reply.text);
    assert.equal(await shellOutput(id, 'ls /tmp/escaped 2>/dev/null | wc -l'), '0');
  });

  it('searches with name and text together, up to a number of results', async () => {
    await shell(id, 'mkdir -p hay/sub; for i in $(seq 50); do printf "a\\nneedle %d\\n" $i > hay/sub/$i.txt; done; printf "needle\\0" > hay/binary; echo "a.b" > hay/dots.md; echo "axb" >> hay/dots.md');
    const search = async (body) => {
      const reply = await call('POST', `/sandbox/${id}/search`, { body: { path: 'hay', ...body } });
      assert.equal(reply.status, 200, reply.text);
      return reply.json;
    };
    const all = await search({ name: '*.txt', text: 'needle' });
    assert.deepEqual([all.results.length, all.truncated], [50, false]);
    assert.ok(all.results.every(({ line }) => line === 2));
    const some = await search({ name: '*.txt', text: 'needle', maxResults: 7 });
    assert.deepEqual([some.results.length, some.truncated], [7, true]);
    assert.deepEqual((await search({ name: 'dots.md', text: 'a.b' })).results.map(({ line }) => line), [1], 'text is text');
    assert.equal((await search({ name: 'dots.md', text: 'a.b', regex: true })).results.length, 2);
  });

  describe('signed URLs', () => {
    const sign = async (on, body) => {
      const reply = await call('POST', `/sandbox/${on}/files/url`, { body: { ttlS: 600, ...body } });
      assert.equal(reply.status, 200, reply.text);
      assert.ok(Date.parse(reply.json.expiresAt) > Date.now() + 500_000, reply.json.expiresAt);
      return reply.json.url;
    };

    it('end with their sandbox', async () => {
      const { sandboxId } = await createSandbox();
      await shellOutput(sandboxId, 'echo x > /tmp/f');
      const down = await sign(sandboxId, { op: 'download', path: '/tmp/f' });
      const up = await sign(sandboxId, { op: 'upload', path: '/tmp/f' });
      assert.equal((await get(down, { key: null })).status, 200);
      await destroySandbox(sandboxId);
      assert.ok([403, 404, 409].includes((await call('GET', down, { key: null })).status));
      assert.ok([403, 404, 409].includes((await send('PUT', up, [Buffer.from('y')], { key: null })).status));
    });

    it('are for one sandbox, one file and one way', async () => {
      await put('signed', 'secret');
      await put('neighbour', 'other');
      const other = await createSandbox();
      const down = await sign(id, { op: 'download', path: 'signed' });
      assert.equal((await get(down, { key: null })).bytes.toString(), 'secret');
      assert.equal((await get(down, { key: null, headers: { Range: 'bytes=1-2' } })).bytes.toString(), 'ec');
      const url = new URL(down);
      const tampered = [];
      for (const name of url.searchParams.keys()) {
        const changed = new URL(url);
        changed.searchParams.set(name, name === 'path' ? '/app/neighbour' : `${changed.searchParams.get(name)}1`);
        const missing = new URL(url);
        missing.searchParams.delete(name);
        tampered.push(changed, missing);
      }
      const elsewhere = new URL(url);
      elsewhere.pathname = url.pathname.replace(id, other.sandboxId);
      assert.notEqual(elsewhere.pathname, url.pathname);
      for (const bad of [...tampered, elsewhere]) {
        const reply = await call('GET', bad.href, { key: null });
        assert.ok([400, 403, 404].includes(reply.status), `${reply.status} ${bad.search}`);
        assert.doesNotMatch(reply.text, /secret|other\n/);
      }
      assertError(await send('PUT', down, [Buffer.from('y')], { key: null }), 403, 'url_invalid');
      assert.equal(await shellOutput(id, 'cat signed'), 'secret');
      await destroySandbox(other.sandboxId);
    });
  });

  describe('watches', () => {
    it('miss nothing in folders that are made while they look', { timeout: 60_000 }, async () => {
      await shell(id, 'mkdir -p race');
      const reply = await open('GET', `/sandbox/${id}/watch?path=race`);
      const events = eventsOf(reply);
      assert.equal((await events.next()).value.type, 'watching');
      const count = 300;
      await shell(id, `cd race; for i in $(seq ${count}); do mkdir -p a$i/b/c; echo x > a$i/b/c/f; done`);
      const seen = new Map();
      const look = async () => {
        const { value: event } = await events.next();
        assert.notEqual(event.type, 'overflow');
        const path = event.path.replace(/^.*race\//, '');
        if (event.type === 'create') {
          seen.set(path, (seen.get(path) ?? 0) + 1);
        }
      };
      while (seen.size < 4 * count) {
        await look();
      }
      await shell(id, 'touch race/end'); // what would be told twice comes before it
      while (!seen.has('end')) {
        await look();
      }
      reply.destroy();
      for (let i = 1; i <= count; i += 1) {
        for (const path of [`a${i}`, `a${i}/b`, `a${i}/b/c`, `a${i}/b/c/f`]) {
          assert.equal(seen.get(path), 1, path);
        }
      }
    });

    it('tell moves as moves, within and across the border', async () => {
      await shell(id, 'mkdir -p moves/from moves/to; echo x > moves/from/f; echo y > come');
      const reply = await open('GET', `/sandbox/${id}/watch?path=moves`);
      const events = eventsOf(reply);
      await events.next();
      await shell(id, 'cd moves; mv from/f to/g; mv ../come here; mv to/g ../gone; mv to there; echo z > there/late');
      const seen = [];
      const short = (path) => path.replace(/^.*moves\//, '');
      while (seen.at(-1) !== 'create there/late') {
        const { value: { type, path, from } } = await events.next();
        if (['create', 'remove', 'move'].includes(type)) {
          seen.push([type, ...(from ? [short(from)] : []), short(path)].join(' '));
        }
      }
      assert.deepEqual(seen, ['move from/f to/g', 'create here', 'remove to/g', 'move to there', 'create there/late']);
      reply.destroy();
    });

    it('say that they lost some, to a reader that was away, and go on', { timeout: 60_000 }, async () => {
      await shell(id, 'mkdir -p flood');
      const client = await openClient(id);
      const { stream, answer } = client.open({ type: 'watch', path: 'flood' });
      assert.equal((await answer).type, 'watchResponse');
      client.pause();
      await exec(id, 'python3', ['-c', 'import os\nfor i in range(200000):\n  p = f"flood/{i:0200d}"\n  os.close(os.open(p, os.O_CREAT)); os.unlink(p)'], { timeoutMs: 55_000 });
      client.resume();
      const nextOf = async (wanted) => {
        let message;
        do {
          ({ message } = await stream.next());
        } while (message.event !== wanted);
        return message;
      };
      await nextOf('overflow');
      await shell(id, 'mkdir flood/later'); // what comes now is told again
      let told;
      do {
        told = await nextOf('create');
      } while (!told.path.endsWith('/later'));
      stream.reset();
      await client.close();
    });
  });

  it('a download whose reader leaves is given up in the sandbox too', async () => {
    await shell(id, 'truncate -s 2G sparse');
    const readers = await Promise.all(Array.from({ length: 8 }, () => open('GET', at('sparse'))));
    const agent = await docker('inspect', '-f', '{{.State.Pid}}', `insien-${id}`);
    const openFiles = () => readdirSync(`/proc/${agent}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${agent}/fd/${fd}`).endsWith('/sparse');
      } catch {
        return false; // closed since
      }
    }).length;
    assert.equal(openFiles(), 8);
    readers.forEach((reply) => reply.destroy());
    await until('the agent has closed them', () => openFiles() === 0, 5000);
    assert.equal((await bytesOf(await open('GET', at('sparse'), { headers: { Range: 'bytes=0-9' } }))).length, 10);
  });
});
