import { describe, expect, it } from 'vitest';
import { isReply, reject, safeText, tempfail } from '../../../lib/milter/verdicts.ts';
import { fc, runs } from '../../helpers/fuzz.ts';

describe('reject and tempfail', () => {
  it('make a verdict with its reply', () => {
    expect(reject(550, '5.7.1', 'one', 'two')).toMatchObject({
      verdict: 'reject',
      code: 550,
      enhanced: '5.7.1',
      lines: ['one', 'two'],
    });
    expect(tempfail(421, null, 'bye')).toMatchObject({ verdict: 'tempfail', code: 421, enhanced: null });
    expect(isReply(reject(550, null, 'x'))).toBe(true);
  });

  it('make what can neither be changed nor copied', () => {
    const reply = reject(550, '5.7.1', 'one');
    expect(() => Object.assign(reply, { code: 250 })).toThrow(TypeError);
    expect(() => (reply.lines as string[]).push('two')).toThrow(TypeError);
    expect(isReply(reply)).toBe(true);
    expect(isReply({ ...reply })).toBe(false);
    expect(isReply(structuredClone(reply))).toBe(false);
  });

  it.each([200, 354, 450, 499, 600, 55, 5500, 550.5, Number.NaN, '550' as unknown as number])(
    'refuse %s as the code of a rejection',
    (code) => {
      expect(() => reject(code as 550, null, 'x')).toThrow(/the code must be 500 to 599/);
    },
  );

  it.each([500, 550, 399, 500.1])('refuse %s as the code of a tempfail', (code) => {
    expect(() => tempfail(code as 450, null, 'x')).toThrow(/the code must be 400 to 499/);
  });

  it.each([
    '',
    '5',
    '5.7',
    '5.7.1234',
    '5.7.1 ',
    ' 5.7.1',
    '5.7.1.1',
    '3.1.1',
    '5.a.1',
    5 as unknown as string,
  ])('refuse %j as an enhanced code', (enhanced) => {
    expect(() => reject(550, enhanced as '5.7.1', 'x')).toThrow(TypeError);
  });

  it('refuse an enhanced code of another class', () => {
    expect(() => reject(550, '4.7.1' as string as '5.7.1', 'x')).toThrow(/begins with 5/);
    expect(() => tempfail(450, '5.7.1' as string as '4.7.1', 'x')).toThrow(/begins with 4/);
    expect(() => tempfail(450, '2.0.0' as string as '4.7.1', 'x')).toThrow(/begins with 4/);
  });

  it.each(['a\nb', 'a\rb', 'a\0b', '\r\n'])('refuse the line %j', (line) => {
    expect(() => reject(550, null, 'fine', line)).toThrow(/cannot hold CR, LF or NUL/);
  });

  it('refuse no line, more than 32, and what is no text', () => {
    expect(() => reject(550, null)).toThrow(/at least one line/);
    expect(() => reject(550, null, ...Array.from({ length: 33 }, () => 'x'))).toThrow(
      /at most 32 lines, got 33/,
    );
    expect(reject(550, null, ...Array.from({ length: 32 }, () => 'x')).lines).toHaveLength(32);
    expect(() => reject(550, null, 'x'.repeat(40_000))).toThrow(/at most 32 lines/);
    expect(() => reject(550, null, 5 as unknown as string)).toThrow(/is a string, got number/);
  });

  it('refuse with a TypeError that carries a code', () => {
    try {
      reject(250 as number as 550, null, 'x');
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(TypeError);
      expect(error).toMatchObject({ code: 'ERR_MILTER_ARGUMENT' });
    }
  });

  it('refuse a lone surrogate which stands for no byte', () => {
    expect(() => reject(550, null, '\ud800')).toThrow(TypeError);
  });

  it('split any text so that every line fits, and nothing but spaces is lost', () => {
    const text = fc.string({
      unit: fc.constantFrom('a', '%', ' ', 'ü', '😀', '\udcff'),
      minLength: 400,
      maxLength: 3000,
    });
    fc.assert(
      fc.property(text, (long) => {
        const { lines } = reject(550, null, long);
        for (const line of lines) {
          const bytes = Buffer.byteLength(line.replaceAll('\udcff', '?').replaceAll('%', '%%'));
          expect(bytes).toBeLessThanOrEqual(500);
          // No character was cut in half.
          expect(line.replaceAll('\udcff', '?').isWellFormed()).toBe(true);
        }
        expect(lines.join('').replaceAll(' ', '')).toBe(long.replaceAll(' ', ''));
      }),
      runs(200),
    );
  });

  it('leave short lines as they are', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ maxLength: 100 }), { minLength: 1, maxLength: 32 }), (lines) => {
        const plain = lines.map((line) => line.replace(/[\r\n\0]/g, '').toWellFormed());
        expect(reject(550, null, ...plain).lines).toEqual(plain);
      }),
    );
  });

  it('cannot be made by hand', () => {
    expect(isReply({ verdict: 'reject', code: 550, enhanced: null, lines: ['x'] })).toBe(false);
    expect(isReply(Object.create(reject(550, null, 'x')))).toBe(false);
    for (const value of [null, undefined, 'reject', 5, () => 'reject']) expect(isReply(value)).toBe(false);
  });
});

describe('safeText', () => {
  it.each([
    ['plain text', 'plain text'],
    ['two\r\nlines', 'two lines'],
    ['a\0\x01\x7fb', 'a b'],
    ['  around\n', 'around'],
    ['grüße 😀', 'gr?e ?'],
    ['\udcff\ud800', '?'],
    ['100%', '100%'],
    ['', ''],
  ])('makes %j fit', (text, fit) => {
    expect(safeText(text)).toBe(fit);
  });

  it('makes any text fit for a reply of one line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (text) => {
        const safe = safeText(text);
        expect(safe).toMatch(/^[ -~]{0,400}$/);
        if (!safe.includes('%')) expect(reject(550, null, safe).lines).toEqual([safe]);
      }),
    );
  });
});
