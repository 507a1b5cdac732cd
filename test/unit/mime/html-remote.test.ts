/** What tells the sender of a page that it was seen. */
import { describe, expect, it } from 'vitest';
import { findRemote } from '../../../lib/mime/html-remote.ts';
import { findRemoteImages, parseMessage, removeRemoteImages } from '../../../lib/mime/index.ts';
import { finish } from '../../../lib/mime/slice.ts';
import { growth } from '../../fixtures/mime/cost.ts';

function page(html: string | Buffer, type = 'text/html; charset=utf-8') {
  const head = Buffer.from(`Content-Type: ${type}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n`);
  return parseMessage(Buffer.concat([head, Buffer.from(html)])).root;
}

async function without(html: string, type?: string): Promise<string> {
  const part = page(html, type);
  await removeRemoteImages(part);
  return part.content().toString();
}

describe('what is fetched from elsewhere', () => {
  it.each([
    ['<img src="http://t.example/x.gif" alt="a">b', '<img alt="a">b'],
    ['<IMG SRC=//t.example/x>', '<IMG>'],
    ['<img src="\\\\t.example\\x.png">', '<img>'],
    ['<img src="&#104;ttps://t.example/">', '<img>'],
    ['<img src=" ht\ntp://t.example/">', '<img>'],
    ['<img src="file://t.example/x">', '<img>'],
    ['<img srcset="cid:a 1x, https://t.example/b 2x"class=c>', '<img class=c>'],
    ['<input type=image src=ftp://t.example/x>', '<input type=image>'],
    ['<video poster="https://t.example/x"></video>', '<video></video>'],
    ['<td background="https://t.example/x">', '<td>'],
    ['<link rel=stylesheet href=https://t.example/x>', '<link rel=stylesheet>'],
    ['<base href="https://t.example/"><img src=x.gif>', '<base><img src=x.gif>'],
    ['<svg><image xlink:href="https://t.example/x"/></svg>', '<svg><image /></svg>'],
    ['<svg><rect fill="url(https://t.example/x#a)"/></svg>', '<svg><rect /></svg>'],
    ['<p style="color:red;background:url(https://t.example/x)">', '<p>'],
    ['<p style="background:u\\72l(https://t.example/x)">', '<p>'],
    ['<p style="background:url/**/(//t.example/x)">', '<p>'],
    ['<style>a{background:url("https://t.example/x") red}</style>', '<style>a{background: red}</style>'],
    ['<style>@import "//t.example/x";p{}</style>', '<style>p{}</style>'],
    ['<style>@import url(//t.example/x);p{}</style>', '<style>p{}</style>'],
    ['<style>a{b:image-set("//t.example/x" 1x)}</style>', '<style>a{b:}</style>'],
    ['<style>a{b:url(//t.example/x', '<style>a{b:'],
    ['<style>@\\69mport "//t.example/x";</style>', '<style></style>'],
    ['<svg><style><img src=//t.example/x></style></svg>', '<svg><style></style></svg>'],
    ['<!--[if mso]><v:fill src="https://t.example/x"/><![endif]-->', '<!--[if mso]><v:fill /><![endif]-->'],
    ['<noscript><img src=//t.example/x></noscript>', '<noscript><img></noscript>'],
    ['<svg><title><img src=//t.example/x></title></svg>', '<svg><title><img></title></svg>'],
  ])('goes from %s', async (html, clean) => {
    expect(await without(html)).toBe(clean);
  });

  it.each([
    '<img src="cid:a@b"><img src="data:image/gif;base64,R0lGOD"><img src=x.gif><img>',
    '<a href="https://t.example/">https://t.example/x.gif</a><area href="//t.example">',
    '<form action="https://t.example/"><blockquote cite="https://t.example/">',
    '<style>a{background:url(cid:a);b:url(#c);font:"https://t.example"}/* url(//t.example) */</style>',
    '<p style="background:url(data:image/png;base64,x)" title="url(https://t.example)">',
    'text url(https://t.example/) <!-- a comment -->',
  ])('is not %s', async (html) => {
    const part = page(html);
    expect(await findRemoteImages(part)).toEqual([]);
    await removeRemoteImages(part);
    expect(part.changed).toBe(false);
  });

  it('goes from SVG too', async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg"><style>a{b:url(//t.example)}</style><use href="//t.example"/></svg>';
    expect(await without(svg, 'image/svg+xml')).toBe(
      '<svg xmlns="http://www.w3.org/2000/svg"><style>a{b:}</style><use /></svg>',
    );
  });

  it('is told by findRemoteImages, which changes nothing', async () => {
    const part = page('<img src=//t.example/x><style>a{b:url(//t.example)}</style>');
    expect(await findRemoteImages(part)).toEqual([
      { kind: 'attribute', name: 'src' },
      { kind: 'element', name: 'style' },
    ]);
    expect(part.changed).toBe(false);
  });

  it('leaves every other byte, in any charset', async () => {
    const wide = Buffer.from(
      '\ufeff<p>\u4e2d<img src=//t.example/x>\u6587<style>a{b:url(//x)\u4e2d}</style>',
      'utf16le',
    );
    const part = parseMessage(
      Buffer.from(
        `Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n${wide.toString('base64')}`,
      ),
    ).root;
    await removeRemoteImages(part);
    expect(part.content().toString('utf16le')).toBe('\ufeff<p>\u4e2d<img>\u6587<style>a{b:\u4e2d}</style>');
  });

  it.each([
    ['style', (n: number) => `<style>${'url('.repeat(n)}`],
    ['imports', (n: number) => `<style>${'@import'.repeat(n)}`],
    ['comments', (n: number) => `<style>url${'/*'.repeat(n)}`],
    ['image sets', (n: number) => `<style>${'image-set('.repeat(n)}`],
    ['urls', (n: number) => `<style>${'url(//x)'.repeat(n)}`],
    ['tags in style', (n: number) => `<style>url${'<a '.repeat(n)}`],
    ['escapes', (n: number) => `<style>${'\\75 rl('.repeat(n)}`],
    ['attributes', (n: number) => `<p ${'style=url( '.repeat(n)}>`],
  ])('is found in time linear in the page: %s', (_, make) => {
    const times = growth((size) => {
      const html = make(size);
      return () => finish(findRemote(html, false));
    }, 10_000);
    expect(times).toBeLessThan(30);
  });
});
