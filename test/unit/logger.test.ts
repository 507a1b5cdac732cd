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
