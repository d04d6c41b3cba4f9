// What an archive may not do, and that one that is refused leaves nothing.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import {
  assertError, createSandbox, destroySandbox, shell, shellOutput,
} from '../support/api.mjs';
import { get, send } from '../support/transfer.mjs';

const MIB = 1024 * 1024;
const BLOCK = 512;

const FILE = '0';
const HARD_LINK = '1';
const SYMLINK = '2';
const DEVICE = '3';
const BLOCK_DEVICE = '4';
const FOLDER = '5';
const FIFO = '6';

// One member of a tar: its header and its bytes. size: what the header claims.
function member(name, { type = FILE, body = '', target = '', mode = 0o644, size = Buffer.byteLength(body) } = {}) {
  const header = Buffer.alloc(BLOCK);
  const octal = (value, at, length) => header.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at);
  header.write(name.slice(0, 100));
  octal(mode, 100, 8);
  octal(1000, 108, 8);
  octal(1000, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  header.fill(' ', 148, 156);
  header.write(type, 156);
  header.write(target, 157);
  header.write('ustar\x0000', 257);
  octal(1, 329, 8);
  octal(3, 337, 8);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const bytes = Buffer.from(body);
  return Buffer.concat([header, bytes, Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)]);
}

const archive = (...members) => Buffer.concat([...members, Buffer.alloc(2 * BLOCK)]);

describe('an archive', { concurrency: true }, () => {
  let id;
  before(async () => {
    ({ sandboxId: id } = await createSandbox({ template: 'base' }));
    await shell(id, 'mkdir -p outside && echo mine > outside/kept');
  });
  after(() => destroySandbox(id));

  const put = (path, bytes, more = '') => send('PUT', `/sandbox/${id}/archive?path=${path}${more}`, [bytes]);

  const unsafe = {
    'an absolute name': [member('/tmp/absolute-name', { body: 'x' })],
    'a name that climbs out': [member('a/../../climbed', { body: 'x' })],
    'a name that is only dots': [member('..', { type: FOLDER })],
    'a link to an absolute path': [member('link', { type: SYMLINK, target: '/etc/passwd' })],
    'a link that climbs out': [member('a/link', { type: SYMLINK, target: '../../outside/kept' })],
    'a file behind a link that climbs out': [
      member('way', { type: SYMLINK, target: '../outside' }), member('way/kept', { body: 'yours' })],
    'a hard link to what is outside': [member('link', { type: HARD_LINK, target: '../outside/kept' })],
    'a hard link to what the archive has not made': [member('link', { type: HARD_LINK, target: 'nothing' })],
    'a device': [member('null', { type: DEVICE })],
    'a block device': [member('disk', { type: BLOCK_DEVICE })],
    'a fifo': [member('pipe', { type: FIFO })],
    'a set-uid bit': [member('tool', { body: '#!/bin/sh\n', mode: 0o4755 })],
    'a set-gid bit': [member('tool', { body: '#!/bin/sh\n', mode: 0o2755 })],
    'a name twice': [member('one', { body: '1' }), member('one', { body: '2' })],
    'more than 32 folders in one another': [member('d/'.repeat(33) + 'f', { body: 'x' })],
  };
  Object.entries(unsafe).forEach(([name, members], i) => {
    for (const [kind, pack] of [['tar', (bytes) => bytes], ['tar.gz', gzipSync]]) {
      it(`with ${name} is refused whole (${kind})`, async () => {
        const path = `unsafe-${i}-${kind}`;
        const reply = await put(path, pack(archive(member('first', { body: 'begun' }), ...members)));
        assertError(reply, 400, 'archive_unsafe');
        assert.equal(await shellOutput(id, `ls -A ${path} 2>/dev/null | wc -l; cat outside/kept; ls /tmp/absolute-name climbed 2>/dev/null; true`), '0\nmine');
      });
    }
  });

  it('of ten thousand members is taken, of one more is not', async () => {
    const many = (count) => gzipSync(archive(...Array.from({ length: count }, (_, i) => member(`n/${i}`, { body: '' }))));
    const most = await put('most', many(10_000));
    assert.equal(most.status, 200, most.text);
    assert.equal(await shellOutput(id, 'find most -type f | wc -l'), '10000');
    assertError(await put('more', many(10_001)), 400, 'archive_too_large');
    assert.equal(await shellOutput(id, 'find more -type f 2>/dev/null | wc -l'), '0');
  });

  it('that would fill more than 100 MiB is refused, packed or not', async () => {
    const noise = Buffer.alloc(MIB);
    for (let i = 0; i < MIB; i += 8) {
      noise.writeDoubleLE(Math.random(), i);
    }
    const large = archive(...Array.from({ length: 101 }, (_, i) => member(`${i}`, { body: noise })));
    assertError(await put('large', large), 400, 'archive_too_large');
    assertError(await put('large', gzipSync(large, { level: 1 })), 400, 'archive_too_large');
    assert.equal(await shellOutput(id, 'find large -type f 2>/dev/null | wc -l'), '0');
  });

  it('that grows a hundredfold is a bomb', async () => {
    const bomb = gzipSync(archive(member('zeros', { body: Buffer.alloc(90 * MIB) })), { level: 9 });
    assert.ok(bomb.length < 200_000);
    assertError(await put('bomb', bomb), 400, 'archive_too_large');
    assert.equal(await shellOutput(id, 'ls -A bomb 2>/dev/null | wc -l'), '0');
  });

  for (const [name, bytes] of Object.entries({
    'that is cut in a file': archive(member('f', { body: Buffer.alloc(5000, 'x') })).subarray(0, 2000),
    'that is cut in a header': archive(member('f', { body: 'x' })).subarray(0, 300),
    'whose packing is cut': gzipSync(archive(member('f', { body: 'x'.repeat(100_000) }))).subarray(0, 100),
    'whose check sum is wrong': (() => {
      const bad = gzipSync(archive(member('f', { body: 'x' })));
      bad[bad.length - 6] ^= 1;
      return bad;
    })(),
  })) {
    it(`${name} is malformed, and nothing stays`, async () => {
      const path = name.replaceAll(' ', '-');
      assertError(await put(path, bytes), 400, 'archive_malformed');
      assert.equal(await shellOutput(id, `ls -A ${path} 2>/dev/null | wc -l`), '0');
    });
  }

  it('never writes through a link that lies there already', async () => {
    await shell(id, 'mkdir -p trap && ln -s /app/outside trap/folder && ln -s /app/outside/kept trap/file');
    const through = await put('trap', archive(member('folder/kept', { body: 'yours' })));
    assertError(through, 400, 'archive_unsafe');
    const over = await put('trap', archive(member('file', { body: 'new' })));
    assert.equal(over.status, 200, over.text);
    assert.equal(await shellOutput(id, 'cat outside/kept; cat trap/file; test -L trap/file || echo replaced'), 'mine\nnewreplaced');
  });

  it('is unpacked as the user who is named', async () => {
    const bytes = archive(member('f', { body: 'x' }));
    assertError(await put('/root/unpacked', bytes), 400, 'permission_denied');
    assert.equal((await put('/root/unpacked', bytes, '&user=root')).status, 200);
    assert.equal(await shellOutput(id, 'stat -c %U /root/unpacked/f', { user: 'root' }), 'root');
  });

  it('that is made here follows no links and knows no folder that is not there', async () => {
    await shell(id, 'mkdir -p made && ln -s /etc/passwd made/link && echo x > made/f && mkfifo made/pipe');
    const got = await get(`/sandbox/${id}/archive?path=made&format=tar`);
    assert.equal(got.status, 200);
    assert.equal(got.bytes.includes('root:x:0:0'), false);
    await shell(id, 'mkdir -p again');
    assert.equal((await put('again', got.bytes)).status, 400, 'a link to an absolute path does not come back in');
    assertError(await send('GET', `/sandbox/${id}/archive?path=nowhere`, []), 404, 'file_not_found');
  });
});
