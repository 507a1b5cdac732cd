import { describe, expect, it } from 'vitest';
import { makeHeader } from '../../../lib/headers.ts';
import type { Action } from '../../../lib/protocol/exchange.ts';
import { deliver } from '../../../lib/testing/delivered.ts';
import { readEml } from '../../../lib/testing/eml.ts';

describe('deliver', () => {
  const content = readEml('A: 1\nB: x\na: 2\nA: 3\n\nbody\n');
  const envelope = { sender: '<s@x>', recipients: ['<r@x>', '<t@x>'] };

  function header(name: string, value: string) {
    return makeHeader(name, Buffer.from(` ${value}`));
  }
  function change(name: string, occurrence: number, value: string | null): Action {
    return { type: 'changeHeader', name, occurrence, header: value === null ? null : header(name, value) };
  }
  function headersAfter(...actions: Action[]): string[] {
    return deliver(content, envelope, actions).headers.map(({ name, value }) => `${name}: ${value}`);
  }

  it.each<[string, Action[], string[]]>([
    ['changes the occurrence that is meant', [change('a', 2, 'new')], ['A: 1', 'B: x', 'a: new', 'A: 3']],
    ['takes occurrence 0 for 1', [change('A', 0, 'new')], ['A: new', 'B: x', 'a: 2', 'A: 3']],
    ['appends past the last occurrence', [change('B', 2, 'y')], ['A: 1', 'B: x', 'a: 2', 'A: 3', 'B: y']],
    ['deletes nothing past the last occurrence', [change('B', 2, null)], ['A: 1', 'B: x', 'a: 2', 'A: 3']],
    ['renumbers after a deletion', [change('A', 1, null), change('A', 2, null)], ['B: x', 'a: 2']],
    [
      'sees what came before',
      [change('C', 1, 'y'), change('C', 1, 'z')],
      ['A: 1', 'B: x', 'a: 2', 'A: 3', 'C: z'],
    ],
    [
      'inserts at a place',
      [
        { type: 'insertHeader', index: 0, header: header('T', '1') },
        { type: 'insertHeader', index: 2, header: header('T', '2') },
        { type: 'insertHeader', index: 99, header: header('T', '3') },
      ],
      ['T: 1', 'A: 1', 'T: 2', 'B: x', 'a: 2', 'A: 3', 'T: 3'],
    ],
  ])('%s', (_, actions, expected) => {
    expect(headersAfter(...actions)).toEqual(expected);
  });

  it('adds and deletes recipients, each once', () => {
    const { recipients } = deliver(content, envelope, [
      { type: 'addRcpt', address: 'r@x', parameters: [] },
      { type: 'addRcpt', address: '<u@x>', parameters: [] },
      { type: 'deleteRcpt', address: 't@x' },
    ]);
    expect(recipients).toEqual(['<r@x>', '<u@x>']);
  });

  it('has no reason for quarantine where there is none', () => {
    expect(deliver(content, envelope, [])).not.toHaveProperty('quarantine');
  });
});
