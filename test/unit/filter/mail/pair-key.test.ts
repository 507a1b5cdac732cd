import { expect, it } from 'vitest';
import { pairKey } from '../../../../lib/filter/index.ts';
import { createBatv, createSes, createSrs } from '../../../../lib/srs/index.ts';

const DAY = 86_400_000;
const keyOf = (sender: string): string => pairKey(sender, 'bob@example.net');

it('is the same whichever signature a sender carries that day', () => {
  for (const day of [0, 1, 7]) {
    const options = { secrets: ['a secret'], now: () => (20_000 + day) * DAY };
    const [srs, ses, batv] = [createSrs(options), createSes(options), createBatv(options)];
    expect(keyOf(batv.sign('Ann@example.com'))).toBe(keyOf('ann@example.com'));
    expect(keyOf(ses.sign('ann@example.com'))).toBe(keyOf('ann@example.com'));
    expect(keyOf(srs.sign('ann@example.com'))).toBe(keyOf('ann@example.com'));
    const forwarded = srs.forward('ann@example.com', 'forwarder.example');
    expect(keyOf(forwarded)).toBe(keyOf('example.com=ann@forwarder.example'));
  }
  expect(keyOf('ann@example.com')).not.toBe(keyOf('eve@example.com'));
});
