import { describe, expect, it } from 'vitest';
import { ActionList } from '../../../lib/milter/actions.ts';

const ALL = 0x1ff;
const list = (): ActionList => new ActionList(ALL, true);

/** What would be replayed: the numbers of the kinds, and the texts. */
function replay(actions: ActionList): [number, number, string, string][] {
  return (actions.takeChanges() ?? []).map(({ kind, index, first, second }) => [
    kind,
    index,
    first.toString('latin1'),
    second.toString('latin1'),
  ]);
}

describe('an address', () => {
  it.each([
    ['a@one.test', '<a@one.test>'],
    ['<a@one.test>', '<a@one.test>'],
    ['local', '<local>'],
    ['"odd name"@one.test', '<"odd name"@one.test>'],
    ['<"a>b<"@one.test>', '<"a>b<"@one.test>'],
    ['grüße@one.test', '<gr\xc3\xbc\xc3\x9fe@one.test>'],
    ['a\udcff@one.test', '<a\xff@one.test>'],
  ])('%j is written %j', (address, written) => {
    const actions = list();
    actions.changeFrom(0, address, undefined);
    actions.addRcpt(0, address, undefined);
    actions.deleteRcpt(0, address);
    expect(replay(actions).map(([, , first]) => first)).toEqual([written, written, written]);
  });

  it('may be empty for the sender alone', () => {
    const actions = list();
    actions.changeFrom(0, '', undefined);
    actions.changeFrom(0, '<>', undefined);
    expect(replay(actions).map(([, , first]) => first)).toEqual(['<>', '<>']);
    for (const empty of ['', '<>']) {
      expect(() => actions.addRcpt(0, empty, undefined)).toThrow(/must not be empty/);
      expect(() => actions.deleteRcpt(0, empty)).toThrow(/must not be empty/);
    }
  });

  it.each(['<a@one.test', 'a@one.test>', '<<a@one.test>>', 'a><b', 'a> NOTIFY=NEVER <b'])(
    '%j is refused',
    (address) => {
      expect(() => list().addRcpt(0, address, undefined)).toThrow(TypeError);
    },
  );

  it.each([[['']], [['A=1 B=2']], [['A=1', 5 as unknown as string]]])(
    'refuses the parameters %j',
    (parameters) => {
      expect(() => list().changeFrom(0, 'a@one.test', parameters)).toThrow(TypeError);
    },
  );

  it('takes parameters one by one', () => {
    const actions = list();
    actions.addRcpt(0, 'a@one.test', ['NOTIFY=NEVER', 'ORCPT=rfc822;x']);
    actions.addRcpt(0, 'b@one.test', []);
    expect(replay(actions).map(([, , , second]) => second)).toEqual(['NOTIFY=NEVER ORCPT=rfc822;x', '']);
  });
});

describe('a header', () => {
  it.each([
    '',
    ' ',
    'A:',
    'A B',
    'A\t',
    'Ä',
    'A\x7f',
    ':',
    5 as unknown as string,
    undefined as unknown as string,
  ])('cannot be called %j', (name) => {
    expect(() => list().addHeader(0, name, 'v')).toThrow(/a header's name is printable ASCII/);
  });

  it.each(['a\nb', 'a\n', '\n', 'a\n\n b', 'a\r\n b', 'a\rb', 'a\0'])('cannot have the value %j', (value) => {
    expect(() => list().addHeader(0, 'A', value)).toThrow(TypeError);
    expect(() => list().addHeader(0, 'A', Buffer.from(value))).toThrow(TypeError);
  });

  it.each([null, undefined, 5, {}, ['v']])('cannot have the value %j either', (value) => {
    expect(() => list().addHeader(0, 'A', value as unknown as string)).toThrow(TypeError);
  });

  it('cannot hold a surrogate that stands for no byte', () => {
    expect(() => list().addHeader(0, 'A', '\ud800')).toThrow(/stands for no byte/);
  });

  it.each([-1, 0.5, Number.NaN, 2 ** 31, '1' as unknown as number])('cannot stand at place %s', (index) => {
    expect(() => list().insertHeader(0, index, 'A', 'v')).toThrow(/the index must be an integer from 0/);
    expect(() => list().changeHeader(0, 'A', index, 'v')).toThrow(/the occurrence must be an integer from 1/);
  });

  it('is counted from 1 when changed, from 0 when inserted', () => {
    const actions = list();
    expect(() => actions.changeHeader(0, 'A', 0, 'v')).toThrow(TypeError);
    actions.insertHeader(0, 0, 'A', 'v');
    expect(replay(actions)).toEqual([[1, 0, 'A', ' v']]);
  });

  it('keeps its leading space away from an MTA that writes its own', () => {
    const actions = new ActionList(ALL, false);
    actions.addHeader(0, 'A', 'text');
    actions.addHeader(0, 'A', '');
    actions.addHeader(0, 'A', Buffer.from('bytes'));
    // Not a byte would be nothing to libmilter.
    expect(replay(actions).map(([, , , second]) => second)).toEqual(['text', ' ', 'bytes']);
  });
});

describe('a list of actions', () => {
  it('gives its changes once, and the whole list when there are new ones', () => {
    const actions = list();
    expect(actions.takeChanges()).toBe(undefined);
    actions.addHeader(0, 'A', '1');
    expect(actions.changed).toBe(true);
    expect(replay(actions)).toHaveLength(1);
    expect(actions.changed).toBe(false);
    expect(actions.takeChanges()).toBe(undefined);
    actions.addHeader(0, 'B', '2');
    expect(replay(actions).map(([, , first]) => first)).toEqual(['A', 'B']);
  });

  it('takes back what one member recorded since a mark, and nothing else', () => {
    const actions = list();
    actions.addHeader(0, 'A', 'kept');
    const mark = actions.mark();
    actions.addHeader(0, 'A', 'dropped');
    actions.addHeader(1, 'B', 'kept');
    actions.addHeader(0, 'A', 'dropped too');
    actions.rollBack(0, mark);
    expect(replay(actions).map(([, , , second]) => second)).toEqual([' kept', ' kept']);
  });

  it('takes back also what the MTA’s side has been given already', () => {
    const actions = list();
    const mark = actions.mark();
    actions.addHeader(0, 'A', 'x');
    expect(actions.takeChanges()).toHaveLength(1);
    actions.rollBack(0, mark);
    actions.addHeader(0, 'B', 'y');
    expect(replay(actions).map(([, , first]) => first)).toEqual(['B']);
  });
});

describe('deleteRcpt', () => {
  const deleted = (actions: ActionList): string[] =>
    (actions.takeChanges() ?? []).map(({ first }) => first.toString());

  it('names each recipient of the same mailbox in the spelling of the MTA, also one that comes later', () => {
    const recipients = [{ address: '<bob@Two.test>' }, { address: '<eve@two.test>' }];
    const actions = new ActionList(ALL, true, recipients);
    actions.deleteRcpt(0, 'bob@two.TEST');
    expect(deleted(actions)).toEqual(['<bob@Two.test>']);
    recipients.push({ address: '<"bob"@two.test>' }, { address: '<bob@Two.test>' });
    actions.recipientCame();
    expect(deleted(actions)).toEqual(['<bob@Two.test>', '<"bob"@two.test>']);
  });

  it.each(['<"a>b"@two.test>', '<<bob@two.test>>', '<bob(x)@two.test>', '<"bob@two.test">'])(
    'takes %s as a client wrote it',
    (address) => {
      const actions = new ActionList(ALL, true, [{ address }, { address: '<eve@two.test>' }]);
      actions.deleteRcpt(0, address);
      expect(deleted(actions)).toEqual([address]);
    },
  );

  it('goes by the case of the local part, and leaves who is no recipient as it is', () => {
    const actions = new ActionList(ALL, true, [{ address: '<bob@two.test>' }]);
    actions.deleteRcpt(0, 'Bob@two.test');
    expect(deleted(actions)).toEqual(['<Bob@two.test>']);
    actions.recipientCame();
    actions.deleteRcpt(0, '<eve@two.test>');
    expect(deleted(actions)).toEqual(['<Bob@two.test>', '<eve@two.test>']);
  });
});

describe('a header’s bytes', () => {
  it('lose the space that the MTA writes itself, and no other', () => {
    const values = (spaced: boolean): string[] => {
      const actions = new ActionList(ALL, spaced);
      for (const raw of [' one', '  two', 'none', ' ']) actions.addHeader(0, 'X', Buffer.from(raw));
      return replay(actions).map(([, , , value]) => value);
    };
    expect(values(true)).toEqual([' one', '  two', 'none', ' ']);
    // An empty value would be no header at all.
    expect(values(false)).toEqual(['one', ' two', 'none', ' ']);
  });
});
