/** The files that filters are written in, as `milter try` loads them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Finished, milter } from '../helpers/cli.ts';
import { folderWith } from '../helpers/configured.ts';

/** Tries the first of these files, in a folder that is in no package but the one that they may make of it. */
async function tryFiles(
  files: Readonly<Record<string, string>>,
): Promise<Finished & { readonly folder: string }> {
  const folder = folderWith({ 'mail.eml': 'From: a@example.com\n\nHello.\n' });
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  const [name = ''] = Object.keys(files);
  return { ...(await milter(['try', join(folder, name), join(folder, 'mail.eml')])), folder };
}

describe('a filter file', () => {
  it.each([
    [
      'ESM',
      'esm.mjs',
      "import { Milter } from 'libmilter'; export default class A extends Milter { eom() {} }",
    ],
    [
      'ESM without a package.json',
      'esm.js',
      "import { Milter } from 'libmilter'; export default class A extends Milter { eom() {} }",
    ],
    [
      'CommonJS',
      'cjs.cjs',
      "const { Milter } = require('libmilter'); module.exports = class A extends Milter { eom() {} };",
    ],
    [
      'TypeScript',
      'ts.ts',
      "import { Milter } from 'libmilter'; export const A: unknown = class extends Milter { eom() {} };",
    ],
  ])('may be %s', async (_, name, code) => {
    expect(await tryFiles({ [name]: code })).toMatchObject({ status: 0, err: '' });
  });

  // npm init writes "type": "commonjs", or did not write a type before.
  describe.each(['{ "type": "commonjs" }', '{}'])('in a folder whose package.json is %s', (packageJson) => {
    const esm = "import { Milter } from 'libmilter';\nexport default class A extends Milter { eom() {} }\n";

    it.each<[string, Readonly<Record<string, string>>]>([
      ['TypeScript', { 'gate.ts': esm }],
      ['JavaScript', { 'gate.js': esm }],
      [
        'CommonJS after all',
        {
          'gate.js':
            "const { Milter } = require('libmilter');\nmodule.exports = class A extends Milter { eom() {} };",
        },
      ],
      [
        'of several files',
        {
          'gate.ts':
            "import './one.ts';\nimport './two.js';\nimport three from './three.js';\nexport { default } from './base.ts';",
          'base.ts': esm,
          'one.ts': 'export const one: number = 1;',
          'two.js': 'export const two = 2; await two;',
          'three.js': 'module.exports = require("./four.ts").four;',
          'four.ts': 'export const four: number = 4;',
        },
      ],
    ])('may be %s', async (_, files) => {
      const { status, err } = await tryFiles({ ...files, 'package.json': packageJson });
      expect({ status, err }).toEqual({ status: 0, err: '' });
    });

    it.each(['gate.ts', 'gate.js'])('%s that does not parse is told by its line', async (name) => {
      const code = "import { Milter } from 'libmilter';\n\nexport const a = ;\n";
      const { status, err, folder } = await tryFiles({ [name]: code, 'package.json': packageJson });
      expect(status).toBe(1);
      expect(err.trimEnd()).toMatch(new RegExp(`SyntaxError: .*, at ${join(folder, name)}:3$`));
    });
  });

  it('gets the running copy of libmilter and all its parts, whatever is installed beside it', async () => {
    const code = `
import { Milter } from 'libmilter';
import { createResolver } from 'libmilter/dns';
import { checkHost } from 'libmilter/spf';
import { connectMta } from 'libmilter/testing';
import * as mime from 'libmilter/mime';
import { createRequire } from 'node:module';
if (createRequire(import.meta.url)('libmilter/package.json').license !== 'MIT') throw new Error('wrong package.json');
export default class A extends Milter { eom() {} }`;
    const result = await tryFiles({
      'parts.mjs': code,
      'node_modules/libmilter/package.json': '{ "name": "libmilter", "main": "index.cjs" }',
      'node_modules/libmilter/index.cjs': "throw new Error('the other copy')",
    });
    expect(result).toMatchObject({ status: 0, err: '' });
  });

  it.each([
    [
      'an ES module that does not parse',
      'bad.mjs',
      'export default 1;\nexport defaul 2;',
      /SyntaxError: .*, at \/.*bad\.mjs:2$/,
    ],
    [
      'TypeScript that does not parse',
      'bad.ts',
      'const a = 1;\nconst b: = 2;',
      /SyntaxError: .*, at \/.*bad\.ts:2$/,
    ],
    [
      'TypeScript that cannot be stripped',
      'enum.ts',
      'enum A { B }',
      /TypeScript enum is not supported.*, at \/.*enum\.ts:1$/,
    ],
    ['CommonJS that does not parse', 'bad.cjs', '\nconst a = ;', /SyntaxError: .*, at \/.*bad\.cjs:2$/],
    [
      'an import that is not there',
      'import.mjs',
      "import 'nowhere';",
      /Cannot find package 'nowhere' imported from \/.*import\.mjs$/,
    ],
    ['an import that does not parse', 'outer.mjs', "import './broken.mjs';", /, at \/.*broken\.mjs:1$/],
    [
      'a name that is not exported',
      'name.mjs',
      "import { Miltre } from 'libmilter';",
      /does not provide an export named 'Miltre', at \/.*name\.mjs:1$/,
    ],
    [
      'an error while loading',
      'boom.ts',
      "const a: number = 1;\nthrow new Error('boom ' + a);",
      /Error: boom 1, at \/.*boom\.ts:2$/,
    ],
    [
      'no Milter class',
      'none.mjs',
      'export default class A {}',
      /exports no Milter class; write: export default class/,
    ],
    [
      'several Milter classes',
      'two.mjs',
      "import { Milter } from 'libmilter'; export class A extends Milter { eom() {} } export class B extends Milter {}",
      /exports several Milter classes \(A, B\)/,
    ],
  ])('with %s gives one line that says so', async (_, name, code, words) => {
    const { status, out, err } = await tryFiles({ [name]: code, 'broken.mjs': 'export defaul 2;' });
    expect({ status, out }).toEqual({ status: 1, out: '' });
    expect(err.trimEnd()).toMatch(words);
    expect(err).toMatch(/^milter try: .*\n$/);
  });

  it('that is not there gives one line that says so', async () => {
    expect(await milter(['try', '/nowhere/gate.ts', '/dev/null'])).toMatchObject({
      status: 1,
      err: 'milter try: there is no filter /nowhere/gate.ts\n',
    });
  });
});
