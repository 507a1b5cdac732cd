/** Replies of name servers, right, damaged and hostile: each is read, is foreign, or is malformed; nothing throws. */
import { Packet } from 'dns2';
import { expect, it } from 'vitest';
import { encodeQuery } from '../../lib/dns/packet.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'NS', 'PTR', 'TXT'] as const;
const name = fc.constantFrom('a.test', 'b.a.test', `${'x'.repeat(63)}.test`, 'test');

const rdata = {
  A: fc.constant({ address: '192.0.2.7' }),
  AAAA: fc.constant({ address: '2001:db8::7' }),
  CNAME: name.map((domain) => ({ domain })),
  MX: fc.tuple(fc.nat(65_535), name).map(([priority, exchange]) => ({ priority, exchange })),
  NS: name.map((ns) => ({ ns })),
  PTR: name.map((domain) => ({ domain })),
  TXT: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 200 }).map((data) => ({ data })),
};
const answers = fc
  .constantFrom(...TYPES)
  .chain((type) => fc.record({ type: fc.constant(type), owner: name, ttl: fc.nat(), data: rdata[type] }));

/** A reply to `query`, with these answers. */
function replyTo(
  query: ReturnType<typeof encodeQuery>,
  records: readonly (typeof answers extends fc.Arbitrary<infer T> ? T : never)[],
): Buffer {
  const packet = new Packet(new Packet.Header({ id: query.id, qr: 1, rd: 1 }));
  packet.questions.push(new Packet.Question(query.name, Packet.TYPE[query.type], Packet.CLASS.IN));
  for (const { type, owner, ttl, data } of records)
    packet.answers.push({
      name: owner,
      type: Packet.TYPE[type],
      class: Packet.CLASS.IN,
      ttl,
      ...data,
    } as never);
  return packet.toBuffer();
}

it('what was packed is read again', () => {
  fc.assert(
    fc.property(fc.array(answers, { maxLength: 8 }), (records) => {
      const query = encodeQuery('a.test', 'TXT', true);
      const reply = query.read(replyTo(query, records));
      if (typeof reply === 'string') throw new Error(reply);
      expect(reply.answers.map(({ owner, type }) => ({ owner, type }))).toEqual(
        records.map(({ owner, type }) => ({ owner, type })),
      );
      for (const [i, { type, data }] of reply.answers.entries()) {
        if (type !== 'TXT') continue;
        const { data: sent = '' } = (records[i]?.data ?? {}) as { readonly data?: string };
        expect(Buffer.concat([...data]).toString('latin1')).toBe(sent);
      }
    }),
    runs(500),
  );
});

const damage = fc.record({
  at: fc.nat(),
  put: fc.oneof(
    // Pointers to the question, to the header and to themselves; lengths that are too large.
    fc.constantFrom([0xc0, 0x0c], [0xc0, 0], [0xc0, 0x1c], [0xff, 0xff], [0x40], [0]),
    fc.array(fc.nat(255), { minLength: 1, maxLength: 4 }),
  ),
  length: fc.nat(4),
});

it('what is damaged throws nothing, and gives no more records than there is room for', () => {
  fc.assert(
    fc.property(
      fc.array(answers, { maxLength: 6 }),
      fc.array(damage, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (records, damages, keepsHead) => {
        const query = encodeQuery('a.test', 'A', false);
        let bytes = replyTo(query, records);
        // Without its id and question it would be foreign before anything else is looked at.
        const first = keepsHead ? 4 : 0;
        for (const { at, put, length } of damages) {
          const place = first + (at % Math.max(1, bytes.length - first));
          bytes = Buffer.concat([bytes.subarray(0, place), Buffer.from(put), bytes.subarray(place + length)]);
        }
        const reply = query.read(bytes);
        expect(query.read(bytes)).toEqual(reply);
        if (typeof reply === 'string') return;
        expect(reply.answers.length).toBeLessThanOrEqual(bytes.length / 11);
        for (const { owner, type } of reply.answers) {
          expect(owner.length).toBeLessThan(1_024);
          expect(TYPES).toContain(type);
        }
      },
    ),
    runs(1_500),
  );
});

it('bytes of any kind are no reply to a question', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const query = encodeQuery('a.test', 'A', false);
      expect(['foreign', 'malformed']).toContain(query.read(Buffer.from(bytes)));
    }),
    runs(1_000),
  );
});
