/** The relaxed canonicalization, piece by piece. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hashBody, relaxed } from '../../../../lib/filter/modules/auth/canonical.ts';
import { fc } from '../../../helpers/fuzz.ts';

/** RFC 6376 section 3.4.4, word for word. */
function plainly(body: string): string {
  const lines = body.replace(/[ \t]*\r\n/g, '\r\n').replace(/[ \t]+/g, ' ');
  const ended = lines.replace(/ $/, '').replace(/(\r\n)+$/, '');
  return createHash('sha256')
    .update(ended === '' ? '' : `${ended}\r\n`, 'latin1')
    .digest('base64');
}

describe('a body', () => {
  it.each([
    ['', ''],
    ['\r\n', ''],
    [' \t\r\n \r\n', ''],
    ['a', 'a\r\n'],
    [' a\r\n', ' a\r\n'],
    ['a  b\t\tc \r\n\r\n\td\r\n\r\n\r\n', 'a b c\r\n\r\n d\r\n'],
    ['a \r b\r\r\n', 'a \r b\r\r\n'],
    ['a\r', 'a\r\r\n'],
    ['\r\n\r\na', '\r\n\r\na\r\n'],
    // The example of RFC 6376 section 3.4.5.
    [' C \r\nD \t E\r\n\r\n\r\n', ' C\r\nD E\r\n'],
  ])('%j', async (body, canonical) => {
    expect(await hashBody(Buffer.from(body))).toBe(createHash('sha256').update(canonical).digest('base64'));
  });

  const piece = fc.constantFrom(
    'a',
    'word',
    ' ',
    '  ',
    '\t',
    '\r\n',
    '\r\n\r\n',
    ' \r\n',
    '\x00',
    '\xe9',
    'x'.repeat(700),
  );
  const some = fc.array(piece, { maxLength: 60 });
  const many = fc.array(piece, { minLength: 2_000, maxLength: 3_000, size: 'max' });

  it.each([
    ['short', some],
    ['of several slices', many],
  ])('of any kind, %s', async (_, kind) => {
    await fc.assert(
      fc.asyncProperty(kind, async (pieces) => {
        const body = pieces.join('');
        expect(await hashBody(Buffer.from(body, 'latin1'))).toBe(plainly(body));
      }),
    );
  });
});

it('a header field', () => {
  // The example of RFC 6376 section 3.4.5.
  expect(relaxed('A', ' X')).toBe('a:X');
  expect(relaxed('B ', ' Y\t\r\n\tZ  ')).toBe('b:Y Z');
  expect(relaxed('Subject', '')).toBe('subject:');
  expect(relaxed('X', ' a\n b\xa0')).toBe('x:a b\xa0');
});
