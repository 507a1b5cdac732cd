import { describe, expect, it } from 'vitest';
import { readEml, writeEml } from '../../../lib/testing/eml.ts';

/** The headers and the body of a message, as text with one character a byte. */
function read(eml: string): { headers: [string, string][]; body: string } {
  const { headers, body } = readEml(Buffer.from(eml, 'latin1'));
  return {
    headers: headers.map(({ name, raw }) => [name, raw.toString('latin1')]),
    body: body.toString('latin1'),
  };
}

describe('readEml', () => {
  it.each(['\n', '\r\n'])('reads a message whose lines end in %j', (end) => {
    const lines = ['Subject: one', ' two', '\tthree', 'X:caf\xe9', '', 'body', '', 'end', ''];
    expect(read(lines.join(end))).toEqual({
      headers: [
        ['Subject', ' one\n two\n\tthree'],
        ['X', 'caf\xe9'],
      ],
      body: 'body\r\n\r\nend\r\n',
    });
  });

  it.each([
    ['without a body', 'A: 1\r\n', [['A', ' 1']], ''],
    ['without a last line end', 'A: 1\n\nbody', [['A', ' 1']], 'body'],
    ['that ends within a header', 'A: 1', [['A', ' 1']], ''],
    ['without headers', '\nbody\n', [], 'body\r\n'],
    [
      'whose headers end without an empty line',
      'A: 1\nbody: no\n',
      [
        ['A', ' 1'],
        ['body', ' no'],
      ],
      '',
    ],
    ['with a line that can be no header', 'A: 1\nno header\n\nb\n', [['A', ' 1']], 'no header\r\n\r\nb\r\n'],
    ['that begins with a continuation', ' x\nA: 1\n', [], ' x\r\nA: 1\r\n'],
    ['from an mbox', 'From a@b Mon\nA: 1\n\nFrom b\n', [['A', ' 1']], 'From b\r\n'],
    ['with a space before a colon', 'A : 1\n\n', [['A', ' 1']], ''],
    ['with a NUL in a header', 'A: 1\x002\n\n\0', [['A', ' 12']], '\0'],
    ['with a bare CR', 'A: 1\r2\n\n3\r4', [['A', ' 1\r2']], '3\r4'],
    ['of no bytes', '', [], ''],
  ])('reads a message %s', (_, eml, headers, body) => {
    expect(read(eml)).toEqual({ headers, body });
  });

  it('gives back the very bytes when written again', () => {
    const eml = Buffer.from('A:  1\r\n\t2 \r\nB:\r\n\r\ncaf\xe9\r\n\0', 'latin1');
    expect(writeEml(readEml(eml))).toEqual(eml);
  });
});
