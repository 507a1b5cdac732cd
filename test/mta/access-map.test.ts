/** The access map that the filter's tests read is one that Sendmail's own makemap reads. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../helpers/directory.ts';
import { describeWith, SENDMAIL_ROOT } from '../helpers/requirements.ts';
import { sendmailLibraries } from '../helpers/sendmail.ts';

describeWith(['sendmail'], 'makemap', () => {
  it('reads the map', async () => {
    await using directory = await temporaryDirectory();
    const made = spawnSync(
      join(SENDMAIL_ROOT, 'usr/libexec/sendmail/makemap'),
      ['-C', '/dev/null', 'hash', join(directory.path, 'access')],
      {
        input: readFileSync(join(import.meta.dirname, '../fixtures/filter/access')),
        env: { ...process.env, LD_LIBRARY_PATH: sendmailLibraries() },
        encoding: 'utf8',
      },
    );
    expect(made.stderr.replaceAll('WARNING: World writable directory /tmp\n', '')).toBe('');
    expect(made.status).toBe(0);
  });
});
