/** Doubted mail under a real MTA: the sender's server takes an explanation, refuses it, or returns it. */
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openFilter } from '../../lib/filter/index.ts';
import { MemoryResolver } from '../../lib/testing/index.ts';
import { keepingLogger } from '../helpers/filter.ts';
import { MTAS, startFiltered } from '../helpers/filtered.ts';
import { mailSink } from '../helpers/mail-sink.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';

const CONFIGURATION = `
socket = "inet:0@127.0.0.1"
hostname = "mx.test.invalid"
[store]
url = "memory:"
[[module]]
use = "networks"
domains = ["test.invalid"]
internal = ["10.0.0.0/8"]
[[module]]
use = "spf"
softfail = "callout"
[[module]]
use = "srs"
secrets = "the secret of these tests"
[[module]]
use = "callout"
dsn = "asked"
`;

describe.each(MTAS)('doubted mail under %s', (name, start) => {
  describeWith([name], name, () => {
    it('goes on if its sender takes an explanation, and only then; a bounce of one is known', async () => {
      await using sink = await mailSink((stage, { recipients }) =>
        stage === 'rcpt' && recipients.includes('nobody@far.example') ? '550 5.1.1 no such user' : undefined,
      );
      const filter = await openFilter(CONFIGURATION, {
        logger: keepingLogger(),
        resolver: new MemoryResolver({
          'far.example': { TXT: ['v=spf1 ~all'], MX: [{ preference: 10, exchange: 'mx.far.example' }] },
          'mx.far.example': { A: ['203.0.113.25'] },
        }),
        dial: () => connect(sink.port, '127.0.0.1'),
      });
      await using filtered = await startFiltered(start);
      filtered.use(filter.Filter);
      let sent = 0;
      const send = async (sender: string, headers = 'Subject: hello', body = 'text') => {
        await using client = await SmtpClient.open(filtered.mta.port, 'client.example', '127.0.7.99');
        const message = `Message-ID: <${++sent}@far.example>\r\n${headers}\r\n\r\n${body}\r\n`;
        const { end } = await client.send({ sender, recipients: ['bob@test.invalid'], message });
        const mails = await filtered.mailsWith(`<${sent}@far.example>`);
        return { end, delivered: mails.length };
      };
      try {
        expect(await send('joe@far.example')).toMatchObject({ end: { code: 250 }, delivered: 1 });
        const [explanation] = sink.mails;
        expect(explanation).toMatchObject({ sender: '', recipients: ['joe@far.example'] });
        expect(explanation?.message).toContain('Subject: hello\r\n');

        const refused = await send('nobody@far.example');
        expect(refused).toMatchObject({ end: { code: 550, enhanced: '5.1.8' }, delivered: 0 });
        expect(refused.end?.lines.join(' ')).toContain('550 no such user');

        // Once is enough; but the server had only put off to say no.
        expect(await send('joe@far.example')).toMatchObject({ end: { code: 250 }, delivered: 1 });
        const bounce = `--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; far.example\r\n\r\nAction: failed\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n${explanation?.message}\r\n--b--`;
        const type = 'Content-Type: multipart/report; report-type=delivery-status; boundary=b';
        expect(await send('', `From: MAILER-DAEMON@far.example\r\n${type}`, bounce)).toMatchObject({
          end: { code: 250 },
          delivered: 0,
        });
        expect(await send('joe@far.example')).toMatchObject({ end: { code: 550 }, delivered: 0 });
        expect(sink.mails).toHaveLength(1);
      } finally {
        await filter.close();
      }
    });
  });
});
