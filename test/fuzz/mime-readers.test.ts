/** Readers of what is inside of parts, on bytes that are nearly right. */

import { describe, expect, it } from 'vitest';
import { cleanSvg, listArchive } from '../../lib/mime/index.ts';
import { parseStructured } from '../../lib/mime/parameters.ts';
import { decodeFile, encodeFile, findFiles } from '../../lib/mime/uuencode.ts';
import { makeTnef } from '../fixtures/mime/tnef.ts';
import { fc, runs } from '../helpers/fuzz.ts';

/** Bytes with some of them changed, left out or doubled. */
function damaged(bytes: Buffer): fc.Arbitrary<Buffer> {
  const damage = fc.record({
    at: fc.nat(bytes.length),
    length: fc.nat(8),
    bytes: fc.uint8Array({ maxLength: 8 }),
  });
  return fc
    .array(damage, { minLength: 1, maxLength: 6 })
    .map((damages) =>
      damages.reduce(
        (whole, { at, length, bytes: put }) =>
          Buffer.concat([whole.subarray(0, at), put, whole.subarray(at + length)]),
        bytes,
      ),
    );
}

describe('winmail.dat', () => {
  const tnef = makeTnef([
    { title: 'A.TXT', names: { 14087: 'a.txt' }, content: 'text' },
    { title: 'B', embedded: true, content: makeTnef([{ title: 'C.EXE', content: 'MZ' }]) },
  ]);

  it('never throws, whatever is wrong with it', async () => {
    await fc.assert(
      fc.asyncProperty(damaged(tnef), async (bytes) => {
        await listArchive(Buffer.concat([tnef.subarray(0, 6), bytes.subarray(6)]), ['winmail.dat']);
      }),
      runs(1000),
    );
  });
});

describe('uuencoded files', () => {
  it('are found again, whatever text is around them', () => {
    const prose = fc
      .array(fc.constantFrom('hello', 'begin', 'begin with', 'end', '', 'M', '`', ' x'))
      .map((lines) => lines.join('\n'));
    fc.assert(
      fc.property(prose, fc.uint8Array({ maxLength: 200 }), prose, (before, content, behind) => {
        const file = encodeFile(Buffer.from(content), 'a.exe', '\n');
        const text = Buffer.concat([
          Buffer.from(before === '' ? '' : `${before}\n`),
          file,
          Buffer.from(behind),
        ]);
        const [found] = findFiles(text);
        const bytes = text.subarray(found?.start, found?.end);
        expect(bytes).toEqual(file);
        expect(decodeFile(bytes)).toEqual(Buffer.from(content));
      }),
      runs(1000),
    );
  });

  it('never throw, whatever is wrong with them', () => {
    const texts = [
      encodeFile(Buffer.from('hello'), 'a', '\n'),
      Buffer.from('=ybegin line=1 name=a\nabc=\n=yend\n'),
    ];
    for (const text of texts) {
      fc.assert(
        fc.property(damaged(text), (bytes) => {
          for (const { start, end } of findFiles(bytes)) decodeFile(bytes.subarray(start, end));
          expect(decodeFile(bytes).length).toBeLessThanOrEqual(bytes.length + 66);
        }),
      );
    }
  });
});

describe('structured fields', () => {
  const field = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          '(',
          ')',
          '\\',
          '"',
          ';',
          '=',
          ' ',
          '\r\n ',
          'name',
          'boundary',
          "*=utf-8''",
          '*0',
          '*1*',
          'a.exe',
          '%00',
          '\0',
          ':',
        ),
        fc.string({ maxLength: 3 }),
      ),
      { maxLength: 30 },
    )
    .map((pieces) => pieces.join(''));

  it('keep what was added apart from a quote that only a space in place of a NUL opens', () => {
    const again = parseStructured(parseStructured('\0*0="').with({ added: 'x y' }));
    expect(again.get('added')).toBe('x y');
  });

  it('read the same once they are written, with a parameter more', () => {
    fc.assert(
      fc.property(field, (text) => {
        const structured = parseStructured(text);
        const again = parseStructured(structured.with({ added: 'x y' }));
        expect(again.get('added')).toBe('x y');
      }),
      runs(3000),
    );
  });
});

describe('SVG', () => {
  const svg = fc
    .array(
      fc.constantFrom(
        ...[
          '<',
          '>',
          '/>',
          '</',
          '"',
          "'",
          '=',
          ' ',
          '&',
          '<!--',
          '-->',
          '<![CDATA[',
          ']]>',
          '<?',
          '?>',
          '<!DOCTYPE x [',
          ']>',
        ],
        ...[
          '<svg>',
          '</svg>',
          '<script>',
          '</script>',
          '<foreignObject>',
          '</foreignObject>',
          '<style>',
          '</style>',
          '<x:script/>',
        ],
        ...[
          '<!ENTITY a "',
          '<?xml-stylesheet ',
          '@import x',
          'url(//x)',
          '<use href="//x"/>',
          ' onload="x"',
          ' href="javascript:x"',
          'text',
        ],
      ),
      { maxLength: 25 },
    )
    .map((pieces) => pieces.join(''));

  it('that is clean stays clean', () => {
    fc.assert(
      fc.property(svg, (text) => {
        const { html: clean } = cleanSvg(text);
        expect(cleanSvg(clean).html).toBe(clean);
      }),
      runs(3000),
    );
  });
});
