/** examples/defang.ts, and filters that change less, under a real Postfix. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { dkimSign, dkimVerify } from 'mailauth';
import { afterAll, beforeAll, expect, it } from 'vitest';
import Defang from '../../examples/defang.ts';
import { Milter, type MilterClass } from '../../lib/index.ts';
import { createPart, type NewPart, parseMessage } from '../../lib/mime/index.ts';
import { makeZip } from '../fixtures/mime/archives.ts';
import { type FilteredMta, type Mail, startFiltered } from '../helpers/filtered.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { sendMail } from '../helpers/smtp.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});

/** The signature of a message, which a single other byte in body or signed fields breaks. */
async function sign(message: string): Promise<string> {
  const key = { signingDomain: 'one.test', selector: 's', privateKey, canonicalization: 'simple/simple' };
  return (await dkimSign(Buffer.from(message, 'latin1'), { ...key, signatureData: [key] })).signatures;
}

/** What a recipient makes of the signatures on a delivered mail. */
async function verify({ head, body }: Mail): Promise<readonly (string | undefined)[]> {
  const mail = Buffer.from(`${head}\n${body}`.replaceAll('\n', '\r\n'), 'latin1');
  const resolver = async (name: string): Promise<string[][]> => {
    if (name === 's._domainkey.one.test') return [[`v=DKIM1; p=${publicKey.toString('base64')}`]];
    throw Object.assign(new Error(`there is no ${name}`), { code: 'ENOTFOUND' });
  };
  return (await dkimVerify(mail, { resolver })).results.map(({ status }) => status.result);
}

const PAGE =
  '<html><!--[if mso]><b>&eacute;</b><![endif]-->\n<p onclick="x()">caf\xe9</P><script>y()</script></html>\n';
const PDF = { name: 'paper.pdf', contentType: 'application/pdf', content: randomBytes(40_000) };
const PROGRAM = { name: 'game.exe', content: Buffer.from('MZ\x90\0\x03') };

describeWith(['postfix'], 'a mail that passes a filter', () => {
  let t: FilteredMta;
  beforeAll(async () => {
    t = await startFiltered((milter) => startPostfix({ milters: [milter] }));
  });
  afterAll(() => t[Symbol.asyncDispose]());

  let sent = 0;
  /** Sends a message of this content, signed, through a filter; gives what was delivered and the body as it was sent. */
  async function pass(filter: MilterClass, described: NewPart) {
    const id = `<mime.${++sent}.${process.pid}@one.test>`;
    const part = createPart({
      ...described,
      headers: [
        ['From', 'Ann <ann@one.test>'],
        ['Date', 'Mon, 06 Jul 2026 10:00:00 +0000'],
        ['Subject', 'odd  spaces\r\n\tand  a fold '],
        ['Message-ID', id],
        ['MIME-Version', '1.0'],
      ],
    });
    const unsigned = part
      .toBytes()
      .toString('latin1')
      .replace(/(?<!\r\n)$/, '\r\n');
    const message = `${await sign(unsigned)}${unsigned}`;
    t.use(filter);
    const { end } = await sendMail(t.mta.port, {
      sender: 'ann@one.test',
      recipients: ['bob@test.invalid'],
      message,
    });
    expect(end).toMatchObject({ code: 250 });
    const [mail] = await t.mailsWith(`Message-ID: ${id}`);
    if (mail === undefined) throw new Error('nothing was delivered');
    const body = unsigned.slice(unsigned.indexOf('\r\n\r\n') + 4).replaceAll('\r\n', '\n');
    return {
      mail,
      body,
      parts: parseMessage(Buffer.from(`${mail.head}\n${mail.body}`, 'latin1')).root.children,
    };
  }

  const html: NewPart = { contentType: 'text/html', content: Buffer.from(PAGE, 'latin1') };
  const text: NewPart = { content: 'see below\n' };

  /** A body, delimiters included, without what is between its second delimiter and its third. */
  const withoutSecondPart = (body: string): readonly string[] => body.split(/^(--.*)$/m).toSpliced(4, 1);

  it('has a program replaced by a warning, and its neighbours left as they were', async () => {
    const { mail, body, parts } = await pass(Defang, { parts: [text, PROGRAM, PDF] });
    expect(parts.map(({ contentType, names }) => [contentType, ...names])).toEqual([
      ['text/plain'],
      ['text/plain', 'WARNING.TXT'],
      ['application/pdf', 'paper.pdf'],
    ]);
    expect(parts[1]?.text()).toContain('"game.exe"');
    expect(withoutSecondPart(mail.body)).toEqual(withoutSecondPart(body));
    expect(mail.get('X-Defanged')).toBe('"game.exe"');
    expect(mail.body).not.toContain(PROGRAM.content.toString('base64'));
  });

  it('has a program found inside an archive', async () => {
    const content = makeZip([{ name: 'a/b.txt.ExE ', content: 'x' }]);
    const { parts } = await pass(Defang, { parts: [text, { name: 'papers.zip', content }] });
    expect(parts[1]?.names).toEqual(['WARNING.TXT']);
    expect(parts[1]?.text()).toContain('a/b.txt.ExE');
  });

  it('loses the scripts of its page and keeps everything else of it', async () => {
    const { mail, body, parts } = await pass(Defang, { parts: [text, html, PDF] });
    const clean = PAGE.replace(' onclick="x()"', '').replace('<script>y()</script>', '');
    expect(parts[1]?.content().toString('latin1')).toBe(clean);
    expect(withoutSecondPart(mail.body)).toEqual(withoutSecondPart(body));
    expect(mail.get('X-Defanged')).toBe('scripts');
    expect(await verify(mail)).not.toContain('pass');
  });

  it('that is one program and nothing else becomes a warning', async () => {
    const { mail } = await pass(Defang, { contentType: 'application/x-msdownload', ...PROGRAM });
    expect(mail.all('Content-Type')).toEqual([
      expect.stringMatching(/^text\/plain;.*\n?.*\n?.*WARNING\.TXT/),
    ]);
    expect(mail.all('Content-Transfer-Encoding')).toEqual([]);
    expect(mail.body).toMatch(/^WARNING: .*"game\.exe"/);
  });

  it('keeps its signature when nothing is found', async () => {
    const page = { ...html, content: '<p>caf\u00e9</P>\n' };
    const { mail, body } = await pass(Defang, { parts: [text, page, PDF] });
    expect(mail.body === body).toBe(true);
    expect(mail.get('X-Defanged')).toBeUndefined();
    expect(await verify(mail)).toEqual(['pass']);
  });

  it('keeps its signature when its tree is only read', async () => {
    let read = 0;
    class Reading extends Milter {
      override async eom() {
        for (const part of (await this.message.mime()).parts()) read += part.content().length;
      }
    }
    const { mail, body } = await pass(Reading, { parts: [text, html, PROGRAM] });
    expect(read).toBeGreaterThan(100);
    expect(mail.body === body).toBe(true);
    expect(await verify(mail)).toEqual(['pass']);
  });

  it('keeps its signature when a field is added that it does not cover', async () => {
    class Stamping extends Milter {
      override async eom() {
        (await this.message.mime()).root.headers.add('X-Stamp', 'seen');
      }
    }
    const { mail } = await pass(Stamping, { parts: [text, PDF] });
    expect(mail.get('X-Stamp')).toBe('seen');
    expect(await verify(mail)).toEqual(['pass']);
  });

  it('is wrapped, its fields and its body changed at once', async () => {
    class Wrapping extends Milter {
      override async eom() {
        const { root } = await this.message.mime();
        root.wrap();
        root.insert(createPart({ name: 'note.txt', content: 'checked\n' }));
      }
    }
    const { mail, parts } = await pass(Wrapping, { content: 'hello\n' });
    expect(mail.all('Content-Type')).toEqual([expect.stringMatching(/^multipart\/mixed;/)]);
    expect(parts.map((part) => part.text())).toEqual(['hello\n', 'checked\n']);
  });
});
