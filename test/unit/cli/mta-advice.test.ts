/** What `milter run` tells to write in the MTA's configuration. */
import { describe, expect, it } from 'vitest';
import { adviseMta } from '../../../lib/cli/mta-advice.ts';

describe('the advice for MTAs', () => {
  it.each([
    ['inet:8894@127.0.0.1', 'inet:127.0.0.1:8894', 'inet:8894@127.0.0.1'],
    ['inet:8894@0.0.0.0', 'inet:127.0.0.1:8894', 'inet:8894@127.0.0.1'],
    ['inet:8894@filter.example', 'inet:filter.example:8894', 'inet:8894@filter.example'],
    ['inet6:8894@::1', 'inet:[::1]:8894', 'inet6:8894@::1'],
    ['inet6:8894@::', 'inet:[::1]:8894', 'inet6:8894@::1'],
    ['unix:/var/spool/postfix/milter/f.sock', 'unix:milter/f.sock', 'unix:/var/spool/postfix/milter/f.sock'],
    ['unix:/run/milter/f.sock', 'unix:/run/milter/f.sock', 'unix:/run/milter/f.sock'],
  ])('gives %s in the words of each MTA', (address, postfix, sendmail) => {
    const advice = adviseMta(address);
    expect(advice).toContain(`\n    smtpd_milters = ${postfix}\n    non_smtpd_milters = ${postfix}\n`);
    expect(advice).toContain(`\`S=${sendmail}, F=T, `);
  });

  it('warns of the chroot for a unix socket outside of it only', () => {
    expect(adviseMta('unix:/run/f.sock')).toContain('chroot');
    expect(adviseMta('unix:/var/spool/postfix/f.sock')).not.toContain('chroot');
    expect(adviseMta('inet:8894@127.0.0.1')).not.toContain('chroot');
  });
});
