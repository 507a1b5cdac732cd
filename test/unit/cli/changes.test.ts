/** What `milter try` finds different between the message sent and the one delivered. */

import { describe, expect, it } from 'vitest';
import { type Changes, findChanges } from '../../../lib/cli/changes.ts';
import { type Header, makeHeader } from '../../../lib/headers.ts';
import { fc } from '../../helpers/fuzz.ts';

function headers(...lines: readonly string[]): Header[] {
  return lines.map((line) => {
    const [name = '', value = ''] = line.split(':');
    return makeHeader(name, Buffer.from(value));
  });
}

function compare(before: readonly string[], after: readonly string[]): Changes['headers'] {
  const body = Buffer.alloc(0);
  const message = { sender: '<a>', recipients: [], headers: headers(...after), body, toBytes: () => body };
  return findChanges({ sender: '<a>', headers: headers(...before), body }, [], message).headers;
}

describe('the changes of headers', () => {
  it('are none for equal lists', () => {
    expect(compare(['A: 1', 'B: 2'], ['A: 1', 'B: 2'])).toEqual([]);
  });

  it('tell a changed header from one deleted and one added', () => {
    expect(compare(['A: 1', 'B: 2', 'C: 3'], ['A: 1', 'b: two', 'C: 3'])).toEqual([
      { change: 'changed', name: 'b', was: '2', value: 'two' },
    ]);
    expect(compare(['A: 1', 'B: 2', 'C: 3'], ['A: 1', 'D: 2', 'C: 3'])).toEqual([
      { change: 'deleted', name: 'B', was: '2' },
      { change: 'added', name: 'D', value: '2' },
    ]);
  });

  it('find the one among equals that is gone', () => {
    expect(compare(['R: 1', 'R: 2', 'R: 3'], ['R: 1', 'R: 3'])).toEqual([
      { change: 'deleted', name: 'R', was: '2' },
    ]);
  });

  it('see a change of white space only', () => {
    expect(compare(['A: 1'], ['A:1'])).toEqual([{ change: 'changed', name: 'A', was: '1', value: '1' }]);
  });

  it('account for every header, whatever the lists', () => {
    const list = fc.array(fc.constantFrom('A: 1', 'A: 2', 'B: 1', 'b: 1', 'C: 1'), { maxLength: 12 });
    fc.assert(
      fc.property(list, list, (before, after) => {
        const changes = compare(before, after);
        const gone = changes.filter(({ change }) => change !== 'added').length;
        const come = changes.filter(({ change }) => change !== 'deleted').length;
        expect(before.length - gone).toBe(after.length - come);
        if (changes.length === 0) expect(before).toEqual(after);
      }),
    );
  });
});
