/** Who may import whom in lib/, and that test/unit has the same rooms. lib/README.md says what each room is for. */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';

const lib = join(import.meta.dirname, '../../lib');

/** Each room may import those before it. The files of lib/ itself are the ground, but for its index, the public face. */
const rooms = [
  'ground',
  'dns',
  'spf',
  'mime',
  'srs',
  'bayes',
  'scanners',
  'nameserver',
  'protocol',
  'milter',
  'engine',
  'run',
  'serve',
  'index.ts',
  'testing',
  'filter',
  'cli',
];

/** They know no milter and stand alone, but for what is said here. */
const alone: Readonly<Record<string, readonly string[]>> = {
  dns: [],
  spf: ['dns'],
  mime: [],
  srs: [],
  bayes: ['mime'],
  scanners: [],
  nameserver: ['srs'],
};

/** What a public face has too, for those who would load the rest in vain. */
const light = ['mime/words.ts'];
const isFace = (to: string): boolean => /(^|\/)index\.ts$/.test(to) || light.includes(to);

interface Import {
  /** Paths below lib/. */
  readonly from: string;
  readonly to: string;
  /** Whether the module is loaded with the one that imports it. */
  readonly eager: boolean;
}

const files = globSync('**/*.ts', { cwd: lib });
const relative: Import[] = [];
const foreign: Import[] = [];

for (const from of files) {
  const code = readFileSync(join(lib, from), 'utf8');
  const found = code.matchAll(
    /^(?:import|export)\b( type\b)?(?:[^;']*? from)? ?'([^']+)';|\bimport\('([^']+)'\)/gms,
  );
  for (const [, typeOnly, statically, lazily] of found) {
    const name = statically ?? lazily ?? '';
    const eager = statically !== undefined && typeOnly === undefined;
    if (name.startsWith('.')) relative.push({ from, to: normalize(join(dirname(from), name)), eager });
    else if (!name.startsWith('node:')) foreign.push({ from, to: name, eager });
  }
}

function room(file: string): string {
  const folder = dirname(file);
  if (folder !== '.') return folder.replace(/\/.*/, '');
  return file === 'index.ts' ? file : 'ground';
}

const crossing = relative.filter(({ from, to }) => room(from) !== room(to));

function offending(wrong: (crossed: Import) => boolean): string[] {
  return crossing.filter(wrong).map(({ from, to }) => `${from} imports ${to}`);
}

describe('the rooms of lib/', () => {
  it('are all in the table, and import something', () => {
    expect([...new Set(files.map(room))].filter((name) => !rooms.includes(name))).toEqual([]);
    expect(crossing.length).toBeGreaterThan(50);
    expect(foreign.map(({ to }) => to)).toContain('htmlparser2');
  });

  it('import only what is before them', () => {
    expect(offending(({ from, to }) => rooms.indexOf(room(to)) > rooms.indexOf(room(from)))).toEqual([]);
  });

  it('that stand alone import the ground, and the public face of what they are built on', () => {
    const allowed = (name: string, to: string): boolean =>
      room(to) === 'ground' || (alone[name] ?? []).some((other) => to === `${other}/index.ts`);
    expect(offending(({ from, to }) => room(from) in alone && !allowed(room(from), to))).toEqual([]);
  });

  it('use those that stand alone by their public face, or by a light part of it', () => {
    expect(offending(({ to }) => room(to) in alone && !isFace(to))).toEqual([]);
  });

  it('keep mime out of a filter that asks for no tree', () => {
    const early = ({ from, to, eager }: Import): boolean =>
      room(to) === 'mime' &&
      !light.includes(to) &&
      // What stands alone is in no filter that does not ask for it.
      !(room(from) in alone) &&
      rooms.indexOf(room(from)) <= rooms.indexOf('serve') &&
      eager;
    expect(offending(early)).toEqual([]);
    const fromMilter = crossing.filter(({ from, to }) => room(to) === 'mime' && room(from) === 'milter');
    expect([...new Set(fromMilter.map(({ from }) => from))]).toEqual(['milter/message.ts']);
  });

  it('filter and cli use public faces only, as an outsider must', () => {
    const isPublic = (to: string): boolean => room(to) === 'ground' || isFace(to);
    expect(offending(({ from, to }) => ['filter', 'cli'].includes(room(from)) && !isPublic(to))).toEqual([]);
  });
});

it('each package of others sits behind one file', () => {
  const users = Map.groupBy(foreign, ({ to }) => to);
  const several = [...users].filter(([, imports]) => new Set(imports.map(({ from }) => from)).size > 1);
  expect(several.map(([name, imports]) => [name, imports.map(({ from }) => from)])).toEqual([]);
});

it('test/unit has the rooms of lib', () => {
  const known = [...rooms, 'bench', 'native', 'package'];
  const folders = globSync('*/*.test.ts', { cwd: import.meta.dirname }).map((file) => dirname(file));
  expect([...new Set(folders)].filter((name) => !known.includes(name))).toEqual([]);
});

it('lib/README.md names every room, and no file that is not there', () => {
  const text = readFileSync(join(lib, 'README.md'), 'utf8');
  const named = rooms.filter((name) => name !== 'ground');
  expect(named.filter((name) => !new RegExp(`\`${name}/?\``).test(text))).toEqual([]);
  const mentioned = [...text.matchAll(/(?<![\w./-])(?:[\w-]+\/)?[\w-]+\.ts\b/g)].map(([name]) => name);
  const isThere = (name: string): boolean => files.some((file) => file === name || file.endsWith(`/${name}`));
  expect(mentioned.filter((name) => !isThere(name))).toEqual([]);
});
