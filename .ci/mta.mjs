#!/usr/bin/env node
// Gets the real programs that the tests against MTAs and name servers, the fuzzing and the bench need: Debian's packages
// installed, and Sendmail, which cannot be installed beside Postfix, unpacked into .cache/sendmail. Starts no
// service. Quick when everything is there. Where it cannot (no root, no apt) it says so, and those tests skip.
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

const PACKAGES = [
  ...['postfix', 'miltertest', 'python3-milter', 'm4', 'redis-server', 'faketime'],
  // Filters on several machines: what they share, and who spreads mail over them.
  ...['redis-sentinel', 'haproxy'],
  // Name servers, and those who ask them.
  ...['nsd', 'rbldnsd', 'dnsperf', 'bind9-dnsutils', 'python3-spf'],
  // Scanners, and a learning filter to be compared with.
  ...['clamav-daemon', 'spamassassin', 'spamc', 'spamd', 'rspamd', 'bogofilter'],
  // Others who sign and verify.
  ...['opendkim', 'opendkim-tools', 'python3-dkim'],
  // With opendkim, the chain that the bench compares with, and the name server that both ask there.
  ...['opendmarc', 'postfix-policyd-spf-python', 'unbound'],
  // Checks the units of operation/.
  'systemd',
  // What watches the addon's memory.
  'valgrind',
  // The browser for the quarantine's page.
  ...['chromium', 'fonts-dejavu-core'],
  // The compiler that has libFuzzer.
  ...['clang-14', 'libclang-rt-14-dev'],
];
const SENDMAIL_PACKAGES = ['sendmail-bin', 'sendmail-cf', 'sendmail-base', 'libwrap0'];
const SENDMAIL_BINARY = 'usr/libexec/sendmail/sendmail';
const POLICY = '/usr/sbin/policy-rc.d';

const cache = join(import.meta.dirname, '../.cache');
const sendmailRoot = join(cache, 'sendmail');

/** Runs a program quietly; what it wrote goes into the error when it fails. */
function run(program, args, { input, cwd } = {}) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { error, status, stdout, stderr } = spawnSync(program, args, { input, cwd, env, encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}\n${stdout}${stderr}`);
}

function isInstalled(name) {
  const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '$' + '{db:Status-Status}', name], {
    encoding: 'utf8',
  });
  return stdout === 'installed';
}

function install(packages) {
  // Postfix asks how to be configured, and Debian starts what it installs: neither is wanted.
  run('debconf-set-selections', [], { input: 'postfix postfix/main_mailer_type select No configuration\n' });
  const ours = !existsSync(POLICY);
  if (ours) writeFileSync(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    run('apt-get', ['install', '-y', '--no-install-recommends', ...packages]);
  } finally {
    if (ours) rmSync(POLICY);
  }
}

function unpackSendmail() {
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, 'sendmail-'));
  try {
    run('apt-get', ['download', ...SENDMAIL_PACKAGES], { cwd: work });
    const root = join(work, 'root');
    for (const file of readdirSync(work)) run('dpkg', ['-x', join(work, file), root]);
    // With its setgid bit the loader would ignore LD_LIBRARY_PATH, by which it finds libwrap.
    chmodSync(join(root, SENDMAIL_BINARY), 0o755);
    renameSync(root, sendmailRoot);
  } finally {
    rmSync(work, { recursive: true });
  }
}

const missing = PACKAGES.filter((name) => !isInstalled(name));
const sendmailMissing = !existsSync(join(sendmailRoot, SENDMAIL_BINARY));

if (missing.length === 0 && !sendmailMissing) {
  console.log('mta: everything is there');
} else if (process.getuid?.() !== 0 || spawnSync('apt-get', ['--version']).error) {
  const wanted = [...missing, ...(sendmailMissing ? ['Sendmail in .cache/sendmail'] : [])];
  console.log(
    `mta: tests against MTAs will be skipped; run this as root on Debian to get ${wanted.join(', ')}`,
  );
} else {
  if (missing.length > 0) {
    install(missing);
    console.log(`mta: installed ${missing.join(', ')}`);
  }
  if (sendmailMissing) {
    unpackSendmail();
    console.log('mta: unpacked Sendmail into .cache/sendmail');
  }
}
