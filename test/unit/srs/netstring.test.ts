import { describe, expect, it } from 'vitest';
import { MAX_NETSTRING, NetstringFault, NetstringReader, netstring } from '../../../lib/srs/netstring.ts';
import { fc } from '../../helpers/fuzz.ts';

function read(...pieces: readonly (string | Buffer)[]): readonly string[] {
  const reader = new NetstringReader();
  return pieces.flatMap((piece) => [...reader.push(Buffer.from(piece))].map((one) => one.toString('latin1')));
}

it.each([
  ['8:PostSRSd,', ['PostSRSd']],
  ['0:,', ['']],
  ['3:abc,4:abcd,0:,', ['abc', 'abcd', '']],
  ['3:a,b,', ['a,b']],
  ['1:\0,', ['\0']],
  ['8:PostSRS', []],
  ['', []],
])('%j holds %j', (text, netstrings) => {
  expect(read(text)).toEqual(netstrings);
  expect(read(...text.split(''))).toEqual(netstrings);
});

it.each(['1a,', '1:a*', '0x1:a,', '000001:a,', '00:,', ':a,', ',', 'get a@example.com\n', '-1:,', '1 :a,'])(
  '%j is none',
  (text) => {
    expect(() => read(text)).toThrow(NetstringFault);
  },
);

it('tells of those before the fault', () => {
  const reader = new NetstringReader();
  const seen: string[] = [];
  expect(() => {
    for (const one of reader.push(Buffer.from('3:abc,4:abcde'))) seen.push(one.toString());
  }).toThrow(NetstringFault);
  expect(seen).toEqual(['abc']);
});

it('takes as many octets as MTAs do, and no more', () => {
  const most = netstring(Buffer.alloc(MAX_NETSTRING, 'x'));
  expect(read(most)[0]).toHaveLength(MAX_NETSTRING);
  // Refused when the length is there, before anything is kept.
  expect(() => read(`${MAX_NETSTRING + 1}`)).toThrow('more than 100000 octets');
  expect(() => read('18446744073709551616:some data')).toThrow(NetstringFault);
});

describe('from random pieces', () => {
  it('gives back what was written', () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), fc.array(fc.nat({ max: 9 })), (texts, cuts) => {
        let left = Buffer.concat(texts.map((text) => netstring(Buffer.from(text))));
        const pieces: Buffer[] = [];
        for (const cut of cuts) {
          pieces.push(left.subarray(0, cut));
          left = left.subarray(cut);
        }
        expect(read(...pieces, left)).toEqual(texts.map((text) => Buffer.from(text).toString('latin1')));
      }),
    );
  });

  it('throws nothing but a fault, and keeps no more than one netstring', () => {
    const text = fc.stringMatching(/^[0-9:,a]{0,30}$/);
    fc.assert(
      fc.property(fc.array(fc.oneof(text, fc.string({ unit: 'binary' }))), (pieces) => {
        try {
          read(...pieces);
        } catch (error) {
          expect(error).toBeInstanceOf(NetstringFault);
        }
      }),
    );
  });
});
