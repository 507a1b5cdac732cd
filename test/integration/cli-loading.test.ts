/** What the command loads before it is needed, and where it keeps what Node compiled. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MAIN, milter, RunningMilter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';

/** Says what was loaded: names of packages, `node:` modules, and files below lib. */
const recorder = `data:text/javascript,${encodeURIComponent(`
  import { registerHooks } from 'node:module';
  import { writeFileSync } from 'node:fs';
  const loaded = new Set();
  registerHooks({
    load(url, context, next) {
      loaded.add(/\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)\\//.exec(url)?.[1] ?? url.replace(/^.*\\/lib\\//, ''));
      return next(url, context);
    },
  });
  process.on('exit', () => writeFileSync(process.env.LOADED, JSON.stringify([...loaded])));
`)}`;

function environment(folder: string): NodeJS.ProcessEnv {
  const { NODE_OPTIONS = '', ...others } = process.env;
  return {
    ...others,
    NODE_OPTIONS: `${NODE_OPTIONS} --import=${recorder}`,
    LOADED: join(folder, 'loaded.json'),
  };
}

function loaded(folder: string): readonly string[] {
  return JSON.parse(readFileSync(join(folder, 'loaded.json'), 'utf8')) as string[];
}

describe('what is loaded', () => {
  it('to serve the starter configuration: nothing that its modules do not need', async () => {
    await using folder = await temporaryDirectory();
    const config = join(folder.path, 'milter.toml');
    await milter(['init', folder.path]);
    await using running = new RunningMilter([config, '--socket', `unix:${join(folder.path, 's')}`], {
      env: environment(folder.path),
    });
    await running.address();
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
    const names = loaded(folder.path);
    expect(names).toContain('filter/modules/networks.ts');
    expect(names).toContain('zod');
    for (const unwanted of [
      'node:http',
      'node:https',
      'node:tls',
      '@redis/client',
      'mailparser',
      'dns2',
      're2js',
    ]) {
      expect(names).not.toContain(unwanted);
    }
    expect(
      names.filter((name) => /^filter\/(modules\/(greylist|copies|ratelimit|dnsbl)|store\/redis)/.test(name)),
    ).toEqual([]);
  });

  it('to serve modules that look at no part of a message: nothing that takes it apart', async () => {
    await using folder = await temporaryDirectory();
    const config = join(folder.path, 'milter.toml');
    writeFileSync(
      config,
      `socket = "unix:${join(folder.path, 's')}"\ndata = "${folder.path}"\n[[module]]\nuse = "spf"\n[[module]]\nuse = "auth"\n`,
    );
    await using running = new RunningMilter([config], { env: environment(folder.path) });
    await running.address();
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
    const names = loaded(folder.path);
    expect(names).toContain('filter/modules/auth/index.ts');
    for (const unwanted of ['mime/index.ts', 'htmlparser2', 'mailauth'])
      expect(names).not.toContain(unwanted);
  });

  it.each([
    ['to show the versions', ['--version']],
    ['to ask SPF', ['spf', '--help']],
  ])('%s: nothing of the filter', async (_, args) => {
    await using folder = await temporaryDirectory();
    spawnSync(process.execPath, [MAIN, ...args], { env: environment(folder.path) });
    const names = loaded(folder.path);
    expect(names).toContain('cli/commands.ts');
    expect(names).not.toContain('zod');
    expect(names.filter((name) => name.startsWith('filter/'))).toEqual([]);
  });
});

describe('what Node compiled', () => {
  function version(directory: string): string {
    const { NODE_DISABLE_COMPILE_CACHE: _, NODE_COMPILE_CACHE: __, ...others } = process.env;
    const env = { ...others, CACHE_DIRECTORY: directory };
    const { stdout, stderr, status } = spawnSync(process.execPath, [MAIN, '--version'], {
      env,
      encoding: 'utf8',
    });
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    return stdout;
  }

  it('is kept in the folder that systemd gives, for the next start', async () => {
    await using folder = await temporaryDirectory();
    const own = join(folder.path, 'cache');
    const first = version(own);
    expect(readdirSync(join(own, 'compiled'), { recursive: true }).length).toBeGreaterThan(10);
    expect(version(own)).toBe(first);
  });

  it('is not kept in a folder that others may write to: it would be theirs to say what runs', async () => {
    await using folder = await temporaryDirectory();
    const open = join(folder.path, 'open');
    mkdirSync(open);
    chmodSync(open, 0o777);
    version(open);
    expect(readdirSync(open)).toEqual([]);
  });

  it('is not missed where there can be no folder', async () => {
    await using folder = await temporaryDirectory();
    const file = join(folder.path, 'file');
    writeFileSync(file, '');
    expect(version(join(file, 'below'))).toMatch(/^milter /);
    expect(existsSync(join(file, 'below'))).toBe(false);
  });
});
