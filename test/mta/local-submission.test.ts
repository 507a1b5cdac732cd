/** Mail that programs on the MTA's own machine send, by its sendmail command. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import Bcc from '../../examples/bcc.ts';
import RecipientGate from '../../examples/recipient-gate.ts';
import { type Client, Milter, parseAddress, reject } from '../../lib/index.ts';
import { type FilteredMta, startFiltered } from '../helpers/filtered.ts';
import type { Mta } from '../helpers/mta.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { startSendmail } from '../helpers/sendmail.ts';

/** The MTAs, for which the domain of the examples is local too. */
const MTAS = [
  [
    'postfix',
    (milter: string) =>
      startPostfix({ milters: [milter], main: ['virtual_mailbox_domains = test.invalid, example.com'] }),
  ],
  [
    'sendmail',
    (milter: string) =>
      startSendmail({ milters: [milter], configuration: ["LOCAL_DOMAIN(`example.com')dnl"] }),
  ],
] as const;

/** README's own example. */
class Gate extends Milter {
  override envrcpt(recipient: string) {
    const { local } = parseAddress(recipient);
    if (local.toLowerCase() === 'nobody') return reject(550, '5.1.1', 'Nobody is not here');
    return undefined;
  }
}

describe.each(MTAS)('mail submitted on the machine of %s', (name, start) => {
  describeWith([name], name, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered<Mta>(start);
    });
    afterAll(() => t[Symbol.asyncDispose]());

    it('has its addresses in angle brackets', async () => {
      const heard: unknown[] = [];
      t.use(
        class extends Milter {
          override connect({ hostname, address }: Client) {
            heard.push([hostname, address]);
          }
          override envfrom(sender: string) {
            heard.push(sender, this.message.sender);
          }
          override envrcpt(recipient: string) {
            heard.push(recipient);
          }
          override eom() {
            heard.push(this.message.recipients.map(({ address }) => address));
          }
        },
      );
      await t.mta.submit('ann@test.invalid', ['bob@test.invalid'], 'Subject: brackets\n\nx\n');
      await t.mta.submit('', ['bob@test.invalid'], 'Subject: bounce\n\nx\n');
      await t.mailsWith('Subject: bounce');
      const bob = '<bob@test.invalid>';
      const ann = '<ann@test.invalid>';
      expect(heard).toEqual([
        ...[['localhost', '127.0.0.1'], ann, ann, bob, [bob]],
        ...[['localhost', '127.0.0.1'], '<>', '<>', bob, [bob]],
      ]);
    });

    const recipientsOf = async (subject: string): Promise<readonly string[]> => {
      const mails = await t.mailsWith(`Subject: ${subject}\n`);
      return mails.map((mail) => mail.get('Delivered-To')?.replace(/@.*/, '') ?? '').toSorted();
    };

    it('is what examples/bcc.ts copies', async () => {
      t.use(Bcc);
      await t.mta.submit('Boss@example.com', ['bob@test.invalid'], 'Subject: copied\n\nx\n');
      expect(await recipientsOf('copied')).toEqual(['archive', 'bob']);
      await t.mta.submit('clerk@example.com', ['bob@test.invalid'], 'Subject: not copied\n\nx\n');
      expect(await recipientsOf('not copied')).toEqual(['bob']);
    });

    it.each([
      ['the one of README.md', Gate, ['bob', 'eve'], 'nobody', 'Nobody is not here'],
      ['examples/recipient-gate.ts', RecipientGate, ['alice', 'bob'], 'mallory', 'No such user here'],
    ] as const)('does not slip by a gate, %s', async (_, filter, fine, refused, reply) => {
      // Of its own, for what Postfix may not refuse stays where it was submitted.
      await using own = await startFiltered<Mta>(start);
      own.use(filter);
      const to = (users: readonly string[]): string[] => users.map((user) => `${user}@example.com`);
      await own.mta.submit('ann@test.invalid', to(fine), 'Subject: by the gate\n\nx\n');
      const mails = await own.mailsWith('Subject: by the gate');
      expect(mails.map((mail) => mail.get('Delivered-To')?.replace(/@.*/, '')).toSorted()).toEqual(fine);
      const refusal = own.mta.submit('ann@test.invalid', to([refused]), 'Subject: past the gate\n\nx\n');
      // Sendmail's command says so by its exit status, Postfix's has put the mail into a folder and gone.
      await refusal.catch(() => {});
      await own.mta.logged(reply);
      if (name === 'postfix') {
        await own.mta.logged("can't reject recipient in non-smtpd(8) submission");
        await own.mta.logged('message not accepted, try again later');
      }
      const delivered = await own.mta.delivered(0);
      expect(delivered.filter((mail) => mail.includes(`Delivered-To: ${refused}@`))).toEqual([]);
    });

    it.each(['<bob@test.invalid>', 'bob@test.invalid', '"bob"@TEST.invalid'])(
      'loses a recipient whom deleteRcpt names as %s',
      async (spelling) => {
        t.use(
          class extends Milter {
            override eom() {
              this.message.deleteRcpt(spelling);
            }
          },
        );
        const subject = `without ${spelling}`;
        const recipients = ['bob@test.invalid', 'eve@test.invalid'];
        await t.mta.submit('ann@test.invalid', recipients, `Subject: ${subject}\n\nx\n`);
        expect(await recipientsOf(subject)).toEqual(['eve']);
      },
    );
  });
});
