// What building the addon needs, what of it is missing on this machine, and how to get it. Used by the install step, by
// serve() where there is no addon, and by .ci/setup.mjs: plain, and without dependencies.
const { spawnSync } = require('node:child_process');
const { existsSync, readFileSync } = require('node:fs');

const compiler = process.env.CXX || 'c++';
const includes = ['/usr/include', '/usr/local/include', '/opt/local/include', '/opt/homebrew/include'];

/** The commands that install all of it, by the ID of /etc/os-release or Node's name of the platform. */
const commands = {
  debian: 'apt install g++ make python3 libmilter-dev',
  fedora: 'dnf install gcc-c++ make python3 sendmail-milter-devel',
  alpine: 'apk add g++ make python3 libmilter-dev',
  arch: 'pacman -S base-devel python libmilter',
  freebsd: 'pkg install gmake python3 libmilter',
  darwin: 'xcode-select --install and port install libmilter (MacPorts)',
};
const names = {
  debian: 'Debian, Ubuntu',
  fedora: 'Fedora, RHEL',
  alpine: 'Alpine',
  arch: 'Arch',
  freebsd: 'FreeBSD',
  darwin: 'macOS',
};

function works(program, args, input = '') {
  return spawnSync(program, args, { input }).status === 0;
}

/** Whether the compiler, or where there is none one of the usual folders, has libmilter/mfapi.h. */
function hasHeaders() {
  if (includes.some((folder) => existsSync(`${folder}/libmilter/mfapi.h`))) return true;
  const folders = includes.slice(1).map((folder) => `-I${folder}`);
  return works(compiler, ['-E', '-x', 'c++', ...folders, '-'], '#include <libmilter/mfapi.h>\n');
}

/** What is missing, in words. */
function findMissing() {
  const make = process.platform === 'freebsd' ? 'gmake' : 'make';
  return [
    [works(compiler, ['--version']), `a C++ compiler (${compiler})`],
    [works(make, ['--version']), make],
    [works('python3', ['--version']), 'python3'],
    [hasHeaders(), "libmilter's headers (libmilter/mfapi.h)"],
  ].flatMap(([found, name]) => (found ? [] : [name]));
}

/** The command for this machine, or those for all where it is not known. */
function howToInstall(platform = process.platform, osRelease = readOsRelease()) {
  const [, id = '', like = ''] = ['', 'ID', 'ID_LIKE'].map(
    (name) => new RegExp(`^${name}=["']?([^"'\n]*)`, 'm').exec(osRelease)?.[1],
  );
  const known = platform === 'linux' ? [id, ...like.split(' ')] : [platform];
  const [own] = known.flatMap((name) => (Object.hasOwn(commands, name) ? [commands[name]] : []));
  const all = Object.entries(commands).map(([name, command]) => `${names[name]}: ${command}`);
  return own ?? all.join('; ');
}

function readOsRelease() {
  try {
    return readFileSync('/etc/os-release', 'utf8');
  } catch {
    return '';
  }
}

/** Why there is no addon, and what to do, for whoever installs or serves. */
function adviseOnAddon() {
  const missing = findMissing();
  if (missing.length === 0) {
    return {
      why: 'the addon that drives libmilter is not built, although all is there that it needs',
      how: 'run this, which shows what goes wrong: npm rebuild libmilter --foreground-scripts',
    };
  }
  return {
    why: `the addon that drives libmilter is not built; this is missing for it: ${missing.join(', ')}`,
    how: `install that (${howToInstall()}), then run: npm rebuild libmilter`,
  };
}

module.exports = { adviseOnAddon, findMissing, howToInstall };
