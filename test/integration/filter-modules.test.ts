/** How `use` finds a module: by Node's own import, which vitest replaces, so each is found in a process of its own. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';

const MODULE = `import { Milter } from 'libmilter';
import { defineModule, kinds, z } from 'libmilter/filter';
export default defineModule({
  name: 'mine',
  options: z.strictObject({ wait: kinds.duration('5s') }),
  findings: { found: 'something' },
  setup: () => class Mine extends Milter {},
});
`;

function setUp(files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'libmilter-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

const finder = new URL('../../lib/filter/config/find-module.ts', import.meta.url).href;

/** The name of the module that is found, or why there is none. */
function find(use: string, directory: string): string {
  const code = `
    const { findModule } = await import(${JSON.stringify(finder)});
    const found = await findModule(...process.argv.slice(-2)).catch((error) => ({ name: error.message }));
    console.log(found.name);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', code, use, directory], {
    encoding: 'utf8',
  });
  return child.stdout.trim() + child.stderr;
}

describe('a module', () => {
  it.each(['./mine.ts', 'mine.ts', './sub/../mine.ts'])('is found by its path, %s', (use) => {
    expect(find(use, setUp({ 'mine.ts': MODULE }))).toBe('mine');
  });

  it('is found in a package of the folder, or of one above', () => {
    const folder = setUp({
      'node_modules/milter-mine/package.json': '{ "type": "module", "exports": { "import": "./main.js" } }',
      'node_modules/milter-mine/main.js': MODULE,
      'node_modules/@us/mine/package.json': '{ "type": "module", "main": "main.js" }',
      'node_modules/@us/mine/main.js': MODULE,
      'etc/milter.toml': '',
    });
    expect(find('milter-mine', join(folder, 'etc'))).toBe('mine');
    expect(find('@us/mine', folder)).toBe('mine');
  });

  it.each<[string, Readonly<Record<string, string>>, RegExp]>([
    ['./nothing.ts', {}, /^there is no file ".*nothing\.ts"$/],
    ['./wrong.ts', { 'wrong.ts': 'export default {' }, /^".*wrong\.ts" cannot be loaded: .*/],
    [
      './throws.ts',
      { 'throws.ts': 'throw new Error("no luck");' },
      /^".*throws\.ts" cannot be loaded: Error: no luck, at .*throws\.ts:1$/,
    ],
    [
      './none.ts',
      { 'none.ts': 'export default class {}' },
      /has no module as its default export; write: export default defineModule/,
    ],
    [
      './bad.ts',
      { 'bad.ts': MODULE.replace("'mine'", "'Mine!'") },
      /cannot be loaded: TypeError: defineModule: name must be/,
    ],
    ['no-such-package', {}, /^there is no module "no-such-package", and no package of that name$/],
    ['a b', {}, /^"a b" is neither a module, nor a path, nor a package$/],
    ['', {}, /is neither a module/],
    ['node:fs', {}, /is neither a module/],
    ['toString', {}, /^there is no module "toString"/],
  ])('%j is refused', (use, files, message) => {
    expect(find(use, setUp(files))).toMatch(message);
  });
});
