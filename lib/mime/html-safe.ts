/**
 * HTML from mail, made anew for showing: only elements and styles that lay out text, no links, no pictures, nothing that is
 * loaded or acts. Every tag is written here, and every character of text escaped, so that it does not matter how a browser
 * would have read the original.
 */

import { wrongArgument } from '../errors.ts';
import { text as aText, checkValue } from '../options.ts';
import { type OpenTag, tokenize } from './html-tokens.ts';
import { finishInTurns } from './slice.ts';

const SHOWN = new Set(
  (
    'abbr address b big blockquote body br caption center cite code col colgroup dd del details dfn div dl dt em figcaption figure ' +
    'font footer h1 h2 h3 h4 h5 h6 header hr i ins kbd li main mark ol p pre q s samp section small span strike strong sub summary ' +
    'sup table tbody td tfoot th thead tr tt u ul var'
  ).split(' '),
);
/** Elements that go with what is in them. */
const DROPPED = new Set(
  (
    'applet audio canvas embed frameset head iframe math noembed noframes noscript object option plaintext script select style svg ' +
    'template textarea title video xmp'
  ).split(' '),
);
const ATTRIBUTES = new Set(
  'align bgcolor border cellpadding cellspacing color colspan dir height lang rowspan size start valign width'.split(
    ' ',
  ),
);
const STYLES = new Set(
  (
    'background background-color border border-bottom border-collapse border-color border-left border-radius border-right ' +
    'border-spacing border-style border-top border-width color direction display font font-family font-size font-style ' +
    'font-variant font-weight height letter-spacing line-height list-style-type margin margin-bottom margin-left margin-right ' +
    'margin-top max-width min-width opacity padding padding-bottom padding-left padding-right padding-top table-layout ' +
    'text-align text-decoration text-indent text-transform vertical-align visibility white-space width word-break'
  ).split(' '),
);
/** Neither addresses nor escapes can be written with these. */
const PLAIN = /^[\w\s#%.,+-]{0,100}$/;
/** The same, and functions of colours. */
const STYLE_VALUE = /^(?:[\w\s#%.,!'+-]|(?<=rgba?|hsla?)\([\d\s.,%/]{1,50}\)){1,200}$/i;
/** What the tokens do not tell of: it is no text. */
const DECLARATION = /<[!?][^<>]*>/g;
/** So deep may it be nested: browsers take long over more. */
const MAX_DEPTH = 200;
const MAX_LINKS = 20;

/**
 * The markup to show in place of `html`, to be put into a body; in turns of the event loop. Links are shown with where they
 * lead, pictures by their descriptions.
 */
export async function safeHtml(html: string): Promise<string> {
  checkValue('safeHtml: the HTML', html, aText, wrongArgument);
  const out: string[] = [];
  const open: string[] = [];
  const links: string[] = [];
  let dropped: string | undefined;
  let depth = 0;
  let at = 0;
  const text = (end: number): void => {
    if (dropped === undefined && end > at) out.push(escapeText(html.slice(at, end).replace(DECLARATION, '')));
  };
  const steps = tokenize(html, {
    onOpenTag: (tag) => {
      text(tag.start);
      at = tag.end;
      if (dropped !== undefined) {
        if (tag.name === dropped && !tag.isSelfClosing) depth++;
        return;
      }
      if (DROPPED.has(tag.name)) {
        if (tag.isSelfClosing || tag.name === 'embed') return;
        dropped = tag.name;
        depth = 1;
      } else if (tag.name === 'img') out.push(picture(tag));
      else if (tag.name === 'a') {
        if (links.length >= MAX_LINKS) return;
        links.push(attributeOf(tag, 'href').trim().slice(0, 300));
        out.push('<u>');
      } else if (SHOWN.has(tag.name) && open.length < MAX_DEPTH) {
        out.push(openTag(tag));
        if (!['br', 'hr', 'col'].includes(tag.name)) open.push(tag.name);
      }
    },
    onCloseTag: (name, start, end) => {
      text(start);
      at = end;
      if (dropped !== undefined) {
        if (name === dropped && --depth === 0) dropped = undefined;
        return;
      }
      if (name === 'a') {
        const link = links.pop();
        if (link !== undefined) out.push(`</u>${target(link)}`);
        return;
      }
      const place = open.lastIndexOf(name);
      if (place < 0) return;
      for (const inner of open.splice(place).reverse()) out.push(`</${inner}>`);
    },
    onComment: (start, end) => {
      // From `<!--`, or `<!`, to behind `-->`, or `>`.
      const begin = html.lastIndexOf('<', start);
      text(Math.max(at, begin));
      at = Math.max(end, html.indexOf('>', end) + 1);
    },
  });
  await finishInTurns(steps);
  text(html.length);
  for (const link of links.reverse()) out.push(`</u>${target(link)}`);
  for (const inner of open.reverse()) out.push(`</${inner}>`);
  return out.join('');
}

function openTag({ name, attributes }: OpenTag): string {
  const kept = attributes.flatMap(({ name: attribute, value }) => {
    if (attribute === 'style') {
      const style = safeStyle(value);
      return style === '' ? [] : [` style="${style}"`];
    }
    return ATTRIBUTES.has(attribute) && PLAIN.test(value) ? [` ${attribute}="${value}"`] : [];
  });
  return `<${name}${[...new Map(kept.map((one) => [one.split('=', 1)[0], one])).values()].join('')}>`;
}

function safeStyle(style: string): string {
  return style
    .slice(0, 2_000)
    .split(';')
    .flatMap((declaration) => {
      const [property = '', value = ''] = declaration.split(/:(.*)/s).map((side) => side.trim());
      const name = property.toLowerCase();
      return STYLES.has(name) && STYLE_VALUE.test(value) ? [`${name}:${value.replace(/['\s]+/g, ' ')}`] : [];
    })
    .join(';');
}

function picture(tag: OpenTag): string {
  const description = attributeOf(tag, 'alt').trim().slice(0, 200);
  return description === '' ? '<i>[picture]</i>' : `<i>[picture: ${escapeAll(description)}]</i>`;
}

function target(link: string): string {
  return link === '' || link.startsWith('#') ? '' : ` <small>&lt;${escapeAll(link)}&gt;</small>`;
}

function attributeOf({ attributes }: OpenTag, name: string): string {
  return attributes.find((attribute) => attribute.name === name)?.value ?? '';
}

/** Character references in it stay what they are: text. */
function escapeText(text: string): string {
  return text.replaceAll('<', '&lt;').replaceAll('>', '&gt;').toWellFormed();
}

function escapeAll(text: string): string {
  return escapeText(text.replaceAll('&', '&amp;').replaceAll('"', '&quot;'));
}
