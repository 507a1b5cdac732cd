import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { FilterConfigError } from '../../../../lib/filter/index.ts';
import { parseMessage } from '../../../../lib/mime/index.ts';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';

const NETWORKS =
  '[[module]]\nuse = "networks"\ndomains = ["example.com"]\ninternal_as_other = "continue"\nexternal_as_ours = "continue"\n';
const TEXT = 'This message may be confidential: für Sie allein';
const disclaimer = (more = ''): string =>
  `${NETWORKS}[[module]]\nuse = "disclaimer"\ntext = ${JSON.stringify(TEXT)}\n${more}\n`;
const OUT: TestMail = { address: '127.0.0.1', sender: 'boss@example.com', recipients: ['x@example.net'] };

/** The message that goes out. */
async function sent(eml: string | Buffer, config = disclaimer(), mail = OUT): Promise<Buffer> {
  await using filter = await testFilter(config);
  const { message, verdict } = await filter.send({ ...mail, eml });
  expect(verdict).toBe('continue');
  return message.toBytes();
}

/** The text of its part with that number, in its own charset. */
async function text(eml: string | Buffer, part = 0, config?: string, mail?: TestMail): Promise<string> {
  const message = parseMessage(await sent(eml, config, mail));
  return [...message.parts()][part]?.text() ?? '';
}

const plain = (body: string, type = 'text/plain; charset=utf-8'): string =>
  `Subject: x\nContent-Type: ${type}\nContent-Transfer-Encoding: 8bit\n\n${body}`;
const html = (body: string): string => plain(body, 'text/html; charset=utf-8');

describe('the text', () => {
  it('stands behind what goes out, and only that', async () => {
    expect(await text(plain('hello\n'))).toBe(`hello\r\n${TEXT}`);
    expect(await text(plain('hello\n'), 0, disclaimer(), { ...OUT, recipients: ['b@example.com'] })).toBe(
      'hello\r\n',
    );
    expect(await text(plain('hello\n'), 0, disclaimer(), {})).toBe('hello\r\n');
  });

  it('stands where `when` says', async () => {
    expect(await text(plain('hello\n'), 0, disclaimer('when = ["incoming"]'), {})).toBe(`hello\r\n${TEXT}`);
  });

  it('is in all versions of a body, in HTML before </body>', async () => {
    const eml = [
      'Subject: x',
      'Content-Type: multipart/alternative; boundary=b',
      '',
      '--b',
      '',
      'hello',
      '--b',
      'Content-Type: text/html; charset=iso-8859-1',
      '',
      '<html><body><p>hello</p></body></html>',
      '--b--',
      '',
    ].join('\n');
    expect(await text(eml, 1)).toContain(TEXT);
    expect(await text(eml, 2)).toBe(
      `<html><body><p>hello</p><p>${TEXT.replace('ü', '&#252;')}</p></body></html>`,
    );
    expect(await text(eml, 2, disclaimer('html = "<hr>für Sie"'))).toBe(
      '<html><body><p>hello</p><hr>f&#252;r Sie</body></html>',
    );
  });

  it('is in the charset and encoding of its part; what that cannot hold becomes UTF-8', async () => {
    const latin = (
      await sent(Buffer.from(plain('Gr\xfc\xdfe\n', 'text/plain; charset=iso-8859-1'), 'latin1'))
    ).toString('latin1');
    expect(latin).toContain('Gr\xfc\xdfe\r\nThis message may be confidential: f\xfcr Sie allein');
    const ascii = parseMessage(await sent(plain('hello\n', 'text/plain; charset=us-ascii')));
    expect(ascii.root.contentTypeParameters).toMatchObject({ charset: 'utf-8' });
    const base64 =
      'Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\naGVsbG8K\n';
    expect((await sent(base64)).toString()).toMatch(/\r\n\r\n[\w+/=\r\n]+$/);
    expect(await text(base64)).toContain(TEXT);
  });

  it('is a part of its own where there is no text', async () => {
    const eml = 'Subject: x\nContent-Type: application/pdf\n\n%PDF\n';
    expect(await text(eml, 2)).toContain(TEXT);
  });

  it('may come from a file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'libmilter-'));
    onTestFinished(() => rm(directory, { recursive: true }));
    await writeFile(join(directory, 'footer.txt'), '-- \nfrom the file\n');
    await using filter = await testFilter(
      `${NETWORKS}[[module]]\nuse = "disclaimer"\ntext = "file:footer.txt"\n`,
      { directory },
    );
    const { message } = await filter.send({ ...OUT, eml: plain('hello\n') });
    expect(message.body.toString()).toBe('hello\r\n-- \r\nfrom the file\r\n');
  });
});

describe('is left alone', () => {
  it.each([
    [
      'signed',
      'Content-Type: multipart/signed; boundary=b\n\n--b\n\nhello\n--b\nContent-Type: application/pgp-signature\n\nx\n--b--\n',
    ],
    ['encrypted', 'Content-Type: multipart/encrypted; boundary=b\n\n--b\n\nhello\n--b--\n'],
    ['signed by S/MIME', 'Content-Type: application/pkcs7-mime; smime-type=signed-data\n\nMIIB\n'],
    [
      'signed in its text',
      'Content-Type: text/plain\n\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nhello\n',
    ],
    [
      'a report',
      'Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\nhello\n--b--\n',
    ],
    ['an invitation', 'Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\n'],
  ])('what is %s', async (_, eml) => {
    const whole = `Subject: x\n${eml}`;
    expect((await sent(whole)).toString()).toBe(whole.replaceAll('\n', '\r\n'));
  });

  it('what is observed only', async () => {
    expect(await text(plain('hello\n'), 0, disclaimer('mode = "observe"'))).toBe('hello\r\n');
  });
});

describe('a reply that quotes it', () => {
  it.each([
    ['quoted', plain(`fine\n> hello\n> ${TEXT}\n`)],
    ['wrapped', plain('fine\n> > This message may be\n> > confidential: für\n> > Sie allein\n')],
    [
      'as HTML',
      html(
        '<p>fine</p><blockquote>This <b>message</b> may be confidential:<br> f&uuml;r Sie allein</blockquote>',
      ),
    ],
    ['as HTML with numbers', html('<p>This message may be confi<wbr>dential: f&#xFC;r&nbsp;Sie allein</p>')],
  ])('gets it not again: %s', async (_, eml) => {
    expect(await sent(eml)).toEqual(Buffer.from(eml.replaceAll('\n', '\r\n')));
  });

  it('gets it again where `once` says no', async () => {
    const eml = plain(`fine\n> ${TEXT}\n`);
    expect(await text(eml, 0, disclaimer('once = false'))).toBe(`fine\r\n> ${TEXT}\r\n${TEXT}`);
  });

  it('is told apart from one that has only a part of it', async () => {
    expect(await text(plain('This message may be confidential\n'))).toContain(TEXT);
  });

  it.each([
    ['in the middle of a line', plain('We are Yours, ACME said\n'), true],
    ['quoted', plain('fine\n> Yours,\n> ACME\n'), false],
    ['at the end, without one of its line', plain('fine\nYours,\nACME'), false],
    ['as HTML', html('<p>fine</p><p>Yours,<br>\nACME</p>'), false],
    ['in a sentence of HTML', html('<p>We are Yours, <b>ACME</b> said</p>'), true],
  ])('has a short text that fills its lines: %s', async (_, eml, isAdded) => {
    const config = `${NETWORKS}[[module]]\nuse = "disclaimer"\ntext = "Yours,\\nACME\\n"\n`;
    const out = await sent(eml, config);
    expect(out.equals(Buffer.from(eml.replaceAll('\n', '\r\n')))).toBe(!isAdded);
  });

  it('is found where pieces of a large body meet', async () => {
    for (const at of [65_500, 65_520, 65_540]) {
      expect(
        await text(
          plain(`${`${'x'.repeat(60)}\n`.repeat(Math.floor(at / 61))}${'y'.repeat(at % 61)}\n${TEXT}\n`),
        ),
      ).not.toContain(`${TEXT}\r\n${TEXT}`);
    }
  });
});

it('takes time in proportion to the body, and lets others work', async () => {
  const body = (bytes: number): string =>
    html(`<body>${'<p class=x>a < b & c</p>\n'.repeat(bytes / 26)}</body>`);
  await using filter = await testFilter(disclaimer());
  const send = async (eml: string): Promise<number> => {
    const start = performance.now();
    await filter.send({ ...OUT, eml });
    return performance.now() - start;
  };
  let turns = 0;
  let done = false;
  const counting = (async () => {
    while (!done) {
      turns++;
      await turn();
    }
  })();
  await send(body(100_000));
  const small = await send(body(500_000));
  const large = await send(body(4_000_000));
  const hostile = await send(html(`<body>${'<'.repeat(2_000_000)}`));
  done = true;
  await counting;
  expect(large / small).toBeLessThan(40);
  expect(hostile / small).toBeLessThan(40);
  expect(turns).toBeGreaterThan(60);
});

it('html without text is refused', async () => {
  const error = await testFilter('[[module]]\nuse = "disclaimer"\nhtml = "<p>x</p>"\n').then(
    () => undefined,
    (fault: unknown) => fault,
  );
  expect(error).toBeInstanceOf(FilterConfigError);
  expect(String(error)).toContain('needs text too');
});
