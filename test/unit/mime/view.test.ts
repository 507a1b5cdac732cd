import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createPart, parseMessage, readView } from '../../../lib/mime/index.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';

function fixture(name: string) {
  return parseMessage(readFileSync(join(import.meta.dirname, '../../fixtures/mime', `${name}.eml`)));
}

describe('the view of a message', () => {
  it('shows addresses, subject and date decoded', async () => {
    const bytes = createPart({
      content: 'text',
      headers: [
        ['From', '=?utf-8?Q?J=C3=BCrgen?= <j@example.com>'],
        ['To', 'team: a@example.com, "B, C" <b@example.com>;'],
        ['Subject', '=?iso-8859-1?Q?gr=FC=DFe?='],
        ['Date', 'Mon, 06 Jul 2026 10:00:00 +0200'],
      ],
    }).toBytes();
    expect(await readView(parseMessage(bytes))).toMatchObject({
      from: [{ name: 'Jürgen', address: 'j@example.com' }],
      to: [
        { name: '', address: 'a@example.com' },
        { name: 'B, C', address: 'b@example.com' },
      ],
      cc: [],
      subject: 'grüße',
      date: new Date('2026-07-06T08:00:00Z'),
      text: 'text',
      html: undefined,
      attachments: [],
    });
  });

  it('has the text and the HTML of an alternative, and the attachments beside it', async () => {
    const root = createPart({
      parts: [
        {
          contentType: 'multipart/alternative',
          parts: [{ content: 'plain' }, { contentType: 'text/html', content: '<b>rich ü</b>' }],
        },
        { name: 'ä.pdf', contentType: 'application/pdf', content: Buffer.alloc(3 << 20) },
        { message: { content: 'inner', headers: [['Subject', 'inner']] } },
      ],
    });
    const view = await readView(parseMessage(root.toBytes()));
    expect(view.text?.trim()).toBe('plain');
    expect(view.html).toBe('<b>rich ü</b>');
    expect(view.attachments.map(({ contentType, names }) => [contentType, ...names])).toEqual([
      ['application/pdf', 'ä.pdf'],
      ['message/rfc822'],
    ]);
  });

  it('sees through a wrong boundary', async () => {
    const message = parseMessage(
      Buffer.from('Content-Type: multipart/mixed\n\n--x\nContent-Type: text/plain\n\nhello\n--x--\n'),
    );
    expect((await readView(message)).text?.trim()).toBe('hello');
  });

  it('is there for odd messages too', async () => {
    for (const text of [
      '',
      '\n',
      'no header',
      'From: \n\n',
      'Content-Type: multipart/mixed; boundary=b\n\n--b\n'.repeat(300),
    ]) {
      expect(await readView(parseMessage(Buffer.from(text)))).toMatchObject({ to: [] });
    }
    expect((await readView(fixture('cut-off'))).attachments).toHaveLength(2);
  });

  it('leaves out what is beyond a mebibyte', async () => {
    const message = parseMessage(Buffer.from(`Subject: big\n\n${'line of text\n'.repeat(200_000)}`));
    const { text = '', subject } = await readView(message);
    expect(subject).toBe('big');
    expect(text.length).toBeGreaterThan(500_000);
    expect(text.length).toBeLessThanOrEqual(1 << 20);
  });
});

it('says in one line what to install where mailparser is missing', async () => {
  await using directory = await temporaryDirectory();
  const folder = directory.path;
  const root = join(import.meta.dirname, '../../..');
  cpSync(join(root, 'lib'), join(folder, 'lib'), { recursive: true });
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(join(root, 'node_modules/htmlparser2'), join(folder, 'node_modules/htmlparser2'));
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const script = `
    import { parseMessage, readView } from './lib/mime/index.ts';
    await readView(parseMessage(Buffer.from('Subject: x'))).catch((error) => console.log(error.code, error.message));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect(stdout, stderr).toBe('ERR_MILTER_UNSUPPORTED readView needs mailparser: npm install mailparser\n');
});
