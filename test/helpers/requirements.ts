/** Which of the real programs that some tests need are on this machine. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type SuiteFactory } from 'vitest';

/** The Python that Debian's packages, python3-milter among them, belong to. */
export const DEBIAN_PYTHON = '/usr/bin/python3';

/** Where `.ci/mta.mjs` unpacks Sendmail. */
export const SENDMAIL_ROOT: string = join(import.meta.dirname, '../../.cache/sendmail');

/** Whether a program can be run to success here. */
function works(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

/** What each needs, in the order in which it is looked for: the first that is missing is the reason. */
const NEEDS = {
  postfix: [
    ['Postfix is not installed, or /usr/sbin not in PATH', () => works('postconf', '-d', 'mail_version')],
    ['Postfix can only be started by root', () => process.getuid?.() === 0],
  ],
  sendmail: [
    [
      'Sendmail is not in .cache/sendmail',
      () => existsSync(join(SENDMAIL_ROOT, 'usr/libexec/sendmail/sendmail')),
    ],
    ['m4 is not installed', () => works('m4', '--version')],
    [
      'Sendmail cannot be given a host name (needs root and namespaces)',
      () => works('unshare', '--uts', 'true'),
    ],
  ],
  nsd: [['nsd is not installed, or /usr/sbin not in PATH', () => works('nsd', '-v')]],
  miltertest: [['miltertest is not installed', () => works('miltertest', '-V')]],
  pymilter: [['python3-milter is not installed', () => works(DEBIAN_PYTHON, '-c', 'import milter')]],
} as const;

/** A program that a test may need. */
export type Requirement = keyof typeof NEEDS;

/** Like vitest's describe, but skipped with a printed reason when something is missing. */
export function describeWith(requirements: readonly Requirement[], name: string, suite: SuiteFactory): void {
  const missing = requirements.flatMap((requirement) => {
    const first = NEEDS[requirement].find(([, isThere]) => !isThere());
    return first === undefined ? [] : [first[0]];
  });
  if (missing.length > 0) console.warn(`skipped: ${name}: ${missing.join(', ')} (see .ci/mta.mjs)`);
  describe.skipIf(missing.length > 0)(name, suite);
}
