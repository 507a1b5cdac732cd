/** Random packets, names and patterns: nothing throws, and the index finds what comparing everything finds. */
import { Packet } from 'dns2';
import { expect, it } from 'vitest';
import { PatternList, QueryName } from '../../lib/nameserver/index.ts';
import { RateLimit } from '../../lib/nameserver/rate-limit.ts';
import { requiredLiterals } from '../../lib/nameserver/regexp-literals.ts';
import { Responder } from '../../lib/nameserver/responder.ts';
import { Zone } from '../../lib/nameserver/zone.ts';
import { compileRegExp } from '../../lib/regexp.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const LINES = [
  'ded[0-9]+.com 127.0.0.2 $ $',
  '.ded###.net',
  '192.0.0.0/20',
  '2001:db8::/31',
  '*a*b*',
  '[1-20]*.x',
  '!*c*.x',
  '/.*z/',
];
const list = new PatternList();
for (const [i, line] of LINES.entries()) list.add(line, i + 1);
const responder = new Responder(
  new Zone({
    name: 'bl.test',
    list,
    ttl: 60,
    serial: 1,
    nameServers: ['ns.x'],
    mailbox: 'a@b.c',
    ses: async () => false,
  }),
  new RateLimit(1_000_000),
);

/** A query, or nearly one. */
const packets = fc.oneof(
  fc.uint8Array({ maxLength: 600 }),
  fc
    .record({
      head: fc.uint8Array({ minLength: 4, maxLength: 4 }),
      counts: fc.array(fc.constantFrom(0, 1, 2, 255), { minLength: 4, maxLength: 4 }),
      labels: fc.array(fc.uint8Array({ minLength: 1, maxLength: 70 }), { maxLength: 40 }),
      zone: fc.constantFrom('\x02bl\x04test\x00', '\x02BL\x04tEst\x00', '\xc0\x0c', '\x00', ''),
      tail: fc.uint8Array({ maxLength: 40 }),
    })
    .map(({ head, counts, labels, zone, tail }) =>
      Buffer.concat([
        head,
        Buffer.from(counts.flatMap((count) => [0, count])),
        ...labels.flatMap((label) => [Buffer.from([label.length]), label]),
        Buffer.from(zone, 'latin1'),
        tail,
      ]),
    ),
);

it('answers no packet that is no query, and every other one with a reply to it', async () => {
  await fc.assert(
    fc.asyncProperty(packets, fc.boolean(), async (packet, isTcp) => {
      const reply = await responder.respond(packet, { isTcp, address: '192.0.2.1' });
      if (packet.length < 12 || ((packet[2] ?? 0) & 0x80) !== 0) {
        expect(reply).toBeUndefined();
        return;
      }
      if (reply === undefined) throw new Error('no reply');
      expect(reply.subarray(0, 2)).toEqual(Buffer.from(packet.subarray(0, 2)));
      expect((reply[2] ?? 0) & 0x80).toBe(0x80);
      if (!isTcp) expect(reply.length).toBeLessThanOrEqual(1_232);
      const { errors } = Packet.parse(reply) as { errors?: readonly unknown[] };
      expect(errors ?? []).toEqual([]);
      responder.truncated(packet);
    }),
    runs(5_000),
  );
});

const text = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', '1', '2', '9', '0', '.', '-'),
  minLength: 1,
  maxLength: 14,
});
const names = text.filter((name) => QueryName.of(name) !== undefined);

it('matches globs as regular expressions do', () => {
  const parts = fc.constantFrom('a', 'b', 'c', '.', '-', '*', '?', '#', '[1-3]', '[9-11]', '[001-120]', '1');
  const globs = fc.array(parts, { minLength: 1, maxLength: 8 }).map((all) => all.join(''));
  fc.assert(
    fc.property(fc.array(globs, { maxLength: 30 }), fc.array(names, { maxLength: 20 }), (patterns, asked) => {
      const many = new PatternList();
      const expected: { readonly number: number; readonly matches: (name: string) => boolean }[] = [];
      for (const [i, pattern] of patterns.entries()) {
        // Names and networks are for other tests; a dot in front has a meaning of its own.
        if (
          !/[*?#[]/.test(pattern) ||
          /^\*?\./.test(pattern) ||
          !/[abc-]/.test(pattern) ||
          pattern.endsWith('.')
        )
          continue;
        try {
          many.add(pattern, i + 1);
        } catch {
          continue; // A digit beside a range.
        }
        expected.push({ number: i + 1, matches: globMatcher(pattern) });
      }
      for (const name of asked) {
        const query = QueryName.of(name);
        if (query === undefined || name.endsWith('.')) continue;
        const found = many.find(query).lines.map(({ number }) => number);
        const wanted = expected.filter(({ matches }) => matches(name)).map(({ number }) => number);
        expect(found, `${name} in ${patterns.join(' ')}`).toEqual(wanted.slice(0, 16));
      }
    }),
    runs(500),
  );
});

/** By JavaScript's own engine: numbers become alternatives. */
function globMatcher(pattern: string): (name: string) => boolean {
  const source = pattern.replace(/\[(\d+)-(\d+)\]|[\s\S]/g, (part: string, first?: string, last?: string) => {
    if (part === '*') return '.*';
    if (part === '?') return '.';
    if (part === '#') return '\\d';
    if (first === undefined || last === undefined) return part.replace('.', '\\.');
    const width = first.startsWith('0') ? first.length : 0;
    const numbers = Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) =>
      String(Number(first) + i).padStart(width, '0'),
    );
    const isDigit = first.length === 1 && last.length === 1;
    return isDigit ? `[${first}-${last}]` : `(?<!\\d)(?:${numbers.join('|')})(?!\\d)`;
  });
  const compiled = new RegExp(`^${source}$`);
  return (name) => compiled.test(name);
}

it('asks regular expressions for no letters that a name need not have', () => {
  const atoms = fc.constantFrom(
    'a',
    'b',
    '1',
    '\\.',
    '.',
    '[ab]',
    '[^a]',
    '\\d',
    '(?:ab)',
    '(a|b)',
    '(?:a(b)c)',
    '-',
  );
  const repeats = fc.constantFrom('', '', '', '+', '*', '?', '{2}', '{0,1}', '+?', '*?');
  const expressions = fc
    .array(fc.tuple(atoms, repeats), { minLength: 1, maxLength: 7 })
    .map((all) => all.map(([atom, repeat]) => atom + repeat).join(''));
  fc.assert(
    fc.property(
      fc.oneof(
        expressions,
        fc.tuple(expressions, expressions).map((two) => two.join('|')),
      ),
      names,
      (source, name) => {
        if (!compileRegExp(source, { caseless: true }).testWhole(name)) return;
        const bounded = `\x01${name}\x02`;
        for (const literal of requiredLiterals(source)) expect(bounded, source).toContain(literal);
      },
    ),
    runs(5_000),
  );
});
