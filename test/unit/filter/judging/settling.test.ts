/** What modules hear that go by those of others: what was found so far, and what became of it. */
import { describe, expect, it } from 'vitest';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';

const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;
// First in the file: its place there does not matter.
const waiting = '[[module]]\nuse = "./waiting.ts"\n';
const both = ['b@example.com', 'c@example.com'];

async function heard(config: string, mail: TestMail = { recipients: both }): Promise<readonly string[]> {
  await using filter = await testFilter(config);
  await filter.send(mail);
  return filter.logger.lines
    .filter(({ fields: { module } }) => module === 'waiting')
    .map(({ message }) => message);
}

describe('what was found so far', () => {
  it('is what all others found, wherever they stand', async () => {
    const points = '[[module]]\nuse = "score"\n';
    expect(await heard(waiting + points + probe('sender = "score 2"\nmessage = "score 1.5"'))).toEqual([
      'so far <b@example.com>: passes 2',
      'so far <c@example.com>: passes 2',
      'so far: passes 3.5',
      '<b@example.com>: accepted',
      '<c@example.com>: accepted',
      'message: accepted',
    ]);
  });

  it('includes what points come to', async () => {
    const points = '[[module]]\nuse = "score"\nreject_from = 2\n';
    expect(await heard(waiting + points + probe('message = "score 2"'))).toContain('so far: stays 2');
  });

  it('is nothing to those who are exempt', async () => {
    const config = probe('sender = "reject"\nexempt = ["c@example.com"]') + waiting;
    expect(await heard(config)).toEqual([
      'so far <b@example.com>: stays 0',
      '<b@example.com>: refused',
      'so far <c@example.com>: passes exempt 0',
      'so far: passes exempt 0',
      '<c@example.com>: accepted',
      'message: accepted',
    ]);
  });
});

describe('what became of it', () => {
  it.each([
    ['message = "reject"', 'refused'],
    ['message = "tempfail"', 'refused'],
    ['message = "discard"', 'dropped'],
    ['message = "hold"', 'accepted'],
    ['message = "tag"', 'accepted'],
    ['throws = "change"\nadd = "x"', 'refused'],
    ['throws = "change"\nadd = "x"\non_error = "continue"', 'accepted'],
  ])('%j: %s', async (options, fate) => {
    const lines = await heard(waiting + probe(options), {});
    expect(lines.filter((line) => !line.startsWith('so far'))).toEqual([
      `<b@example.com>: ${fate}`,
      `message: ${fate}`,
    ]);
  });

  it('is known of each recipient', async () => {
    const config = waiting + probe('recipient = "discard"\nrecipients = ["c@example.com"]');
    expect(await heard(config)).toEqual(
      expect.arrayContaining(['<b@example.com>: accepted', '<c@example.com>: dropped', 'message: accepted']),
    );
  });

  it('is not changed by those who fail to hear it', async () => {
    await using filter = await testFilter(`${waiting}fails = true\n`);
    expect((await filter.send()).verdict).toBe('continue');
    await new Promise(setImmediate);
    expect(filter.logger.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
  });
});
