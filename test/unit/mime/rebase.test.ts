import { describe, expect, it } from 'vitest';
import { type Header, makeHeader } from '../../../lib/headers.ts';
import { type MimeMessage, parseHeadersAndBody } from '../../../lib/mime/index.ts';

const field = (name: string, raw: string): Header => makeHeader(name, Buffer.from(raw, 'latin1'));
const FIELDS = [
  field('Subject', ' one'),
  field('Content-Type', ' text/plain;\n\tcharset=us-ascii'),
  field('X-Odd', '\xff'),
];
const parse = (): Promise<MimeMessage> => parseHeadersAndBody(FIELDS, Buffer.from('text\r\n'));
const written = (tree: MimeMessage): string => tree.toBytes().toString('latin1');

describe('a tree that goes to the next member', () => {
  it('counts no edits, and is written as before, when its fields are what they were', async () => {
    const tree = await parse();
    const before = written(tree);
    tree.rebase(FIELDS);
    expect([tree.changed, tree.changes(), written(tree)]).toEqual([
      false,
      { headers: [], body: undefined },
      before,
    ]);
  });

  it('is written with its new fields, and counts edits from these', async () => {
    const tree = await parse();
    tree.root.replaceContent('edited\r\n');
    tree.root.headers.set('Subject', 'edited');
    tree.rebase([
      field('X-Top', ' t'),
      field('Subject', ' edited'),
      field('X-Odd', '\xff'),
      field('X-Odd', ' 2'),
    ]);
    expect(tree.changed).toBe(false);
    expect(written(tree)).toBe('X-Top: t\r\nSubject: edited\r\nX-Odd:\xff\r\nX-Odd: 2\r\n\r\nedited\r\n');
    tree.root.headers.remove('X-Odd');
    tree.root.headers.set('subject', 'again');
    expect(tree.changes()).toEqual({
      headers: [
        { kind: 'change', name: 'Subject', occurrence: 1, raw: Buffer.from(' again') },
        { kind: 'delete', name: 'X-Odd', occurrence: 1 },
        { kind: 'delete', name: 'X-Odd', occurrence: 2 },
      ],
      body: undefined,
    });
    tree.root.replaceContent('edited again\r\n');
    expect(tree.changes().body?.toString()).toBe('edited again\r\n');
  });

  it('reads its content fields from the new ones', async () => {
    const tree = await parse();
    tree.rebase([field('Content-Type', ' text/html')]);
    expect(tree.root.contentType).toBe('text/html');
  });
});
