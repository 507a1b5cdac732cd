import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import {
  type ArchiveListing,
  archiveFormat,
  createPart,
  defang,
  listArchive,
  listPart,
  parseMessage,
  unreadFormats,
} from '../../../lib/mime/index.ts';
import { makeTar, makeZip } from '../../fixtures/mime/archives.ts';
import { makeTnef } from '../../fixtures/mime/tnef.ts';

async function list(
  bytes: Buffer,
  ...rest: readonly [string[]?, Parameters<typeof listArchive>[2]?]
): Promise<ArchiveListing> {
  const listing = await listArchive(bytes, rest[0], rest[1]);
  if (!listing) throw new Error('no archive');
  return listing;
}

function paths({ members }: ArchiveListing): readonly string[] {
  return members.map(({ path }) => path);
}

describe('the members of an archive', () => {
  it('are listed for a zip file, packed or stored', async () => {
    const zip = makeZip([
      { name: 'a/b.txt', content: 'text' },
      { name: 'ü.exe', content: 'MZ', stored: true },
    ]);
    const listing = await list(zip, ['x.zip']);
    expect(paths(listing)).toEqual(['x.zip/a/b.txt', 'x.zip/ü.exe']);
    expect(listing.members.map(({ head }) => head.toString())).toEqual(['text', 'MZ']);
    expect(listing.problems).toEqual([]);
  });

  it('are listed for tar and gzip, long names too', async () => {
    const tar = makeTar([
      { name: 'a.txt', content: 'x' },
      { name: `${'d/'.repeat(80)}b.exe`, content: 'y' },
    ]);
    expect(paths(await list(tar))).toEqual(['tar/a.txt', `tar/${'d/'.repeat(80)}b.exe`]);
    expect(paths(await list(gzipSync(tar), ['x.tgz']))).toEqual([
      'x.tgz/x.tar',
      'x.tgz/x.tar/a.txt',
      `x.tgz/x.tar/${'d/'.repeat(80)}b.exe`,
    ]);
    expect(paths(await list(gzipSync('MZ'), ['a.exe.gz']))).toEqual(['a.exe.gz/a.exe']);
  });

  it('are listed for archives in archives, whatever they are called', async () => {
    const inner = makeZip([{ name: 'c.exe', content: '' }]);
    const zip = makeZip([
      { name: 'b.dat', content: inner },
      { name: 'd.gz', content: gzipSync('x') },
    ]);
    expect(paths(await list(zip, ['a.zip']))).toEqual([
      'a.zip/b.dat',
      'a.zip/b.dat/c.exe',
      'a.zip/d.gz',
      'a.zip/d.gz/d',
    ]);
  });

  it('are those of either reader when directory and headers differ', async () => {
    const zip = makeZip([
      { name: 'a.txt', localName: 'a.exe', content: '' },
      { name: 'hidden.exe', content: 'x', unlisted: true },
    ]);
    expect(paths(await list(zip, ['z.zip']))).toEqual(['z.zip/a.txt', 'z.zip/a.exe', 'z.zip/hidden.exe']);
  });

  it('are found behind bytes put in front of the archive', async () => {
    const zip = Buffer.concat([Buffer.from('GIF89a'), makeZip([{ name: 'a.exe', content: 'x' }])]);
    expect(paths(await list(zip, ['a.zip']))).toEqual(['a.zip/a.exe']);
  });
});

describe('a winmail.dat', () => {
  const tnef = makeTnef([
    { title: 'REPORT~1.TXT', names: { 14087: 'report.txt' }, content: 'text' },
    { title: 'EVIL~1.TXT', names: { 14084: 'evil.exe', 14092: 'picture' }, content: 'MZ' },
    { names: { 14083: '.zip' }, content: makeZip([{ name: 'b.exe', content: 'x' }]) },
    { title: 'item', embedded: true, content: makeTnef([{ title: 'c.scr', content: 'x' }]) },
  ]);

  it('lists its files by every name, and what is in them', async () => {
    const listing = await list(tnef, ['winmail.dat']);
    expect(listing).toMatchObject({ format: 'tnef', problems: [] });
    expect(paths(listing).map((path) => path.replace('winmail.dat/', ''))).toEqual([
      'report.txt',
      'REPORT~1.TXT',
      'evil.exe',
      'picture',
      'EVIL~1.TXT',
      'attachment.zip',
      'attachment.zip/b.exe',
      'item',
      'item/c.scr',
    ]);
    expect(listing.members[2]?.program).toBe('Windows program');
    expect(listing.members[5]?.format).toBe('zip');
  });

  it('goes as a whole when one of them is poisonous', async () => {
    const part = createPart({ contentType: 'application/ms-tnef', name: 'winmail.dat', content: tnef });
    const { removed } = await defang(parseMessage(part.toBytes()));
    expect(removed).toMatchObject([
      { names: ['winmail.dat'], reason: { name: 'evil.exe', member: 'winmail.dat/evil.exe' } },
    ]);
  });

  it('that is cut short is corrupt, and what is left is listed', async () => {
    for (let end = 6; end < tnef.length; end += 7) {
      const listing = await list(tnef.subarray(0, end), ['x']);
      expect(listing.members.length).toBeLessThan(12);
    }
    const { problems } = await list(tnef.subarray(0, -30));
    expect(problems).toMatchObject([{ kind: 'corrupt' }]);
  });
});

describe('what is not looked into', () => {
  it.each(unreadFormats)(
    'is recognised by bytes and name: $format',
    async ({ format, extensions, signatures }) => {
      for (const [at, bytes] of signatures) {
        const content = Buffer.alloc(at + 100, 0x20);
        content.write(bytes, at, 'latin1');
        expect(archiveFormat(content)).toBe(format);
        const part = createPart({ contentType: 'application/octet-stream', content });
        const message = parseMessage(part.toBytes());
        expect((await defang(message)).problems).toMatchObject([{ kind: 'unread', format }]);
        expect((await defang(message, { unreadArchives: 'remove' })).modified).toBe(true);
      }
      for (const extension of extensions) {
        const { problems } = await list(Buffer.from('x'), [`a.${extension}`]);
        expect(problems).toMatchObject([{ kind: 'unread', format }]);
      }
      const inside = makeZip([{ name: `a.${extensions[0]}`, content: 'x' }]);
      expect((await list(inside, ['z.zip'])).problems).toMatchObject([
        { kind: 'unread', path: `z.zip/a.${extensions[0]}`, format },
      ]);
    },
  );
});

it('a part is listed once, until it is edited', async () => {
  const part = createPart({ name: 'a.zip', content: makeZip([{ name: 'b.txt', content: 'x' }]) });
  const [first] = await listPart(part);
  expect((await listPart(part))[0]).toBe(first);
  part.replaceContent(makeZip([{ name: 'c.txt', content: 'x' }]));
  expect((await listPart(part))[0]?.members).toMatchObject([{ name: 'c.txt' }]);
  expect(await listPart(createPart({ content: 'text' }))).toEqual([]);
});

describe('an archive', () => {
  it('that is empty is no trouble', async () => {
    expect(await listArchive(Buffer.alloc(0), ['a.zip'])).toBeUndefined();
    expect((await list(makeZip([]))).problems).toEqual([]);
  });

  it('that is none is no archive, unless it is called one', async () => {
    expect(await listArchive(Buffer.from('text'), ['a.txt'])).toBeUndefined();
    const { problems } = await list(Buffer.from('text'), ['a.zip']);
    expect(problems).toEqual([{ kind: 'corrupt', path: 'a.zip', reason: 'it has no end record' }]);
  });

  it('that is cut short is corrupt, and what is left is listed', async () => {
    const zip = makeZip([
      { name: 'a.txt', content: 'x' },
      { name: 'b.exe', content: 'y' },
    ]);
    const listing = await list(zip.subarray(0, -30), ['z.zip']);
    expect(paths(listing)).toEqual(['z.zip/a.txt', 'z.zip/b.exe']);
    expect(listing.problems).toMatchObject([{ kind: 'corrupt', path: 'z.zip' }]);
    const tar = makeTar([{ name: 'a.txt', content: 'x'.repeat(2000) }]);
    expect((await list(tar.subarray(0, 1024))).problems).toMatchObject([{ kind: 'corrupt' }]);
    const { problems } = await list(gzipSync('x'.repeat(2000)).subarray(0, 20));
    expect(problems).toMatchObject([{ kind: 'corrupt' }]);
  });

  it('that is encrypted says so, its names being listed', async () => {
    const listing = await list(makeZip([{ name: 'a.exe', content: 'x', encrypted: true }]), ['z.zip']);
    expect(listing.members).toMatchObject([{ name: 'a.exe', encrypted: true, head: Buffer.alloc(0) }]);
    expect(listing.problems).toEqual([{ kind: 'encrypted', path: 'z.zip' }]);
  });

  it.each([
    ['rar', 'Rar!\x1a\x07\0'],
    ['7z', "7z\xbc\xaf'\x1c"],
    ['cab', 'MSCF'],
  ])('of the %s kind says that it cannot be opened', async (format, start) => {
    const { problems } = await list(Buffer.from(start, 'latin1'), ['x']);
    expect(problems).toEqual([{ kind: 'unread', path: 'x', format }]);
  });
});

describe('a bomb', () => {
  const zeros = Buffer.alloc(1 << 20);
  let nest = makeZip([{ name: 'core', content: 'x' }]);
  for (let i = 0; i < 10; i++) nest = makeZip([{ name: `${i}.zip`, content: nest }]);

  it.each([
    [
      'members',
      makeZip(Array.from({ length: 50 }, (_, i) => ({ name: `${i}`, content: '' }))),
      { members: 20 },
    ],
    ['depth', nest, {}],
    ['inflatedBytes', makeZip([{ name: 'a.gz', content: gzipSync(zeros) }]), { inflatedBytes: 100_000 }],
    ['inflatedBytes', gzipSync(zeros), { inflatedBytes: 100_000 }],
    ['time', makeZip([{ name: 'a', content: '' }]), { time: 1e-9 }],
  ] as const)('is stopped by the limit on %s', async (limit, bytes, limits) => {
    const { problems } = await list(bytes, ['x'], limits);
    expect(problems).toHaveLength(1);
    expect(problems).toMatchObject([{ kind: 'limit', limit }]);
  });

  it('is stopped in any prefix and with any byte changed', async () => {
    const zip = makeZip([
      { name: 'a.txt', content: 'hello' },
      { name: 'b.zip', content: makeZip([{ name: 'c', content: 'd' }]) },
    ]);
    for (let i = 0; i < zip.length; i++) {
      const changed = Buffer.from(zip);
      changed[i] = 255 - (changed[i] ?? 0);
      await list(changed, ['x.zip']);
      if (i > 0) await list(zip.subarray(0, i), ['x.zip']);
    }
  });
});

it('refuses limits that are none', async () => {
  await expect(listArchive(Buffer.alloc(1), [], { members: 0 })).rejects.toThrow(
    'limit "members" must be a number above 0',
  );
  const unknown = { member: 5 } as object;
  await expect(listArchive(Buffer.alloc(1), [], unknown)).rejects.toThrow('unknown limit "member"');
});
