import { describe, expect, it } from 'vitest';
import { openFilter } from '../../../../lib/filter/index.ts';
import { fakeSession } from '../../../../lib/testing/index.ts';
import { keepingLogger, testFilter } from '../../../helpers/filter.ts';

const html = (options = ''): string => `[[module]]\nuse = "html"\n${options}\n`;
const page = (body: string, type = 'text/html; charset=utf-8'): string =>
  `From: a@example.org\nSubject: x\nMIME-Version: 1.0\nContent-Type: ${type}\n\n${body}\n`;
const ACTIVE = page('<p onclick="x()">a</p><script>alert(1)</script>b');
const PIXEL = page('<p>a</p><img src="https://t.example/1.gif" alt="c">');
const signed = (inner: string): string =>
  `From: a@example.org\nMIME-Version: 1.0\nContent-Type: multipart/signed; boundary=s; protocol="application/pgp-signature"\n\n--s\n${inner}\n--s\nContent-Type: application/pgp-signature\n\nx\n--s--\n`;
const inner = (body: string): string => `Content-Type: text/html\n\n${body}`;

async function sent(config: string, eml: string, more = {}) {
  await using filter = await testFilter(config);
  const { verdict, message, reply } = await filter.send({ eml, ...more });
  const findings = (await filter.last())?.findings ?? [];
  return {
    verdict,
    reply,
    body: message.body?.toString(),
    found: findings.map(({ name, action }) => `${name} ${action}`),
    notes: findings.map(({ note }) => note),
  };
}

describe('scripts', () => {
  it('are taken out, and nothing else', async () => {
    const { body, found, notes } = await sent(html(), ACTIVE);
    expect(body).toBe('<p>a</p>b\r\n');
    expect(found).toEqual(['html-scripts remove']);
    expect(notes).toEqual(['onclick script']);
  });

  it.each([
    [
      'an attached SVG picture',
      'image/svg+xml; name=a.svg',
      '<svg><script>x</script><path/></svg>',
      '<svg><path/></svg>',
    ],
    ['a page by its name', 'application/octet-stream; name=a.htm', '<script>x</script>b', 'b'],
    ['XHTML', 'application/xhtml+xml', '<p onload="x">b</p>', '<p>b</p>'],
  ])('are taken out of %s', async (_, type, body, clean) => {
    expect((await sent(html(), page(body, type))).body).toBe(`${clean}\r\n`);
  });

  it('are taken out of a message inside the message', async () => {
    const mail = page(ACTIVE, 'message/rfc822');
    expect((await sent(html(), mail)).body).toContain('<p>a</p>b');
  });

  it('are taken out of signed mail too: anybody can write that it is signed', async () => {
    const { body, found } = await sent(html(), signed(inner('<script>x</script>b')));
    expect(found).toEqual(['html-scripts remove']);
    expect(body).not.toContain('<script');
  });

  it('are what the configuration says', async () => {
    const { verdict, reply, body } = await sent(html('scripts = "reject"'), ACTIVE);
    expect(verdict).toBe('reject');
    expect(reply).toMatchObject({ code: 550, enhanced: '5.7.1' });
    expect(reply?.lines[0]).toContain('(onclick script)');
    expect(body).toContain('<script>');
    expect((await sent(html('scripts = "continue"'), ACTIVE)).body).toContain('<script>');
    expect((await sent(html('scripts = "score 2"'), ACTIVE)).found).toEqual(['html-scripts score 2']);
  });

  it('are not there in a plain message, which stays as it is', async () => {
    for (const eml of [
      page('<b>a</b> <a href="https://example.org">x</a>'),
      page('<script>', 'text/plain'),
    ]) {
      const { found, body } = await sent(html(), eml);
      expect(found).toEqual([]);
      expect(body?.replaceAll('\r\n', '\n')).toBe(eml.slice(eml.indexOf('\n\n') + 2));
    }
  });

  it('go out of outgoing mail too', async () => {
    const networks = '[[module]]\nuse = "networks"\n';
    expect((await sent(networks + html(), ACTIVE, { address: '127.0.0.1' })).body).toBe('<p>a</p>b\r\n');
  });

  it('are only counted in observe mode', async () => {
    const { body, found } = await sent(html('mode = "observe"'), ACTIVE);
    expect(found).toEqual(['html-scripts remove']);
    expect(body).toContain('<script>');
  });

  it('are named without what names could bring along', async () => {
    const names = Array.from({ length: 20 }, (_, i) => `on\u0007x${i}\u202e=1`).join(' ');
    const { notes } = await sent(html(), page(`<p ${names} onerror=1>`));
    expect(notes[0]).toMatch(/^[\w -]+ …$/);
  });
});

describe('remote images', () => {
  it('stay', async () => {
    expect((await sent(html(), PIXEL)).found).toEqual([]);
  });

  it('are taken out where the configuration says so', async () => {
    const { body, found, notes } = await sent(html('remote_images = "remove"'), PIXEL);
    expect(body).toBe('<p>a</p><img alt="c">\r\n');
    expect(found).toEqual(['html-remote-images remove']);
    expect(notes).toEqual(['src']);
  });

  it('go together with scripts', async () => {
    const eml = page('<script>x</script><img src=//t.example/x>');
    const { body } = await sent(html('remote_images = "remove"'), eml);
    expect(body).toBe('<img>\r\n');
    expect((await sent(html('scripts = "continue"\nremote_images = "remove"'), eml)).body).toBe(
      '<script>x</script><img>\r\n',
    );
  });

  it('stay in signed mail, which is said', async () => {
    const eml = signed(inner('<img src=//t.example/x>'));
    const { body, found, notes } = await sent(html('remote_images = "remove"'), eml);
    expect(body).toContain('//t.example');
    expect(found).toEqual(['html-sealed continue']);
    expect(notes).toEqual(['signed: src']);
  });
});

it('says that a message is too big to be looked at', async () => {
  const filter = await openFilter(`socket = "inet:8894@127.0.0.1"\n[store]\nurl = "memory:"\n${html()}`, {
    logger: keepingLogger(),
  });
  const mta = fakeSession(filter.Filter, { maxBody: 10 });
  const { verdict } = await mta.sendMessage(ACTIVE, {
    sender: 'a@example.org',
    recipients: ['b@example.com'],
  });
  expect(verdict).toBe('continue');
  expect((await filter.history.find({}))[0]?.findings).toMatchObject([{ name: 'html-too-big' }]);
  await mta.close();
  await filter.close();
});

it.each([
  ['scripts = "defang"', 'scripts: must be an action, "continue"'],
  ['remote_images = "drop"', 'remote_images: must be one of "keep" "remove"'],
  ['script = "remove"', 'did you mean "scripts"?'],
])('refuses %s', async (options, message) => {
  await expect(testFilter(html(options))).rejects.toThrow(message);
});
