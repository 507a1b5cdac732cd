import { describe, expect, it } from 'vitest';
import { readPage, readPageInTurns } from '../../../lib/mime/index.ts';
import { quickest } from '../../helpers/quickest.ts';

const seen = (html: string): string => readPage(html).visible.replace(/\s+/g, ' ').trim();
const hidden = (html: string): string => readPage(html).hidden.replace(/\s+/g, ' ').trim();

describe('a page', () => {
  it('reads as it is seen: inline elements are within words, blocks are not', () => {
    expect(seen('vi<b></b>ag<!-- x -->r<bogus>a</bogus><p>new</p>line<br>break<td>cell')).toBe(
      'viagra new line break cell',
    );
    expect(seen('&#99;heap &amp; &eacute;t&#xe9; a&nbsp;b')).toBe('cheap & été a b');
    expect(seen('<img alt="a picture"><input placeholder="type here">')).toBe('a picture type here');
    expect(seen('<script>alert(1)</script><style>p{}</style><title>t</title>text')).toBe('t text');
  });

  it('has apart what styles hide', () => {
    for (const style of [
      'display:none',
      'DISPLAY : none !important',
      'visibility:hidden',
      'font-size:0',
      'font-size:1px',
      'opacity:0',
      'mso-hide:all',
      'max-height:0px',
      'text-indent:-9999px',
      'position:absolute;left:-5000px',
    ]) {
      expect([
        style,
        seen(`a<span style="${style}">b<i>c</i></span>d`),
        hidden(`a<span style="${style}">b<i>c</i></span>d`),
      ]).toEqual([style, 'ad', 'bc']);
    }
    for (const style of [
      'display:block',
      'font-size:12px',
      'font-size:1.2em',
      'opacity:0.9',
      'color:white;background:black',
      'line-height:0',
    ]) {
      expect([style, seen(`<span style="${style}">b</span>`)]).toEqual([style, 'b']);
    }
    expect(hidden('<p hidden>x</p>y')).toBe('x');
  });

  it('takes no longer for style sheets that have no rule than for what has elements', async () => {
    const SIZE = 128 * 1024;
    const usual = '<p class="x">text</p>';
    const time = await quickest(3, async () => void readPage(usual.repeat(SIZE / usual.length)));
    for (const text of ['<style>', '<style></style>', 'a ', '/*', '.a{', '{', '}', '.a,.b{x'])
      expect(
        await quickest(3, async () => void readPage(`<style>${text.repeat(SIZE / text.length)}`)),
        text,
      ).toBeLessThan(3 * time);
  });

  it('can be read in turns', async () => {
    let turns = 0;
    let isRead = false;
    const count = (): void => {
      turns++;
      if (!isRead) setImmediate(count);
    };
    setImmediate(count);
    const html = '<div>a'.repeat(100_000);
    const page = await readPageInTurns(html);
    isRead = true;
    expect(page).toEqual(readPage(html));
    expect(turns).toBeGreaterThan(2);
  });

  it('has apart what is in the colour of its background', () => {
    expect(hidden('<font color="#FFFFFE">x</font>')).toBe('x');
    expect(hidden('<body bgcolor=black><font color="#000">x</font><font color="white">y</font>')).toBe('x');
    expect(
      hidden('<td style="background-color: rgb(250, 250, 250)"><span style="color:#fafafa">x</span></td>'),
    ).toBe('x');
    expect(hidden('<body bgcolor="#ffffff" text="#000000">x')).toBe('');
  });

  it('has apart what simple rules of its style sheets hide', () => {
    const sheet = '<style>.a, #b { color: red; display: none } i{font-size:0px} .c{display:block}</style>';
    expect(hidden(`${sheet}<p class="z A">1</p><p id=b>2</p><i>3</i><p class=c>4</p>`)).toBe('1 2 3');
  });

  it('tells links and marks, each once', () => {
    const { links, marks } = readPage(
      '<a href="http://a.example/?x&amp;y">1</a><a href="http://a.example/?x&amp;y">2</a><img src=b width=1>',
    );
    expect(links).toEqual(['http://a.example/?x&y', 'b']);
    expect(marks).toEqual(['a', 'a.href', 'img', 'img.src', 'img.width']);
  });

  it('is read in time that grows with its length, however deep it is', () => {
    const deep = '<div style="display:none">'.repeat(50_000);
    expect(hidden(`${deep}x${'</div>'.repeat(50_000)}`)).toBe('x');
    expect(seen(`${'</p>'.repeat(50_000)}x`)).toBe('x');
    expect(readPage(`<a ${'b=c '.repeat(50_000)}>x`).marks.length).toBeLessThanOrEqual(1_000);
  });
});
