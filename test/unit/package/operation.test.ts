/** The files for systemd that the package brings. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';

const operation = join(import.meta.dirname, '../../../operation');
const has = (command: string): boolean => spawnSync(command, ['--version']).status === 0;

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'milter-operation-'));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

it.skipIf(!has('systemd-analyze'))('systemd takes the units', () => {
  const place = folder();
  copyFileSync(join(operation, 'milter.socket'), join(place, 'milter.socket'));
  for (const name of ['milter.service', 'milter-dns.service']) {
    const unit = readFileSync(join(operation, name), 'utf8');
    writeFileSync(join(place, name), unit.replace('/usr/bin/milter', process.execPath));
  }
  for (const name of ['milter.socket', 'milter.service', 'milter-dns.service']) {
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(place, name)], {
      encoding: 'utf8',
    });
    // It also speaks of units that belong to the machine.
    expect(stderr.split('\n').filter((line) => line.includes('milter'))).toEqual([]);
  }
});

/** What `systemd-analyze security` says at most: 0 is shut off from everything, 10 may do anything. */
const EXPOSURE = 2.0;

it.skipIf(!has('systemd-analyze')).each(['milter.service', 'milter-dns.service'])(
  '%s is shut off from what it does not need',
  (name) => {
    const { status, stdout, stderr } = spawnSync(
      'systemd-analyze',
      [
        ...['security', '--offline=true', '--no-pager', `--threshold=${EXPOSURE * 10}`],
        join(operation, name),
      ],
      { encoding: 'utf8' },
    );
    expect(stdout.trimEnd().split('\n').at(-1), stderr).toMatch(/Overall exposure level for .*: [\d.]+/);
    expect(status, stdout).toBe(0);
  },
);

it('the units leave what JavaScript cannot do without', () => {
  for (const name of ['milter.service', 'milter-dns.service']) {
    const unit = readFileSync(join(operation, name), 'utf8');
    // V8 compiles while it runs; Node.js reads /proc/meminfo and its like.
    expect(unit).not.toMatch(/^(?:MemoryDenyWriteExecute=(?:yes|true|1)|ProcSubset=pid|PrivateNetwork=yes)/m);
  }
});

it.skipIf(!has('systemd-sysusers') || !has('systemd-tmpfiles'))('makes its user and its folders', () => {
  const root = folder();
  mkdirSync(join(root, 'etc'));
  const users = spawnSync('systemd-sysusers', ['--root', root, join(operation, 'milter.sysusers.conf')], {
    encoding: 'utf8',
  });
  expect(users.status, users.stderr).toBe(0);
  expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toMatch(
    /^milter:x:\d+:\d+:Mail filter:\/var\/lib\/milter:/m,
  );
  const folders = spawnSync(
    'systemd-tmpfiles',
    ['--create', '--root', root, join(operation, 'milter.tmpfiles.conf')],
    {
      encoding: 'utf8',
    },
  );
  expect(folders.stderr.split('\n').filter((line) => /unknown|invalid|milter\.tmpfiles/i.test(line))).toEqual(
    [],
  );
});
