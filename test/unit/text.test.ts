import { describe, expect, it } from 'vitest';
import { makeHeader } from '../../lib/headers.ts';
import { decodeText, encodeText } from '../../lib/text.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Bytes of which many are nearly UTF-8. */
const bytes = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 4 }),
      fc
        .string({ unit: 'binary', maxLength: 3 })
        .map((text) => new Uint8Array(Buffer.from(text.toWellFormed()))),
      fc.constantFrom(
        ...['\xf0\x9f\x98', '\xed\xa0\x80', '\xc0\xaf', '\xef\xbf\xbd', '\xf4\x90\x80\x80', '\xe2\x82'].map(
          latin1,
        ),
      ),
    ),
  )
  .map((parts) => Buffer.concat(parts));

describe('decodeText and encodeText', () => {
  it('give every byte string back unchanged', () => {
    fc.assert(
      fc.property(bytes, (original) => {
        expect(encodeText(decodeText(original)).equals(original)).toBe(true);
      }),
      runs(2000),
    );
  });

  it('are lossless piece by piece, wherever the pieces are cut', () => {
    fc.assert(
      fc.property(bytes, fc.nat(), (original, at) => {
        const cut = original.length === 0 ? 0 : at % original.length;
        const text = decodeText(original, 0, cut) + decodeText(original, cut);
        expect(encodeText(text).equals(original)).toBe(true);
      }),
      runs(1000),
    );
  });

  it('give every well-formed text back unchanged', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const wellFormed = text.toWellFormed();
        expect(decodeText(encodeText(wellFormed))).toBe(wellFormed);
      }),
      runs(1000),
    );
  });

  it('decode what is UTF-8 as the engine does', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const encoded = Buffer.from(text.toWellFormed());
        expect(decodeText(encoded)).toBe(encoded.toString('utf8'));
      }),
    );
  });

  it.each([
    ['a lone byte', '\xff', '\udcff'],
    ['a lead without its rest', 'a\xc3', 'a\udcc3'],
    ['a rest without its lead', '\xa9a', '\udca9a'],
    ['an overlong slash', '\xc0\xaf', '\udcc0\udcaf'],
    ['an overlong NUL of three bytes', '\xe0\x80\x80', '\udce0\udc80\udc80'],
    ['an encoded surrogate', '\xed\xb2\x80', '\udced\udcb2\udc80'],
    ['beyond U+10FFFF', '\xf4\x90\x80\x80', '\udcf4\udc90\udc80\udc80'],
    ['a cut emoji and a whole one', '\xf0\x9f\x98\xf0\x9f\x98\x80', '\udcf0\udc9f\udc98\u{1f600}'],
    ['a real replacement character', '\xef\xbf\xbd', '\ufffd'],
    ['a byte order mark', '\xef\xbb\xbfa', '\ufeffa'],
    ['nothing', '', ''],
  ])('take %s', (_, from, to) => {
    expect(decodeText(latin1(from))).toBe(to);
    expect(encodeText(to).toString('latin1')).toBe(from);
  });

  it('read a part of a buffer', () => {
    expect(decodeText(Buffer.from('say hello there'), 4, 9)).toBe('hello');
    expect(decodeText(latin1('say h\xffllo there'), 4, 9)).toBe('h\udcffllo');
  });

  it.each(['\ud800', '\udc7f', '\udd00', 'a\udfff', '\ud800\ud800', '\udc80\ud83d'])(
    'refuse the surrogate in %j, which stands for no byte',
    (text) => {
      expect(() => encodeText(text)).toThrow(TypeError);
      expect(() => encodeText(text)).toThrow(/stands for no byte/);
    },
  );
});

describe('a header', () => {
  it.each([
    [' value', 'value'],
    ['value', 'value'],
    ['  value', ' value'],
    ['\tvalue', '\tvalue'],
    ['', ''],
    [' ', ''],
    [' a\n b', 'a\n b'],
    [' gr\xfc\xdfe', 'gr\udcfc\udcdfe'],
  ])('with %j after the colon reads %j', (raw, value) => {
    const header = makeHeader('Subject', latin1(raw));
    expect([header.name, header.value, header.raw.toString('latin1')]).toEqual(['Subject', value, raw]);
  });

  it('shows name and value in JSON', () => {
    expect(JSON.stringify([makeHeader('A', latin1(' b'))])).toBe('[{"name":"A","value":"b"}]');
  });
});
