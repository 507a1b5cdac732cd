/**
 * Whether styles hide a text from its reader: by not showing it, by no size, or by the colour of what is behind it. Only what
 * the element itself says, and simple rules of the page's own style sheets.
 */

/** The colours that hold where an element stands. */
export interface Colors {
  /** As written, in lower case; empty where unknown. */
  readonly color: string;
  readonly background: string;
}

const NOT_SHOWN =
  /(?:^|[;\s{])(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)|mso-hide\s*:\s*all|opacity\s*:\s*(?:0?\.0\d*|0)(?![\d.])|font-size\s*:\s*(?:0+(?:\.0\d*)?(?:px|pt|em|rem|%)?|1(?:\.\d+)?(?:px|pt|%))(?![\d.%a-z])|(?:max-)?(?:height|width)\s*:\s*0(?:px|pt|em)?(?![\d.%a-z])|text-indent\s*:\s*-\d{3,}|(?:left|top|right)\s*:\s*-\d{3,}|clip\s*:\s*rect\(\s*[01](?:px)?[,\s])/i;
const COLOR = /(?:^|[;\s{])color\s*:\s*([^;!}]{1,40})/i;
const BACKGROUND = /(?:^|[;\s{])background(?:-color)?\s*:\s*([^;!}]{1,80})/i;
/** What is this near in each of red, green and blue cannot be told apart. */
const NEAR = 16;

/** What an element's attributes make of its content: all of it is hidden, or its text is unseen unless what is inside has another colour. */
export function styleHides(
  attributes: ReadonlyMap<string, string>,
  around: Colors,
): Colors & { readonly isHidden: boolean; readonly isUnseen: boolean } {
  const style = (attributes.get('style') ?? '').slice(0, 4_000);
  const background = (
    (style !== '' ? BACKGROUND.exec(style)?.[1] : undefined) ??
    attributes.get('bgcolor') ??
    around.background
  )
    .trim()
    .toLowerCase();
  const color = (
    (style !== '' ? COLOR.exec(style)?.[1] : undefined) ??
    attributes.get('color') ??
    attributes.get('text') ??
    around.color
  )
    .trim()
    .toLowerCase();
  const isHidden = attributes.has('hidden') || (style !== '' && NOT_SHOWN.test(style));
  return { isHidden, isUnseen: isSame(color, background), color, background };
}

/** Whether a style sheet of the page hides this element by its name, class or id. */
export function isHidingRule(
  attributes: ReadonlyMap<string, string>,
  element: string,
  names: ReadonlySet<string>,
): boolean {
  if (names.size === 0) return false;
  const classes = (attributes.get('class') ?? '').slice(0, 1_000).toLowerCase().split(/\s+/);
  const id = attributes.get('id')?.toLowerCase() ?? '';
  return names.has(element) || names.has(`#${id}`) || classes.some((one) => names.has(`.${one}`));
}

const NAMED: Readonly<Record<string, string>> = {
  white: 'ffffff',
  black: '000000',
  red: 'ff0000',
  yellow: 'ffff00',
  blue: '0000ff',
  green: '008000',
  lime: '00ff00',
  gray: '808080',
  grey: '808080',
  silver: 'c0c0c0',
  snow: 'fffafa',
  ivory: 'fffff0',
  whitesmoke: 'f5f5f5',
};

function isSame(one: string, other: string): boolean {
  const [a, b] = [channels(one), channels(other)];
  return a !== undefined && b !== undefined && a.every((value, i) => Math.abs(value - (b[i] ?? 0)) < NEAR);
}

/** Red, green and blue; undefined for what is no colour that is known here. */
function channels(color: string): readonly number[] | undefined {
  const numbers = /^rgba?\(\s*(\d{1,3})[,\s]+(\d{1,3})[,\s]+(\d{1,3})/.exec(color);
  if (numbers !== null) return numbers.slice(1).map(Number);
  const hex = NAMED[color] ?? color.replace(/^#/, '');
  const digits = hex.length === 3 ? hex.replace(/./g, '$&$&') : hex;
  if (!/^[0-9a-f]{6}$/.test(digits)) return undefined;
  return [0, 2, 4].map((at) => Number.parseInt(digits.slice(at, at + 2), 16));
}
