/** HTML from mail, made anew for showing. */
import { describe, expect, it } from 'vitest';
import { safeHtml } from '../../../lib/mime/index.ts';
import { fc } from '../../helpers/fuzz.ts';
import { quickest } from '../../helpers/quickest.ts';

describe('safeHtml', () => {
  it('keeps what lays out text', async () => {
    expect(
      await safeHtml(
        '<!doctype html><div align=center style="color: #F00; Font-Weight:bold"><p>a &amp; b &lt;c&gt; <b>d<br>e</b></p></div><table border="1"><tr><td colspan=2>f</table>',
      ),
    ).toBe(
      '<div align="center" style="color:#F00;font-weight:bold"><p>a &amp; b &lt;c&gt; <b>d<br>e</b></p></div><table border="1"><tr><td colspan="2">f</td></tr></table>',
    );
  });

  it('writes links and pictures as text', async () => {
    expect(
      await safeHtml(
        '<a href="https://x.example/?a=1&amp;b">go</a> <img src="x" alt="A &quot;b&quot;"><img src=x>',
      ),
    ).toBe(
      '<u>go</u> <small>&lt;https://x.example/?a=1&amp;b&gt;</small> <i>[picture: A &quot;b&quot;]</i><i>[picture]</i>',
    );
    expect(await safeHtml('<a href="#top">up</a><a>no</a>')).toBe('<u>up</u><u>no</u>');
  });

  it.each([
    ['<script>alert(1)</script>x', 'x'],
    ['<style>p { color: red }</style>x', 'x'],
    ['<svg><script>alert(1)</script><p>in</p></svg>x', 'x'],
    ['<svg><svg></svg><p>in</svg>x', 'x'],
    ['<p onclick="x()" id=a class=b data-x=1>x', '<p>x</p>'],
    ['<p style="background:url(x);position:fixed;color:red">x', '<p style="color:red">x</p>'],
    ['<p style="color:expression(alert(1))">x', '<p>x</p>'],
    ['<p style="color:r\\65 d">x', '<p>x</p>'],
    ['<p style="color:rgb(1, 2,3);width:calc(1px)">x', '<p style="color:rgb(1, 2,3)">x</p>'],
    ['<p align="&quot;&gt;<script>">x', '<p>x</p>'],
    ['<p align=left align=right>x', '<p align="right">x</p>'],
    ['a < b > c <!-- <p>no</p> --> d', 'a &lt; b &gt; c  d'],
    ['<unknown><b>x</unknown>', '<b>x</b>'],
    ['</b></p>x', 'x'],
    ['<b><i>x</b>y</i>', '<b><i>x</i></b>y'],
    ['<textarea><script>', ''],
    ['<xmp><b></xmp>x', 'x'],
  ])('makes of %j %j', async (html, safe) => {
    expect(await safeHtml(html)).toBe(safe);
  });

  it('lets nothing else through, whatever it is given', async () => {
    const pieces = fc.constantFrom(
      ...'<script> </script> <svg <!-- --> <![CDATA[ ]]> <img alt=" " \' = > < / & &lt; &#60; <a href= <p style= </p> <style> <title> onload=x url( javascript: <table> <td \0 \u2028 x'.split(
        ' ',
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(pieces, { maxLength: 40 }), async (parts) => {
        const safe = await safeHtml(parts.join(''));
        const rest = safe.replace(
          /<\/?(?:p|td|table|u|i|small|br|b)(?: (?:align|style|colspan)="[\w#%., :;()-]*")*>/g,
          '',
        );
        expect(rest).not.toMatch(/[<>]/);
      }),
    );
  });

  it('is done in time by its length', async () => {
    for (const piece of [
      '<a>',
      '<div>',
      '</a',
      '<!',
      '<svg>',
      '<p style="color:red;">',
      '&lt;<',
      '<a href=x></a>',
    ]) {
      const time = async (count: number): Promise<number> => {
        const text = piece.repeat(count);
        return await quickest(3, () => safeHtml(text));
      };
      const small = await time(4_000);
      // Linear would be 8 times as long, quadratic 64 times.
      expect(await time(32_000), piece).toBeLessThan(30 * small + 100);
    }
  });
});
