/** Bodies that readers read in several ways. */
import { describe, expect, it } from 'vitest';
import { defang, type MimeMessage, type Part, parseMessage } from '../../../lib/mime/index.ts';

const program = (name: string) => `Content-Type: application/octet-stream; name=${name}\r\n\r\nx\r\n`;
const inner = `Subject: inner\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n\r\nhello\r\n--q\r\n${program('run.exe')}--q--\r\n`;

function names(message: MimeMessage): readonly string[] {
  return [...message.parts()].flatMap((part) => part.names);
}

/** Defangs twice; the second time there must be nothing left. Answers what was removed. */
async function removed(message: MimeMessage): Promise<readonly string[]> {
  const { removed: parts } = await defang(message);
  expect(await defang(parseMessage(message.toBytes()))).toMatchObject({ modified: false });
  return parts.map(({ names: [name = ''] }) => name);
}

describe('an attached message', () => {
  const base64 = Buffer.from(inner).toString('base64');
  const quoted = inner.replaceAll('=', '=3D');

  it.each([
    ['as it stands', 'message/rfc822', '7bit', inner],
    ['encoded', 'message/rfc822', 'base64', base64],
    ['falsely labelled', 'message/rfc822', 'base64', inner],
    ['encoded, of a newer type', 'message/global', 'base64', base64],
    ['falsely labelled, of a newer type', 'message/global', 'base64', inner],
    ['in fragments, falsely labelled', 'message/partial; number=1', 'base64', inner],
    ['labelled as what it hardly is', 'message/rfc822', 'quoted-printable', inner],
    ['quoted', 'message/rfc822', 'quoted-printable', quoted],
    ['falsely uuencoded', 'message/rfc822', 'x-uuencode', inner],
    ['labelled twice', 'message/rfc822', '7bit\r\nContent-Transfer-Encoding: base64', base64],
    ['by its name', 'application/octet-stream; name=fwd.eml', '7bit', inner],
    ['by its name, encoded', 'application/octet-stream; name=fwd.EML', 'base64', base64],
    ['by its name, a text', 'text/plain; name=fwd.eml', '7bit', inner],
  ])('is looked into: %s', async (_, type, encoding, body) => {
    const bytes = Buffer.from(
      `Content-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}`,
    );
    const message = parseMessage(bytes);
    expect(names(message)).toContain('run.exe');
    expect(message.toBytes().equals(bytes)).toBe(true);
    expect(await removed(message)).toEqual(['run.exe']);
    expect(names(parseMessage(message.toBytes()))).toContain('WARNING.TXT');
  });

  it('stays as it is where nothing is poisonous, label and all', async () => {
    const bytes = Buffer.from(
      'Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nSubject: x\r\n\r\nhello',
    );
    const message = parseMessage(bytes);
    expect(message.root.children[0]?.headers.get('subject')?.value).toBe('x');
    await removed(message);
    expect(message.toBytes().equals(bytes)).toBe(true);
  });

  it('that is a message both ways is looked at both ways', async () => {
    // Who takes the label seriously skips all but the alphabet of base64, and finds another message.
    const other = Buffer.from(`xxxx:\r\n${inner}`).toString('base64');
    const literal = 'YWJj:\r\n\r\n';
    const body = `${literal}${other}`;
    const message = parseMessage(
      Buffer.from(`Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n${body}`),
    );
    expect(message.root.readings).toHaveLength(2);
    expect(await removed(message)).toEqual(['run.exe']);
  });

  it('is a leaf with a message in it where its name alone makes it one', () => {
    const { root } = parseMessage(Buffer.from(`Content-Type: application/x; name=a.eml\r\n\r\n${inner}`));
    expect(root.isLeaf).toBe(true);
    expect(root.content().toString()).toBe(inner);
    expect(root.children).toHaveLength(1);
    const { root: text } = parseMessage(
      Buffer.from('Content-Type: text/plain; name=a.eml\r\n\r\nhello there'),
    );
    expect(text.children).toEqual([]);
  });
});

describe('fields that contradict each other', () => {
  const parts = (boundary: string, name: string) => `--${boundary}\r\n${program(name)}--${boundary}--\r\n`;

  it.each([
    [
      'two types, parts last',
      'Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b',
      ['content-type'],
    ],
    [
      'two types, parts first',
      'Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain',
      ['content-type'],
    ],
    ['two boundaries', 'Content-Type: multipart/mixed; boundary=x; boundary=b', ['boundary']],
    [
      'two boundaries in two fields',
      'Content-Type: multipart/mixed; boundary=x\r\nContent-Type: multipart/mixed; boundary=b',
      ['boundary'],
    ],
    [
      'a boundary in two forms',
      "Content-Type: multipart/mixed; boundary=x; boundary*=us-ascii''b",
      ['boundary'],
    ],
    ['a boundary in a comment', 'Content-Type: multipart/mixed; (; boundary=b ;) boundary=x', ['boundary']],
    ['a comment behind the boundary', 'Content-Type: multipart/mixed; boundary=b(c)', ['boundary']],
  ])('are looked at by every reading and noted: %s', async (_, fields, problems) => {
    for (const decoy of ['', '--x\r\n\r\ndecoy\r\n']) {
      const bytes = Buffer.from(`${fields}\r\n\r\n${decoy}${parts('b', 'a.exe')}${decoy && '--x--\r\n'}`);
      const message = parseMessage(bytes);
      expect(message.problems).toMatchObject(
        problems.map((what) => ({ kind: 'ambiguous', what, offset: 0 })),
      );
      expect(names(message)).toContain('a.exe');
      expect(message.toBytes().equals(bytes)).toBe(true);
      expect(await removed(message)).toEqual(['a.exe']);
    }
  });

  it('are settled by the first edit inside a reading', () => {
    const message = parseMessage(
      Buffer.from(
        `Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n${parts('b', 'one')}${parts('c', 'two')}`,
      ),
    );
    const { root } = message;
    const [first, second] = root.readings;
    expect(first?.[0]?.names).toEqual(['one']);
    expect(second?.[0]?.names).toEqual(['two']);
    second?.[0]?.replaceContent('new');
    expect(root.children).toBe(root.readings[0]);
    expect(root.children[0]).toBe(second?.[0]);
    expect(first?.[0]?.parent).toBeUndefined();
    const [gone] = first ?? [];
    expect(gone && message.has(gone)).toBe(false);
    expect(message.root.children.every((part) => message.has(part))).toBe(true);
    const again = parseMessage(message.toBytes());
    expect(again.problems).toEqual([]);
    expect(again.root.contentTypeParameters).toEqual({ boundary: 'c' });
    expect(again.root.children.map((part: Part) => part.text())).toEqual(['new']);
  });

  it.each([
    ['Content-Transfer-Encoding: quoted-printable\r\nContent-Transfer-Encoding: base64', ''],
    ['Content-Transfer-Encoding: quoted-printable', 'Subject: a\r\n\r\nb\r\n'],
    ['Content-Type: text/html', 'Subject: a\r\n\r\nb\r\n'],
  ])('are settled by an edit that would open up another: %s', (field, body) => {
    const message = parseMessage(Buffer.from(`Content-Type: message/rfc822\r\n${field}\r\n\r\n${body}`));
    expect(message.root.readings).toHaveLength(1);
    const [inner] = message.root.children;
    for (const content of [Buffer.of(0), 'a=3D\r\n']) {
      inner?.replaceContent(content);
      const { root } = parseMessage(message.toBytes());
      expect(root.readings).toHaveLength(1);
      expect(root.children.map((part) => part.content())).toEqual([Buffer.from(content)]);
    }
  });

  it('are settled when that is wished', () => {
    const message = parseMessage(
      Buffer.from(
        `Content-Type: text/html\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n${parts('b', 'a')}`,
      ),
    );
    message.root.settle();
    expect(parseMessage(message.toBytes()).problems).toEqual([]);
  });

  it('do not hide a page that some readers see where others see parts', async () => {
    const message = parseMessage(
      Buffer.from(
        'Content-Type: text/html\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n<script>x</script>\r\n--b--\r\n',
      ),
    );
    const { html } = await defang(message);
    expect(html).toMatchObject([{ name: 'script' }]);
    expect(parseMessage(message.toBytes()).root.contentTypes).toEqual(['multipart/mixed']);
  });

  it('are none where they say the same', () => {
    const twice = 'Content-Type: text/plain\r\nContent-Type: TEXT/plain; charset=utf-8\r\n';
    expect(parseMessage(Buffer.from(`${twice}\r\nx`)).problems).toEqual([]);
  });

  it('are decoded by every encoding', async () => {
    const content = Buffer.from('MZ\x90\0program', 'latin1').toString('base64');
    const fields = 'Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64';
    const message = parseMessage(Buffer.from(`Content-Type: image/gif\r\n${fields}\r\n\r\n${content}`));
    expect(message.root.otherContents().map((other) => other.toString('latin1', 0, 2))).toEqual(['MZ']);
    expect((await defang(message)).removed).toMatchObject([{ reason: { kind: 'program' } }]);
  });
});

describe('a multipart', () => {
  it('with an empty boundary has parts', async () => {
    const message = parseMessage(
      Buffer.from(
        `Content-Type: multipart/mixed; boundary=""\r\n\r\n--\r\n${program('a.exe')}--  \r\n\r\nb\r\n----\r\n`,
      ),
    );
    expect(message.root.children).toHaveLength(2);
    expect(await removed(message)).toEqual(['a.exe']);
    expect(parseMessage(message.toBytes()).root.children[1]?.text()).toBe('b');
  });

  it('that is encoded although delimiters stand in it is looked at both ways', async () => {
    const hidden = Buffer.from(`\r\n--b\r\n${program('a.exe')}--b--\r\n`).toString('base64');
    const message = parseMessage(
      Buffer.from(
        `Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--b\r\n\r\n${hidden}`,
      ),
    );
    expect(message.root.readings.length).toBeGreaterThan(0);
    expect(names(parseMessage(message.toBytes()))).toEqual(names(message));
  });
});

describe('the cost of reading again', () => {
  it('is bounded, however many boundaries are declared', () => {
    const many = Array.from({ length: 2000 }, (_, i) => `boundary=b${i}`).join('; ');
    const body = Array.from({ length: 2000 }, (_, i) => `--b${i}\r\n\r\nx\r\n`).join('');
    const message = parseMessage(Buffer.from(`Content-Type: multipart/mixed; ${many}\r\n\r\n${body}`));
    const parts = [...message.parts()].length;
    expect(parts).toBeGreaterThan(1);
    expect(message.problems.map((problem) => ('limit' in problem ? problem.limit : problem.what))).toContain(
      'rescans',
    );
  });
});
