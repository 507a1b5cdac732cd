/** The many ways in which a client may write a recipient: whoever gets the mail, the filter must have known. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Milter, parseAddress, reject } from '../../lib/index.ts';
import { type FilteredMta, MTAS, startFiltered } from '../helpers/filtered.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';

const SPELLINGS = [
  'bo.ss@test.invalid',
  '<bo.ss@test.invalid.>',
  '<"bo.ss"@test.invalid>',
  '<"bo".ss@test.invalid>',
  '<"bo"."ss"@test.invalid>',
  '<bo\\.s\\s@test.invalid>',
  '<bo.ss(x)@test.invalid>',
  '<(a (nested\\) ) one)bo.ss@test.invalid>',
  '<bo.ss(")@test.invalid(")>',
  '<bo.ss@(x)test.invalid>',
  '<bo.ss @ test.invalid>',
  '<bo . ss@test.invalid>',
  '<bo.ss@test.invalid >',
  '<<bo.ss@test.invalid>>',
  '<@one.invalid,@two.invalid:bo.ss@test.invalid>',
  '<@one.invalid:"bo".ss@test.invalid>',
  '<"bo.ss@test.invalid">',
  '<bo.ss%test.invalid>',
  '<"bo.ss%test.invalid">',
  '<test.invalid!bo.ss>',
  '<@one.invalid:test.invalid!bo.ss>',
];

/** What MTAs take for the null sender. */
const NOBODY = ['<>', '< >', '<"">', '<"" >', '<()>', '<(x)>', '<<>>', '<@one.invalid:>', '<MAILER-DAEMON>'];

describe.each(MTAS)('a recipient of %s', (name, start) => {
  describeWith([name], name, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered(start);
    });
    afterAll(() => t[Symbol.asyncDispose]());

    async function sendTo(spelling: string): Promise<number> {
      await using client = await SmtpClient.open(t.mta.port);
      await client.command('MAIL FROM:<ann@test.invalid>');
      const { code } = await client.command(`RCPT TO:${spelling}`);
      if (code !== 250) return code;
      await client.command('DATA');
      const { code: end } = await client.command(`Subject: to ${spelling}\r\n\r\nx\r\n.`);
      return end;
    }

    it.each(SPELLINGS)('is the one that parseAddress finds in %s', async (spelling) => {
      const heard: string[] = [];
      t.use(
        class extends Milter {
          override envrcpt(recipient: string) {
            heard.push(parseAddress(recipient).address);
          }
        },
      );
      const code = await sendTo(spelling);
      const mails = await t.mailsWith(`Subject: to ${spelling}\n`);
      // What the MTA refuses by itself is nobody's.
      const expected = code === 250 ? ['bo.ss@test.invalid'] : [];
      expect(mails.map((mail) => mail.get('Delivered-To'))).toEqual(expected);
      expect(heard).toEqual(expected);
    });

    it.each(SPELLINGS)('does not slip by a gate as %s', async (spelling) => {
      t.use(
        class extends Milter {
          override envrcpt(recipient: string) {
            if (parseAddress(recipient).address === 'bo.ss@test.invalid')
              return reject(550, '5.1.1', 'Not here');
            return undefined;
          }
        },
      );
      expect(await sendTo(spelling)).toBeGreaterThanOrEqual(500);
    });

    it.each(NOBODY)('of a bounce from %s is told that it is one', async (spelling) => {
      const heard: string[] = [];
      t.use(
        class extends Milter {
          override envfrom(sender: string) {
            heard.push(sender, this.message.sender);
          }
          override eom() {}
        },
      );
      const subject = `Subject: of nobody, ${NOBODY.indexOf(spelling)}`;
      await using client = await SmtpClient.open(t.mta.port);
      const { code } = await client.command(`MAIL FROM:${spelling}`);
      if (code === 250) {
        await client.command('RCPT TO:<bo.ss@test.invalid>');
        await client.command('DATA');
        await client.command(`${subject}\r\n\r\nx\r\n.`);
      }
      const mails = await t.mailsWith(`${subject}\n`);
      const returned = name === 'postfix' ? '<>' : '<MAILER-DAEMON>';
      // What the MTA refuses by itself is nobody's.
      expect(mails.map((mail) => mail.get('Return-Path'))).toEqual(code === 250 ? [returned] : []);
      expect(heard).toEqual(code === 250 ? ['<>', '<>'] : []);
    });
  });
});
