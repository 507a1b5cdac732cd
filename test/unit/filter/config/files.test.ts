import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ListFiles } from '../../../../lib/filter/config/lists/files.ts';
import { readWith } from '../../../../lib/filter/config/reading.ts';
import { type AddressList, kinds } from '../../../../lib/filter/index.ts';

/** A folder with lists, and the lists of one configuration. */
function setUp() {
  const directory = mkdtempSync(join(tmpdir(), 'libmilter-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const files = new ListFiles();
  const told: string[] = [];
  return {
    directory,
    told,
    files,
    path: (name: string) => join(directory, name),
    write: (name: string, text: string | Buffer) => writeFileSync(join(directory, name), text),
    read: (...entries: string[]): AddressList => {
      const surroundings = { directory, data: directory, environment: {}, files, ours: { has: () => false } };
      return readWith(surroundings, () => kinds.addresses().parse(entries));
    },
    refresh: () =>
      files.refresh({
        changed: (path) => told.push(`changed ${path.replace(directory, '')}`),
        failed: (path, faults) => {
          for (const { line, column, message } of faults) {
            told.push(
              `failed ${path.replace(directory, '')}:${line}:${column}: ${message.replaceAll(directory, '')}`,
            );
          }
        },
      }),
  };
}

function faultsOf(read: () => unknown): unknown {
  try {
    read();
  } catch (error) {
    return (error as { readonly issues: unknown }).issues;
  }
  return undefined;
}

describe('secrets in a file', () => {
  function secrets(t: ReturnType<typeof setUp>, files: ListFiles) {
    const surroundings = {
      directory: t.directory,
      data: t.directory,
      environment: {},
      files,
      ours: { has: () => false },
    };
    return readWith(surroundings, () => kinds.secrets('', 8).parse('file:secrets'));
  }

  it('are read anew when they change, but for what is none', async () => {
    const t = setUp();
    t.write('secrets', '# the newest first\nnew # secret\nold secret\n');
    const list = secrets(t, t.files);
    expect(list.all).toEqual(['new # secret', 'old secret']);
    t.write('secrets', 'newer secret\nnew # secret\n');
    await t.refresh();
    expect(list.all).toEqual(['newer secret', 'new # secret']);
    t.write('secrets', '# nothing\n');
    await t.refresh();
    t.write('secrets', 'long enough\nshort\n');
    await t.refresh();
    await t.refresh();
    expect(list.all).toEqual(['newer secret', 'new # secret']);
    expect(t.told).toEqual([
      'changed /secrets',
      'failed /secrets:0:0: holds no secret; make one with: openssl rand -base64 24',
      'failed /secrets:2:1: a secret of 5 characters can be guessed: 8 are the least; make one with: openssl rand -base64 24',
    ]);
  });

  it('are refused at start where there is none', () => {
    const t = setUp();
    t.write('secrets', '\n# nothing\n');
    expect(faultsOf(() => secrets(t, t.files))).toMatchObject([
      { message: expect.stringContaining('holds no secret') },
    ]);
  });
});

describe('a list in a file', () => {
  it('has one entry a line, comments and empty lines aside', () => {
    const t = setUp();
    t.write(
      'vip',
      '\u{feff}# our friends\n\nfriend@example.com # since 1998\r\n  .example.net\t# all\n<>\nodd#one@example.com\n   ',
    );
    const list = t.read('boss@example.org', 'file:vip');
    const inside = ['boss@example.org', 'friend@example.com', 'a@b.example.net', '<>', 'odd#one@example.com'];
    expect(inside.filter((address) => !list.has(address))).toEqual([]);
    expect(list.has('odd@example.com')).toBe(false);
    expect(list.empty).toBe(false);
  });

  it('begins at the configuration, or at the root', () => {
    const t = setUp();
    mkdirSync(t.path('lists'));
    t.write('lists/vip', 'a@b\n');
    expect(t.read('file:lists/vip').has('a@b')).toBe(true);
    expect(t.read(`file:${t.path('lists/vip')}`).has('a@b')).toBe(true);
  });

  it('may be empty', () => {
    const t = setUp();
    t.write('vip', '# nobody yet\n');
    expect(t.read('file:vip').empty).toBe(true);
  });

  it('with faults is refused, each fault with its place', () => {
    const t = setUp();
    t.write('vip', 'a@b\n  c d@e\n\n@f\n');
    expect(faultsOf(() => t.read('x@y', 'file:vip'))).toMatchObject([
      {
        path: [1],
        params: {
          inFile: [
            {
              file: t.path('vip'),
              line: 2,
              column: 3,
              message: '"c d@e" is no address: write user@example.com alone',
            },
            {
              file: t.path('vip'),
              line: 4,
              column: 1,
              message: '"@f" has nothing before the @: write "f" for the domain',
            },
          ],
        },
      },
    ]);
  });

  it.each<[string, (t: ReturnType<typeof setUp>) => void, RegExp]>([
    ['is not there', () => {}, /cannot be read: ENOENT/],
    ['is a folder', (t) => mkdirSync(t.path('vip')), /"[^"]*vip" is no file/],
    ['is no text', (t) => t.write('vip', Buffer.from([0x61, 0xff])), /is no text in UTF-8/],
    ['has an endless line', (t) => t.write('vip', 'a'.repeat(10_000)), /has faults/],
  ])('that %s is refused', (_, prepare, message) => {
    const t = setUp();
    prepare(t);
    expect(faultsOf(() => t.read('file:vip'))).toMatchObject([
      { path: [0], message: expect.stringMatching(message) as unknown },
    ]);
  });
});

describe('a list whose file changes', () => {
  it('is read anew', async () => {
    const t = setUp();
    t.write('vip', 'a@b\n');
    const list = t.read('file:vip');
    await t.refresh();
    expect(t.told).toEqual([]);
    appendFileSync(t.path('vip'), 'c@d\n');
    expect(list.has('c@d')).toBe(false);
    await t.refresh();
    expect([list.has('a@b'), list.has('c@d'), t.told]).toEqual([true, true, ['changed /vip']]);
    // As editors do it, with the same size and time.
    t.write('new', 'e@f\ng@h\n');
    utimesSync(t.path('vip'), 1, 1);
    utimesSync(t.path('new'), 1, 1);
    await t.refresh();
    renameSync(t.path('new'), t.path('vip'));
    await t.refresh();
    expect([list.has('a@b'), list.has('g@h')]).toEqual([false, true]);
  });

  it('stays as it was while the new version is bad, which is told once', async () => {
    const t = setUp();
    t.write('vip', 'a@b\n');
    const list = t.read('file:vip');
    t.write('vip', 'c@d\nfoo bar\n');
    await t.refresh();
    await t.refresh();
    expect([list.has('a@b'), list.has('c@d')]).toEqual([true, false]);
    expect(t.told).toEqual(['failed /vip:2:1: "foo bar" is no address: write user@example.com alone']);
    t.write('vip', 'c@d\n');
    await t.refresh();
    expect([list.has('a@b'), list.has('c@d')]).toEqual([false, true]);
    expect(t.told.at(-1)).toBe('changed /vip');
  });

  it('stays as it was while the file is away, which is told once', async () => {
    const t = setUp();
    t.write('vip', 'a@b\n');
    const list = t.read('file:vip');
    rmSync(t.path('vip'));
    await t.refresh();
    await t.refresh();
    expect(list.has('a@b')).toBe(true);
    expect(t.told).toEqual([expect.stringMatching(/^failed \/vip:0:0: cannot be read: ENOENT/)]);
    t.write('vip', 'a@b\nc@d\n');
    await t.refresh();
    expect(list.has('c@d')).toBe(true);
  });

  it.skipIf(process.getuid?.() === 0)(
    'stays as it was while the file cannot be read, which is told once',
    async () => {
      const t = setUp();
      t.write('vip', 'a@b\n');
      const list = t.read('file:vip');
      appendFileSync(t.path('vip'), 'c@d\n');
      chmodSync(t.path('vip'), 0);
      await t.refresh();
      await t.refresh();
      expect([list.has('a@b'), t.told.length]).toEqual([true, 1]);
    },
  );

  it('serves all that name it, each in its own way, and lets other work run while it is read', async () => {
    const t = setUp();
    t.write('both', 'mail.example.com\n');
    const first = t.read('file:both');
    const second = t.read('file:both');
    appendFileSync(
      t.path('both'),
      Array.from({ length: 50_000 }, (_, i) => `user${i}@example.com\n`).join(''),
    );
    let turns = 0;
    const turn = setInterval(() => turns++, 0);
    await t.refresh();
    clearInterval(turn);
    expect(turns).toBeGreaterThan(1);
    expect([first.has('user49999@example.com'), second.has('user49999@example.com')]).toEqual([true, true]);
    expect(t.told).toEqual(['changed /both']);
  });
});
