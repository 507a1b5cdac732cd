/** Which of the real programs that some tests need are on this machine. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type SuiteFactory } from 'vitest';

/** The Python that Debian's packages, python3-milter among them, belong to. */
export const DEBIAN_PYTHON = '/usr/bin/python3';

/** Where `.ci/mta.mjs` unpacks Sendmail. */
export const SENDMAIL_ROOT: string = join(import.meta.dirname, '../../.cache/sendmail');

/** What is missing, and how to get it; undefined when it is there. */
const MISSING = {
  postfix: () => (existsSync('/usr/sbin/postfix') ? isRoot('Postfix') : 'Postfix is not installed'),
  sendmail: () =>
    existsSync(join(SENDMAIL_ROOT, 'usr/libexec/sendmail/sendmail'))
      ? isRoot('Sendmail')
      : 'Sendmail is not unpacked in .cache/sendmail',
  miltertest: () => (existsSync('/usr/bin/miltertest') ? undefined : 'miltertest is not installed'),
  pymilter: () =>
    spawnSync(DEBIAN_PYTHON, ['-c', 'import milter']).status === 0
      ? undefined
      : 'python3-milter is not installed',
} as const;

function isRoot(program: string): string | undefined {
  return process.getuid?.() === 0 ? undefined : `${program} can only be started by root`;
}

/** A program that a test may need. */
export type Requirement = keyof typeof MISSING;

/** Like vitest's describe, but skipped with a printed reason when something is missing. */
export function describeWith(requirements: readonly Requirement[], name: string, suite: SuiteFactory): void {
  const missing = requirements.flatMap((requirement) => MISSING[requirement]() ?? []);
  if (missing.length > 0) console.warn(`skipped: ${name}: ${missing.join(', ')} (node .ci/mta.mjs gets it)`);
  describe.skipIf(missing.length > 0)(name, suite);
}
