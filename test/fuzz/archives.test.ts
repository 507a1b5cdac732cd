/** Zip and tar, right and damaged: what is in them is found, and what they cost is bounded whatever they claim. */
import { gzipSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { listArchive } from '../../lib/mime/index.ts';
import { makeTar, makeZip } from '../fixtures/mime/archives.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const name = fc
  .array(fc.constantFrom('a', 'b', '.txt', '.exe', '/', ' ', 'ü', '..', 'x'.repeat(60)), {
    minLength: 1,
    maxLength: 5,
  })
  .map((parts) => parts.join(''));
const entries = fc.uniqueArray(fc.record({ name, content: fc.string({ maxLength: 200 }) }), {
  minLength: 1,
  maxLength: 8,
  selector: (entry) => entry.name,
});
const packers = {
  zip: makeZip,
  tar: makeTar,
  tgz: (all: Parameters<typeof makeTar>[0]) => gzipSync(makeTar(all)),
};
const kind = fc.constantFrom(...(Object.keys(packers) as (keyof typeof packers)[]));
const LIMITS = { members: 50, depth: 3, inflatedBytes: 1 << 20 };

it('what was packed is listed, by name and first bytes', async () => {
  await fc.assert(
    fc.asyncProperty(kind, entries, async (how, all) => {
      const listing = await listArchive(packers[how](all), [`x.${how}`]);
      const found = (listing?.members ?? []).map(({ path, head }) => [path, head.toString()]);
      for (const { name: wanted, content } of all) {
        expect(
          found.some(([path = '', head]) => path.endsWith(`/${wanted}`) && content.startsWith(head ?? '-')),
        ).toBe(true);
      }
      expect(listing?.problems ?? []).toEqual([]);
    }),
    runs(300),
  );
});

const damage = fc.record({
  at: fc.nat(),
  length: fc.nat(6),
  put: fc.oneof(
    fc.constantFrom(
      [0xff, 0xff, 0xff, 0xff],
      [0, 0, 0, 0],
      [0x50, 0x4b, 1, 2],
      [0x50, 0x4b, 5, 6],
      [0x37, 0x37, 0x37, 0x37],
    ),
    fc.array(fc.nat(255), { maxLength: 6 }),
  ),
});

it('what is damaged never throws, stays within the limits, and is said the same twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      kind,
      entries,
      kind,
      fc.array(damage, { minLength: 1, maxLength: 5 }),
      async (how, all, inner, damages) => {
        const nested = { name: `in.${inner}`, content: packers[inner](all).toString('latin1') };
        let bytes = packers[how]([...all, nested]);
        for (const { at, length, put } of damages) {
          const place = at % Math.max(1, bytes.length);
          bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from(put), bytes.subarray(place + length)]);
        }
        const listing = await listArchive(bytes, [`x.${how}`], LIMITS);
        expect(await listArchive(bytes, [`x.${how}`], LIMITS)).toEqual(listing);
        const { members = [], problems = [] } = listing ?? {};
        expect(members.length).toBeLessThanOrEqual(LIMITS.members);
        for (const { head, path } of members) {
          expect(head.length).toBeLessThanOrEqual(512);
          expect(path.startsWith(`x.${how}/`)).toBe(true);
        }
        // One for each archive that was looked into, or for one of its members.
        expect(problems.length).toBeLessThanOrEqual(2 * (members.length + 1) + 3);
      },
    ),
    runs(500),
  );
});
