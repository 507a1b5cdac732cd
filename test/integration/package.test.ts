/**
 * The package as users get it: packed, built from what is packed, installed without running scripts where there is no
 * compiler, and used from there.
 */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const modules = join(root, 'node_modules');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  files: string[];
  exports: Record<string, unknown>;
};

let folder: string;
let consumer: string;
let bare: NodeJS.ProcessEnv;
let packed: readonly string[];

function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, env, encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? status}\n${stdout}${stderr}`);
}

function pack(from: string, to: string): { readonly tarball: string; readonly files: readonly string[] } {
  mkdirSync(to);
  const out = run('npm', ['pack', '--json', '--loglevel=error', '--pack-destination', to], from);
  const [{ filename, files }] = JSON.parse(out) as [{ filename: string; files: { path: string }[] }];
  return { tarball: join(to, filename), files: files.map(({ path }) => path) };
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'milter-package-'));
  // Not in the repository itself, whose dist and build others use at this moment.
  const stage = join(folder, 'stage');
  const names = [
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'README.md',
    'LICENSE',
    ...manifest.files,
  ];
  for (const name of names.filter((name) => name !== 'dist' && name !== 'prebuilds')) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(stage, name), { recursive: true });
  }
  symlinkSync(modules, join(stage, 'node_modules'));
  const source = pack(stage, join(folder, 'source'));
  run('tar', ['-xzf', source.tarball, '-C', join(folder, 'source')], folder);
  const unpacked = join(folder, 'source/package');
  symlinkSync(modules, join(unpacked, 'node_modules'));
  run('npm', ['run', '--silent', 'package:binary'], unpacked, { ...process.env, JOBS: 'max' });
  // What is packed has its dist already, and no TypeScript configuration to make another.
  const scripts = join(unpacked, 'package.json');
  writeFileSync(scripts, readFileSync(scripts, 'utf8').replace(/ *"prepack": .*\n/, ''));
  const { tarball, files } = pack(unpacked, join(folder, 'final'));
  packed = files;

  consumer = join(folder, 'consumer');
  const path = join(folder, 'bin');
  for (const made of [consumer, path]) mkdirSync(made);
  symlinkSync(process.execPath, join(path, 'node'));
  bare = { PATH: path, HOME: folder };
  const quietly = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', ['install', ...quietly, tarball], consumer);
  run('npm', ['install', '--global', '--prefix', join(folder, 'global'), ...quietly, tarball], folder);
}, 300_000);

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const FILTER = `
class Filter extends Milter {
  envfrom() { this.message.addRcpt('bcc@example.com'); }
}
async function main() {
  const server = await serve(Filter, { socket: 'inet:0@127.0.0.1' });
  const mta = await connectMta(server.address);
  const { verdict, message } = await mta.sendMessage('Subject: x\\n\\n', { sender: 'a@x.org', recipients: ['b@x.org'] });
  console.log(verdict, message.recipients.join());
  await mta.quit();
  await server.close();
}
`;
const IMPORTS = `import { Milter, serve } from 'libmilter';\nimport { connectMta } from 'libmilter/testing';\n`;

describe('the packed package', () => {
  it('holds the prebuilt binary, and all that a build from source needs', () => {
    const platform = `${process.platform}-${process.arch}`;
    expect(packed.filter((path) => path.startsWith('prebuilds/'))).toEqual([
      expect.stringMatching(new RegExp(`^prebuilds/${platform}/libmilter\\.(glibc\\.|musl\\.)?node$`)),
    ]);
    for (const name of ['native/core', 'native/binding']) {
      for (const file of readdirSync(join(root, name))) expect(packed).toContain(`${name}/${file}`);
    }
    expect(packed).toEqual(
      expect.arrayContaining(['binding.gyp', 'LICENSE', 'dist/cli/main.js', 'dist/index.d.ts']),
    );
  });

  it('holds neither tests nor build products', () => {
    expect(packed.filter((path) => /^(test|build|node_modules|\.ci)\b|\.tsbuildinfo$/.test(path))).toEqual(
      [],
    );
  });
});

describe('installed without scripts and without a compiler', () => {
  it.each([
    ['an ES module', 'filter.mjs', `${IMPORTS}${FILTER}await main();`],
    [
      'a CommonJS module',
      'filter.cjs',
      `const { Milter, serve } = require('libmilter');\nconst { connectMta } = require('libmilter/testing');\n${FILTER}main();`,
    ],
    [
      'a TypeScript file',
      'filter.ts',
      `${IMPORTS}${FILTER.replace('main()', 'main(): Promise<void>')}await main();`,
    ],
  ])('a filter runs from %s', (_, name, code) => {
    writeFileSync(join(consumer, name), code);
    expect(run('node', [name], consumer, bare)).toBe('continue <b@x.org>,<bcc@example.com>\n');
  });

  it('every export can be imported', () => {
    const names = Object.keys(manifest.exports).filter((name) => name !== './package.json');
    const imports = names.map((name) => `await import('${name.replace('.', 'libmilter')}');`).join('\n');
    expect(run('node', ['--input-type=module', '--eval', imports], consumer, bare)).toBe('');
  });

  it('the declarations of every export satisfy the strictest TypeScript', () => {
    const names = Object.keys(manifest.exports).filter((name) => name !== './package.json');
    const code = names
      .map((name, i) => `export * as part${i} from '${name.replace('.', 'libmilter')}';`)
      .join('\n');
    writeFileSync(join(consumer, 'types.mts'), code);
    const strict = [
      '--noEmit',
      '--strict',
      '--exactOptionalPropertyTypes',
      '--module',
      'nodenext',
      '--target',
      'es2024',
    ];
    const types = [
      '--lib',
      'es2024,esnext.disposable',
      '--typeRoots',
      join(modules, '@types'),
      '--types',
      'node',
    ];
    run(join(modules, '.bin/tsc'), [...strict, ...types, 'types.mts'], consumer);
  });

  it.each(['consumer/node_modules/.bin/milter', 'global/bin/milter'])(
    '%s tries a filter that lies elsewhere',
    (command) => {
      const elsewhere = mkdtempSync(join(tmpdir(), 'milter-elsewhere-'));
      try {
        const code = `import { Milter } from 'libmilter';
export default class A extends Milter { override eom(): void { this.message.addHeader('X-A', 'b'); } }`;
        writeFileSync(join(elsewhere, 'a.ts'), code);
        writeFileSync(join(elsewhere, 'm.eml'), 'Subject: x\n\nHi.\n');
        const out = run(join(folder, command), ['try', 'a.ts', 'm.eml'], elsewhere, bare);
        expect(out).toContain('+ X-A: b');
      } finally {
        rmSync(elsewhere, { recursive: true });
      }
    },
  );
});
