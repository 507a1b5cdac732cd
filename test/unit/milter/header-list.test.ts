import { describe, expect, it } from 'vitest';
import { HeaderList } from '../../../lib/milter/header-list.ts';

/** One header with this value, as it came from the MTA. */
function listed(value: string, spaced: boolean): [string | undefined, string | undefined] {
  const list = new HeaderList(spaced);
  list.add({ read: (take) => take('Subject', Buffer.from(value)) });
  const header = list.get('subject');
  return [header?.raw.toString(), header?.value];
}

describe('a header from an MTA', () => {
  it('that sends what stands before the value is as it came', () => {
    expect(listed(' text', true)).toEqual([' text', 'text']);
    expect(listed('text', true)).toEqual(['text', 'text']);
  });

  it('that keeps one space to itself is given it back', () => {
    expect(listed('text', false)).toEqual([' text', 'text']);
    expect(listed(' text', false)).toEqual(['  text', ' text']);
    expect(listed('', false)).toEqual([' ', '']);
  });
});
