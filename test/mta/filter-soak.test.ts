/** The short form of `npm run soak -- filter`. */
import { expect, it } from 'vitest';
import { describeWith } from '../helpers/requirements.ts';
import { soakFilter } from '../soak/filter.ts';

describeWith(['postfix'], 'a mixed corpus through all modules', () => {
  it('is delivered or refused, each message once', async () => {
    const { sent, accepted, refused, faults } = await soakFilter(300, 8);
    expect(faults).toEqual([]);
    expect(accepted + refused).toBe(sent);
    expect(accepted).toBeGreaterThan(200);
  }, 120_000);
});
