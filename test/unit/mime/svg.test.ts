import { describe, expect, it } from 'vitest';
import { cleanSvg, createPart, defang, parseMessage } from '../../../lib/mime/index.ts';
import { growth } from '../../fixtures/mime/cost.ts';

const NS = 'xmlns="http://www.w3.org/2000/svg"';

describe('an SVG picture', () => {
  it.each([
    ['a script', `<svg ${NS}><script>x</script><g/></svg>`, `<svg ${NS}><g/></svg>`],
    ['a script from elsewhere', '<svg><script xlink:href="//x"/><g/></svg>', '<svg><g/></svg>'],
    [
      'a script whose end is data',
      '<svg><script><![CDATA[</script>]]>x</script><g/></svg>',
      '<svg><g/></svg>',
    ],
    ['a script by another prefix', '<svg:svg><svg:script>x</svg:script></svg:svg>', '<svg:svg></svg:svg>'],
    ['a handler', '<svg onload="x"><g onclick="y"/></svg>', '<svg><g /></svg>'],
    ['a script URL', '<svg><a href="javascript:x"><g/></a></svg>', '<svg><a><g/></a></svg>'],
    ['a script URL to animate with', '<svg><set to="javascript:x"/></svg>', '<svg><set /></svg>'],
    [
      'an animated reference',
      '<svg><set attributeName="xlink:href" to="//x"/></svg>',
      '<svg><set to="//x"/></svg>',
    ],
    ['HTML', '<svg><foreignObject><p>x</p><foreignObject/></foreignObject><g/></svg>', '<svg><g/></svg>'],
    [
      'HTML in HTML',
      '<svg><foreignObject><a><foreignObject>x</foreignObject></a></foreignObject></svg>',
      '<svg></svg>',
    ],
    ['a picture from elsewhere', '<svg><image href="http://x/y.png"/></svg>', '<svg><image /></svg>'],
    ['what it uses from elsewhere', '<svg><use xlink:href="x.svg#a"/></svg>', '<svg><use /></svg>'],
    ['a pattern from elsewhere', '<svg><g fill="url(http://x/y)"/></svg>', '<svg><g /></svg>'],
    ['a style from elsewhere', '<svg><g style="fill: u\\72l(//x)"/></svg>', '<svg><g /></svg>'],
    [
      'a style sheet from elsewhere',
      '<svg><style>@import "//x";</style></svg>',
      '<svg><style></style></svg>',
    ],
    ['a font from elsewhere', '<svg><style>a{src:url(//x)}</style></svg>', '<svg><style></style></svg>'],
    [
      'the style sheet of XML',
      '<?xml version="1.0"?><?xml-stylesheet href="//x"?><svg/>',
      '<?xml version="1.0"?><svg/>',
    ],
    [
      'a document in a data URL',
      '<svg><use href="data:image/svg+xml,&lt;svg>"/></svg>',
      '<svg><use /></svg>',
    ],
    [
      'entities that hide a script',
      '<!DOCTYPE svg [<!ENTITY a "<script>x</script>"><!ENTITY b SYSTEM "//x">]><svg>&a;</svg>',
      '<!DOCTYPE svg []><svg>&a;</svg>',
    ],
    ['a script in entities', '<svg><a href="java&#x73;cript:x"/></svg>', '<svg><a /></svg>'],
  ])('loses %s', (_, svg, clean) => {
    expect(cleanSvg(svg).html).toBe(clean);
    expect(cleanSvg(clean)).toEqual({ html: clean, removed: [] });
  });

  it.each([
    `<?xml version="1.0"?>\n<svg ${NS} xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 1 1"><title>a</title></svg>`,
    '<svg><use xlink:href="#a"/><g fill="url(#b)" style="fill:url(\'#c\')"/><style>g{fill:red}</style></svg>',
    '<svg><a href="https://example.com/"><image href="data:image/png;base64,AA=="/></a></svg>',
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd" [\n\t<!ENTITY ns_svg "http://www.w3.org/2000/svg">\n]><svg xmlns="&ns_svg;"/>',
    '<svg><text>a &lt;script> b</text><!-- c --></svg>',
  ])('keeps what only draws: %s', (svg) => {
    expect(cleanSvg(svg)).toEqual({ html: svg, removed: [] });
  });

  it.each([
    { contentType: 'image/svg+xml' },
    { contentType: 'application/octet-stream', name: 'a.svg' },
    { contentType: 'text/xml', name: 'a.xml' },
  ])('is cleaned by defang as $contentType', async (fields) => {
    const svg = `<svg ${NS}><script>x</script></svg>`;
    const message = parseMessage(createPart({ ...fields, content: Buffer.from(svg) }).toBytes());
    expect(await defang(message)).toMatchObject({ modified: true, html: [{ name: 'script' }] });
    expect(message.root.content().toString()).toBe(`<svg ${NS}></svg>`);
  });

  // What the fuzzing found, and its like: one thing that is cut lets another come to light.
  it.each([
    ['an entity before the end of a tag', '<&<<!ENTITY a "-->', ''],
    ['an entity in which there is a quote', '<&<<!ENTITY a "<use href="//x"/>', ''],
    [
      'an entity that ends in an instruction',
      '<!ENTITY a "<x:script/><?xml-stylesheet "<svg><use href="//x"/>',
      '<use />',
    ],
    ['an entity within a tag', '<scr<!ENTITY a "x">ipt>alert(1)</script>', ''],
    ['entities within each other', `${'<!ENT'.repeat(4)}<!ENTITY>${'ITY a>'.repeat(4)}<svg/>`, '<svg/>'],
    ['more of them than anybody needs', `${'<!ENT'.repeat(20)}<!ENTITY>${'ITY a>'.repeat(20)}<svg/>`, ''],
  ])('is clean when it was cleaned once: %s', (_, svg, clean) => {
    expect(cleanSvg(svg).html).toBe(clean);
    expect(cleanSvg(clean)).toEqual({ html: clean, removed: [] });
  });

  it('may be other XML, which stays', async () => {
    const xml = '<invoice><image href="https://example.com/a.png"/><script>no page</script></invoice>';
    const part = createPart({ contentType: 'application/xml', content: Buffer.from(xml) });
    expect((await defang(parseMessage(part.toBytes()))).modified).toBe(false);
  });

  it.each([
    ['entities', (n: number) => `<!DOCTYPE svg [${'<!ENTITY a "'.repeat(n)}`],
    ['nested pages', (n: number) => '<foreignObject>'.repeat(n)],
    ['style sheets', (n: number) => `<svg>${'<style>a{b:url(#c)}</style>'.repeat(n)}`],
    ['references', (n: number) => `<svg><g style="${'url('.repeat(n)}"/>`],
    ['processing instructions', (n: number) => '<?xml-stylesheet '.repeat(n)],
    ['open comments', (n: number) => '<!--'.repeat(n)],
  ])('takes time in proportion to its %s', (_, make) => {
    const makeWork = (n: number) => {
      const svg = make(n);
      return () => void cleanSvg(svg);
    };
    expect(growth(makeWork, 5000)).toBeLessThan(30);
  });
});
