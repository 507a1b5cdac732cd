/** `split = true`: the exempt are sent their copies apart, where the others' meet with something. */
import { describe, expect, it } from 'vitest';
import { testFilter } from '../../helpers/filter.ts';
import { mailSink } from '../../helpers/mail-sink.ts';

const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;
const both = ['b@example.com', 'c@example.com'];
const EML = 'From: a@example.org\r\nSubject: =?utf-8?q?x?=\r\nX-Folded: one\r\n two\r\n\r\nhello\r\n';

async function send(options: string, refused: readonly string[] = []) {
  await using sink = await mailSink((stage, { recipients: [to = ''] }) =>
    stage === 'rcpt' && refused.includes(to) ? '550 no such user here' : undefined,
  );
  await using filter = await testFilter(
    `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\n${probe(`${options}\nexempt = ["c@example.com"]`)}`,
    { top: 'split = true' },
  );
  const { verdict, message, reply } = await filter.send({ recipients: both, eml: EML });
  const { recipients, headers, quarantine } = message;
  const record = await filter.last();
  const outcomes = Object.fromEntries(
    (record?.recipients ?? []).map(({ address, verdict: one }) => [address, one]),
  );
  const field = (name: string) => headers.find((header) => header.name === name)?.value;
  return { verdict, recipients, field, quarantine, reply, outcomes, mails: sink.mails };
}

const apart = { sender: 'a@example.org', recipients: ['c@example.com'], message: EML };

describe('split', () => {
  it('sends the exempt theirs, and refuses the others’', async () => {
    const { verdict, mails, outcomes } = await send('message = "reject"');
    expect(verdict).toBe('reject');
    expect(mails).toEqual([apart]);
    expect(outcomes).toEqual({ '<b@example.com>': 'reject', '<c@example.com>': 'accept' });
  });

  it.each(['hold', 'tag'])('sends the exempt theirs without the others’ %s', async (action) => {
    const { verdict, mails, recipients, field, quarantine } = await send(`message = "${action}"`);
    expect(verdict).toBe('continue');
    expect(mails).toEqual([apart]);
    expect(recipients).toEqual(['<b@example.com>']);
    expect(action === 'hold' ? quarantine : field('X-Milter-Findings')).toContain('probe-message');
  });

  it('keeps from the exempt what a finding changes', async () => {
    const { mails, recipients, field } = await send('writes = true');
    expect(mails).toEqual([apart]);
    expect(recipients).toEqual(['<b@example.com>']);
    expect(field('X-Written')).toBe('yes');
  });

  it.each([
    ['nothing is found', ''],
    ['only points are found', 'message = "score 2"'],
    ['the others’ copies are taken out', 'message = "discard"'],
    ['all mail is changed', 'add = "x"'],
    ['the sender tries again, and would have it twice', 'message = "tempfail"'],
  ])('sends nothing where %s', async (_, options) => {
    const { verdict, mails, recipients } = await send(options);
    expect(mails).toEqual([]);
    if (verdict === 'continue') expect(recipients).toContain('<c@example.com>');
  });

  it('has the sender try again where the copy is not taken', async () => {
    const { verdict, reply, outcomes } = await send('message = "reject"', ['c@example.com']);
    expect(verdict).toBe('tempfail');
    expect(reply).toMatchObject({ code: 451 });
    expect(outcomes).toEqual({ '<b@example.com>': 'tempfail', '<c@example.com>': 'tempfail' });
  });
});
