import { describe, expect, it } from 'vitest';
import { decodeWords, encodeWords, parseMessage } from '../../../lib/mime/index.ts';
import { formatParameter, parseStructured } from '../../../lib/mime/parameters.ts';

/** The names of a part with these header lines. */
function namesOf(...lines: readonly string[]): readonly string[] {
  return parseMessage(Buffer.from(`${lines.join('\r\n')}\r\n\r\nbody`, 'latin1')).root.names;
}

describe('the names of a part', () => {
  it('are those of Content-Disposition and Content-Type, each once', () => {
    expect(
      namesOf(
        'Content-Type: application/pdf; name="a.pdf"',
        'Content-Disposition: attachment; filename=b.pdf',
      ),
    ).toEqual(['b.pdf', 'a.pdf']);
    expect(
      namesOf(
        'Content-Type: application/pdf; name="a.pdf"',
        'Content-Disposition: attachment; filename=a.pdf',
      ),
    ).toEqual(['a.pdf']);
  });

  it.each([
    ['an encoded word in quotes', 'Content-Type: x/y; name="=?utf-8?B?YS5leGU=?="', ['a.exe']],
    ['an encoded word without quotes', 'Content-Type: x/y; name==?utf-8?Q?a=2Eexe?=', ['a.exe']],
    [
      'encoded words on several lines',
      'Content-Type: x/y;\r\n name="=?utf-8?Q?a?=\r\n\t=?utf-8?Q?=2Eexe?="',
      ['a.exe'],
    ],
    ['the charset form of RFC 2231', "Content-Type: x/y; name*=iso-8859-1'de'gr%FC%DFe.exe", ['grüße.exe']],
    ['continuations', 'Content-Type: x/y; name*0="a"; name*1=".e"; name*2="xe"', ['a.exe']],
    ['continuations out of order', 'Content-Type: x/y; name*1=".exe"; name*0="a"', ['a.exe']],
    ['continuations with a charset', "Content-Type: x/y; name*0*=utf-8''%C3; name*1*=%A4.exe", ['ä.exe']],
    ['both forms', "Content-Type: x/y; name=a.txt; name*=utf-8''a.exe", ['a.exe', 'a.txt']],
    ['duplicates', 'Content-Type: x/y; name=a.txt; name=b.exe', ['a.txt', 'b.exe']],
    ['spaces without quotes', 'Content-Type: x/y; name=my holiday.scr', ['my holiday.scr']],
    ['brackets without quotes', 'Content-Type: x/y; name=story[1].scr', ['story[1].scr']],
    ['semicolons without quotes', 'Content-Type: x/y; name=hom1;tile=1;ord=5[1].scr', ['hom1', '5[1].scr']],
    ['no closing quote', 'Content-Type: x/y; name="a.exe', ['a.exe']],
    ['text behind the closing quote', 'Content-Type: x/y; name="a".exe', ['a.exe']],
    ['a missing semicolon', 'Content-Type: x/y; name="a.txt" filename="b.exe"', ['a.txt', 'b.exe']],
    ['no type at all', 'Content-Type: ; name=a.exe', ['a.exe']],
    ['nothing before them', 'Content-Disposition: filename=a.exe', ['a.exe']],
    ['nothing before them, folded', 'Content-Disposition:\r\n\tFileName =\r\n\t"a.exe"; size=5', ['a.exe']],
    ['nothing before them, in pieces', 'Content-Disposition: filename*0=a.; filename*1=exe', ['a.exe']],
    ['a quoted quote', 'Content-Type: x/y; name="a\\"b.exe"', ['a"b.exe']],
    ['raw UTF-8', 'Content-Type: x/y; name="\xc3\xa4.exe"', ['ä.exe']],
    ['raw Latin-1, lossless', 'Content-Type: x/y; name="\xe4.exe"', ['\udce4.exe']],
    ['a comment', 'Content-Type: x/y (a; b); name=a.exe (really)', ['a.exe']],
    ['space around the equals sign', 'Content-Type: x/y; name = "a.exe"', ['a.exe']],
    [
      'an unknown parameter that looks like a file',
      'Content-Type: x/y; charset=us-ascii; foo="a.exe"',
      ['a.exe'],
    ],
    ['lines that should be fields', 'Content-Type: x/y;\r\n\tname=a.exe\r\n\tX-Priority: 1', ['a.exe']],
    [
      'lines behind quotes that should be fields',
      'Content-Type: x/y;\r\n\tname="a.exe"\r\n\tX-Priority: 1',
      ['a.exe'],
    ],
  ])('are found in spite of %s', (_, line, names) => {
    expect(namesOf(line)).toEqual(names);
  });
});

describe('parameters', () => {
  it('are read by lower-case name', () => {
    const { root } = parseMessage(
      Buffer.from('Content-Type: TEXT/Plain; Charset="UTF-8"; Format=flowed\r\n\r\n'),
    );
    expect(root.contentType).toBe('text/plain');
    expect(root.contentTypeParameters).toEqual({ charset: 'UTF-8', format: 'flowed' });
  });

  it('may be called __proto__ without harm', () => {
    const { root } = parseMessage(Buffer.from('Content-Type: text/plain; __proto__=x\r\n\r\n'));
    expect(Object.hasOwn(root.contentTypeParameters, '__proto__')).toBe(true);
  });

  it('keep their bytes when another one is set', () => {
    const field = parseStructured(' application/x;  Name = "a b"; foo=bar; charset=x');
    expect(field.with({ charset: 'utf-8' })).toBe('application/x; Name = "a b"; foo=bar;\r\n\tcharset=utf-8');
  });

  it.each([
    'plain',
    'with space.txt',
    'qu"ote\\.txt',
    'grüße.txt',
    'a'.repeat(300),
    '日本語'.repeat(40),
    "it's 100%",
  ])('written from %j read the same', (value) => {
    expect(parseStructured(`x/y; ${formatParameter('name', value)}`).get('name')).toBe(value);
  });
});

describe('encoded words', () => {
  it.each([
    ['=?iso-8859-1?Q?gr=FC=DFe?=', 'grüße'],
    ['=?UTF-8?B?w6Q=?= =?UTF-8?B?w7Y=?=', 'äö'],
    ['=?UTF-8?B?ww==?= =?UTF-8?B?pA==?=', 'ä'],
    ['a =?utf-8?q?b?= c', 'a b c'],
    ['=?utf-8*en?q?b?=', 'b'],
    ['=?x-unknown?q?b?=', 'b'],
    ['=?utf-8?q?unfinished', '=?utf-8?q?unfinished'],
    ['=?utf-8?x?unknown?=', '=?utf-8?x?unknown?='],
  ])('%j reads %j', (written, text) => {
    expect(decodeWords(written)).toBe(text);
  });

  it.each(['plain', 'ä'.repeat(100), '=?utf-8?q?b?=', 'line\nbreak', '😀'.repeat(50)])(
    'written from %j read the same',
    (text) => {
      const written = encodeWords(text);
      expect(decodeWords(written)).toBe(text);
      expect(Math.max(...written.split('\r\n').map((line) => line.length))).toBeLessThan(78);
    },
  );
});

describe('comments', () => {
  it.each([
    ['before a parameter', 'Content-Disposition: attachment; (x) filename=a.exe', ['a.exe']],
    [
      'that are nested',
      'Content-Disposition: attachment; (x (y; filename=b.txt) z) filename=a.exe',
      ['a.exe'],
    ],
    [
      'with quoted pairs',
      'Content-Disposition: attachment; (x \\) ; filename=b.txt) filename=a.exe',
      ['a.exe'],
    ],
    ['before the type', 'Content-Type: (x; y) text/plain; name=a.exe', ['a.exe']],
    ['inside the type', 'Content-Type: text (x) / (y) plain; name=a.exe', ['a.exe']],
    ['before the equals sign', 'Content-Type: text/plain; name (x) =a.exe', ['a.exe']],
    ['glued to the name of a parameter', 'Content-Type: text/plain; name(x)=a.exe', ['a.exe']],
    ['behind the equals sign', 'Content-Type: text/plain; name= (x) a.exe', ['a.exe']],
    ['glued to a value', 'Content-Type: text/plain; name=a.exe(.txt)', ['a.exe(.txt)', 'a.exe']],
    ['inside a value', 'Content-Type: text/plain; name=a(b).exe', ['a(b).exe', 'a .exe']],
    ['behind a quoted value', 'Content-Type: text/plain; name="a.exe"(.txt); x=y', ['a.exe']],
    ['on the next line', 'Content-Type: text/plain;\r\n (x)\r\n name=a.exe', ['a.exe']],
  ])('are seen %s', (_, line, wanted) => {
    const names = namesOf(line);
    for (const name of wanted) expect(names).toContain(name);
  });

  it('are none where a bracket has no partner, nor for readers that know none', () => {
    expect(namesOf('Content-Disposition: attachment; (x; filename=a.exe')).toContain('a.exe');
    expect(namesOf('Content-Disposition: attachment (; filename=a.exe ; x)')).toContain('a.exe');
  });

  it('leave the usual brackets in names alone', () => {
    expect(namesOf('Content-Type: text/plain; name=report (1).pdf')[0]).toBe('report (1).pdf');
    expect(namesOf('Content-Type: text/plain; name="report (1).pdf"')).toEqual(['report (1).pdf']);
  });

  it.each(['(x) base64', 'base64 (x)', ' (x (y\\)) )\r\n base64', '"base64"'])(
    'may stand in Content-Transfer-Encoding: %j',
    (value) => {
      const { root } = parseMessage(Buffer.from(`Content-Transfer-Encoding:${value}\r\n\r\nYQ==`));
      expect(root.content().toString()).toBe('a');
    },
  );
});

describe('a name', () => {
  it('ends at NUL for some readers', () => {
    expect(namesOf("Content-Disposition: attachment; filename*=utf-8''evil.exe%00.txt")).toEqual([
      'evil.exe\0.txt',
      'evil.exe',
    ]);
  });

  it('ends for some where a piece is missing', () => {
    expect(namesOf('Content-Disposition: x; filename*0=evil.exe; filename*2=.txt')).toEqual([
      'evil.exe.txt',
      'evil.exe',
    ]);
  });

  it.each(['good.txt', undefined])('are replaced where nothing is before them, by %s', (name) => {
    const { root } = parseMessage(Buffer.from('Content-Disposition: filename=a.exe; size=5\r\n\r\nbody'));
    root.rename(name);
    const again = parseMessage(root.toBytes()).root;
    expect(again.names).toEqual(name === undefined ? [] : [name]);
    expect(again.dispositionParameters).toMatchObject({ size: '5' });
    expect(root.toBytes().toString()).not.toContain('exe');
  });

  it.each([
    ['Content-Name: evil.exe'],
    ['Content-Name: "evil.exe" (x)'],
    ['Content-Name: =?utf-8?B?ZXZpbC5leGU=?='],
    ['X-Sun-Data-Name: evil.exe'],
  ])('may be written as %s', (line) => {
    expect(namesOf(line)).toEqual(['evil.exe']);
    const { root } = parseMessage(Buffer.from(`${line}\r\n\r\nbody`));
    root.rename('good.txt');
    expect(parseMessage(root.toBytes()).root.names).toEqual(['good.txt']);
  });
});
