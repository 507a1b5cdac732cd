// What building the addon needs, what of it is missing on this machine, and how to get it. Used by the install step, by
// serve() where there is no addon, and by .ci/setup.mjs: plain, and without dependencies.
const { spawnSync } = require('node:child_process');
const { existsSync, readFileSync } = require('node:fs');

// CXX may hold more than one word, such as `ccache g++`.
const [compiler, ...compilerWords] = (process.env.CXX || 'c++').trim().split(/\s+/);
const includes = ['/usr/include', '/usr/local/include', '/opt/local/include', '/opt/homebrew/include'];

/** The command that installs all of it, by the ID of /etc/os-release or Node's name of the platform. */
const systems = {
  debian: { name: 'Debian, Ubuntu', command: 'apt install g++ make python3 libmilter-dev' },
  fedora: { name: 'Fedora, RHEL', command: 'dnf install gcc-c++ make python3 sendmail-milter-devel' },
  alpine: { name: 'Alpine', command: 'apk add g++ make python3 libmilter-dev' },
  arch: { name: 'Arch', command: 'pacman -S base-devel python libmilter' },
  freebsd: { name: 'FreeBSD', command: 'pkg install gmake python3 libmilter' },
  darwin: { name: 'macOS', command: 'xcode-select --install and port install libmilter (MacPorts)' },
};

function works(program, args, input = '') {
  return spawnSync(program, args, { input }).status === 0;
}

/** Whether the compiler, or where there is none one of the usual folders, has libmilter/mfapi.h. */
function hasHeaders() {
  if (includes.some((folder) => existsSync(`${folder}/libmilter/mfapi.h`))) return true;
  const folders = includes.slice(1).map((folder) => `-I${folder}`);
  return works(compiler, [...compilerWords, '-E', '-x', 'c++', ...folders, '-'], '#include <libmilter/mfapi.h>\n');
}

/** What is missing, in words. */
function findMissing() {
  const make = process.platform === 'freebsd' ? 'gmake' : 'make';
  return [
    [works(compiler, [...compilerWords, '--version']), `a C++ compiler (${compiler})`],
    [works(make, ['--version']), make],
    [works('python3', ['--version']), 'python3'],
    [hasHeaders(), "libmilter's headers (libmilter/mfapi.h)"],
  ].flatMap(([found, name]) => (found ? [] : [name]));
}

/** The command for this machine, or those for all where it is not known. */
function howToInstall(platform = process.platform, osRelease = readOsRelease()) {
  const field = (name) => new RegExp(`^${name}=["']?([^"'\n]*)`, 'm').exec(osRelease)?.[1] ?? '';
  const names = platform === 'linux' ? [field('ID'), ...field('ID_LIKE').split(' ')] : [platform];
  const own = names.find((name) => Object.hasOwn(systems, name));
  if (own !== undefined) return systems[own].command;
  return Object.values(systems)
    .map(({ name, command }) => `${name}: ${command}`)
    .join('; ');
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
