/**
 * Every fragment of TypeScript in the documentation compiles as a reader would paste it. CONTRIBUTING.md says how a
 * fragment gets a name, or lines that are not shown.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SERVE_KINDS } from '../../../lib/serve/options.ts';

const root = join(import.meta.dirname, '../../..');
const documents = globSync(['*.md', 'docs/*.md', 'lib/*.md', 'native/*.md'], { cwd: root });

let folder: string;

interface Fragment {
  /** `gate.ts` where the first line is the comment `// gate.ts`. */
  readonly name: string;
  /** Each line where it stands in the document, so that errors name that. */
  readonly code: string;
}

/** The fragments of a document, with the lines in a comment `<!-- ts … -->` just above, which readers do not see. */
function fragmentsOf(document: string): Fragment[] {
  const text = readFileSync(join(root, document), 'utf8');
  const found = text.matchAll(/(?:^<!-- ts\n(.*?)^-->\n+)?^```ts\n(.*?)^```$/gms);
  return [...found].map(({ index, 0: whole, 1: hidden = '', 2: shown = '' }) => {
    const above = text.slice(0, index + whole.indexOf(hidden === '' ? shown : hidden));
    const between = whole.slice(whole.indexOf(hidden) + hidden.length, whole.lastIndexOf(shown));
    const blank = (lines: string): string => lines.replace(/[^\n]/g, '');
    const name = /^\/\/ (\S+\.ts)\n/.exec(shown)?.[1] ?? `line-${above.split('\n').length}.ts`;
    return { name, code: [blank(above), hidden, hidden === '' ? '' : blank(between), shown].join('') };
  });
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'milter-docs-'));
  // With the options that are proposed to readers.
  const guide = readFileSync(join(root, 'docs/writing-a-filter.md'), 'utf8');
  const [, proposed = ''] = /^```json\n(\{\n {2}"compilerOptions".*?)^```$/ms.exec(guide) ?? [];
  const compilerOptions = {
    ...(JSON.parse(proposed) as { readonly compilerOptions: object }).compilerOptions,
    skipLibCheck: true,
    typeRoots: [join(root, 'node_modules/@types')],
    paths: { libmilter: [join(root, 'lib/index.ts')], 'libmilter/*': [join(root, 'lib/*/index.ts')] },
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['**/*.ts'] }));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
});

afterAll(() => rmSync(folder, { recursive: true }));

it('every fragment of TypeScript in the documentation compiles', () => {
  let count = 0;
  for (const document of documents) {
    mkdirSync(join(folder, document), { recursive: true });
    for (const { name, code } of fragmentsOf(document)) {
      writeFileSync(join(folder, document, name), code, { flag: 'wx' });
      count++;
    }
  }
  expect(count).toBeGreaterThan(10);
  const { stdout } = spawnSync(join(root, 'node_modules/.bin/tsc'), ['-p', folder, '--pretty', 'false'], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect(stdout).toBe('');
});

it('no code is written under another name than ts', () => {
  const others = documents.flatMap((document) =>
    [...readFileSync(join(root, document), 'utf8').matchAll(/^```(typescript|js|javascript|mjs)$/gm)].map(
      ([fence]) => `${document}: ${fence}`,
    ),
  );
  expect(others).toEqual([]);
});

it('every link to another file of the project leads to one, and to a heading of it', () => {
  const broken = documents.flatMap((document) => {
    const links = readFileSync(join(root, document), 'utf8').matchAll(
      /\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)/g,
    );
    return [...links].flatMap(([link, path = '', anchor]) => {
      const target = path === '' ? join(root, document) : join(root, document, '..', path);
      if (!existsSync(target)) return [`${document}: ${link}`];
      if (anchor === undefined) return [];
      const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
        heading
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      );
      return headings.includes(anchor) ? [] : [`${document}: ${link}`];
    });
  });
  expect(broken).toEqual([]);
});

it('production.md names every option of serve() and of milter run', () => {
  const text = readFileSync(join(root, 'docs/production.md'), 'utf8');
  const commandLine = ['run.ts', 'usage.ts'].map((file) => readFileSync(join(root, 'lib/cli', file), 'utf8'));
  const flags = new Set(commandLine.join('').match(/(?<=^ {2})--[a-z-]+/gm));
  flags.delete('--help');
  const names = [...Object.keys(SERVE_KINDS), ...flags];
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;

it.skipIf(!hasSystemd)('systemd takes the units of production.md', () => {
  const text = readFileSync(join(root, 'docs/production.md'), 'utf8');
  const units = [...text.matchAll(/^```ini\n# \/etc\/systemd\/system\/(\S+)\n(.*?)^```$/gms)];
  expect(units).toHaveLength(3);
  units.forEach(([, name = '', unit = ''], index) => {
    // The socket and its service belong together; the last one is for where there is no socket unit.
    const place = join(folder, index < 2 ? 'with-socket' : 'alone');
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, name), unit.replace('/usr/bin/milter', process.execPath));
  });
  for (const path of ['with-socket/milter.socket', 'with-socket/milter.service', 'alone/milter.service']) {
    const { stderr } = spawnSync('systemd-analyze', ['verify', join(folder, path)], { encoding: 'utf8' });
    // It also speaks of units that belong to the machine.
    expect(stderr.split('\n').filter((line) => line.includes('milter'))).toEqual([]);
  }
});
