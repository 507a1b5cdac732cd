/** The mailboxes of a From field, also where it is written as nobody writes it: what a reader may show must be seen. */
import { describe, expect, it } from 'vitest';
import { readMailboxes } from '../../../../lib/filter/mail/mailboxes.ts';

const addressesIn = (value: string): readonly string[] => readMailboxes(value).map(({ address }) => address);

describe('mailboxes', () => {
  it('have names, comments and groups told apart', () => {
    expect(readMailboxes('"Doe, Ann" <ann@example.org>, bob@example.org (Bob), G: c@example.org;')).toEqual([
      { name: 'Doe, Ann', address: 'ann@example.org' },
      { name: 'Bob', address: 'bob@example.org' },
      { name: '', address: 'c@example.org' },
    ]);
    expect(addressesIn('"x@evil.example" <ann@example.org>')).toEqual(['ann@example.org']);
    expect(addressesIn('ann@example.org (bob@evil.example)')).toEqual(['ann@example.org']);
    expect(addressesIn('"a, \\"b\\" c"@example.org, "a@b" @ example.org')).toEqual([
      '"a, \\"b\\" c"@example.org',
      '"a@b"@example.org',
    ]);
  });

  it.each([
    'ann @ example . org',
    'ann@example .org',
    '<ann @ example.org>',
    'Ann <ann@example. org>',
    'Ann <ann@example(x).org>',
    'ann@(x)example(y(z)).org',
    'Ann <@evil.example,@far.example:ann@example.org>',
    'Ann <<ann@example.org>>',
    'Ann ann@example.org',
    'ann@example.org Ann',
    '"Ann <ann@example.org>',
    '"Ann \\" <ann@example.org>',
    'Ann <ann@example.org',
  ])('in obsolete or broken form are seen: %s', (value) => {
    expect(addressesIn(value)).toEqual(['ann@example.org']);
  });

  it('are all seen where readers may show any of several', () => {
    expect(addressesIn('<ann@example.org> <bob@evil.example>')).toEqual([
      'ann@example.org',
      'bob@evil.example',
    ]);
    expect(addressesIn('N\\<bob@evil.example> <ann@example.org>')).toEqual([
      'bob@evil.example',
      'ann@example.org',
    ]);
    expect(addressesIn('ann@example.org bob@evil.example')).toEqual(['ann@example.org', 'bob@evil.example']);
  });

  it.each(['"\\', '<', '(', ' ', ' .', '"@" ', '@ ', '<"'])(
    'are read in time: %s again and again',
    (text) => {
      const value = text.repeat(10_000);
      const began = process.cpuUsage();
      readMailboxes(value);
      const { user } = process.cpuUsage(began);
      const half = process.cpuUsage();
      readMailboxes(value.slice(0, 2_000));
      // Ten times as much takes no hundred times as long; what is too short to be measured is no matter.
      expect(user).toBeLessThan(40 * process.cpuUsage(half).user + 100_000);
    },
  );
});
