/**
 * That the addon compiles where there is no Linux: for macOS with its own headers, which zig brings (`npm run prebuild` gets
 * it), and, with this machine's headers, what FreeBSD and others are given in place of Linux's own calls. All sources go to
 * the compiler at once, which reads the headers a single time, and checks without making code.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { folderWith } from '../helpers/configured.ts';
import { describeWith, ZIG_ROOT } from '../helpers/requirements.ts';

// A compiler takes two seconds, and on a machine that is busy a good deal more.
vi.setConfig({ testTimeout: 300_000 });

const root = join(import.meta.dirname, '../..');
const {
  targets: [addon],
} = JSON.parse(readFileSync(join(root, 'binding.gyp'), 'utf8')) as {
  readonly targets: readonly [{ readonly sources: readonly string[]; readonly defines: readonly string[] }];
};
const SOURCES = addon.sources.map((name) => `#include ${JSON.stringify(join(root, name))}\n`).join('');

/** What the compiler has to say of some code; nothing if it is right. */
function faultsOf(code: string, [program, ...flags]: readonly [string, ...string[]]): string {
  // FreeBSD's header of what Linux has in malloc.h.
  const folder = folderWith({ 'all.cc': code, 'malloc_np.h': '#include <malloc.h>\n' });
  // Apart, since beside them are those of this system's libc.
  cpSync('/usr/include/libmilter', join(folder, 'libmilter'), { recursive: true, dereference: true });
  const headers = ['node-addon-api', 'node-api-headers/include'].map((name) =>
    join(root, 'node_modules', name),
  );
  const { error, stderr } = spawnSync(
    program,
    [
      ...flags,
      ...['-std=c++17', '-fsyntax-only', '-Wall', '-Wextra', '-Wno-unused-parameter', '-Werror'],
      ...addon.defines.map((name) => `-D${name}`),
      ...[folder, ...headers].map((path) => `-I${path}`),
      join(folder, 'all.cc'),
    ],
    { encoding: 'utf8' },
  );
  if (error) throw error;
  return stderr;
}

describeWith(['zig'], 'for macOS', () => {
  const lib = join(ZIG_ROOT, 'lib');
  const folders = ['libcxx/include', 'libcxxabi/include', 'include', 'libc/include/any-macos-any'];
  const compilerFor = (arch: string) =>
    [
      join(ZIG_ROOT, 'zig'),
      ...['clang', `--target=${arch}-apple-macosx13.0`, '-nostdinc', '-nostdinc++'],
      ...folders.map((name) => `-isystem${join(lib, name)}`),
      '-D_LIBCPP_PSTL_CPU_BACKEND_SERIAL',
    ] as const;

  it('the addon compiles', () => {
    expect(faultsOf(SOURCES, compilerFor('arm64'))).toBe('');
  });

  it('what only Linux has would not', () => {
    const code = '#include <sys/socket.h>\nint f() { return accept4(0, nullptr, nullptr, 0); }\n';
    expect(faultsOf(code, compilerFor('arm64'))).toContain("'accept4'");
  });
});

describeWith(["a compiler, and libmilter's headers"], 'with no word of Linux', () => {
  /** The headers that every system has; those behind `#if` are left to the sources. */
  const common = globSync('native/{core,binding}/*.{cc,h}', { cwd: root }).flatMap((name) => {
    const always = readFileSync(join(root, name), 'utf8').replaceAll(/^#if[\s\S]*?^#endif$/gm, '');
    return always.match(/^#include <.*>$/gm) ?? [];
  });
  // Those of glibc are read before it is no Linux any more, as they would not take that.
  const elsewhere = ['__linux__', '__linux', 'linux', '__gnu_linux__'].map((name) => `#undef ${name}`);
  const prelude = [...new Set(common), ...elsewhere].join('\n');

  it.each([
    ['FreeBSD', '#define __FreeBSD__ 14'],
    ['a system that is not known', ''],
  ])('the addon compiles for %s', (_, define) => {
    expect(faultsOf(`${prelude}\n${define}\n${SOURCES}`, ['c++'])).toBe('');
  });
});
