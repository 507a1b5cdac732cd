import { describe, expect, it } from 'vitest';
import { cleanHtml } from '../../lib/mime/index.ts';
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
