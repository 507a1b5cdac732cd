/** Module `auth` on the real libmilter: the bytes are as they came, whether the MTA sends white space after colons or not. */
import { expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { SMFIP } from '../../../lib/protocol/stages.ts';
import { stepsOfVersion } from '../../../lib/protocol/wire.ts';
import { connectMta, MemoryResolver } from '../../../lib/testing/index.ts';
import { resultsIn, rsa, signed } from '../../helpers/auth.ts';
import { keepingLogger } from '../../helpers/filter.ts';
import { serving } from '../../helpers/server.ts';

const MAIL =
  'From: a@example.org\r\nSubject: folded\r\n\tand  odd \r\nTo: b@example.com\r\n\r\n hello  you\r\n\r\n';

it('verifies what comes by libmilter', async () => {
  const filter = await openFilter(
    'socket = "inet:0@127.0.0.1"\n[store]\nurl = "memory:"\n[[module]]\nuse = "auth"\n',
    {
      resolver: new MemoryResolver({
        's._domainkey.example.org': { TXT: [rsa.record] },
        '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject'] },
      }),
      logger: keepingLogger(),
    },
  );
  try {
    await using t = await serving(filter.Filter);
    const odd = MAIL.replace('Subject: ', 'Subject:').replace('To: ', 'To:\t');
    const all = stepsOfVersion(6);
    const cases = [
      [all, MAIL],
      [all, odd],
      [all & ~SMFIP.HDR_LEADSPC, MAIL],
    ] as const;
    for (const [steps, mail] of cases) {
      const mta = await connectMta(t.server.address, { steps });
      try {
        const eml = await signed(mail, { canonicalization: 'simple/simple' });
        const result = await mta.sendMessage(eml, {
          client: { hostname: 'mail.example.org', address: '192.0.2.7' },
          sender: 'a@example.org',
          recipients: ['b@example.com'],
        });
        expect(resultsIn(result)[0]).toMatch(/dkim=pass .*dmarc=pass/);
      } finally {
        await mta.close();
      }
    }
  } finally {
    await filter.close();
  }
});
