import { describe, expect, it } from 'vitest';
import { applyToText } from '../../lib/mime/html.ts';
import { findRemote } from '../../lib/mime/html-remote.ts';
import { cleanHtml } from '../../lib/mime/index.ts';
import { finish } from '../../lib/mime/slice.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const page = fc
  .array(
    fc.constantFrom(
      ...[
        '<',
        '>',
        '</',
        '/',
        '!',
        '--',
        '<!--',
        '-->',
        '<![',
        ']>',
        '"',
        "'",
        '=',
        ' ',
        '\n',
        '\0',
        '&#106;',
        '&',
      ],
      ...[
        'script',
        'style',
        'svg',
        'iframe',
        'object',
        'noscript',
        'title',
        'img',
        'meta',
        'template',
        'plaintext',
      ],
      ...[
        '<script>',
        '</script>',
        '<style>',
        '</style>',
        '<iframe',
        '</iframe>',
        '<object>',
        '<svg>',
        '</noscript>',
      ],
      ...[
        'onerror',
        'onerror=x',
        ' onclick="y"',
        'href=',
        'javascript:',
        'java',
        'script:',
        'data:text/html,',
        'x',
      ],
    ),
    { maxLength: 25 },
  )
  .map((pieces) => pieces.join(''));

describe('whatever the page', () => {
  it('what is clean stays clean: no cut makes markup of what was none', () => {
    fc.assert(
      fc.property(page, (html) => {
        const { html: clean } = cleanHtml(html);
        expect(cleanHtml(clean)).toEqual({ html: clean, removed: [] });
      }),
      runs(5000),
    );
  });

  it('nothing is added but spaces, and the rest keeps its order', () => {
    fc.assert(
      fc.property(page, (html) => {
        const clean = cleanHtml(html).html.replaceAll(' ', '');
        let at = -1;
        for (const character of clean) {
          at = html.indexOf(character, at + 1);
          expect(at).toBeGreaterThanOrEqual(0);
        }
      }),
      runs(1000),
    );
  });
});

describe('whatever the page fetches', () => {
  const fetching = fc
    .array(
      fc.constantFrom(
        ...['<', '>', '/>', '</', '"', "'", '=', ' ', '<!--', '-->', 'x', ';', ')', '\\', '/*', '*/'],
        ...['<img ', 'src=', '//x', 'http://x/', '<link href=', '<a href=', 'cid:x', 'srcset="//x 1x'],
        ...['<style>', '</style>', 'url(', '@import ', '<div style="', 'background', '<svg>', '<title>'],
      ),
      { maxLength: 22 },
    )
    .map((pieces) => pieces.join(''));

  it.each([
    ['HTML', false],
    ['XML', true],
  ])('nothing of it is left when it was taken out once, in %s', (_, isXml) => {
    fc.assert(
      fc.property(fetching, (html) => {
        const clean = applyToText(html, finish(findRemote(html, isXml))).html;
        expect(finish(findRemote(clean, isXml))).toEqual({ cuts: [], removed: [] });
      }),
      runs(1000),
    );
  });
});
