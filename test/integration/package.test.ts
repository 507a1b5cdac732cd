/**
 * The package as users get it: packed, built from what is packed, installed with scripts and without where there is no
 * compiler, and used from there.
 */
import { execFile, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeWith } from '../helpers/requirements.ts';

const root = join(import.meta.dirname, '../..');
const modules = join(root, 'node_modules');
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  files: string[];
  exports: Record<string, unknown>;
};

let folder: string;
let consumer: string;
let unbuilt: string;
let bare: NodeJS.ProcessEnv;
let source: Packed;
let again: Packed;
let final: Packed;

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

/** The same while something else goes on. */
async function start(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  return (await promisify(execFile)(program, args, { cwd, env, maxBuffer: 2 ** 26 })).stdout;
}

interface Packed {
  readonly tarball: string;
  readonly files: readonly string[];
}

async function pack(from: string, to: string, umask = '022'): Promise<Packed> {
  mkdirSync(to);
  // The mask of a process of its own: the test's would be that of others too.
  const command = `umask ${umask} && exec npm pack --json --loglevel=error --pack-destination '${to}'`;
  const out = await start('sh', ['-c', command], from);
  const [{ filename, files }] = JSON.parse(out) as [{ filename: string; files: { path: string }[] }];
  return { tarball: join(to, filename), files: files.map(({ path }) => path) };
}

/** A copy of all that is packed, or needed for it: the repository's own dist and build are used by others at this moment. */
function stage(name: string): string {
  const place = join(folder, name);
  const needed = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'README.md', 'LICENSE'];
  const scripts = ['.ci/schema.mjs', '.ci/man.mjs', '.ci/modes.mjs'];
  const sources = manifest.files.filter((name) => name !== 'dist' && name !== 'prebuilds');
  for (const name of [...needed, ...scripts, ...sources]) {
    if (existsSync(join(root, name))) cpSync(join(root, name), join(place, name), { recursive: true });
  }
  symlinkSync(modules, join(place, 'node_modules'));
  return place;
}

/** Another one, as another's machine might have it: elsewhere, of another time, and readable by him alone. */
function stageElsewhere(): string {
  const place = stage('somewhere/else');
  run('chmod', ['-R', 'go-rwx', 'lib', 'native', 'docs', 'operation', 'README.md'], place);
  for (const name of ['lib/index.ts', 'README.md', 'package.json']) utimesSync(join(place, name), 1e9, 1e9);
  return place;
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'milter-package-'));
  source = await pack(stage('stage'), join(folder, 'source-tarball'));
  const unpack = (into: string): string => {
    mkdirSync(join(folder, into), { recursive: true });
    run('tar', ['-xzf', source.tarball, '-C', join(folder, into)], folder);
    symlinkSync(modules, join(folder, into, 'package/node_modules'));
    return join(folder, into, 'package');
  };
  unbuilt = unpack('unbuilt');
  const unpacked = unpack('source');
  // That it compiles and works is what is tried here, not how fast it is.
  const unoptimized = { ...process.env, JOBS: 'max', CXXFLAGS: '-O0 -g0' };
  [again] = await Promise.all([
    pack(stageElsewhere(), join(folder, 'again'), '077'),
    start('npm', ['run', '--silent', 'package:binary'], unpacked, unoptimized),
  ]);
  // What is packed has its dist already, and no TypeScript configuration to make another.
  const scripts = join(unpacked, 'package.json');
  writeFileSync(scripts, readFileSync(scripts, 'utf8').replace(/ *"prepack": .*\n/, ''));
  final = await pack(unpacked, join(folder, 'final'));

  consumer = join(folder, 'consumer');
  const path = join(folder, 'bin');
  for (const made of [consumer, path]) mkdirSync(made);
  symlinkSync(process.execPath, join(path, 'node'));
  bare = { PATH: path, HOME: folder };
  const quietly = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  await Promise.all([
    start('npm', ['install', '--ignore-scripts', ...quietly, final.tarball], consumer),
    start(
      'npm',
      ['install', '--global', '--prefix', join(folder, 'global'), ...quietly, final.tarball],
      folder,
    ),
  ]);
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
    expect(final.files.filter((path) => path.startsWith('prebuilds/'))).toEqual([
      expect.stringMatching(new RegExp(`^prebuilds/${platform}/libmilter\\.(glibc\\.|musl\\.)?node$`)),
    ]);
    for (const name of ['native/core', 'native/binding']) {
      for (const file of readdirSync(join(root, name))) expect(final.files).toContain(`${name}/${file}`);
    }
    expect(final.files).toEqual(
      expect.arrayContaining([
        'binding.gyp',
        'LICENSE',
        'dist/cli/main.js',
        'dist/index.d.ts',
        'dist/milter.schema.json',
      ]),
    );
  });

  it('holds neither tests, samples nor build products', () => {
    const foreign = /^(test|examples|build|node_modules|\.\w+)\b|\.(tsbuildinfo|eml|mbox|log|tgz)$|\.test\./;
    expect(final.files.filter((path) => foreign.test(path))).toEqual([]);
  });

  it('has the same bytes wherever and whenever it is packed', () => {
    expect(again.files).toEqual(source.files);
    expect(readFileSync(again.tarball).equals(readFileSync(source.tarball))).toBe(true);
  });

  it.each([
    ['publint', ['run', '--strict']],
    // What is no ES module is no concern of ours: Node.js since 22.12 takes one by require() as well.
    ['attw', ['--profile', 'esm-only']],
  ])(
    'satisfies %s',
    (program, args) => {
      run(join(modules, '.bin', program), [...args, final.tarball], folder);
    },
    120_000,
  );
});

describe('installed where there is no compiler and no binary', () => {
  const install = (): ReturnType<typeof spawnSync> =>
    spawnSync('node', ['native/install.cjs'], { cwd: unbuilt, env: bare, encoding: 'utf8' });

  it('says in three lines what is missing and how to get it, and succeeds', () => {
    const { status, stdout, stderr } = install();
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    const lines = String(stderr).trimEnd().split('\n');
    expect(lines).toEqual([
      expect.stringMatching(
        /is not built; this is missing for it: a C\+\+ compiler \(c\+\+\), g?make, python3/,
      ),
      expect.stringMatching(/install that \(.*\), then run: npm rebuild libmilter$/),
      expect.stringContaining('all but serving works'),
    ]);
  });

  it('serving says the same, and the other parts work', () => {
    const [, advice = ''] = /^libmilter: (.*)$/m.exec(String(install().stderr)) ?? [];
    const code = `import { Milter, serve } from 'libmilter';
import { parseMessage } from 'libmilter/mime';
import { fakeSession } from 'libmilter/testing';
class A extends Milter { eom() { return 'discard'; } }
const mail = { sender: 'a@x.org', recipients: ['b@x.org'] };
console.log((await fakeSession(A).sendMessage('Subject: x\\n\\n', mail)).verdict);
console.log((await parseMessage(Buffer.from('Subject: x\\n\\n'))).changed);
await serve(A, { socket: 'inet:0@127.0.0.1' }).catch(({ code, message }) => console.log(code, message));`;
    writeFileSync(join(unbuilt, 'all.mjs'), code);
    const lines = run('node', ['all.mjs'], unbuilt, bare).split('\n');
    expect(lines).toEqual([
      'discard',
      'false',
      expect.stringContaining(`ERR_MILTER_LIBRARY ${advice}; install`),
      '',
    ]);
  });
});

// Tests run under a Node.js of their own; the machine's may be older.
const { PATH = '' } = process.env;
const nodes = PATH.split(':').map((path) => join(path, 'node'));
const oldNode = nodes.find(
  (path) => existsSync(path) && Number(/^v(\d+)/.exec(run(path, ['--version'], root))?.[1]) < 22,
);

describe.skipIf(oldNode === undefined)('on a Node.js that is too old', () => {
  it.each(['libmilter', 'libmilter/spf', 'libmilter/testing'])('importing %s says what is needed', (name) => {
    const code = `await import('${name}').catch(({ code, message }) => console.log(code, message));`;
    const out = run(oldNode ?? '', ['--input-type=module', '--eval', code], consumer, bare);
    expect(out).toMatch(/^ERR_MILTER_UNSUPPORTED libmilter needs Node\.js 22\.19 or later, this is \d/);
  });

  it('the command says so in one line', () => {
    const command = join(consumer, 'node_modules/libmilter/dist/cli/main.js');
    const { status, stderr } = spawnSync(oldNode ?? '', [command, 'run'], { encoding: 'utf8' });
    expect(status).toBe(1);
    expect(stderr).toMatch(/^milter run: libmilter needs Node\.js 22\.19 or later, this is .*\n$/);
  });
});

describe('installed with scripts', () => {
  it('compiles nothing where the package brings the binary', () => {
    const own = join(folder, 'global/lib/node_modules/libmilter');
    expect(existsSync(join(own, 'prebuilds'))).toBe(true);
    expect(existsSync(join(own, 'build'))).toBe(false);
  });
});

describeWith(['a mount of its own'], 'installed where there is no libmilter', () => {
  it('serving says in one line what to install, and the engine in TypeScript serves', () => {
    const code = `${IMPORTS}
class Filter extends Milter { eom() {} }
await serve(Filter, { socket: 'inet:0@127.0.0.1' }).catch(({ code, message }) => console.log(code, message));
const server = await serve(Filter, { socket: 'inet:0@127.0.0.1', engine: 'js' });
const mta = await connectMta(server.address);
console.log((await mta.sendMessage('Subject: x\\n\\n', { sender: 'a@x.org', recipients: ['b@x.org'] })).verdict);
await mta.quit();
await server.close();
`;
    writeFileSync(join(consumer, 'hidden.mjs'), code);
    const ask = "import { libmilterInfo } from 'libmilter'; console.log(libmilterInfo().path)";
    const library = run('node', ['--input-type=module', '--eval', ask], consumer).trim();
    const hidden = 'mount --bind /dev/null "$0" && exec "$@"';
    const args = ['--mount', 'sh', '-c', hidden, library, process.execPath, 'hidden.mjs'];
    const [why, verdict] = run('unshare', args, consumer).split('\n');
    expect(why).toMatch(/^ERR_MILTER_LIBRARY libmilter was not found /);
    for (const system of ['Debian', 'Fedora', 'Alpine', 'Arch', 'FreeBSD', 'macOS']) {
      expect(why).toContain(system);
    }
    expect(why).toContain("engine: 'js'");
    expect(verdict).toBe('continue');
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
    const names = Object.keys(manifest.exports).filter((name) => !name.endsWith('.json'));
    const imports = names.map((name) => `await import('${name.replace('.', 'libmilter')}');`).join('\n');
    expect(run('node', ['--input-type=module', '--eval', imports], consumer, bare)).toBe('');
  });

  it('the declarations of every export satisfy the strictest TypeScript', () => {
    const names = Object.keys(manifest.exports).filter((name) => !name.endsWith('.json'));
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

  it('`npm init` and a filter in TypeScript are enough', () => {
    const project = join(folder, 'project');
    mkdirSync(project);
    run('npm', ['init', '-y', '--loglevel=error'], project);
    symlinkSync(join(consumer, 'node_modules'), join(project, 'node_modules'));
    writeFileSync(
      join(project, 'gate.ts'),
      `import { Milter } from 'libmilter';
export default class Gate extends Milter { override eom(): void { this.message.addHeader('X-A', 'b'); } }`,
    );
    writeFileSync(join(project, 'm.eml'), 'Subject: x\n\nHi.\n');
    const command = 'node_modules/.bin/milter';
    const { status, stdout, stderr } = spawnSync(command, ['try', 'gate.ts', 'm.eml'], {
      cwd: project,
      env: bare,
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('+ X-A: b');
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
