/** Findings that concern exempt recipients too, and headers that only the filter writes. */
import { describe, expect, it } from 'vitest';
import { type TestFilter, testFilter } from '../../helpers/filter.ts';

const grim = (options: string): string => `[[module]]\nuse = "./grim.ts"\n${options}\n`;
const exempt = (list: string): string => `[[module]]\nuse = "./probe.ts"\nexempt = ${list}\n`;
const both = ['b@example.com', 'c@example.com'];

async function outcome(config: string, recipients: readonly string[] = both) {
  await using filter = await testFilter(config);
  const { verdict, message } = await filter.send({ recipients });
  const names = message.headers.map(({ name }) => name);
  return { verdict, left: message.recipients, hold: message.quarantine !== undefined, names };
}

describe('a finding that concerns the exempt too', () => {
  const ALL = exempt('["example.com"]');
  it.each(['reject', 'tempfail'])('refuses with %s what is for exempt recipients alone', async (action) => {
    expect(await outcome(ALL + grim(`message = "${action}"`))).toMatchObject({ verdict: action });
  });

  it('holds it, tags it, and changes it', async () => {
    expect(await outcome(ALL + grim('message = "hold"'))).toMatchObject({ verdict: 'continue', hold: true });
    expect((await outcome(ALL + grim('message = "tag"'))).names).toContain('X-Milter-Findings');
    expect((await outcome(ALL + grim('message = "write"'))).names).toContain('X-Written');
  });

  it('takes their copies out with the others’', async () => {
    for (const list of ['["c@example.com"]', '["example.com"]']) {
      expect(await outcome(exempt(list) + grim('message = "quarantine"'))).toMatchObject({
        verdict: 'discard',
      });
      expect(await outcome(exempt(list) + grim('message = "discard"'))).toMatchObject({ verdict: 'discard' });
    }
  });

  it('is also the failure of its module', async () => {
    expect(await outcome(ALL + grim('throws = true'))).toMatchObject({ verdict: 'tempfail' });
  });

  it('does not keep other findings from sparing them', async () => {
    const others = '[[module]]\nuse = "./probe.ts"\nname = "other"\nmessage = "reject"\n';
    expect(await outcome(ALL + others + grim('message = "tag"'))).toMatchObject({ verdict: 'continue' });
  });

  it('spares who released the message', async () => {
    await using filter = await testFilter(grim('message = "quarantine"'));
    await filter.send({ recipients: ['b@example.com'] });
    const released = await release(filter);
    expect(released.toString()).toContain('hello');
    const again = await filter.send({ recipients: ['b@example.com'], eml: released });
    expect(again.verdict).toBe('continue');
    expect(again.message.recipients).toEqual(['<b@example.com>']);
  });
});

describe('a header that only the filter writes', () => {
  const EML = 'x-own: 1\nFrom: a@example.org\nX-Own: 2\nX-Other: 3\n\nhello\n';

  it('is taken out of mail from outside, whatever becomes of its module', async () => {
    for (const more of ['', 'throws = true\non_error = "continue"\n']) {
      await using filter = await testFilter(grim(`header = "X-Own"\n${more}`));
      const { message } = await filter.send({ eml: EML });
      expect(message.headers.map(({ name }) => name)).toEqual(['From', 'X-Other']);
    }
  });

  it('is left in mail from inside', async () => {
    const internal = '[[module]]\nuse = "networks"\ninternal = ["192.0.2.0/24"]\n';
    await using filter = await testFilter(internal + grim('header = "X-Own"'));
    const { message } = await filter.send({ eml: EML });
    expect(message.headers).toHaveLength(4);
  });
});

/** The message as it is sent to its owner. */
async function release({ quarantine: { held, review } }: TestFilter): Promise<Buffer> {
  let sent: Buffer = Buffer.alloc(0);
  for await (const { id } of held.list()) {
    await review.release({ name: 'test', isAdmin: true }, id, {
      deliver: async ({ message }) => {
        sent = message;
      },
    });
  }
  return sent;
}
