#!/usr/bin/env node
// Builds libmilter as other systems have it, from the source that Debian ships, into .cache/libmilter:
//
//   poll/libmilter.so     a thread per connection, poll(): as on FreeBSD, OpenBSD and Gentoo
//   select/libmilter.so   the same with select(): as on Fedora, RHEL and Alpine
//   early/libmilter.so    as poll, but without smfi_setmaxdatasize, like the first 8.14
//
// All without Debian's patches, so they know no `fd:`. Quick when they are there. Where it cannot (no apt, no
// compiler) it says so, and what needs them skips.
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const BUILDS = {
  poll: ['-DSM_CONF_POLL=1'],
  select: ['-DSM_CONF_POLL=0'],
  early: ['-DSM_CONF_POLL=1', '-Dsmfi_setmaxdatasize=mi_setmaxdatasize'],
};
const SOURCES = [
  ...[
    'main',
    'engine',
    'listener',
    'worker',
    'handler',
    'comm',
    'smfi',
    'signal',
    'sm_gethost',
    'monitor',
  ].map((name) => `libmilter/${name}.c`),
  ...['errstring', 'strl'].map((name) => `libsm/${name}.c`),
];

const target = join(import.meta.dirname, '../.cache/libmilter');
const fileOf = (build) => join(target, build, 'libmilter.so');

/** Runs a program quietly and returns what it printed; what it wrote goes into the error when it fails. */
function run(program, args, cwd) {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
  return stdout;
}

/** Fetches the source that belongs to the machine's own package sources, without touching their configuration. */
function fetchSource(work) {
  const format = '$(ORIGIN) deb-src $(SITE) $(CODENAME) $(COMPONENT)';
  const sources = run('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
    .split('\n')
    .filter((line) => line.startsWith('Debian '))
    .map((line) => line.slice('Debian '.length));
  writeFileSync(join(work, 'sources.list'), [...new Set(sources), ''].join('\n'));
  mkdirSync(join(work, 'lists/partial'), { recursive: true });
  const options = [
    `Dir::Etc::sourcelist=${join(work, 'sources.list')}`,
    'Dir::Etc::sourceparts=-',
    `Dir::State::lists=${join(work, 'lists')}`,
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option]);
  run('apt-get', [...options, 'update', '-qq'], work);
  run('apt-get', [...options, 'source', '--download-only', '-qq', 'sendmail'], work);
  const archive = readdirSync(work).find((name) => /\.orig\.tar\.\w+$/.test(name));
  const source = join(work, 'source');
  mkdirSync(source);
  run('tar', ['-C', source, '--strip-components=1', '-xf', archive], work);
  copyFileSync(join(source, 'include/sm/os/sm_os_linux.h'), join(source, 'include/sm_os.h'));
  return source;
}

function build(name, source) {
  const flags = [
    '-shared',
    '-fPIC',
    '-O2',
    '-pthread',
    '-w',
    '-DNOT_SENDMAIL',
    '-Dsm_snprintf=snprintf',
    '-DNETINET6',
  ];
  const file = join(source, `${name}.so`);
  run('cc', [...flags, ...BUILDS[name], '-Iinclude', '-Isendmail', '-o', file, ...SOURCES], source);
  mkdirSync(join(target, name), { recursive: true });
  renameSync(file, fileOf(name));
}

const missing = Object.keys(BUILDS).filter((name) => !existsSync(fileOf(name)));
if (missing.length === 0) {
  console.log('libmilter: the other builds are there');
} else if (spawnSync('apt-get', ['--version']).error || spawnSync('cc', ['--version']).error) {
  console.log(
    `libmilter: needs Debian's apt-get and a C compiler to build ${missing.join(', ')}; tests skip`,
  );
} else {
  mkdirSync(target, { recursive: true });
  const work = mkdtempSync(join(target, 'work-'));
  try {
    const source = fetchSource(work);
    for (const name of missing) build(name, source);
    console.log(`libmilter: built ${missing.join(', ')} into .cache/libmilter`);
  } finally {
    rmSync(work, { recursive: true });
  }
}
