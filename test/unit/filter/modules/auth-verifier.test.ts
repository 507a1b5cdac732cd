/** The thread that verifies. */
import { expect, it } from 'vitest';
import { openVerifier } from '../../../../lib/filter/modules/auth/verifier.ts';
import { MemoryResolver } from '../../../../lib/testing/index.ts';
import { rsa, signed } from '../../../helpers/auth.ts';

const resolver = new MemoryResolver({ 's._domainkey.example.org': { TXT: [rsa.record] } });

async function request(lines: number) {
  const whole = await signed(`From: a@example.org\r\n\r\n${'a line  of text\r\n'.repeat(lines)}`);
  const end = whole.indexOf('\r\n\r\n') + 4;
  return {
    head: whole.subarray(0, end),
    body: whole.subarray(end),
    authors: [],
    spf: undefined,
    now: Date.now(),
    resolver,
  };
}

it('takes messages of any size, many at once', async () => {
  const verifier = openVerifier();
  const sizes = [0, 1, 10, 100_000, ...Array.from({ length: 200 }, () => 3)];
  const all = await Promise.all(sizes.map(async (lines) => await verifier.verify(await request(lines))));
  expect(all.map(({ dkim }) => dkim[0]?.result)).toEqual(sizes.map(() => 'pass'));
  await verifier.dispose();
});

it('is shared: it ends with the last who uses it, and starts again', async () => {
  const [one, two] = [openVerifier(), openVerifier()];
  await one.dispose();
  expect((await two.verify(await request(1))).dkim[0]?.result).toBe('pass');
  const message = await request(1);
  const asked = Promise.withResolvers<void>();
  const silent = {
    resolve: () => {
      asked.resolve();
      return new Promise<never>(() => {});
    },
  };
  const pending = two.verify({ ...message, resolver: silent });
  pending.catch(() => {});
  await asked.promise;
  await two.dispose();
  await expect(pending).rejects.toThrow('the thread that verifies mail ended');
  const again = openVerifier();
  expect((await again.verify(message)).dkim[0]?.result).toBe('pass');
  await again.dispose();
});

it('says temperror where the resolver throws', async () => {
  const verifier = openVerifier();
  const broken = {
    resolve: () => {
      throw new Error('as asked');
    },
  };
  const { dkim, dmarc } = await verifier.verify({ ...(await request(1)), resolver: broken });
  expect([dkim[0]?.result, dmarc.result]).toEqual(['temperror', 'temperror']);
  await verifier.dispose();
});
