/** What a filter builds on: what is poisonous without a change, what can be done about it, and what must not be touched. */
import { describe, expect, it } from 'vitest';
import {
  appendText,
  createPart,
  defang,
  disarm,
  explainPoison,
  extensionsOf,
  inspect,
  type MimeMessage,
  parseMessage,
  programFormat,
  sealOf,
} from '../../../lib/mime/index.ts';
import { makeZip } from '../../fixtures/mime/archives.ts';

function mail(...parts: readonly Parameters<typeof createPart>[0][]): MimeMessage {
  const headers = [['From', 'a@example.com']] as const;
  return parseMessage(createPart({ headers, parts: [{ content: 'hello' }, ...parts] }).toBytes());
}

describe('inspecting', () => {
  it('tells every reason of every part, and changes nothing', async () => {
    const zip = makeZip([
      { name: 'a.exe', content: 'x' },
      { name: 'b.gif', content: 'MZ\0' },
      { name: 'c.rar', content: 'x' },
      { name: 'd.txt', content: 'x', encrypted: true },
    ]);
    const message = mail(
      { name: 'a.zip', content: zip },
      { name: 'e.exe', contentType: 'application/x-msdownload', content: Buffer.from('MZ\0') },
      { message: { name: 'f.scr', content: 'x' } },
    );
    const found = await inspect(message);
    expect(message.changed).toBe(false);
    expect(found.map(({ part, reasons }) => [part.names[0], reasons.map(({ kind }) => kind)])).toEqual([
      ['a.zip', ['extension', 'program', 'archive', 'archive']],
      ['e.exe', ['extension', 'content-type', 'program']],
      ['f.scr', ['extension']],
    ]);
    expect(found[0]?.reasons.slice(2)).toMatchObject([
      { problem: { kind: 'encrypted', path: 'a.zip' } },
      { problem: { kind: 'unread', path: 'a.zip/c.rar', format: 'rar' } },
    ]);
    expect(found[0]?.reasons.map(explainPoison)).toEqual([
      'it contains "a.zip/a.exe", and files ending in .exe are not let through',
      'it contains "a.zip/b.gif", which is a Windows program',
      'the archive "a.zip" is encrypted',
      'the archive "a.zip/c.rar" (rar) cannot be examined',
    ]);
    expect(await inspect(message, { messages: false, programs: false })).toHaveLength(2);
  });

  it('tells encrypted archives from broken ones, and those from bombs', async () => {
    const kindOf = async (content: Buffer, limits = {}) => {
      const found = await inspect(mail({ name: 'a.zip', content }), { archives: limits });
      return found.flatMap(({ reasons }) =>
        reasons.map((reason) => (reason.kind === 'archive' ? reason.problem.kind : reason.kind)),
      );
    };
    const zip = makeZip([{ name: 'a.txt', content: 'x'.repeat(1000) }]);
    expect(await kindOf(zip)).toEqual([]);
    expect(await kindOf(zip.subarray(0, 60))).toEqual(['corrupt']);
    expect(await kindOf(makeZip([{ name: 'a.txt', content: 'x', encrypted: true }]))).toEqual(['encrypted']);
    expect(await kindOf(makeZip([{ name: 'a.zip', content: zip }]), { inflatedBytes: 10 })).toEqual([
      'limit',
    ]);
  });

  it('refuses what it does not know', async () => {
    await expect(inspect(mail(), { extension: [] } as never)).rejects.toThrow('did you mean "extensions"');
  });
});

describe('a poisonous part', () => {
  const make = () =>
    mail({ name: 'é.exe', content: Buffer.from('MZ\0') }, { name: 'b.pdf', content: Buffer.from('%PDF') });

  it('can be renamed, and its content stays', async () => {
    const message = make();
    const { removed, modified } = await defang(message, { action: 'rename', programs: false });
    expect(modified).toBe(true);
    expect(removed).toMatchObject([{ names: ['é.exe'] }]);
    const [, part, other] = parseMessage(message.toBytes()).root.children;
    expect(part?.names).toEqual(['é.exe.defang']);
    expect(part?.contentType).toBe('application/octet-stream');
    expect(part?.content().toString()).toBe('MZ\0');
    expect(other?.names).toEqual(['b.pdf']);
  });

  it('can be taken out, or be replaced where nothing else is there', async () => {
    const message = make();
    await defang(message, { action: 'remove' });
    expect(message.root.children.map(({ names }) => names[0])).toEqual([undefined, 'b.pdf']);
    for (const lonely of [
      createPart({ name: 'a.exe', content: 'x' }),
      createPart({ parts: [{ name: 'a.exe', content: 'x' }] }),
      createPart({ message: { name: 'a.exe', content: 'x' } }),
    ]) {
      const alone = parseMessage(lonely.toBytes());
      await defang(alone, { action: 'remove' });
      expect([...alone.parts()].flatMap(({ names }) => names)).toEqual(['WARNING.TXT']);
    }
  });

  it('is dealt with by its reasons, one after the other', async () => {
    const message = make();
    const asked: string[] = [];
    const { removed } = await defang(message, {
      action: (reason) => {
        asked.push(reason.kind);
        return reason.kind === 'program' ? 'remove' : 'keep';
      },
    });
    expect(asked).toEqual(['extension', 'program']);
    expect(removed).toMatchObject([{ reason: { kind: 'program' } }]);
    expect((await defang(make(), { action: () => 'keep' })).modified).toBe(false);
    await expect(defang(make(), { action: 'delete' as never })).rejects.toThrow('action');
  });

  it('can be disarmed by hand', () => {
    const message = make();
    const part = message.root.children[1];
    if (part) disarm(part, 'defang', 'gone');
    expect(parseMessage(message.toBytes()).root.children[1]?.text()).toBe('gone');
  });
});

describe('what is read is read once', () => {
  it('until it is edited', () => {
    const { root } = parseMessage(
      Buffer.from(
        'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nw6Q=\r\n',
      ),
    );
    const content = root.content();
    expect(root.content()).toBe(content);
    expect(root.contentHead(1).buffer).toBe(content.buffer);
    expect(root.text()).toBe('ä');
    root.replaceContent('ö');
    expect(root.text()).toBe('ö');
    expect(root.content()).toBe(root.content());
  });
});

describe('a seal', () => {
  const smime = (type: string) => ({
    contentType: 'application/pkcs7-mime',
    parameters: { 'smime-type': type },
    content: Buffer.from('x'),
  });

  it.each([
    ['nothing', createPart({ content: 'x' }), undefined],
    ['a signature', createPart({ contentType: 'multipart/signed', parts: [{ content: 'x' }] }), 'signed'],
    [
      'one within a list',
      createPart({ parts: [{ contentType: 'multipart/signed', parts: [{ content: 'x' }] }] }),
      'signed',
    ],
    [
      'encryption',
      createPart({ contentType: 'multipart/encrypted', parts: [{ content: 'x' }] }),
      'encrypted',
    ],
    ['S/MIME', createPart(smime('enveloped-data')), 'encrypted'],
    ['S/MIME that is signed', createPart(smime('signed-data')), 'signed'],
    ['a file of S/MIME', createPart({ name: 'smime.p7m', content: Buffer.from('x') }), 'encrypted'],
    ['PGP', createPart({ content: '-----BEGIN PGP MESSAGE-----\n\nx' }), 'encrypted'],
    ['a PGP signature', createPart({ content: 'hi\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: x' }), 'signed'],
    ['talk of PGP', createPart({ content: 'write -----BEGIN PGP MESSAGE----- first' }), undefined],
  ] as const)('is seen on a message with %s', (_, part, seal) => {
    const bytes = part.toBytes();
    const message = parseMessage(bytes);
    expect(sealOf(message)).toBe(seal);
    expect(appendText(message, { text: 'footer', sealed: 'leave' })).toBe(seal === undefined);
    expect(message.changed).toBe(seal === undefined);
  });
});

describe('a program', () => {
  it.each([
    ['Windows program', 'MZ\x90\0'],
    ['ELF program', '\x7fELF\x02'],
    ['Mach-O program', '\xcf\xfa\xed\xfe'],
    ['Mach-O program', '\xca\xfe\xba\xbe\0\0\0\x02'],
    ['Java class', '\xca\xfe\xba\xbe\0\0\0\x34'],
    ['Android program', 'dex\n035'],
    ['Windows shortcut', '\x4c\0\0\0\x01\x14\x02\0'],
    ['script', '#!/bin/sh\n'],
    ['script', '\xef\xbb\xbf#! /usr/bin/env python\n'],
    ['batch script', '\r\n@ECHO OFF\r\n'],
    ['Internet shortcut', '[InternetShortcut]\r\nURL=file://x'],
    [
      'Windows registry file',
      '\xff\xfeW\0i\0n\0d\0o\0w\0s\0 \0R\0e\0g\0i\0s\0t\0r\0y\0 \0E\0d\0i\0t\0o\0r\0 \0V\0e\0r\0s\0i\0o\0n\0',
    ],
    ['HTML application', '<html><head><HTA:APPLICATION id=x>'],
    ['Windows script', '<?xml version="1.0"?><job id="x"><script language="VBScript">'],
    [undefined, 'Subject: MZ'],
    [undefined, '<?xml version="1.0"?><package xmlns="x">'],
    [undefined, '#!not a path'],
    [undefined, ''],
  ])('is known by its bytes: %s', (format, bytes) => {
    expect(programFormat(Buffer.from(bytes, 'latin1'))).toBe(format);
  });

  it('is none where a person writes', async () => {
    expect(await inspect(parseMessage(Buffer.from('Subject: x\r\n\r\nMZ is short for\r\n')))).toEqual([]);
    expect(await inspect(parseMessage(Buffer.from('Subject: x\r\n\r\n#!/bin/sh is a start\r\n')))).toEqual(
      [],
    );
    expect(await inspect(mail({ name: 'a.txt', content: '#!/bin/sh\n' }))).toHaveLength(1);
  });
});

it('looks into archives for no more than four times as long as into one', async () => {
  const rar = { name: 'a.rar', content: 'Rar!\x1a\x07' };
  const problems = async (archives: { readonly time?: number }) =>
    (await inspect(mail(rar, rar), { archives })).flatMap(({ reasons }) =>
      reasons.map((reason) => reason.kind === 'archive' && reason.problem.kind),
    );
  expect(await problems({})).toEqual(['unread', 'unread']);
  expect(await problems({ time: 1e-9 })).toEqual(['unread', 'limit']);
});

it.each([
  ['a.TXT', ['txt']],
  ['evil.exe\0.txt', ['txt', 'exe']],
  ['evil.exe:stream.txt', ['txt', 'exe']],
  ['C:\\dir\\a.exe', ['exe']],
  ['Re: a.txt', ['txt']],
  ['none', []],
  ['a.', []],
])('the extensions of %j', (name, extensions) => {
  expect(extensionsOf(name)).toEqual(extensions);
});
