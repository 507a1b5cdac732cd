import { describe, expect, it } from 'vitest';
import { linkedHosts, parseMessage } from '../../../lib/mime/index.ts';

async function hosts(body: string, type = 'text/plain', most?: number): Promise<readonly string[]> {
  const message = await parseMessage(
    Buffer.from(`Content-Type: ${type}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${body}`),
  );
  return await linkedHosts(message.root, most);
}

describe('hosts that a text links', () => {
  it.each([
    ['http://spam.example/x', 'spam.example'],
    ['HTTPS://Spam.Example:8080?x', 'spam.example'],
    ['(http://user:pw@spam.example)', 'spam.example'],
    ['http:\\\\spam.example\\x', 'spam.example'],
    ['ftp://spam.example', 'spam.example'],
    ['see www.spam.example.', 'www.spam.example'],
    ['write to someone@spam.example!', 'spam.example'],
    ['http://bücher.example/', 'xn--bcher-kva.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['http://192.0.2.1/x', '192.0.2.1'],
    ['http://3221225985/x', '192.0.2.1'],
    ['http://%73pam.example/', 'spam.example'],
    ['http://spam.example./', 'spam.example'],
  ])('%s', async (text, host) => {
    expect(await hosts(text)).toContain(host);
  });

  it.each([
    ['no link at all'],
    ['version 1.2.3'],
    ['http://localhost/'],
    ['http://[2001:db8::1]/'],
    ['http://'],
    ['a..b'],
  ])('%s has none', async (text) => {
    expect(await hosts(text)).toEqual([]);
  });

  it('come once, links first, and not more than asked for', async () => {
    expect(await hosts('b.example http://a.example http://a.example')).toEqual(['a.example', 'b.example']);
    const many = Array.from({ length: 500 }, (_, i) => `http://h${i}.example`).join(' ');
    expect(await hosts(many)).toHaveLength(100);
    expect(await hosts(many, 'text/plain', 3)).toEqual(['h0.example', 'h1.example', 'h2.example']);
  });
});

describe('hosts that a page links', () => {
  const page = (body: string) => hosts(body, 'text/html');

  it.each([
    ['<a href="http://spam.example/">x</a>', 'spam.example'],
    ["<a href='&#104;ttp://spam&#46;example'>x</a>", 'spam.example'],
    ['<a href=//spam.example/x>x</a>', 'spam.example'],
    ['<a href="mailto:x@spam.example?subject=y">x</a>', 'spam.example'],
    ['<img src="https://spam.example/pixel.gif">', 'spam.example'],
    ['<form action="http://spam.example">', 'spam.example'],
    ['<p style="background:url(http://spam.example/x)">', 'spam.example'],
    ['<p>visit spam.example</p>', 'spam.example'],
    ['<p>visit <b>www.spam.example</b></p>', 'www.spam.example'],
  ])('%s', async (html, host) => {
    expect(await page(html)).toContain(host);
  });

  it('are not names in its markup', async () => {
    expect(await page('<a class="nav.item" title="x.example">hello</a><!-- y.example -->')).toEqual([]);
  });
});

it('no text takes long', async () => {
  for (const piece of ['a.', 'a-', 'http://', 'http:////', '<a href=', 'x@', 'ä.']) {
    expect((await hosts(piece.repeat(200_000))).length).toBeLessThanOrEqual(100);
    expect((await hosts(piece.repeat(200_000), 'text/html')).length).toBeLessThanOrEqual(100);
  }
});
