/** Where messages are, and what envelope they had. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readCorpus, readItem } from '../../../lib/cli/corpus.ts';
import { guessEnvelope } from '../../../lib/cli/envelope.ts';
import { folderWith } from '../../helpers/configured.ts';

async function messagesOf(path: string): Promise<string[]> {
  const messages: string[] = [];
  for await (const item of readCorpus([path])) messages.push((await readItem(item)).toString('latin1'));
  return messages;
}

describe('an mbox', () => {
  it('is parted at lines "From " behind an empty line, and unquoted', async () => {
    const folder = folderWith({
      mbox: 'From a\nA: 1\n\nx\nFrom here on\n>From me\n>>From you\n\nFrom b\r\nB: 2\r\n\r\nx\r\n\r\nFrom c\nC: 3\n\n',
    });
    expect(await messagesOf(join(folder, 'mbox'))).toEqual([
      'A: 1\n\nx\nFrom here on\nFrom me\n>From you\n\n',
      'B: 2\r\n\r\nx\r\n\r\n',
      'C: 3\n\n',
    ]);
  });

  it('may be larger than what is read at once, wherever that ends', async () => {
    const folder = folderWith({});
    const count = 40;
    // Messages of odd sizes: separators fall on every side of the ends of what is read.
    const bodies = Array.from({ length: count }, (_, i) => `N: ${i}\n\n${'x'.repeat(99_990 + 7 * i)}\n\n`);
    writeFileSync(join(folder, 'mbox'), bodies.map((body) => `From x\n${body}`).join(''));
    expect(await messagesOf(join(folder, 'mbox'))).toEqual(bodies);
  });

  it('is split exactly where what is read at once ends', async () => {
    const folder = folderWith({});
    for (let shift = 0; shift < 10; shift++) {
      const first = `A: 1\n\n${'x'.repeat((1 << 20) - 20 + shift)}\n\n`;
      writeFileSync(join(folder, 'mbox'), `From x\n${first}From y\nB: 2\n\n`);
      expect(await messagesOf(join(folder, 'mbox'))).toEqual([first, 'B: 2\n\n']);
    }
  });
});

describe('the envelope of a stored message', () => {
  const eml = Buffer.from(`Return-Path: <bounce@list.example>
Delivered-To: bob@example.com
Received: by localhost
Received: from mail.list.example (mail.list.example [192.0.2.25]) by mx.example.com
From: Ann <ann@example.org>
To: list@list.example

hi
`);

  it('is what its headers tell', () => {
    expect(guessEnvelope(eml, {})).toEqual({
      sender: '<bounce@list.example>',
      recipients: ['bob@example.com'],
      client: { address: '192.0.2.25', hostname: 'mail.list.example' },
      helo: 'mail.list.example',
    });
  });

  it('is From and To where nothing else is known, and nobody where not even those are', () => {
    const plain = Buffer.from('From: Ann <ann@example.org>\nTo: bob@example.com, eve@example.com\n\n');
    expect(guessEnvelope(plain, {})).toMatchObject({
      sender: '<ann@example.org>',
      recipients: ['bob@example.com', 'eve@example.com'],
    });
    expect(guessEnvelope(Buffer.from('\n'), {})).toMatchObject({
      sender: '<>',
      client: { address: '192.0.2.1' },
    });
  });

  it('is what is said of all', () => {
    const known = { from: 'a@b.example', rcpt: ['c@d.example'], client: '203.0.113.5', helo: 'x.example' };
    expect(guessEnvelope(eml, known)).toEqual({
      sender: '<a@b.example>',
      recipients: ['c@d.example'],
      client: { address: '203.0.113.5', hostname: '[203.0.113.5]' },
      helo: 'x.example',
    });
  });

  it('has no control characters, whatever the headers hold', () => {
    const hostile = Buffer.from('Return-Path: <a\u0000\u001b@b.example>\nTo: "x\u0007y"@z.example\n\n');
    expect(JSON.stringify(guessEnvelope(hostile, {}))).not.toMatch(/\\u00/);
  });
});
