/** Authentication-Results (RFC 8601): our own, and those that only say they are. */
import { aLabels } from '../../kit.ts';

/** What one method found. */
export interface MethodResult {
  readonly method: 'dkim' | 'arc' | 'spf' | 'dmarc';
  readonly result: string;
  readonly comment?: string | undefined;
  /** By `type.property`. */
  readonly properties: Readonly<Record<string, string | undefined>>;
}

/** Longer values are left out: a part of one is another identity. */
const MAX_VALUE = 320;
const MAX_COMMENT = 200;
/** Nobody is called so. */
const MAX_NAME = 1_000;

const TOKEN = /^[\w!#$%&'*+.^`{|}~-]+$/;
const ADDRESS = /^(?:[\w!#$%&'*+/=?^`{|}~.-]+)?@[\w-]+(?:\.[\w-]+)*$/;

/** The payload of the field: all results, one a line. What comes from mail is quoted. */
export function writeResults(authservId: string, results: readonly MethodResult[]): string {
  const lines = results.map(({ method, result, comment, properties }) => {
    const pairs = Object.entries(properties).flatMap(([name, value]) =>
      value === undefined || value === '' || value.length > MAX_VALUE ? [] : [`${name}=${written(value)}`],
    );
    const remark =
      comment === undefined
        ? []
        : [
            `(${plain(comment)
              .slice(0, MAX_COMMENT)
              .replace(/[()\\]/g, '\\$&')})`,
          ];
    return [`${method}=${result}`, ...remark, ...pairs].join(' ');
  });
  return [written(authservId), ...lines].join(';\n\t');
}

function written(value: string): string {
  return TOKEN.test(value) || ADDRESS.test(value) ? value : `"${plain(value).replace(/["\\]/g, '\\$&')}"`;
}

function plain(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, '?');
}

/** Whether an Authentication-Results field says that it is ours: it, or what somebody might read into it. */
export function claimsToBe(authservId: string, value: string): boolean {
  const ours = nameOf(authservId);
  const name = readName(value);
  return name === undefined ? value.toLowerCase().includes(ours) : nameOf(name) === ours;
}

function nameOf(text: string): string {
  return aLabels(text.replace(/[\0-\x20\x7f]/g, '').replace(/\/.*$/s, '')).replace(/\.+$/, '');
}

/**
 * The first word of a field, without quotes and comments, and with what a lenient reader may take for a part of it. Undefined
 * where a quote or comment has no end.
 */
function readName(value: string): string | undefined {
  let name = '';
  for (let at = 0; at < value.length && name.length <= MAX_NAME; ) {
    const character = value.charAt(at);
    if (character === ';') break;
    if (character === '"' || character === '(') {
      const end = closing(value, at);
      if (end === undefined) return undefined;
      if (character === '"') name += value.slice(at + 1, end).replace(/\\(.)/gs, '$1');
      at = end + 1;
    } else if (/\s/.test(character)) {
      // White space ends a word, but for the dots of a domain in its obsolete form.
      while (/\s/.test(value.charAt(at))) at++;
      if (name !== '' && !name.endsWith('.') && !/[.(]/.test(value.charAt(at))) break;
    } else {
      name += character;
      at++;
    }
  }
  return name;
}

/** Where the quoted string or comment that begins here ends. */
function closing(value: string, start: number): number | undefined {
  const isComment = value.charAt(start) === '(';
  let depth = 1;
  for (let at = start + 1; at < value.length; at++) {
    const character = value.charAt(at);
    if (character === '\\') at++;
    else if (isComment && character === '(') depth++;
    else if (character === (isComment ? ')' : '"') && --depth === 0) return at;
  }
  return undefined;
}
