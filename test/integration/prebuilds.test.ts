/** The binaries that `npm run prebuild` has made: what they need, what they show, and that they run. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { folderWith } from '../helpers/configured.ts';
import { describeWith } from '../helpers/requirements.ts';

const root = join(import.meta.dirname, '../..');
const foreign = join(root, '.cache/foreign');
const fileOf = (arch: string, libc: string): string =>
  join(root, `prebuilds/linux-${arch}/libmilter.${libc}.node`);

function run(program: string, args: readonly string[], options = {}): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', ...options });
  if (status === 0) return stdout;
  throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? status}\n${stdout}${stderr}`);
}

function* matches(text: string, pattern: RegExp): Generator<string> {
  for (const [, found = ''] of text.matchAll(pattern)) yield found;
}

/** RHEL 8 has it, and all that is younger. */
const GLIBC_FLOOR = [2, 28] as const;

describeWith(['prebuilt binaries'], 'prebuilt binaries', () => {
  describe.each([
    ['x64', 'glibc'],
    ['arm64', 'glibc'],
    ['x64', 'musl'],
    ['arm64', 'musl'],
  ])('for %s with %s', (arch, libc) => {
    const file = fileOf(arch, libc);

    it('need nothing but libc', () => {
      const needed = [...matches(run('readelf', ['-dW', file]), /\(NEEDED\).*\[(.*)\]/g)];
      const ofLibc =
        libc === 'musl'
          ? ['libc.so']
          : ['libc.so.6', 'libm.so.6', 'libdl.so.2', 'libpthread.so.0', 'ld-linux-aarch64.so.1'];
      expect(needed.filter((name) => !ofLibc.includes(name))).toEqual([]);
      expect(needed).toContain(ofLibc[0]);
    });

    it('show nothing but what Node looks for', () => {
      const symbols = run('readelf', ['--dyn-syms', '-W', file]);
      const shown = [...matches(symbols, /(?:GLOBAL|WEAK) +DEFAULT +\d+ (\S+)/g)];
      expect(shown.sort()).toEqual(['napi_register_module_v1', 'node_api_module_get_api_version_v1']);
    });

    it.runIf(libc === 'glibc')('run with glibc 2.28', () => {
      const versions = [...matches(run('readelf', ['-VW', file]), /GLIBC_([\d.]+)/g)];
      const newest = versions
        .map((version) => version.split('.').map(Number))
        .reduce((a, b) => (((a[0] ?? 0) - (b[0] ?? 0) || (a[1] ?? 0) - (b[1] ?? 0)) >= 0 ? a : b));
      expect(versions.length).toBeGreaterThan(0);
      expect((newest[0] ?? 0) * 1_000 + (newest[1] ?? 0)).toBeLessThanOrEqual(
        GLIBC_FLOOR[0] * 1_000 + GLIBC_FLOOR[1],
      );
    });
  });
});

const SCRIPT = `
import { Milter, serve } from 'libmilter';
import { connectMta } from 'libmilter/testing';
class Filter extends Milter { async eom() { await this.message.mime(); this.message.addRcpt('bcc@example.com'); } }
const server = await serve(Filter, { socket: 'inet:0@127.0.0.1' });
const mta = await connectMta(server.address);
const { verdict, message } = await mta.sendMessage('Subject: x\\n\\n', { sender: 'a@x.org', recipients: ['b@x.org'] });
console.log(process.arch, verdict, message.recipients.join());
await mta.quit();
await server.close();
`;

/** A package as it is installed, with the prebuilt binaries and nothing compiled here. */
function installed(): string {
  const folder = folderWith({ 'filter.mjs': SCRIPT });
  const own = join(folder, 'node_modules/libmilter');
  mkdirSync(join(own, 'native'), { recursive: true });
  for (const name of ['package.json', 'dist', 'prebuilds', 'native/requirements.cjs']) {
    cpSync(join(root, name), join(own, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(own, 'node_modules'));
  return join(folder, 'filter.mjs');
}

describeWith(['prebuilt binaries'], 'a filter from the prebuilt binary', () => {
  it('serves on this machine', () => {
    expect(run(process.execPath, [installed()])).toBe(
      `${process.arch} continue <b@x.org>,<bcc@example.com>\n`,
    );
  });
});

describeWith(['prebuilt binaries', 'foreign machines'], 'a filter on other machines', () => {
  const qemu = join(foreign, 'qemu-aarch64');

  it('serves on arm64, with Debian’s libmilter', () => {
    const node = join(foreign, 'node/package/bin/node');
    const out = run(qemu, ['-L', join(foreign, 'arm64'), node, installed()]);
    expect(out).toBe('arm64 continue <b@x.org>,<bcc@example.com>\n');
  }, 120_000);

  // No Node for musl can be had here: this shows that musl finds all that the binary asks of libc.
  it.each([
    ['x64', [join(foreign, 'musl-x64/lib/ld-musl-x86_64.so.1')]],
    ['arm64', [qemu, join(foreign, 'musl-arm64/lib/ld-musl-aarch64.so.1')]],
  ] as const)('is loaded by musl on %s but for what Node gives it', (arch, loader) => {
    const [program, ...args] = loader;
    const { stdout, stderr } = spawnSync(program, [...args, '--list', fileOf(arch, 'musl')], {
      encoding: 'utf8',
    });
    const missing = [...matches(stdout + stderr, /relocating .*: (\S+): symbol not found/g)];
    expect(missing.length).toBeGreaterThan(20);
    expect(missing.filter((name) => !/^napi_|^node_api_/.test(name))).toEqual([]);
  });
});
