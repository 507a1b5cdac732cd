/** Files that are uuencoded in a text. */
import { describe, expect, it } from 'vitest';
import { appendText, createPart, defang, inspect, parseMessage, readView } from '../../../lib/mime/index.ts';
import { decodeFile, encodeFile, findFiles } from '../../../lib/mime/uuencode.ts';
import { makeZip } from '../../fixtures/mime/archives.ts';
import { growth } from '../../fixtures/mime/cost.ts';

const file = (name: string, content: Buffer | string) =>
  encodeFile(Buffer.from(content as string), name, '\r\n').toString();
const mail = (text: string, fields = 'Content-Type: text/plain') =>
  parseMessage(Buffer.from(`From: a@example.com\r\n${fields}\r\n\r\n${text}`, 'latin1'));

describe('a file in a text', () => {
  const text = `see below\r\n${file('evil.exe', 'MZ')}that was it\r\n${file('b.txt', 'b')}end of text\r\n`;

  it('is found with its name and its content', () => {
    const { root } = mail(text);
    expect(root.children).toEqual([]);
    expect(root.files.map((part) => [part.names, part.contentType, part.content().toString()])).toEqual([
      [['evil.exe'], 'application/octet-stream', 'MZ'],
      [['b.txt'], 'application/octet-stream', 'b'],
    ]);
    expect([...root.walk()]).toEqual([root, ...root.files]);
    expect(root.text()).toBe(text);
  });

  it.each(['defang', 'remove'] as const)(
    'goes from content that was put there before: %s',
    async (action) => {
      for (const fields of ['', '\r\nContent-Transfer-Encoding: quoted-printable']) {
        const page = mail(
          `<p><script>x</script>\r\n${file('evil.exe', 'MZ')}</p>`,
          `Content-Type: text/html${fields}`,
        );
        const { removed, html } = await defang(page, { action, warning: () => 'gone' });
        expect([removed.length, html.length]).toEqual([1, 1]);
        const clean = `<p>\r\n${action === 'defang' ? 'gone\r\n' : ''}</p>`;
        expect(page.root.text()).toBe(clean);
        expect(parseMessage(page.toBytes()).root.text()).toBe(clean);
      }
    },
  );

  it.each(['defang', 'remove'] as const)(
    'takes a text along that might become a message: %s',
    async (action) => {
      const hidden =
        'Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: application/octet-stream; name=b.exe\r\n\r\nx\r\n--q--\r\n';
      const message = mail(
        `--a\r\n\r\nhello\r\n--a\r\nContent-Type: text/plain; name=a.eml\r\n\r\n${file('a.exe', 'MZ')}${hidden}--a--\r\n`,
        'Content-Type: multipart/mixed; boundary=a',
      );
      await defang(message, { action });
      expect(await inspect(parseMessage(message.toBytes()))).toEqual([]);
    },
  );

  it('becomes a warning, or goes, without harm to the rest', async () => {
    const message = mail(text);
    const { removed } = await defang(message, { warning: () => 'gone: é' });
    expect(removed).toMatchObject([{ names: ['evil.exe'], reason: { kind: 'extension' } }]);
    expect(removed[0]?.bytes.toString()).toBe(file('evil.exe', 'MZ'));
    const rest = text.replace(file('evil.exe', 'MZ'), '');
    expect(message.root.text()).toBe(text.replace(file('evil.exe', 'MZ'), 'gone: ?\r\n'));
    expect(parseMessage(message.toBytes()).root.text()).toBe(message.root.text());
    const other = mail(text);
    await defang(other, { action: 'remove' });
    expect(other.root.text()).toBe(rest);
    expect(other.toBytes().toString()).toBe(`From: a@example.com\r\nContent-Type: text/plain\r\n\r\n${rest}`);
  });

  it('is renamed and changed in place', () => {
    const message = mail(text);
    const [, second] = message.root.files;
    second?.rename('c.txt');
    expect(message.root.text()).toBe(text.replace(' b.txt', ' c.txt'));
    second?.replaceContent(Buffer.from('other'));
    const again = parseMessage(message.toBytes());
    expect(again.root.files.map((part) => part.content().toString())).toEqual(['MZ', 'other']);
  });

  it.each(['quoted-printable', 'base64'] as const)('is found in a %s text', async (encoding) => {
    const part = createPart({ content: `${text}ä` });
    part.headers.set('Content-Transfer-Encoding', encoding);
    part.replaceContent(text);
    const body = encoding === 'base64' ? Buffer.from(text).toString('base64') : text.replaceAll('=', '=3D');
    const message = mail(body, `Content-Type: text/plain\r\nContent-Transfer-Encoding: ${encoding}`);
    expect((await defang(message)).removed).toMatchObject([{ names: ['evil.exe'] }]);
    const again = parseMessage(message.toBytes());
    expect(again.root.encoding).toBe(encoding);
    expect(again.root.text()).toContain('that was it');
    expect(again.root.files.map(({ names }) => names)).toEqual([['b.txt']]);
  });

  it.each([
    ['in HTML', 'Content-Type: text/html', `<pre>\r\n${file('a.exe', 'x')}</pre>`],
    ['in a text without a type', 'Subject: x', file('a.exe', 'x')],
    ['at once', 'Content-Type: text/plain', file('a.exe', 'x')],
    ['that is cut short', 'Content-Type: text/plain', 'begin 644 a.exe\r\n#0V%T'],
    ['without data', 'Content-Type: text/plain', 'hello\r\nbegin 755 a.exe\r\n\r\nmore'],
    ['in base64', 'Content-Type: text/plain', 'begin-base64 644 a.exe\r\nTVo=\r\n====\r\n'],
    [
      'in yEnc',
      'Content-Type: text/plain',
      '=ybegin line=128 size=2 name=a.exe\r\n\x77\x84\r\n=yend size=2\r\n',
    ],
    [
      'in yEnc whose escape is none and so stands as it is',
      'Content-Transfer-Encoding: quoted-printable',
      '=ybegin line=3D80 size=3D2 name=3Da.exe\r\nMZ\r\n=yend size=3D2\r\n',
    ],
    ['with spaces in its name', 'Content-Type: text/plain', file('my holiday.exe', 'x')],
    [
      'that is an archive',
      'Content-Type: text/plain',
      file('a.zip', makeZip([{ name: 'a.exe', content: 'x' }])),
    ],
    [
      'that is a message',
      'Content-Type: text/plain',
      file('a.eml', 'Content-Type: x/y; name=a.exe\r\n\r\nx'),
    ],
    ['that is a program', 'Content-Type: text/plain', file('a.gif', 'MZ\x90\0')],
  ])('is known %s', async (_, fields, body) => {
    const message = mail(body, fields);
    expect(await inspect(message)).toHaveLength(1);
    expect((await defang(message)).removed).toHaveLength(1);
    expect(await inspect(parseMessage(message.toBytes()))).toEqual([]);
  });

  it.each(['begin with this\r\nend\r\n', 'begin 644\r\n', ' begin 644 a.exe\r\n', 'to begin 644 a.exe\r\n'])(
    'is none in %j',
    (prose) => {
      expect(mail(prose).root.files).toEqual([]);
    },
  );

  it('is among the attachments of a view, and stays when text is added', async () => {
    const message = mail(text);
    expect((await readView(message)).attachments.map(({ names }) => names)).toEqual([
      ['evil.exe'],
      ['b.txt'],
    ]);
    await defang(message);
    appendText(message, { text: 'footer' });
    const again = parseMessage(message.toBytes());
    expect(again.root.text()).toMatch(/footer$/);
    expect(again.root.files.map(({ names }) => names)).toEqual([['b.txt']]);
  });
});

describe('a uuencoded part', () => {
  it('is called what its first line says, too', async () => {
    const message = mail(
      file('evil.exe', 'x'),
      'Content-Type: application/octet-stream; name=a.txt\r\nContent-Transfer-Encoding: x-uuencode',
    );
    expect(message.root.names).toEqual(['a.txt', 'evil.exe']);
    expect((await defang(message)).removed).toHaveLength(1);
    const other = mail(file('evil.exe', 'x'), 'Content-Transfer-Encoding: uuencode');
    other.root.rename('good.txt');
    expect(parseMessage(other.toBytes()).root.names).toEqual(['good.txt']);
    expect(parseMessage(other.toBytes()).root.content().toString()).toBe('x');
  });
});

describe('uuencode', () => {
  it.each([0, 1, 2, 3, 44, 45, 46, 1000])('reads %d bytes as they were written', (length) => {
    const content = Buffer.from(Array.from({ length }, (_, i) => (i * 7) & 255));
    const written = encodeFile(content, 'a b.bin', '\n');
    expect(decodeFile(written)).toEqual(content);
    expect(findFiles(written)).toEqual([{ name: 'a b.bin', start: 0, end: written.length }]);
    const spaces = Buffer.from(written.toString().replaceAll('`', ' ').replace(/ +$/gm, ''));
    if (length > 0) expect(decodeFile(spaces)).toEqual(content);
  });

  it.each([
    ['begins', (n: number) => 'begin 644 a.exe\n'.repeat(n)],
    ['half begins', (n: number) => 'begin 6\n'.repeat(n)],
    ['data', (n: number) => `begin 644 a\n${'M'.repeat(60)}\n`.repeat(n / 10)],
    ['one endless line', (n: number) => `begin 644 ${'a'.repeat(n * 10)}`],
    ['yEnc', (n: number) => '=ybegin name=\n'.repeat(n)],
  ])('takes time in proportion to its %s', (_, make) => {
    const makeWork = (n: number) => {
      const text = Buffer.from(make(n));
      return () => {
        for (const { start, end } of findFiles(text)) decodeFile(text.subarray(start, end));
      };
    };
    expect(growth(makeWork, 5000)).toBeLessThan(30);
  });
});
