/**
 * HTML that cannot be wrong: what stands in the template is markup, and every value is text, escaped, unless it is markup
 * that was made here too.
 */

/** Markup. */
export class Html {
  readonly #markup: string;

  /** Only for the template below: whoever writes this elsewhere vouches for the text. */
  constructor(markup: string) {
    this.#markup = markup;
  }

  toString(): string {
    return this.#markup;
  }
}

/** What may stand in a template; undefined and false are nothing. */
export type Content = Html | string | number | undefined | false | readonly Content[];

/** Markup from a template. Values are for text, and for attributes in double quotes. */
export function html(markup: TemplateStringsArray, ...values: readonly Content[]): Html {
  let whole = markup[0] ?? '';
  for (const [index, value] of values.entries()) whole += toMarkup(value) + (markup[index + 1] ?? '');
  return new Html(whole);
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** Text as HTML. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"'`]/g, (character) => ENTITIES[character] ?? '');
}

function toMarkup(value: Content): string {
  if (value === undefined || value === false) return '';
  if (value instanceof Html) return value.toString();
  if (typeof value === 'object') return value.map(toMarkup).join('');
  return escapeHtml(String(value));
}

/**
 * Text from mail for a page: what shows nothing, or turns the writing round, is shown as a sign, and what is no Unicode is
 * replaced. Line ends and tabs stay.
 */
export function visible(text: string): string {
  return text
    .toWellFormed()
    .replace(/\r\n?/g, '\n')
    .replace(/[\p{Cc}\u2028\u2029]/gu, (character) =>
      character === '\n' || character === '\t' ? character : controlPicture(character),
    )
    .replace(/[\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g, '\u2423');
}

/** The same in one line. */
export function visibleLine(text: string): string {
  return visible(text.replace(/\s+/g, ' ').trim());
}

function controlPicture(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? '\u2421' : '\ufffd';
}

/** Text from mail, whose direction stays its own. */
export function mailText(text: string, otherwise = ''): Html {
  const line = visibleLine(text);
  return line === '' && otherwise !== ''
    ? html`<span class="none">${otherwise}</span>`
    : html`<bdi>${line}</bdi>`;
}

/** A moment, for people and for programs; the script puts it into the reader's own time. */
export function moment(at: number): Html {
  const iso = new Date(at).toISOString();
  return html`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`;
}

const SIZES = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

/** A size for people. */
export function bytes(size: number): string {
  let rest = size;
  let unit = 0;
  while (rest >= 1_000 && unit < SIZES.length - 1) {
    rest /= 1_000;
    unit++;
  }
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${SIZES[unit]}`;
}

const ONES = new Intl.NumberFormat('en');

/** A number for people. */
export function count(number: number): string {
  return ONES.format(number);
}

const HOUR = 3_600_000;

/** How long something lasts, in milliseconds, in whole days or, where those would not be right, hours. */
export function period(milliseconds: number): string {
  const hours = Math.max(1, Math.round(milliseconds / HOUR));
  return hours % 24 === 0 || hours > 72 ? plural(Math.round(hours / 24), 'day') : plural(hours, 'hour');
}

/** `1 message`, `2 messages`. */
export function plural(number: number, one: string): string {
  return `${count(number)} ${one}${number === 1 ? '' : 's'}`;
}
