/** How each system gets what building the addon needs. */
import { createRequire } from 'node:module';
import { expect, it } from 'vitest';

const { howToInstall } = createRequire(import.meta.url)('../../../native/requirements.cjs') as {
  howToInstall(platform: string, osRelease: string): string;
};

it.each([
  [
    'Ubuntu, as one like Debian',
    'linux',
    'NAME="Ubuntu"\nID=ubuntu\nID_LIKE=debian\n',
    /^apt install .*libmilter-dev$/,
  ],
  [
    'AlmaLinux, as one like Fedora',
    'linux',
    'ID="almalinux"\nID_LIKE="rhel centos fedora"\n',
    /^dnf install .*-devel$/,
  ],
  ['Alpine', 'linux', 'ID=alpine\nVERSION_ID=3.22\n', /^apk add .*libmilter-dev$/],
  ['Arch', 'linux', 'ID=arch\n', /^pacman -S .*libmilter$/],
  ['FreeBSD', 'freebsd', '', /^pkg install .*libmilter$/],
  ['macOS', 'darwin', '', /^xcode-select --install and port install libmilter/],
  ['a Linux without a name', 'linux', '', /^Debian, Ubuntu: apt .*; macOS: xcode-select/],
])('%s', (_, platform, osRelease, command) => {
  expect(howToInstall(platform, osRelease)).toMatch(command);
});
