import { expect, it, vi } from 'vitest';
import { stderrLogger } from '../../lib/logger.ts';

it('the log of standard error writes one line, whatever text from mail holds', () => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const fields = {
    word: '<a@b.c>',
    text: 'a "b"\r\n\u001b[31m\u009b2J\u202e\u2028\udc80\u{e0041}',
    list: ['<x@y> reject', 5],
    none: undefined,
    big: 5n.toString(),
  };
  stderrLogger.warn(fields, 'odd');
  stderrLogger.debug({}, 'never');
  const lines = write.mock.calls.map(([line]) => line);
  write.mockRestore();
  expect(lines).toEqual([
    'milter: warn: odd word=<a@b.c> text="a \\"b\\"\\r\\n\\u001b[31m\\u009b2J\\u202e\\u2028\\udc80\\udb40\\udc41" ' +
      'list=["<x@y> reject",5] big=5\n',
  ]);
});

it('an error that quotes mail begins no line of its own, but for those of its stack', () => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const error = new Error('no number: "\u001b[2J\nmilter: info: message accepted"', {
    cause: new Error('a\r\nb'),
  });
  stderrLogger.error({ error }, 'subject\nmilter: info: all is well');
  const text = write.mock.calls.map(([line]) => String(line)).join('');
  write.mockRestore();
  const [first = '', ...stack] = text.trimEnd().split('\n');
  expect(first).toBe(
    'milter: error: subject\\nmilter: info: all is well error=Error: no number: ' +
      '"\\u001b[2J\\nmilter: info: message accepted"',
  );
  expect(stack.length).toBeGreaterThan(2);
  for (const line of stack) expect(line).toMatch(/^( {4}at | {2}caused by: Error: a\\u000d\\nb)/);
});

it('circles of causes come to an end', () => {
  const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  const error = new Error('round');
  error.cause = error;
  stderrLogger.error({ error }, 'odd');
  const lines = write.mock.calls.map(([line]) => String(line));
  write.mockRestore();
  expect(lines).toHaveLength(1);
  expect(lines[0]?.match(/caused by: Error: round/g)).toHaveLength(5);
});
