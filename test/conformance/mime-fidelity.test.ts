import { describe, expect, it } from 'vitest';
import type { Part } from '../../lib/mime/index.ts';
import { createPart, parseMessage, parseMessageStream } from '../../lib/mime/index.ts';
import { haveMimeCases, mails } from './mime-cases.ts';

function* chunksOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

/** The tree as text: types, names and sizes, indented. */
function outline(part: Part, indent = ''): string {
  const line = `${indent}${part.contentType} ${part.names.join('|')} ${part.content().length}\n`;
  return line + part.children.map((child) => outline(child, `${indent} `)).join('');
}

describe.skipIf(!haveMimeCases)('mails of other projects', () => {
  it('come out byte-identical when nothing is changed', () => {
    const different = mails().filter(({ bytes }) => !parseMessage(bytes).toBytes().equals(bytes));
    expect(different.map(({ name }) => name)).toEqual([]);
  });

  it('give the same tree in chunks of 1, 7 and 4096 bytes', async () => {
    const different: string[] = [];
    for (const { name, bytes } of mails()) {
      const whole = outline(parseMessage(bytes).root);
      // A byte at a time says the same of a megabyte as of a kilobyte, only slower.
      for (const size of bytes.length > 100_000 ? [4096] : [1, 7, 4096]) {
        const chunked = await parseMessageStream(chunksOf(bytes, size));
        if (outline(chunked.root) !== whole || !chunked.toBytes().equals(bytes))
          different.push(`${name} by ${size}`);
      }
    }
    expect(different).toEqual([]);
  });

  it('are written back identical when their multiparts are taken apart and put together again', () => {
    const different: string[] = [];
    for (const { name, bytes } of mails()) {
      const message = parseMessage(bytes);
      for (const part of message.parts()) {
        if (!part.contentType.startsWith('multipart/') || part.children.length === 0 || isEncodedInside(part))
          continue;
        part.insert(createPart({ contentType: 'text/plain', content: 'for a moment' }), 0);
        part.children[0]?.remove();
      }
      if (!message.toBytes().equals(bytes)) different.push(name);
    }
    expect(different).toEqual([]);
  });

  it('keep every other byte when one leaf is replaced', () => {
    const wrong: string[] = [];
    for (const { name, bytes } of mails()) {
      const leaves = leavesOf(parseMessage(bytes).root);
      for (let i = 0; i < Math.min(leaves.length, 40); i++) {
        const message = parseMessage(bytes);
        const leaf = leavesOf(message.root)[i];
        if (!leaf) continue;
        const before = leaf.toBytes();
        leaf.replaceContent('replaced by a test');
        const after = leaf.toBytes();
        const out = message.toBytes();
        const again = leavesOf(parseMessage(out).root)[i];
        if (again?.content().toString().trimEnd() !== 'replaced by a test')
          wrong.push(`${name} leaf ${i}: not found again`);
        if (isEncodedInside(leaf)) continue;
        // The edited part stands where the old one stood, all before and behind it as it was.
        const at = firstDifference(bytes, out);
        const start = bytes.indexOf(before, Math.max(0, at - before.length));
        const tail = bytes.subarray(start + before.length);
        const restored = Buffer.concat([out.subarray(0, start), before, out.subarray(start + after.length)]);
        const hadBreak = out.subarray(start + after.length);
        if (start < 0 || !(restored.equals(bytes) || endsWithBreakBefore(hadBreak, tail)))
          wrong.push(`${name} leaf ${i}`);
      }
    }
    expect(wrong).toEqual([]);
  });
});

function leavesOf(root: Part): readonly Part[] {
  return [...root.walk()].filter((part) => part.children.length === 0);
}

/** Whether a part lies in the decoded body of another. */
function isEncodedInside(part: Part): boolean {
  for (let outer = part.parent; outer; outer = outer.parent) if (outer.encoding !== 'identity') return true;
  return false;
}

/** A delimiter that followed another without a line between needs a line break of its own once there is content. */
function endsWithBreakBefore(rest: Buffer, tail: Buffer): boolean {
  return ['\r\n', '\n'].some((lineEnd) => rest.equals(Buffer.concat([Buffer.from(lineEnd), tail])));
}

function firstDifference(a: Buffer, b: Buffer): number {
  let i = 0;
  while (i < a.length && a[i] === b[i]) i++;
  return i;
}
