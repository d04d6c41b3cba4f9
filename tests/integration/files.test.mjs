import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  assertError, call, createSandbox, destroySandbox, shell, shellOutput,
} from '../support/api.mjs';
import { until } from '../support/stack.mjs';
import { digest, eventsOf, get, hashOf, open, pattern, send } from '../support/transfer.mjs';

const MIB = 1024 * 1024;

describe('files', () => {
  let id;
  const at = (path, more = '') => `/sandbox/${id}/files?path=${encodeURIComponent(path)}${more}`;
  const put = (path, body, more = '', headers = {}) => send('PUT', at(path, more), [Buffer.from(body)], { headers });

  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
  });
  after(() => destroySandbox(id));

  describe('up and down', () => {
    it('any bytes come back as they went', async () => {
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
      const reply = await put('all bytes/ä.bin', bytes);
      assert.equal(reply.status, 201, reply.text);
      assert.deepEqual(reply.json, { path: '/app/all bytes/ä.bin', size: 256 });
      const got = await get(at('all bytes/ä.bin'));
      assert.equal(got.status, 200);
      assert.deepEqual(got.bytes, bytes);
      assert.equal(got.headers['content-length'], '256');
      assert.equal(await shellOutput(id, 'stat -c "%U %a" "/app/all bytes/ä.bin"'), 'user 644');
    });

    it('an empty file is a file', async () => {
      assert.equal((await put('empty', '')).status, 201);
      const got = await get(at('empty'));
      assert.deepEqual([got.status, got.bytes.length], [200, 0]);
    });

    it('replacing answers 200 and keeps the mode unless one is given', async () => {
      await put('tool', '#!/bin/sh\necho one\n', '&mode=0755');
      assert.equal((await put('tool', '#!/bin/sh\necho two\n')).status, 200);
      assert.equal(await shellOutput(id, '/app/tool; stat -c %a /app/tool'), 'two\n755');
      await put('tool', 'x', '&mode=600');
      assert.equal(await shellOutput(id, 'stat -c %a /app/tool'), '600');
    });

    it('200 MiB go up chunked and come down, whole', async () => {
      const size = 200 * MIB;
      const reply = await send('PUT', at('/tmp/large'), pattern(size));
      assert.equal(reply.status, 201, reply.text);
      assert.equal(reply.json.size, size);
      const hash = hashOf(pattern(size));
      assert.equal((await shellOutput(id, 'sha256sum /tmp/large', { timeoutMs: 60_000 })).split(' ')[0], hash);
      assert.deepEqual(await digest(at('/tmp/large')), { status: 200, size, hash });
      await shell(id, 'rm /tmp/large');
    });

    it('a reader sees the old file until the new one is whole', async () => {
      await put('whole', 'old');
      const slow = (function* slowly() {
        yield Buffer.alloc(MIB, 'n');
      }());
      const reply = send('PUT', at('whole', '&sync=true'), slow);
      assert.match(await shellOutput(id, 'head -c 3 /app/whole'), /old|nnn/);
      assert.equal((await reply).status, 200);
      assert.equal(await shellOutput(id, 'stat -c %s /app/whole; ls -A /app | grep -c "^\\."; true'), `${MIB}\n0`);
    });

    it('an upload that is given up leaves nothing', async () => {
      const before = await shellOutput(id, 'ls -A /home/user');
      const { request } = await import('node:http');
      const { apiKey, apiUrl } = await import('../support/stack.mjs');
      const upload = request(new URL(at('/home/user/half'), apiUrl), { method: 'PUT', headers: { 'X-API-Key': apiKey, 'Content-Length': 100 * MIB } });
      upload.on('error', () => {});
      await new Promise((resolve) => { upload.write(Buffer.alloc(MIB), resolve); });
      upload.destroy();
      await until('nothing is left', async () => await shellOutput(id, 'ls -A /home/user') === before, 30_000);
    });

    it('ranges are answered as RFC 9110 says', async () => {
      await put('digits', '0123456789');
      const range = async (value) => {
        const got = await get(at('digits'), { headers: { Range: value } });
        return [got.status, got.bytes.toString(), got.headers['content-range']];
      };
      assert.deepEqual(await range('bytes=2-4'), [206, '234', 'bytes 2-4/10']);
      assert.deepEqual(await range('bytes=7-'), [206, '789', 'bytes 7-9/10']);
      assert.deepEqual(await range('bytes=-3'), [206, '789', 'bytes 7-9/10']);
      assert.deepEqual(await range('bytes=5-500'), [206, '56789', 'bytes 5-9/10']);
      const beyond = await get(at('digits'), { headers: { Range: 'bytes=10-' } });
      assert.deepEqual([beyond.status, beyond.headers['content-range']], [416, 'bytes */10']);
      assert.equal((await range('lines=1-2'))[0], 200);
    });

    it('an ETag spares the second download, until the file changes', async () => {
      await put('tagged.txt', 'one');
      const first = await get(at('tagged.txt'));
      assert.match(first.headers['content-type'], /^text\/plain/);
      const again = await get(at('tagged.txt'), { headers: { 'If-None-Match': first.headers.etag } });
      assert.deepEqual([again.status, again.bytes.length], [304, 0]);
      await put('tagged.txt', 'two!');
      const changed = await get(at('tagged.txt'), { headers: { 'If-None-Match': first.headers.etag } });
      assert.deepEqual([changed.status, changed.bytes.toString()], [200, 'two!']);
    });

    it('HEAD tells the size and sends nothing', async () => {
      const reply = await open('HEAD', at('digits'));
      assert.deepEqual([reply.statusCode, reply.headers['content-length']], [200, '10']);
      reply.resume();
    });

    it('acts as the user who is named, and no other', async () => {
      assertError(await put('/root/no', 'x'), 400, 'permission_denied');
      assert.equal((await put('/root/yes', 'x', '&user=root')).status, 201);
      assert.equal((await get(at('/root/yes'))).status, 400);
      assert.equal((await get(at('/root/yes', '&user=root'))).bytes.toString(), 'x');
    });

    it('says what is wrong with a path', async () => {
      assertError(await call('GET', at('/nowhere')), 404, 'file_not_found');
      assertError(await call('GET', at('/app')), 400, 'is_a_directory');
      assertError(await call('GET', at('/dev/zero')), 400, 'not_a_file');
      assertError(await call('GET', `/sandbox/${id}/files`), 400, 'validation_failed');
      assertError(await put('/app', 'x'), 400, 'is_a_directory');
    });
  });

  it('many files go up in one form', async () => {
    const form = new FormData();
    form.append('a.txt', new Blob(['first']), 'a.txt');
    form.append('b', new Blob([Buffer.alloc(300_000, 7)]), 'sub/b.bin');
    const encoded = new Response(form);
    const reply = await send('POST', `/sandbox/${id}/files?path=forms`, [Buffer.from(await encoded.arrayBuffer())], {
      headers: { 'Content-Type': encoded.headers.get('content-type') },
    });
    assert.equal(reply.status, 200, reply.text);
    assert.deepEqual(reply.json.files, [{ path: '/app/forms/a.txt', size: 5 }, { path: '/app/forms/sub/b.bin', size: 300_000 }]);
    assert.equal(await shellOutput(id, 'cat /app/forms/a.txt; wc -c < /app/forms/sub/b.bin'), 'first300000');
  });

  describe('entries', () => {
    const entries = (path, more = '') => call('GET', `/sandbox/${id}/entries?path=${encodeURIComponent(path)}${more}`);
    const change = (body) => call('POST', `/sandbox/${id}/entries`, { body });
    const remove = (path, more = '') => call('DELETE', `/sandbox/${id}/entries?path=${encodeURIComponent(path)}${more}`);

    before(() => shell(id, 'mkdir -p tree/deep/deeper && echo hi > tree/f && ln -s f tree/link && mkfifo tree/pipe && touch tree/deep/deeper/leaf'));

    it('are listed sorted, with all there is to know', async () => {
      const reply = await entries('tree');
      assert.equal(reply.status, 200, reply.text);
      assert.deepEqual(reply.json.entries.map(({ name, type }) => [name, type]),
        [['deep', 'directory'], ['f', 'file'], ['link', 'symlink'], ['pipe', 'other']]);
      const [, file, link] = reply.json.entries;
      assert.deepEqual([file.path, file.size, file.mode, file.owner, file.uid], ['/app/tree/f', 3, '0644', 'user', 1000]);
      assert.ok(Math.abs(Date.parse(file.modifiedAt) - Date.now()) < 60_000);
      assert.equal(link.target, 'f');
      assert.deepEqual((await entries('tree', '&depth=3')).json.entries.map((entry) => entry.path.slice('/app/tree/'.length)),
        ['deep', 'deep/deeper', 'deep/deeper/leaf', 'f', 'link', 'pipe']);
    });

    it('are cut at the limit, and that is said', async () => {
      const reply = await entries('tree', '&limit=2');
      assert.deepEqual([reply.json.entries.length, reply.json.truncated], [2, true]);
      const first = await entries('tree', '&depth=3&limit=3');
      assert.deepEqual(first.json.entries.map((entry) => entry.path.slice('/app/tree/'.length)), ['deep', 'deep/deeper', 'deep/deeper/leaf']);
      assert.equal(first.json.truncated, true);
    });

    it('folders are made, renamed, copied and removed', async () => {
      assert.equal((await change({ op: 'mkdir', path: 'made/in/one' })).status, 200);
      assert.equal((await change({ op: 'rename', path: 'made/in', to: 'made/out' })).status, 200);
      const copied = await change({ op: 'copy', path: 'tree', to: 'made/copy', recursive: true });
      assert.equal(copied.status, 200, copied.text);
      assert.equal(await shellOutput(id, 'cd made; cat copy/link; readlink copy/link; ls'), 'hi\nf\ncopy\nout');
      assertError(await remove('made'), 409, 'directory_not_empty');
      assert.equal((await remove('made', '&recursive=true')).status, 200);
      assertError(await entries('made'), 404, 'file_not_found');
    });

    it('nothing is overwritten unless that is asked for', async () => {
      await shell(id, 'echo 1 > one; echo 2 > two');
      assertError(await change({ op: 'rename', path: 'one', to: 'two' }), 409, 'file_exists');
      assert.equal((await change({ op: 'rename', path: 'one', to: 'two', overwrite: true })).status, 200);
      assert.equal(await shellOutput(id, 'cat two'), '1');
    });
  });

  describe('archives', () => {
    it('a folder comes as tar, and goes back in', async () => {
      await shell(id, 'mkdir -p pack/sub && echo a > pack/a && printf "b\\0b" > pack/sub/b && chmod 755 pack/a && ln -s a pack/l');
      for (const format of ['tar', 'tar.gz']) {
        const got = await get(`/sandbox/${id}/archive?path=pack&format=${format}`);
        assert.equal(got.status, 200, got.bytes.toString().slice(0, 300));
        const reply = await send('PUT', `/sandbox/${id}/archive?path=unpacked-${format}`, [got.bytes]);
        assert.equal(reply.status, 200, reply.text);
        assert.equal(await shellOutput(id, `diff -r --no-dereference pack unpacked-${format} && stat -c %a unpacked-${format}/a`), '755');
      }
    });

    it('one that would leave its folder is refused, and nothing stays', async () => {
      const evil = Buffer.alloc(1024);
      evil.write('../evil.txt');
      evil.write('0000644\0', 100);
      evil.write('0001750\0', 108);
      evil.write('0001750\0', 116);
      evil.write('00000000000\0', 124);
      evil.write('00000000000\0', 136);
      evil.write('        ', 148);
      evil.write('0', 156);
      evil.write('ustar\x0000', 257);
      let sum = 0;
      for (let i = 0; i < 512; i += 1) {
        sum += evil[i];
      }
      evil.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
      const reply = await send('PUT', `/sandbox/${id}/archive?path=jail`, [evil]);
      assertError(reply, 400, 'archive_unsafe');
      assert.equal(await shellOutput(id, 'ls /app/evil.txt 2>&1 | grep -c "No such"; true'), '1');
    });

    it('nonsense is no archive', async () => {
      assertError(await send('PUT', `/sandbox/${id}/archive?path=jail`, [Buffer.alloc(2000, 'x')]), 400, 'archive_malformed');
    });
  });

  it('search finds by name and by text', async () => {
    await shell(id, 'mkdir -p find/sub; echo "needle here" > find/a.py; echo nothing > find/b.py; printf "x\\nNeedle\\n" > find/sub/c.txt');
    const search = async (body) => {
      const reply = await call('POST', `/sandbox/${id}/search`, { body: { path: 'find', ...body } });
      assert.equal(reply.status, 200, reply.text);
      return reply.json.results.map(({ path, line }) => [path.replace(/^.*find\//, ''), line]);
    };
    assert.deepEqual(await search({ name: '*.py' }), [['a.py', undefined], ['b.py', undefined]]);
    assert.deepEqual(await search({ text: 'needle', caseSensitive: true }), [['a.py', 1]]);
    assert.deepEqual((await search({ text: 'needle', caseSensitive: false })).sort(), [['a.py', 1], ['sub/c.txt', 2]]);
  });

  describe('signed URLs', () => {
    const sign = async (body) => {
      const reply = await call('POST', `/sandbox/${id}/files/url`, { body: { ttlS: 60, ...body } });
      assert.equal(reply.status, 200, reply.text);
      return reply.json.url;
    };

    it('need no other credential, and serve what they were made for', async () => {
      const up = await sign({ op: 'upload', path: 'by url' });
      assert.equal((await send('PUT', up, [Buffer.from('signed')], { key: null })).status, 201);
      const down = await sign({ op: 'download', path: 'by url' });
      assert.equal((await get(down, { key: null })).bytes.toString(), 'signed');
      assertError(await call('GET', up, { key: null }), 403, 'url_invalid');
      assertError(await call('GET', down.replace('by%20url', 'other').replace('by+url', 'other'), { key: null }), 403, 'url_invalid');
      assertError(await call('GET', down.replace(/exp=(\d+)/, (_, exp) => `exp=${Number(exp) + 1}`), { key: null }), 403, 'url_invalid');
    });

    it('end with their time', async () => {
      const url = await sign({ op: 'download', path: 'by url', ttlS: 1 });
      await until('it is over', async () => (await call('GET', url, { key: null })).status === 403, 30_000);
      assertError(await call('GET', url, { key: null }), 403, 'url_expired');
    });
  });

  it('changes below a folder are told as they happen', async () => {
    await shell(id, 'mkdir -p watched');
    const reply = await open('GET', `/sandbox/${id}/watch?path=watched`);
    assert.equal(reply.statusCode, 200);
    const events = eventsOf(reply);
    assert.equal((await events.next()).value.type, 'watching');
    const seen = [];
    const told = async (wanted) => {
      while (seen.at(-1) !== wanted) {
        const { type, path } = (await events.next()).value;
        seen.push(`${type} ${path.replace(/^.*watched\//, '')}`);
      }
    };
    await shell(id, 'mkdir -p watched/new/deep && echo x > watched/new/deep/file');
    await told('create new/deep/file'); // gone sooner, nobody could have seen it
    assert.ok(seen.includes('create new'), seen.join());
    await shell(id, 'rm watched/new/deep/file');
    await told('remove new/deep/file');
    reply.destroy();
  });

  it('of another user or an ended sandbox are not there', async () => {
    const { makeUser } = await import('../support/api.mjs');
    const key = await makeUser('free');
    assertError(await call('GET', at('digits'), { key }), 404, 'sandbox_not_found');
  });
});
