import { execFileSync } from 'node:child_process';
import { chmod, link, mkdir, rename, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Aliases } from '../../../../lib/filter/index.ts';
import { OwnFiles } from '../../../../lib/filter/modules/forwarders/own-files.ts';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { keepingLogger, testFilter } from '../../../helpers/filter.ts';

const USER_ID = 1_000;

async function home(text?: string) {
  const directory = await temporaryDirectory();
  const folder = join(directory.path, 'ann');
  const file = join(folder, '.forwarders');
  await mkdir(folder, { mode: 0o755 });
  if (text !== undefined) await writeFile(file, text, { mode: 0o644 });
  const log = keepingLogger();
  const files = new OwnFiles(`${directory.path}/%{user}/.forwarders`, { log, uid: () => USER_ID });
  return {
    folder,
    file,
    files,
    path: directory.path,
    read: async (user = 'ann') => (await files.read(user)).map(({ forwarder }) => forwarder),
    complaints: () => log.lines.map(({ fields: { error, line } }) => String(error ?? line)),
    [Symbol.asyncDispose]: async () => await directory[Symbol.asyncDispose](),
  };
}

describe('a list of a user’s own', () => {
  it('has a domain a line, and comments; what is none is told of and left out', async () => {
    await using ann = await home(
      '# mine\nAlumni.Example\n\n  bücher.example again # another\nalumni\n192.0.2.1\na.example b c\n../x\n',
    );
    expect(await ann.files.read('ann')).toEqual([
      { forwarder: 'alumni.example', word: '' },
      { forwarder: 'xn--bcher-kva.example', word: 'again' },
    ]);
    expect(ann.complaints()).toEqual(['5', '6', '7', '8']);
  });

  it('is read again when it has changed, and complained of once', async () => {
    await using ann = await home('a.example\nbad\n');
    expect(await ann.read()).toEqual(['a.example']);
    expect(await ann.read()).toEqual(['a.example']);
    expect(ann.complaints()).toEqual(['2']);
    await writeFile(join(ann.folder, 'new'), 'b.example\n', { mode: 0o644 });
    await rename(join(ann.folder, 'new'), ann.file);
    expect(await ann.read()).toEqual(['b.example']);
    // What it held is not remembered when it may not be read.
    await chmod(ann.file, 0o666);
    expect(await ann.read()).toEqual([]);
    expect(await ann.read()).toEqual([]);
    expect(ann.complaints()).toEqual(['2', expect.stringContaining('may be written by others')]);
  });

  it('need not be there', async () => {
    await using ann = await home();
    expect(await ann.read()).toEqual([]);
    expect(ann.complaints()).toEqual([]);
  });

  it('is not read by root', async () => {
    await using ann = await home('a.example\n');
    const log = keepingLogger();
    const files = new OwnFiles(`${ann.path}/%{user}/.forwarders`, { log, uid: () => 0 });
    expect(await files.read('ann')).toEqual([]);
    expect(log.lines[0]?.fields).toMatchObject({ error: expect.stringContaining('is not read by root') });
  });

  it.each<[string, (ann: Awaited<ReturnType<typeof home>>) => Promise<unknown>, RegExp]>([
    [
      'a symbolic link',
      async ({ file, path }) => {
        await writeFile(join(path, 'other'), 'a.example\n');
        await symlink(join(path, 'other'), file);
      },
      /ELOOP/,
    ],
    ['a folder', async ({ file }) => await mkdir(file), /is no plain file/],
    ['a pipe', async ({ file }) => execFileSync('mkfifo', [file]), /is no plain file/],
    [
      'a hard link',
      async ({ file, path }) => {
        await writeFile(join(path, 'other'), 'a.example\n');
        await link(join(path, 'other'), file);
      },
      /hard link/,
    ],
    [
      'a folder of everybody',
      async ({ file, folder }) => {
        await writeFile(file, 'a.example\n');
        await chmod(folder, 0o777);
      },
      /may be written by others/,
    ],
    ['a large file', async ({ file }) => await writeFile(file, 'a.example\n'.repeat(2_000)), /is larger/],
  ])('is not %s', async (_, make, why) => {
    await using ann = await home();
    await make(ann);
    expect(await ann.read()).toEqual([]);
    expect(ann.complaints()[0]).toMatch(why);
  });

  it.runIf(process.getuid?.() === 0)('is of who owns its folder', async () => {
    await using ann = await home('a.example\n');
    execFileSync('chown', ['12345', ann.file]);
    expect(await ann.read()).toEqual([]);
    expect(ann.complaints()[0]).toContain('does not belong to the owner of its folder');
    execFileSync('chown', ['12345', ann.folder]);
    expect(await ann.read()).toEqual(['a.example']);
  });

  it('has a hundred lines at most, and may hold anything', async () => {
    await using ann = await home(Array.from({ length: 150 }, (_, n) => `f${n}.example\n`).join(''));
    expect(await ann.read()).toHaveLength(100);
    await writeFile(ann.file, Buffer.from(Array.from({ length: 4_096 }, (_, n) => (n * 7) % 256)));
    await utimes(ann.file, 1, 1);
    expect(await ann.read()).toEqual([]);
  });

  it('is of a user, not of a path', async () => {
    await using ann = await home('a.example\n');
    for (const user of ['../ann', 'ann/', '.', '..', '', 'ann\0', '-ann', `${'a'.repeat(65)}`])
      expect(await ann.read(user)).toEqual([]);
  });
});

describe('its addresses', () => {
  it('are made of its lines, with a key that only this filter has', async () => {
    await using ann = await home('alumni.example\nalumni.example 2\n');
    await using filter = await testFilter('');
    const make = (part: string) =>
      new Aliases({
        store: filter.store.part(part),
        now: Date.now,
        domain: 'fwd.ours.example',
        userDomain: 'ours.example',
        files: ann.files,
      });
    const aliases = make('one');
    const [one, two] = await aliases.list('ann');
    expect(one).toMatchObject({ to: 'ann@ours.example', forwarder: 'alumni.example' });
    expect(one?.address).toMatch(/^ann\+[a-z2-7]{16}@fwd\.ours\.example$/);
    expect(two?.address).not.toBe(one?.address);
    const [foreign] = await make('two').list('ann');
    expect(foreign?.address).not.toBe(one?.address);
    expect(await aliases.find(`<${one?.address.toUpperCase()}>`)).toEqual(one);
    expect(await aliases.find(`<${foreign?.address}>`)).toBeUndefined();
    // Taken out of the list, it is good no longer.
    await writeFile(ann.file, 'alumni.example 2\n');
    expect(await aliases.find(`<${one?.address}>`)).toBeUndefined();
    expect(await aliases.find(`<${two?.address}>`)).toEqual(two);
  });
});
