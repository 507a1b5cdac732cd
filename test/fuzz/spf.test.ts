/** Records that nobody should publish: they are read the same each time, and cost no more than RFC 7208 allows. */
import { expect, it } from 'vitest';
import { checkHost, isSpfRecord, parseRecord } from '../../lib/spf/index.ts';
import { MemoryResolver, type MemoryZone } from '../../lib/testing/index.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const NAMES = ['a.test', 'b.test', 'c.test', 'd.test'];

const spec = fc.oneof(
  fc.constantFrom(
    ...NAMES,
    'nowhere.test',
    '',
    'a..test',
    'x'.repeat(70),
    '%{d}',
    '%{l}.%{o}',
    '%{i}._spf.%{d2r-+}',
  ),
  fc.constantFrom(
    '%{',
    '%%%_%-',
    '%{p}.a.test',
    '%{s255}',
    '%{h}',
    '%{x}',
    '%{ir}.%{v}.b.test',
    '\xff.test',
    '%{d0}',
  ),
);
const number = fc.constantFrom(
  '',
  '/0',
  '/24',
  '/32',
  '/33',
  '//64',
  '/24//64',
  '//129',
  '/-1',
  '/1e1',
  '/008',
);
const term = fc
  .tuple(
    fc.constantFrom('', '', '+', '-', '~', '?', '!'),
    fc.oneof(
      fc.constantFrom(
        'all',
        'ptr',
        'mx',
        'a',
        'ip4:192.0.2.0',
        'ip6:2001:db8::',
        'ip4:192.0.2.256',
        'ip6:::ffff:1.2.3.4',
      ),
      fc
        .tuple(fc.constantFrom('include:', 'a:', 'mx:', 'ptr:', 'exists:', 'redirect=', 'exp=', 'x-y='), spec)
        .map((two) => two.join('')),
      fc.string({ maxLength: 8 }),
    ),
    number,
  )
  .map((parts) => parts.join(''));
const record = fc
  .tuple(
    fc.constantFrom('v=spf1', 'v=spf1', 'v=spf1', 'V=SPF1 ', 'v=spf10', ''),
    fc.array(term, { maxLength: 14 }),
  )
  .map(([version, terms]) => [version, ...terms].join(' '));

const host = fc.record({
  TXT: fc.oneof(
    { weight: 5, arbitrary: record.map((text) => [Buffer.from(text, 'latin1')]) },
    { weight: 1, arbitrary: fc.array(record, { maxLength: 3 }) },
    { weight: 1, arbitrary: fc.constantFrom('timeout' as const, 'nxdomain' as const, 'malformed' as const) },
  ),
  A: fc.array(fc.constantFrom('192.0.2.7', '198.51.100.1'), { maxLength: 3 }),
  MX: fc.array(
    fc.constantFrom(...NAMES, '', 'nowhere.test').map((exchange) => ({ preference: 1, exchange })),
    { maxLength: 12 },
  ),
});
const zones: fc.Arbitrary<MemoryZone> = fc
  .tuple(host, host, host, host)
  .map((hosts) =>
    Object.fromEntries([
      ...NAMES.map((name, i) => [name, hosts[i]]),
      ['7.2.0.192.in-addr.arpa', { PTR: [...NAMES, ...NAMES, ...NAMES] }],
    ]),
  );

it('every text is read, the same each time, and what is in it stays as it stands', () => {
  fc.assert(
    fc.property(record, (text) => {
      const read = parseRecord(text);
      expect(parseRecord(`${text} `.slice(0, -1))).toEqual(read);
      expect(read.text).toBe(text);
      for (const { term: wrong, message } of read.problems) {
        expect(text).toContain(wrong);
        expect(message).not.toBe('');
      }
      // What was understood is understood by itself, too.
      for (const { text: one, result, kind } of read.directives) {
        if (isSpfRecord(text) && read.problems.length === 0)
          expect(parseRecord(`v=spf1 ${one}`).directives).toMatchObject([{ result, kind }]);
      }
    }),
    runs(2_000),
  );
});

const RESULTS = ['pass', 'fail', 'softfail', 'neutral', 'none', 'temperror', 'permerror'];

it('a check comes to a result within the limits, the same each time', async () => {
  await fc.assert(
    fc.asyncProperty(
      zones,
      fc.constantFrom('192.0.2.7', '2001:db8::7'),
      fc.boolean(),
      async (zone, ip, lax) => {
        const check = async () => {
          const resolver = new MemoryResolver(zone);
          const found = await checkHost({ ip, sender: 'ann@a.test', helo: 'b.test', resolver, lax });
          return { found, asked: resolver.queries.length };
        };
        const { found, asked } = await check();
        expect(RESULTS).toContain(found.result);
        expect(found.explanation).toMatch(/^[ -~]{0,2000}$/);
        // Ten terms that ask, each for ten more names; the record itself, the explanation, and the client's name.
        const most = 1 + 10 * 11 + 2 + 11;
        expect(asked).toBeLessThanOrEqual(lax ? 4 * most : most);
        expect((await check()).found).toEqual(found);
      },
    ),
    runs(500),
  );
});
