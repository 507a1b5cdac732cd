#!/usr/bin/env node
// Gets the other releases of Node.js that the package is for into .cache/nodes, from npm, for `npm test` to run the tests on
// them too. Quick when they are there.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const VERSIONS = ['22.23.3', '26.12.1'];

const target = join(import.meta.dirname, '../.cache/nodes');

function run(program, args) {
  const { error, status, stdout, stderr } = spawnSync(program, args, { cwd: target, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
}

for (const version of VERSIONS.filter((name) => !existsSync(join(target, name)))) {
  mkdirSync(target, { recursive: true });
  run('npm', ['pack', '--silent', `node-${process.platform}-${process.arch}@${version}`]);
  const tarball = readdirSync(target).find((name) => name.endsWith('.tgz'));
  run('tar', ['-xzf', tarball]);
  renameSync(join(target, 'package'), join(target, version));
  rmSync(join(target, tarball));
  console.log(`nodes: unpacked Node.js ${version}`);
}
