import { describe, expect, it } from 'vitest';
import { cleanHtml, cleanHtmlPart, parseMessage } from '../../../lib/mime/index.ts';
import { growth } from '../../fixtures/mime/cost.ts';

describe('HTML', () => {
  it.each([
    ['a script', '<p>a<script>alert("</p>")</script>b', '<p>ab'],
    ['a script in odd case with spaces', '<sCrIpT src=//x ></ScRiPt >x', 'x'],
    ['a script that is never closed', 'a<script>b<p>c', 'a'],
    ['a script in SVG', '<svg><script>x</script></svg>', '<svg></svg>'],
    ['an event handler', '<P ONCLICK="x" id=a>t</P>', '<P id=a>t</P>'],
    ['an event handler before another attribute', '<img src=a onerror="x"alt=b>', '<img src=a alt=b>'],
    ['an event handler behind a slash', '<svg/onload=alert(1)>', '<svg>'],
    [
      'an event handler with spaces around its equals sign',
      '<img src=x onerror = alert(1) >',
      '<img src=x >',
    ],
    ['an event handler without a value', '<x a=&amp onfoo>', '<x a=&amp>'],
    ['a script URL', '<a href="javascript:x">y</a>', '<a>y</a>'],
    ['a script URL in entities', '<a href="java&#10;script&colon;alert(1)">x</a>', '<a>x</a>'],
    [
      'a script URL with spaces in front',
      "<a href=' \tJavaScript:x' target=_blank>y</a>",
      '<a target=_blank>y</a>',
    ],
    ['a script URL of Visual Basic', '<a href=vbscript:x>y</a>', '<a>y</a>'],
    ['a document in a data URL', '<a href="data:text/html,<script>x</script>">y</a>', '<a>y</a>'],
    ['a script URL to animate with', '<animate values="http://a;javascript:x">', '<animate>'],
    ['a frame', 'a<iframe src=x>b</iframe>c', 'ac'],
    [
      'an object, but not what is shown without it',
      '<object data=x><param name=y><p>z</p></object>',
      '<p>z</p>',
    ],
    ['an embedded object', 'a<embed src=x>b', 'ab'],
    ['a refresh', '<META HTTP-EQUIV="Refresh" content="0;url=x">a', 'a'],
    [
      'a script in a conditional comment',
      '<!--[if IE]><script>x</script><p>k</p><![endif]-->',
      '<!--[if IE]><p>k</p><![endif]-->',
    ],
    ['a script behind a comment that ends early', '<!--><script>x</script>-->', '<!-->-->'],
    [
      'a handler in what is raw text only outside SVG',
      '<svg><style><img src=x onerror=y></style></svg>',
      '<svg><style><img src=x></style></svg>',
    ],
    [
      'a handler behind a hidden end of noscript',
      '<noscript><p title="</noscript><img onerror=x>">',
      '<noscript>',
    ],
    [
      'a script whose going would make another one',
      'a<<script>b</script>script>c</script>',
      'a< script>c</script>',
    ],
    ['a tag that is cut off and would act once it ended', 'a<img src=x onerror=y', 'a'],
  ])('loses %s', (_, html, clean) => {
    expect(cleanHtml(html).html).toBe(clean);
    expect(cleanHtml(html).removed).not.toEqual([]);
    expect(cleanHtml(clean)).toEqual({ html: clean, removed: [] });
  });

  it.each([
    [
      'conditional comments',
      '<!--[if gte mso 9]><xml><o:p>&nbsp;</o:p></xml><![endif]--><![if !mso]><p>x</p><![endif]>',
    ],
    ['entities', '&lt;script&gt; &nbsp; &copy &#x41; &unknown; a & b'],
    ['odd markup', '<p><b>x</p></b><br/><TD nowrap align = center ></td ><1>< p>a<b'],
    [
      'pictures in data URLs',
      '<img src="data:image/png;base64,AAA="><div style="background:url(data:image/gif;base64,R0)">',
    ],
    [
      'prose that mentions scripts',
      '<a title="javascript: the good parts" href="http://x/?a=1&b=onclick=2">on=x</a>',
    ],
    [
      'declarations and instructions',
      '<!DOCTYPE html PUBLIC "-//W3C//DTD"><?xml version="1.0"?><![CDATA[x]]>',
    ],
    ['styles', '<style><!-- p > a { color: red } --></style><link rel=stylesheet href=x.css>'],
  ])('keeps %s as they are', (_, html) => {
    expect(cleanHtml(html)).toEqual({ html, removed: [] });
  });

  it('takes time in proportion to its length', () => {
    for (const piece of [
      '<!--',
      '<a onx=',
      '<script',
      '<style><!--',
      '<p onclick=x>',
      '&#',
      '</',
      '<svg><style>',
      '<noscript a="',
    ]) {
      const makeWork = (n: number) => {
        const html = piece.repeat(n);
        return () => void cleanHtml(html);
      };
      expect(growth(makeWork, 10_000), piece).toBeLessThan(30);
    }
  });
});

describe('an HTML part', () => {
  function partOf(charset: string, encoding: string, body: Buffer) {
    const head = `Content-Type: text/html; charset=${charset}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`;
    return parseMessage(Buffer.concat([Buffer.from(head), body])).root;
  }

  it.each(['utf-8', 'iso-8859-1', 'shift_jis', 'no-such-charset'])(
    'keeps its other bytes in %s',
    async (charset) => {
      const noise = Buffer.from(Array.from({ length: 128 }, (_, i) => 128 + i));
      const script = Buffer.from('<script>x</script>');
      const part = partOf(charset, '8bit', Buffer.concat([noise, script, noise]));
      expect(await cleanHtmlPart(part)).toEqual([{ kind: 'element', name: 'script' }]);
      expect(part.content()).toEqual(Buffer.concat([noise, noise]));
    },
  );

  it('is found out in UTF-16 of either order, with a mark or without', async () => {
    const text = '<p>ü</p><script>x</script>';
    const little = Buffer.from(text, 'utf16le');
    const big = Buffer.from(little).swap16();
    const cases: readonly [string, Buffer][] = [
      ['utf-16le', little],
      ['utf-16be', big],
      ['utf-8', Buffer.concat([Buffer.from([0xff, 0xfe]), little])],
      ['us-ascii', Buffer.concat([Buffer.from([0xfe, 0xff]), big])],
    ];
    for (const [charset, body] of cases) {
      const part = partOf(charset, 'base64', Buffer.from(body.toString('base64')));
      expect(await cleanHtmlPart(part), charset).toHaveLength(1);
      expect(part.content(), charset).toEqual(
        body.subarray(0, body.length - 2 * '<script>x</script>'.length),
      );
    }
  });

  it('is read through the shifts of ISO-2022-JP', async () => {
    // The double-byte run spells what ASCII would take for an open script tag.
    const body = Buffer.from('\x1b$B<script>\x1b(B<p onclick=x>\x1b$B$"\x1b(B</p>', 'latin1');
    const part = partOf('iso-2022-jp', '7bit', body);
    expect(await cleanHtmlPart(part)).toEqual([{ kind: 'attribute', name: 'onclick' }]);
    expect(part.content().toString('latin1')).toBe(body.toString('latin1').replace(' onclick=x', ''));
  });

  it('is not touched when nothing in it acts', async () => {
    const part = partOf('utf-8', 'quoted-printable', Buffer.from('<p>a=3Db=\r\nc'));
    expect(await cleanHtmlPart(part)).toEqual([]);
    expect(part.changed).toBe(false);
  });
});
