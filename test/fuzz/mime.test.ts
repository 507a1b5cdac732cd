import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  appendText,
  createPart,
  defang,
  type MimeMessage,
  type NewPart,
  type Part,
  parseMessage,
  parseMessageStream,
} from '../../lib/mime/index.ts';
import { growth } from '../fixtures/mime/cost.ts';
import { fc, runs } from '../helpers/fuzz.ts';

/** Pieces that meet in mails, so that odd meetings of them are tried and not only noise. */
const piece = fc.oneof(
  fc.constantFrom(
    '\r\n',
    '\n',
    '\r',
    '\r\n\r\n',
    '--b',
    '--b--',
    '\r\n--b\r\n',
    '\r\n--b--\r\n',
    '\n--c\n',
    '--',
    ' ',
    '\t',
    ':',
    ';',
    '"',
    '=',
    '=?utf-8?q?a=2Eexe?=',
    'Content-Type: multipart/mixed; boundary=b\r\n',
    'Content-Type: multipart/alternative; boundary="c"\n',
    'Content-Type: multipart/digest; boundary=b\r\n',
    'Content-Type: message/rfc822\r\n',
    'Content-Type: text/html; charset=no-such\r\n',
    'Content-Type: application/zip; name=a.zip\r\n',
    'Content-Transfer-Encoding: base64\r\n',
    'Content-Transfer-Encoding: quoted-printable\r\n',
    'Content-Transfer-Encoding: x-uuencode\r\n',
    "Content-Disposition: attachment; filename*0*=utf-8''a%2; filename*1=b.exe\r\n",
    'Subject: x\r\n\ty\r\n',
    'Content-Disposition: attachment; (x) filename(y)=(z) a.exe\r\n',
    'Content-Name: a.exe\r\n',
    'Content-Transfer-Encoding: (x) base64\r\n',
    '(',
    ')',
    'PK\x03\x04',
    'UEsDBA==',
    'begin 644 a.exe\n#35H`\n`\nend\n',
    'begin-base64 644 b.exe\n',
    '=ybegin line=128 size=1 name=c.exe\n',
    'end\n',
    'Content-Type: multipart/mixed; boundary=b; boundary=c\r\n',
    'Content-Type: multipart/mixed; boundary=""\r\n',
    'Content-Type: application/octet-stream; name=fwd.eml\r\n',
    'Content-Type: image/svg+xml\r\n',
    'Content-Type: application/ms-tnef; name=winmail.dat\r\n',
    '<svg onload=x><foreignObject>',
    '<!ENTITY a "<script>">',
    '<script>x</script>',
    'text',
  ),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const mailText = fc.array(piece, { maxLength: 40 }).map((pieces) => Buffer.from(pieces.join(''), 'latin1'));

/** Reads everything there is to read, of containers without their content, which is that of their parts. */
function readAll(message: MimeMessage): string {
  return [...message.parts()]
    .map((part) =>
      JSON.stringify([
        part.contentType,
        part.contentTypeParameters,
        part.disposition,
        part.dispositionParameters,
        part.names,
        part.encoding,
        [...part.headers],
        part.children.length > 0 ? '' : part.content().toString('latin1'),
        part.children.length > 0 ? '' : part.text(),
        part.children.length,
      ]),
    )
    .join('\n');
}

function leavesOf(root: Part): readonly Part[] {
  return [...root.walk()].filter((part) => part.children.length === 0 && !part.isFileInText);
}

describe('whatever the bytes', () => {
  it('a message can be read whole and comes out as it went in', () => {
    fc.assert(
      fc.property(mailText, (bytes) => {
        const message = parseMessage(bytes);
        readAll(message);
        expect(message.toBytes().equals(bytes)).toBe(true);
      }),
      runs(2000),
    );
  });

  it('the tree is the same in any chunking', async () => {
    await fc.assert(
      fc.asyncProperty(mailText, fc.integer({ min: 1, max: 20 }), async (bytes, size) => {
        const chunks: Buffer[] = [];
        for (let i = 0; i < bytes.length; i += size) chunks.push(bytes.subarray(i, i + size));
        expect(readAll(await parseMessageStream(chunks))).toBe(readAll(parseMessage(bytes)));
      }),
      runs(300),
    );
  });

  it('the content put into a leaf is what is read from it, then and after writing', () => {
    const content = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      mailText,
      fc.constant(Buffer.from('--b\r\nx')),
    );
    fc.assert(
      fc.property(mailText, content, fc.nat(), (bytes, wanted, pick) => {
        const message = parseMessage(bytes);
        const leaves = leavesOf(message.root);
        const leaf = leaves[pick % leaves.length];
        const isContainer =
          /^(?:multipart|message)\//.test(leaf?.contentType ?? '') ||
          leaf?.names.some((name) => /\.eml/.test(name));
        leaf?.replaceContent(wanted);
        expect(leaf?.content().equals(Buffer.from(wanted))).toBe(true);
        // A container without parts may turn into one with parts by what is put into it.
        if (leaf === undefined || isContainer) return;
        // Of several readings the one of this leaf is left.
        const left = leavesOf(message.root);
        const again = leavesOf(parseMessage(message.toBytes()).root);
        expect(again).toHaveLength(left.length);
        expect(again[left.indexOf(leaf)]?.content().toString('latin1')).toBe(
          Buffer.from(wanted).toString('latin1'),
        );
      }),
      runs(2000),
    );
  });

  it('a message can be defanged, and once is enough', async () => {
    await fc.assert(
      fc.asyncProperty(mailText, async (bytes) => {
        const message = parseMessage(bytes);
        const { modified } = await defang(message);
        expect(message.changed).toBe(modified);
        appendText(message, { text: 'added' });
        const again = await defang(parseMessage(message.toBytes()));
        expect(again.removed).toEqual([]);
      }),
      runs(500),
    );
  });

  it('every beginning of a mail is a mail', async () => {
    const folder = join(import.meta.dirname, '../fixtures/mime');
    for (const name of readdirSync(folder).filter((file) => file.endsWith('.eml'))) {
      const bytes = readFileSync(join(folder, name));
      for (let end = 0; end < bytes.length; end += 3) {
        const message = parseMessage(bytes.subarray(0, end));
        readAll(message);
        await defang(message);
        parseMessage(message.toBytes());
      }
    }
  });
});

describe('a tree that is built', () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 30 })
    .filter((text) => /^[^\p{C}\s]+$/u.test(text));
  const leaf = fc.oneof(
    fc.record({
      content: fc.string({ unit: 'binary' }).map((text) => text.toWellFormed().replace(/\r\n?|\n/g, '\r\n')),
    }),
    fc.record({ content: fc.uint8Array({ maxLength: 200 }), name }),
    fc.record({ content: fc.string({ maxLength: 80 }).map((text) => text.replaceAll('\n', '\r\n')), name }),
  );
  const tree: fc.Arbitrary<NewPart> = fc.letrec<{ part: NewPart }>((tie) => ({
    part: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc.record({ parts: fc.array(tie('part'), { minLength: 1, maxLength: 4 }) }),
      fc.record({ message: tie('part') }),
    ),
  })).part;

  function expectSame(part: Part | undefined, wanted: NewPart): void {
    if (wanted.parts) {
      expect(part?.children).toHaveLength(wanted.parts.length);
      for (const [i, child] of wanted.parts.entries()) expectSame(part?.children[i], child);
    } else if (wanted.message) {
      expect(part?.children).toHaveLength(1);
      expectSame(part?.children[0], wanted.message);
    } else {
      expect(part?.children).toEqual([]);
      expect(part?.names).toEqual(wanted.name === undefined ? [] : [wanted.name]);
      if (typeof wanted.content === 'string') expect(part?.text()).toBe(wanted.content);
      else expect(part?.content()).toEqual(Buffer.from(wanted.content));
    }
  }

  it('is the same tree after writing and parsing', () => {
    fc.assert(
      fc.property(tree, (wanted) => {
        const built = createPart(wanted);
        expectSame(built, wanted);
        expectSame(parseMessage(built.toBytes()).root, wanted);
      }),
      runs(500),
    );
  });

  it('is the same tree when it was put together part by part', () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 4 }), (wanted) => {
        const message = parseMessage(Buffer.from('Content-Type: multipart/mixed\r\n\r\n'));
        for (const part of wanted) message.root.insert(createPart(part));
        const { root } = parseMessage(message.toBytes());
        expect(root.children).toHaveLength(wanted.length);
        for (const [i, part] of wanted.entries()) expectSame(root.children[i], part);
      }),
      runs(200),
    );
  });
});

describe('a message meant to hurt', () => {
  const nested = (levels: number, open: (level: number) => string) =>
    Buffer.from(Array.from({ length: levels }, (_, level) => open(level)).join(''));

  it('has 20 000 empty parts', async () => {
    const bytes = Buffer.from(
      `Content-Type: multipart/mixed; boundary=b\r\n\r\n${'--b\r\n'.repeat(20_000)}--b--\r\n`,
    );
    const message = parseMessage(bytes);
    expect(message.root.children).toHaveLength(20_000);
    await defang(message);
    expect(message.toBytes().equals(bytes)).toBe(true);
    message.root.children[10_000]?.replaceContent('one');
    expect(parseMessage(message.toBytes()).root.children).toHaveLength(20_000);
  });

  it.each([
    [
      'multiparts',
      (level: number) => `Content-Type: multipart/mixed; boundary=b${level}\r\n\r\n--b${level}\r\n`,
    ],
    ['multiparts of one boundary', () => 'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n'],
    ['messages', () => 'Content-Type: message/rfc822\r\n\r\n'],
  ])('nests %s 1 000 deep', async (_, open) => {
    const message = parseMessage(nested(1000, open));
    const parts = [...message.parts()];
    expect(parts).toHaveLength(1001);
    await defang(message);
    parts.at(-1)?.replaceContent('deep');
    expect([...parseMessage(message.toBytes()).parts()].at(-1)?.text()).toBe('deep');
  });

  it('reaches a limit, and says which', () => {
    const deep = nested(
      30,
      (level) => `Content-Type: multipart/mixed; boundary=b${level}\r\n\r\n--b${level}\r\n`,
    );
    expect(parseMessage(deep, { limits: { depth: 5 } }).problems).toMatchObject([
      { limit: 'depth', value: 5 },
    ]);
    const broad = Buffer.from(`Content-Type: multipart/mixed; boundary=b\n\n${'--b\n'.repeat(50)}`);
    const { problems, root } = parseMessage(broad, { limits: { parts: 10 } });
    expect(problems).toMatchObject([{ limit: 'parts', value: 10 }]);
    expect(root.children).toHaveLength(9);
    const long = Buffer.from(`X: ${'y\n '.repeat(1000)}\n\nbody`);
    expect(parseMessage(long, { limits: { headerBytes: 100 } }).problems).toMatchObject([
      { limit: 'headerBytes' },
    ]);
    let encoded = Buffer.from('x');
    for (let i = 0; i < 12; i++) {
      encoded = Buffer.from(
        `Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n${encoded.toString('base64')}\n`,
      );
    }
    const wrapped = parseMessage(encoded);
    expect([...wrapped.parts()]).toHaveLength(9);
    expect(wrapped.problems).toMatchObject([{ limit: 'rescans', value: 8 }]);
  });

  it.each([
    [
      'delimiter-like lines',
      (n: number) => `Content-Type: multipart/mixed; boundary=bcd\n\n${'--bce\n'.repeat(n)}`,
    ],
    ['dashes', (n: number) => `Content-Type: multipart/mixed; boundary=b\n\n--b\n\n${'\n--'.repeat(n)}`],
    [
      'one endless line of blanks',
      (n: number) => `Content-Type: multipart/mixed; boundary=${'b'.repeat(5000)}\n\n--${' '.repeat(n * 5)}x`,
    ],
    [
      'a long boundary',
      (n: number) => `Content-Type: multipart/mixed; boundary=${'b'.repeat(n)}\n\n${'--bbbb\n'.repeat(n)}`,
    ],
    [
      'many open boundaries',
      (n: number) =>
        `${Array.from({ length: 500 }, (_, i) => `Content-Type: multipart/mixed; boundary=${'b'.repeat(i + 1)}x\n\n--${'b'.repeat(i + 1)}x\n`).join('')}\n${'--b y\n'.repeat(n)}`,
    ],
    ['header lines', (n: number) => `${'X: y\n'.repeat(n)}\nbody`],
    ['folded lines', (n: number) => `Content-Type: a/b;\n${' x=y;\n'.repeat(n)}\n`],
    ['pieces of one parameter', (n: number) => `Content-Type: a/b;${' n*1=y;'.repeat(n)}\n\n`],
    ['encoded words', (n: number) => `Content-Type: a/b; name="${'=?utf-8?q?=41?= '.repeat(n)}\n\n`],
    ['half encoded words', (n: number) => `Content-Type: a/b; name="${'=?a?b?'.repeat(n)}\n\n`],
    ['comments', (n: number) => `Content-Type: ${'('.repeat(n)}\n\n`],
    ['comments that close', (n: number) => `Content-Type: a/b; x=y${' (z)'.repeat(n)}\n\n`],
    ['nested comments', (n: number) => `Content-Type: a/b; x=${'('.repeat(n)}${')'.repeat(n)}\n\n`],
    ['comments in names', (n: number) => `Content-Type: a/b; ${'x(y'.repeat(n)}${')'.repeat(n)}=z\n\n`],
    ['names in comments', (n: number) => `Content-Name: ${'(a\\'.repeat(n)}\n\n`],
    ['commented parameters', (n: number) => `Content-Type: a/b${'; (x) y(z)=a(b).c'.repeat(n)}\n\n`],
    ['quotes', (n: number) => `Content-Type: a/b; ${'x="'.repeat(n)}\n\n`],
    ['padding', (n: number) => `Content-Transfer-Encoding: base64\n\n${'YQ=='.repeat(n)}`],
    ['escapes', (n: number) => `Content-Transfer-Encoding: quoted-printable\n\n${'= \t'.repeat(n)}`],
    [
      'spaces at line ends',
      (n: number) => `Content-Transfer-Encoding: quoted-printable\n\n${' '.repeat(n)}\n${' \n'.repeat(n)}`,
    ],
    [
      'multiparts without parts',
      (n: number) =>
        `Content-Type: multipart/mixed; boundary=b\n\n${'--b\nContent-Type: multipart/mixed; boundary=c\n\n--d\n'.repeat(n / 20)}`,
    ],
  ])('takes time in proportion to its %s', (_, make) => {
    const makeWork = (n: number) => {
      const bytes = Buffer.from(make(n));
      return () => void readAll(parseMessage(bytes));
    };
    expect(growth(makeWork, 10_000)).toBeLessThan(30);
  });
});
