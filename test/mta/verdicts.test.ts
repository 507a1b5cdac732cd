import { afterAll, beforeAll, expect, it } from 'vitest';
import { Milter, type MilterClass, reject, tempfail } from '../../lib/index.ts';
import { type FilteredMta, MTAS, startFiltered } from '../helpers/filtered.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient, type SmtpReply, type SubmissionReplies, sendWithRetry } from '../helpers/smtp.ts';

const CONNECTION_STAGES = ['connect', 'helo'] as const;
const MESSAGE_STAGES = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'] as const;
const EARLY_STAGES = ['header', 'eoh', 'body'] as const;
const STAGES = [...CONNECTION_STAGES, ...MESSAGE_STAGES];
type Stage = (typeof STAGES)[number];

/** A filter that does this at `stage`. */
function at(stage: Stage, handler: (this: Milter) => unknown, early: MilterClass['early'] = []): MilterClass {
  class Filter extends Milter {
    static override readonly early = early;
  }
  Object.defineProperty(Filter.prototype, stage, { value: handler });
  return Filter;
}

/** The part of a submission that a refusal at this stage answers. MTAs hold back what is said of the connection. */
function answered(stage: Stage, { mail, recipients, data, end }: SubmissionReplies): SmtpReply | undefined {
  const ofContent = { header: end, eoh: end, body: end, eom: end };
  return { connect: mail, helo: mail, envfrom: mail, envrcpt: recipients[0], data, ...ofContent }[stage];
}

for (const [name, start] of MTAS) {
  describeWith([name], `the client of ${name}`, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered(start);
    });
    afterAll(() => t[Symbol.asyncDispose]());

    /** What a client is answered to a message under this filter; nothing of it may be delivered. */
    async function refusal(stage: Stage, filter: MilterClass): Promise<SmtpReply | undefined> {
      t.use(filter);
      const { replies, mails } = await t.send();
      expect(mails).toEqual([]);
      return answered(stage, replies);
    }

    // Sendmail has words of its own for a refused connection.
    const replying = STAGES.filter((stage) => !(name === 'sendmail' && stage === 'connect'));

    it.each(replying)('is told by the filter why it is refused at %s', async (stage) => {
      const answer = reject(554, '5.7.9', 'We are 100% sure', 'and %s is no format');
      expect(
        await refusal(
          stage,
          at(stage, () => answer),
        ),
      ).toEqual({
        code: 554,
        enhanced: '5.7.9',
        lines: ['We are 100% sure', 'and %s is no format'],
      });
    });

    it.each(replying)('is told by the filter why it shall come later at %s', async (stage) => {
      const answer = tempfail(452, '4.2.9', 'Not at 50% load', 'nor %d');
      expect(
        await refusal(
          stage,
          at(stage, async () => answer),
        ),
      ).toEqual({
        code: 452,
        enhanced: '4.2.9',
        // Sendmail puts the address before what it says of one.
        lines: [expect.stringMatching(/^(<\S+>\.\.\. )?Not at 50% load$/), 'nor %d'],
      });
    });

    it.each(EARLY_STAGES)('is told by the filter why it is refused at an early %s', async (stage) => {
      const answer = reject(550, '5.6.0', 'No need to read on');
      expect(
        await refusal(
          stage,
          at(stage, () => answer, [stage]),
        ),
      ).toMatchObject(answerOf(answer));
    });

    it.each(STAGES)('is refused at %s without a reason', async (stage) => {
      expect(
        (
          await refusal(
            stage,
            at(stage, () => 'reject'),
          )
        )?.code,
      ).toSatisfy(isOf(5));
      expect(
        (
          await refusal(
            stage,
            at(stage, () => 'tempfail'),
          )
        )?.code,
      ).toSatisfy(isOf(4));
    });

    it('is greeted with a refusal where the filter rejects the connection', async () => {
      t.use(at('connect', () => 'reject'));
      await using client = await SmtpClient.open(t.mta.port);
      expect(client.greeting.code).toBe(554);
    });

    it.each(replying)('is asked to come again when the handler of %s throws', async (stage) => {
      const failing = at(stage, () => {
        throw new Error('as it must');
      });
      expect(await refusal(stage, failing)).toMatchObject({
        code: 451,
        enhanced: '4.3.0',
        lines: [expect.stringContaining('Mail filter failed, please try again later')],
      });
      expect(t.filter.log.at(-1)).toMatchObject({ level: 'error', fields: { stage } });
    });

    it.each(MESSAGE_STAGES)('takes a message for delivered that the filter discards at %s', async (stage) => {
      t.use(at(stage, () => 'discard'));
      const { replies, mails } = await t.send();
      expect([replies.end?.code, mails]).toEqual([250, []]);
    });

    it.each(STAGES)(
      'delivers what the filter accepts at %s, of which it then hears no more',
      async (stage) => {
        let ends = 0;
        const Accepting = at(stage, () => 'accept');
        t.use(
          stage === 'eom'
            ? Accepting
            : class extends Accepting {
                override eom(): void {
                  ends++;
                }
              },
        );
        const { replies, mails } = await t.send();
        expect([replies.end?.code, mails.length, ends]).toEqual([250, 1, 0]);
      },
    );

    it('has a message delivered once that the filter put off at first', async () => {
      let tries = 0;
      t.use(at('eom', () => (++tries < 3 ? tempfail(451, '4.7.1', 'Not yet') : undefined)));
      const id = `Message-Id: <put-off.${process.pid}@one.test>`;
      const submission = {
        sender: 'ann@one.test',
        recipients: ['bob@test.invalid'],
        message: `${id}\r\n\r\nx\r\n`,
      };
      expect(await sendWithRetry(t.mta.port, submission)).toMatchObject({ code: 250 });
      expect([tries, (await t.mailsWith(id)).length]).toEqual([3, 1]);
    });

    it('sends on to those recipients that the filter does not refuse', async () => {
      const heard: (readonly string[])[] = [];
      t.use(
        class extends Milter {
          override envrcpt(recipient: string) {
            if (recipient === '<no@test.invalid>') return reject(550, '5.7.1', 'Not this one');
            if (recipient === '<later@test.invalid>') return tempfail(450, '4.7.1', 'Not now');
            return;
          }
          override eom(): void {
            heard.push(this.message.recipients.map(({ address }) => address));
          }
        },
      );
      const recipients = ['no@test.invalid', 'bob@test.invalid', 'later@test.invalid', 'eve@test.invalid'];
      const { replies, mails } = await t.send({ recipients });
      expect(replies.recipients.map(({ code }) => code)).toEqual([550, 250, 450, 250]);
      expect(mails.map((mail) => mail.get('Delivered-To')).sort()).toEqual([
        'bob@test.invalid',
        'eve@test.invalid',
      ]);
      expect(heard).toEqual([['<bob@test.invalid>', '<eve@test.invalid>']]);
    });

    it('hears what the filter says of a command that nobody knows', async () => {
      const commands: string[] = [];
      t.use(
        class extends Milter {
          override unknown(command: string) {
            commands.push(command);
            return reject(555, '5.5.9', 'What?');
          }
        },
      );
      await using client = await SmtpClient.open(t.mta.port);
      expect(await client.command('NONSENSE now')).toEqual({
        code: 555,
        enhanced: '5.5.9',
        lines: ['What?'],
      });
      // Postfix tells the first word only.
      expect(commands).toEqual([name === 'postfix' ? 'NONSENSE' : 'NONSENSE now']);
    });
  });
}

function answerOf({ code, enhanced, lines }: SmtpReply): SmtpReply {
  return { code, enhanced, lines };
}

function isOf(kind: 4 | 5): (code: unknown) => boolean {
  return (code) => typeof code === 'number' && Math.floor(code / 100) === kind;
}
