/** What package.json promises to npm, and to those who use the package. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly scripts: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
};

it('no script runs unasked before or after another', () => {
  const names = Object.keys(manifest.scripts);
  // npm itself runs prepack before it packs.
  const hooks = names.filter((name) => /^(pre|post)/.test(name) && name !== 'prepack');
  expect(hooks.filter((name) => names.includes(name.replace(/^(pre|post)/, '')))).toEqual([]);
});

it('every module and command has its source, and types before code', () => {
  const targets = Object.entries(manifest.exports).flatMap(([name, target]) => {
    // What is no module is package.json itself, or made by the build.
    if (typeof target === 'string') return [];
    expect(Object.keys(target), name).toEqual(['types', 'default']);
    return [target.types, target.default];
  });
  const sources = [...targets, ...Object.values(manifest.bin)].map((target) =>
    target.replace(/^(?:\.\/)?dist\/(.*?)(?:\.d\.ts|\.js)$/, 'lib/$1.ts'),
  );
  expect(sources.filter((source) => !existsSync(join(root, source)))).toEqual([]);
});

it('everything that is to be packed is there, but for what is built', () => {
  const built = ['dist', 'prebuilds'];
  expect(manifest.files.filter((name) => !built.includes(name) && !existsSync(join(root, name)))).toEqual([]);
});
