/** Macros: RFC 7208 section 7. A string is read once into pieces and expanded for each check. */
import { encodeText } from '../text.ts';

/** The letters by which RFC 7208 section 7.2 names the values. */
export type MacroLetter = 's' | 'l' | 'o' | 'd' | 'i' | 'p' | 'v' | 'h' | 'c' | 'r' | 't';

/** What each letter stands for in one check. */
export type MacroValues = Readonly<Record<MacroLetter, string>>;

/** A `macro-expand` between braces. */
interface Expansion {
  readonly letter: MacroLetter;
  /** An upper-case letter asks for URL escapes. */
  readonly escaped: boolean;
  /** Undefined where the value is used whole, as it mostly is. */
  readonly transform:
    | { readonly keep: number; readonly reverse: boolean; readonly delimiters: RegExp }
    | undefined;
}

/** A parsed macro-string. */
export interface MacroString {
  readonly pieces: readonly (string | Expansion)[];
  /** Whether `%{p}` is used, which costs DNS queries. */
  readonly usesPtr: boolean;
}

/** A parsed domain-spec (RFC 7208 section 7.1). */
export interface DomainSpec extends MacroString {
  /** The text as it stands in the record. */
  readonly text: string;
  /** The name to be asked, where no macro is in it. */
  readonly fixed: string | undefined;
}

/** What is no macro-literal: anything but printable ASCII, and outside explanations the space. */
const NOT_IN_DOMAIN = /[^\x21-\x7e]/;
const NOT_IN_EXPLANATION = /[^\x20-\x7e]/;
const EXPAND = /\{([slodipvhcrt])(\d*)(r?)([-.+,/_=]*)\}/iy;
const ESCAPED: ReadonlyMap<string, string> = new Map([
  ['%', '%'],
  ['_', ' '],
  ['-', '%20'],
]);
/** A `toplabel` has no hyphen at either end, and is not all digits. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i;
const NOT_ALL_DIGITS = /[a-z-]/i;
const MAX_NAME = 253;
/** Lone surrogates that stand for no byte; they cannot come from an MTA. */
const NO_BYTE = /[\ud800-\udc7f\udd00-\udfff]/gu;

/** Why a text does not follow the grammar. */
export type Wrong = { readonly wrong: string };

/**
 * Reads a macro-string.
 * @param inExplanation - also allows spaces and the letters c, r and t (RFC 7208 sections 6.2 and 7.2)
 */
export function parseMacroString(text: string, inExplanation: boolean): MacroString | Wrong {
  const read = readMacros(text, inExplanation);
  return 'wrong' in read ? read : { pieces: read.pieces, usesPtr: read.usesPtr };
}

/** Reads a domain-spec: a macro-string that ends in a top label or a macro. */
export function parseDomainSpec(text: string): DomainSpec | Wrong {
  if (text === '') return { wrong: 'the domain is empty' };
  const read = readMacros(text, false);
  if ('wrong' in read) return read;
  const { pieces, usesPtr, lastMacroEnd } = read;
  if (lastMacroEnd !== text.length && !endsInTopLabel(text.slice(lastMacroEnd))) {
    return { wrong: `"${text}" does not end in a valid top-level label` };
  }
  const [only] = pieces;
  const fixed = pieces.length === 1 && typeof only === 'string' ? shortened(only) : undefined;
  return { text, fixed, pieces, usesPtr };
}

function readMacros(text: string, inExplanation: boolean): (MacroString & { lastMacroEnd: number }) | Wrong {
  const [bad] = (inExplanation ? NOT_IN_EXPLANATION : NOT_IN_DOMAIN).exec(text) ?? [];
  if (bad !== undefined) {
    return { wrong: `the character 0x${bad.charCodeAt(0).toString(16).padStart(2, '0')} is not allowed` };
  }
  const pieces: (string | Expansion)[] = [];
  let literal = '';
  let usesPtr = false;
  let at = 0;
  for (let percent = text.indexOf('%'); percent >= 0; percent = text.indexOf('%', at)) {
    literal += text.slice(at, percent);
    const escaped = ESCAPED.get(text[percent + 1] ?? '');
    if (escaped !== undefined) {
      literal += escaped;
      at = percent + 2;
      continue;
    }
    EXPAND.lastIndex = percent + 1;
    const [braced, name = '', digits = '', reverse = '', delimiters = ''] = EXPAND.exec(text) ?? [];
    if (braced === undefined) return { wrong: `bad macro at "${text.slice(percent, percent + 12)}"` };
    const letter = name.toLowerCase() as MacroLetter; // The pattern allows no other.
    if (!inExplanation && 'crt'.includes(letter)) {
      return { wrong: `the macro %{${name}} is for explanations only` };
    }
    const keep = digits === '' ? Number.POSITIVE_INFINITY : Number(digits);
    if (keep === 0) return { wrong: `%${braced} keeps 0 parts; the number must be at least 1` };
    if (letter === 'p') usesPtr = true;
    if (literal !== '') pieces.push(literal);
    literal = '';
    const untouched = digits === '' && reverse === '' && delimiters === '';
    pieces.push({
      letter,
      escaped: name !== letter,
      transform: untouched ? undefined : { keep, reverse: reverse !== '', delimiters: splitter(delimiters) },
    });
    at = percent + 1 + braced.length;
  }
  literal += text.slice(at);
  if (literal !== '') pieces.push(literal);
  return { pieces, usesPtr, lastMacroEnd: at };
}

/** Whether literal text ends in `"." toplabel [ "." ]`. */
function endsInTopLabel(text: string): boolean {
  const end = text.endsWith('.') ? text.length - 1 : text.length;
  const dot = text.lastIndexOf('.', end - 1);
  const label = text.slice(dot + 1, end);
  return dot >= 0 && LABEL.test(label) && NOT_ALL_DIGITS.test(label);
}

function splitter(delimiters: string): RegExp {
  return new RegExp(`[${(delimiters || '.').replaceAll('-', '\\-')}]`);
}

/** Expands a macro-string to at most `limit` characters; the rest is cut off. */
export function expandMacros(macros: MacroString, values: MacroValues, limit: number): string {
  let text = '';
  for (const piece of macros.pieces) {
    text += expand(piece, values);
    if (text.length >= limit) return text.slice(0, limit);
  }
  return text;
}

/** Expands a domain-spec to the name to be asked. */
export function expandDomain(spec: DomainSpec, values: MacroValues): string {
  let name = '';
  // From the right: what is beyond the length of a name is cut off on the left.
  for (let i = spec.pieces.length - 1; i >= 0 && name.length <= MAX_NAME + 1; i--) {
    name = expand(spec.pieces[i] ?? '', values) + name;
  }
  return shortened(name);
}

/** Without the final dot, and without as many labels on the left as needed for 253 characters (section 7.3). */
function shortened(text: string): string {
  let name = text.endsWith('.') ? text.slice(0, -1) : text;
  while (name.length > MAX_NAME) {
    const dot = name.indexOf('.');
    if (dot < 0) break; // One endless label: it cannot be asked, which the resolver says.
    name = name.slice(dot + 1);
  }
  return name;
}

function expand(piece: string | Expansion, values: MacroValues): string {
  if (typeof piece === 'string') return piece;
  const { letter, escaped, transform } = piece;
  let value = values[letter];
  if (transform !== undefined) {
    const parts = value.split(transform.delimiters);
    if (transform.reverse) parts.reverse();
    value = (transform.keep < parts.length ? parts.slice(-transform.keep) : parts).join('.');
  }
  return escaped ? urlEscape(value) : value;
}

/** Escapes every byte outside the unreserved set of RFC 3986. */
function urlEscape(value: string): string {
  return value.replace(/[^A-Za-z0-9\-._~]+/g, (run) => {
    return encodeText(run.replace(NO_BYTE, '\ufffd')).toString('hex').toUpperCase().replace(/../g, '%$&');
  });
}
