#!/usr/bin/env node
// Gets and builds whatever is missing: libmilter's headers, node_modules, the addon, dist. Silent and quick when all is
// there. Plain JavaScript without dependencies, because it runs before there are any, under whatever Node there is.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findMissing, howToInstall } from '../native/requirements.cjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const say = (message) => process.stderr.write(`setup: ${message}\n`);

function fail(message) {
  say(message);
  process.exit(1);
}

/** Runs a program quietly; what it printed is shown when it fails. */
function run(program, args, { what, env = {} }) {
  const options = { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8', maxBuffer: 2 ** 28 };
  const { error, status, stdout, stderr } = spawnSync(program, args, options);
  if (error?.code === 'ENOENT') fail(`${program} is not installed; ${what} needs it`);
  if (error) throw error;
  if (status !== 0) {
    process.stderr.write(stdout + stderr);
    fail(`${what} failed`);
  }
}

/** When the newest of these was changed. Folders count too: files that vanish show in them. */
function newest(paths) {
  const times = paths.map((path) => {
    const status = statSync(path);
    if (!status.isDirectory()) return status.mtimeMs;
    return Math.max(status.mtimeMs, newest(readdirSync(path).map((name) => join(path, name))));
  });
  return Math.max(0, ...times);
}

/** Brings `target` up to date with what it is made from, by an npm script. */
function make(target, sources, script, what) {
  const file = join(root, target);
  if (existsSync(file) && statSync(file).mtimeMs >= newest(sources.map((name) => join(root, name)))) return;
  say(what);
  run('npm', ['run', '--silent', script], { what });
  // A change that leaves the result as it was shall not make it look old for ever.
  utimesSync(file, new Date(), new Date());
}

/** Whether node_modules holds what package-lock.json asks for. */
function inStep() {
  if (!existsSync(join(root, 'node_modules/.package-lock.json'))) return false;
  if (!existsSync(join(root, 'node_modules/node/bin/node'))) return false;
  const packages = (file) => JSON.parse(readFileSync(join(root, file), 'utf8')).packages;
  const wanted = packages('package-lock.json');
  const there = packages('node_modules/.package-lock.json');
  return (
    Object.entries(wanted).every(
      ([path, { version, optional }]) => path === '' || there[path]?.version === version || optional,
    ) && Object.keys(there).every((path) => there[path].version === wanted[path]?.version)
  );
}

const addon = 'build/Release/milter.node';
const addonSources = ['native/core', 'native/binding', 'binding.gyp'];

function checkCompiler() {
  const missing = findMissing();
  if (missing.length === 0) return;
  const [only, another] = missing;
  const canInstall = process.getuid?.() === 0 && spawnSync('apt-get', ['--version']).status === 0;
  if (another !== undefined || !only.includes('headers') || !canInstall) {
    fail(
      `the addon must be compiled, and this is missing: ${missing.join(', ')}; install it: ${howToInstall()}`,
    );
  }
  say("installing libmilter's headers (apt-get install libmilter-dev)");
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  run('apt-get', ['update', '-qq'], { what: 'apt-get update', env });
  run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'libmilter-dev'], {
    what: 'apt-get install libmilter-dev',
    env,
  });
  if (findMissing().length > 0) fail('libmilter/mfapi.h cannot be found although libmilter-dev is installed');
}

if (Number(process.versions.node.split('.')[0]) < 18) {
  fail(`Node.js 18 or later is needed to begin with, this is ${process.versions.node}`);
}
const stale = !existsSync(join(root, addon));
if (stale || statSync(join(root, addon)).mtimeMs < newest(addonSources.map((name) => join(root, name))))
  checkCompiler();
if (!inStep()) {
  say('installing what package-lock.json names (npm ci)');
  // Its install script compiles the addon if there is none.
  run('npm', ['ci', '--loglevel=error'], { what: 'npm ci', env: { JOBS: 'max' } });
}
make(addon, addonSources, 'build:native', 'building the addon');
make(
  'dist/index.js',
  ['lib', 'tsconfig.json', 'tsconfig.build.json', 'package.json'],
  'build:lib',
  'compiling lib to dist',
);
