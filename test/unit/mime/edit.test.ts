import { describe, expect, it } from 'vitest';
import { makeHeader } from '../../../lib/headers.ts';
import {
  appendText,
  createPart,
  type MimeMessage,
  parseHeadersAndBody,
  parseMessage,
  prependText,
} from '../../../lib/mime/index.ts';

function crlf(...lines: readonly string[]): string {
  return lines.join('\r\n');
}

const MIXED = crlf(
  'Subject: two parts',
  'Content-Type: multipart/mixed; boundary="b"',
  '',
  'preamble',
  '--b',
  'Content-Type: text/plain; charset=iso-8859-1',
  '',
  'first',
  '--b',
  'Content-Type: application/octet-stream; name="a.exe"',
  'Content-Transfer-Encoding: base64',
  '',
  'TVo=',
  '--b--',
  'epilogue',
  '',
);

function parse(text: string): MimeMessage {
  return parseMessage(Buffer.from(text, 'latin1'));
}

function written(message: MimeMessage): string {
  return message.toBytes().toString('latin1');
}

describe('a part', () => {
  it('gets new content in its own transfer encoding', () => {
    const message = parse(MIXED);
    message.root.children[1]?.replaceContent(Buffer.from('harmless'));
    expect(written(message)).toBe(MIXED.replace('TVo=', 'aGFybWxlc3M='));
  });

  it('gets new text in its own charset', () => {
    const message = parse(MIXED);
    message.root.children[0]?.replaceContent('grün');
    expect(written(message)).toContain(
      crlf(
        'Content-Type: text/plain; charset=iso-8859-1',
        'Content-Transfer-Encoding: quoted-printable',
        '',
        'gr=FCn',
        '--b',
      ),
    );
    expect(message.root.children[0]?.text()).toBe('grün');
  });

  it('becomes UTF-8 when its charset cannot hold the text', () => {
    const message = parse(MIXED);
    message.root.children[0]?.replaceContent('日本');
    expect(message.root.children[0]?.contentTypeParameters).toEqual({ charset: 'utf-8' });
    expect(parse(written(message)).root.children[0]?.text()).toBe('日本');
  });

  it.each(['x-unknown', 'iso-2022-jp', 'gb2312'])('gets ASCII text in %s without another word', (charset) => {
    const head = `Content-Type: text/plain; charset=${charset}\r\n\r\n`;
    const message = parse(`${head}old`);
    message.root.replaceContent('new');
    expect(written(message)).toBe(`${head}new`);
  });

  it('is not touched by equal content', () => {
    const message = parse(MIXED);
    for (const part of message.root.children) part.replaceContent(Buffer.from(part.content()));
    expect(message.changed).toBe(false);
    expect(message.changes()).toEqual({ headers: [], body: undefined });
  });

  it('is encoded when a line of it would be a delimiter', () => {
    const message = parse(MIXED);
    message.root.children[0]?.replaceContent('--b\nnot a part');
    expect(parse(written(message)).root.children.map((part) => part.contentType)).toEqual([
      'text/plain',
      'application/octet-stream',
    ]);
    expect(parse(written(message)).root.children[0]?.text()).toBe('--b\r\nnot a part');
  });

  it('keeps its content when its header is edited', () => {
    const message = parse(MIXED);
    const [, part] = message.root.children;
    part?.headers.remove('content-transfer-encoding');
    expect(part?.content().toString()).toBe('MZ');
  });

  it('can be removed, its delimiter with it', () => {
    const message = parse(MIXED);
    message.root.children[0]?.remove();
    expect(written(message)).toBe(
      MIXED.replace(crlf('--b', 'Content-Type: text/plain; charset=iso-8859-1', '', 'first', ''), ''),
    );
  });

  it('can be renamed and retyped, everything else in its fields staying', () => {
    const message = parse(MIXED);
    const [, part] = message.root.children;
    part?.rename('ä b.txt');
    part?.headers.add('Content-Description', 'renamed');
    expect(part?.names).toEqual(['ä b.txt']);
    expect(parse(written(message)).root.children[1]?.names).toEqual(['ä b.txt']);
    part?.retype('text/x-log');
    expect(part?.contentType).toBe('text/x-log');
    expect(part?.names).toEqual([]);
  });

  it('goes where it is inserted', () => {
    const message = parse(MIXED);
    message.root.insert(createPart({ content: 'between', name: 'n.txt' }), 1);
    const again = parse(written(message));
    expect(again.root.children.map((part) => part.text().trim())).toEqual(['first', 'between', 'MZ']);
    expect(written(message).replace(/--b\r\nContent-Type: text\/plain;\r\n[\s\S]*?between\r\n/, '')).toBe(
      MIXED,
    );
  });

  it('may be put into a multipart that has no boundary yet', () => {
    const message = parse(crlf('Content-Type: multipart/mixed', '', 'nothing to see', ''));
    message.root.insert(createPart({ content: 'here' }));
    expect(parse(written(message)).root.children.map((part) => part.text())).toEqual(['here']);
  });

  it('inside an encoded message is written back in that encoding', () => {
    const inner = Buffer.from(crlf('Subject: inner', '', 'old'));
    const message = parse(
      crlf(
        'Content-Type: message/rfc822',
        'Content-Transfer-Encoding: base64',
        '',
        inner.toString('base64'),
        '',
      ),
    );
    message.root.children[0]?.replaceContent('new');
    const again = parse(written(message));
    expect(again.root.children[0]?.headers.get('subject')?.value).toBe('inner');
    expect(again.root.children[0]?.text()).toBe('new');
  });

  it.each([
    ['the root removed', (message: MimeMessage) => message.root.remove()],
    [
      'a part put into a leaf',
      (message: MimeMessage) => message.root.children[0]?.insert(createPart({ content: '' })),
    ],
    ['a part put in twice', (message: MimeMessage) => message.root.insert(message.root)],
    ['a foreign line that delimits here', (m: MimeMessage) => m.root.insert(parse('\r\n--b\r\n').root)],
    ['a header with a line break', (message: MimeMessage) => message.root.headers.set('X', 'a\r\nBcc: b')],
    ['a header with a bad name', (message: MimeMessage) => message.root.headers.set('X Y', 'a')],
    ['no type', (message: MimeMessage) => message.root.retype('text')],
  ])('refuses %s', (_, edit) => {
    const message = parse(MIXED);
    expect(() => edit(message)).toThrow(TypeError);
    expect(written(message)).toBe(MIXED);
  });
});

describe('an edit of an odd message', () => {
  it.each([
    [
      'in a uuencoded message',
      'Content-Type: message/rfc822\r\nContent-Transfer-Encoding: x-uuencode\r\n',
      '\0',
    ],
    ['in a message that ends with its header', 'Content-Type: message/rfc822\r\n', '\r\n'],
    ['behind a lone CR', 'Subject: x\n\r', '--b\r\nx'],
    [
      'of what would be a declared boundary',
      'Content-Type: multipart/mixed; boundary=b\n\n--c\nContent-ID: x\n\n',
      '--b\r\nx',
    ],
    ['of a part that has no header', 'no header here', 'Subject: x\r\n\r\ny'],
    [
      'of a part between two delimiters',
      'Content-Type: multipart/mixed; boundary=b\n\n--b\n--b--\n',
      'text\n',
    ],
  ])('is read back when it is made %s', (_, received, wanted) => {
    const message = parse(received);
    const leaf = [...message.parts()].findLast((part) => part.children.length === 0);
    leaf?.replaceContent(Buffer.from(wanted));
    const again = [...parse(written(message)).parts()].findLast((part) => part.children.length === 0);
    expect(again?.content().toString()).toBe(wanted);
  });

  it('takes fields into the wrapped part byte for byte', () => {
    const message = parse('Content-Disposition: attachment; filename=a\r!\r\nContent-ID : <x>\r\n\r\nbody');
    message.root.wrap();
    expect(written(message)).toContain(
      'Content-Disposition: attachment; filename=a\r!\r\nContent-ID : <x>\r\n\r\nbody\r\n--=_',
    );
  });

  it('leaves no line in front of the header that is no field', () => {
    const message = parse('Content-ID: <x>\r\nodd line\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n');
    message.root.headers.remove('content-id');
    expect(parse(written(message)).root.contentType).toBe('multipart/mixed');
  });
});

describe('the changes of a message', () => {
  const headers = [
    makeHeader('Received', Buffer.from(' from a\n\tby b')),
    makeHeader('Received', Buffer.from(' from c')),
    makeHeader('subject', Buffer.from('no space')),
    makeHeader('Content-Type', Buffer.from(' text/plain')),
  ];

  function received(): Promise<MimeMessage> {
    return parseHeadersAndBody(headers, Buffer.from('body\r\n'));
  }

  it('are none without edits, fields being what they were', async () => {
    const message = await received();
    expect([...message.root.headers].map(({ name }) => name)).toEqual([
      'Received',
      'Received',
      'subject',
      'Content-Type',
    ]);
    expect(message.changes()).toEqual({ headers: [], body: undefined });
  });

  it('are counted as received', async () => {
    const message = await received();
    message.root.headers.remove('received');
    message.root.headers.set('Subject', 'new\r\n\tfolded');
    message.root.headers.add('X-New', 'value');
    expect(message.changes()).toEqual({
      headers: [
        { kind: 'delete', name: 'Received', occurrence: 1 },
        { kind: 'delete', name: 'Received', occurrence: 2 },
        { kind: 'change', name: 'subject', occurrence: 1, raw: Buffer.from(' new\n\tfolded') },
        { kind: 'add', name: 'X-New', raw: Buffer.from(' value') },
      ],
      body: undefined,
    });
  });

  it('hold the body only when it changed', async () => {
    const message = await received();
    message.root.replaceContent('other\n');
    expect(message.changes()).toEqual({ headers: [], body: Buffer.from('other\r\n') });
  });

  it('leave a field out that was set back', async () => {
    const message = await received();
    message.root.headers.set('Subject', 'new');
    message.root.headers.set('Subject', Buffer.from('no space'));
    expect(message.changes().headers).toEqual([]);
  });

  it('are found without holding the event loop, however odd the message', async () => {
    let turns = 0;
    const turning = setInterval(() => turns++);
    const type = makeHeader('Content-Type', Buffer.from(' multipart/mixed; boundary=b'));
    const message = await parseHeadersAndBody([type], Buffer.from('--x\r\n'.repeat(1_000_000)));
    clearInterval(turning);
    expect(turns).toBeGreaterThan(1);
    expect(message.changes()).toEqual({ headers: [], body: undefined });
  });

  it('take odd field names for what the sender of the fields says they are', async () => {
    const message = await parseHeadersAndBody(
      [makeHeader('bad name', Buffer.from(' x')), ...headers],
      Buffer.from('body\r\n'),
    );
    expect(message.root.text()).toBe('body\r\n');
    expect(message.root.contentType).toBe('text/plain');
  });
});

describe('text added to a message', () => {
  it('goes into every version of the body', () => {
    const message = parseMessage(
      createPart({
        contentType: 'multipart/alternative',
        parts: [
          { content: 'plain\n' },
          { contentType: 'text/html', content: '<html><body><p>rich</p></body></html>' },
        ],
      }).toBytes(),
    );
    prependText(message, { text: 'CAUTION <external>' });
    appendText(message, { text: 'ünïcode', html: '<i>ünïcode</i>' });
    const [plain, html] = parseMessage(message.toBytes()).root.children;
    expect(plain?.text()).toBe('CAUTION <external>\r\nplain\r\nünïcode');
    expect(html?.text()).toBe(
      '<html><body><p>CAUTION &lt;external&gt;</p><p>rich</p><i>&#252;n&#239;code</i></body></html>',
    );
  });

  it('stays in the charset of the body if that holds it', () => {
    const message = parse(
      crlf('Content-Type: text/plain; charset=koi8-r', 'Content-Transfer-Encoding: 8bit', '', '\xd0\xd2', ''),
    );
    appendText(message, { text: 'привет' });
    expect(written(message)).toContain('charset=koi8-r');
    expect(parse(written(message)).root.text()).toBe('пр\r\nпривет');
  });

  it.each(['multipart/signed', 'application/pdf', 'multipart/encrypted'])(
    'is a part of its own beside %s',
    (type) => {
      const original = crlf(
        'Subject: s',
        `Content-Type: ${type}; boundary=x`,
        '',
        '--x',
        '',
        'part',
        '--x--',
        '',
      );
      const message = parse(original);
      appendText(message, { text: 'added' });
      const again = parse(written(message));
      expect(again.root.contentType).toBe('multipart/mixed');
      expect(again.root.children.map((part) => part.contentType)).toEqual([type, 'text/plain']);
      // What was signed is what it was, byte for byte.
      expect(again.root.children[0]?.toBytes().toString('latin1')).toBe(
        original.slice('Subject: s\r\n'.length),
      );
      expect(again.root.headers.get('Subject')?.value).toBe('s');
    },
  );

  it('is a part of a mixed message without body text', () => {
    const message = parse(
      crlf(
        'Content-Type: multipart/mixed; boundary=x',
        '',
        '--x',
        'Content-Type: image/gif',
        '',
        'GIF',
        '--x--',
        '',
      ),
    );
    prependText(message, { text: 'look' });
    expect(parse(written(message)).root.children.map((part) => part.contentType)).toEqual([
      'text/plain',
      'image/gif',
    ]);
  });
});

describe('fields of one name', () => {
  const received = crlf('A: 1', 'X: one', 'B: 2', 'x: two', 'X: three', '', 'body', '');

  it('are rewritten in place, taken out, or left alone', () => {
    const message = parse(received);
    const { headers } = message.root;
    const values: Record<string, string | null | undefined> = { one: 'eins', two: null };
    headers.rewrite('X', ({ value }) => values[value]);
    expect(written(message)).toBe(crlf('A: 1', 'X: eins', 'B: 2', 'X: three', '', 'body', ''));
    expect(headers.changes()).toEqual([
      { kind: 'change', name: 'X', occurrence: 1, raw: Buffer.from(' eins') },
      { kind: 'delete', name: 'x', occurrence: 2 },
    ]);
  });

  it('that all stay as they are leave no trace', () => {
    const message = parse(received);
    message.root.headers.rewrite('X', () => undefined);
    message.root.headers.rewrite('nothing', () => 'x');
    expect(message.root.headers.changed).toBe(false);
  });

  it('take no value that would be another field', () => {
    expect(() => parse(received).root.headers.rewrite('X', () => 'a\nB: c')).toThrow(TypeError);
  });
});
