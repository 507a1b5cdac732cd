/**
 * Envelope addresses: how they are written between MTA and filter, and how they are taken apart.
 */
import { wrongArgument } from './errors.ts';

/** An envelope address, taken apart by {@link parseAddress}. All three are empty for the null sender. */
export interface Address {
  /**
   * What stands before the last `@`, without quotes (RFC 5321 section 4.1.2), in the sender's own case: only the
   * domain's own MTA knows whether that matters.
   */
  readonly local: string;
  /** What stands behind it, in lower case and without a final dot; empty where there is no `@`. */
  readonly domain: string;
  /** Both, to compare and to look up: `local@domain`, in quotes only where it needs them, without angle brackets. */
  readonly address: string;
}

const SOURCE_ROUTE = /^@[^:"[]*:/;
/** A quoted string, a quoted pair, white space, a run of anything ordinary, or one character. */
const PIECE = /"(?:[^"\\]|\\.)*"|\\.|[ \t\r\n\v\f]+|[^ \t\r\n\v\f"\\()@]+|./gs;
const SPACE = /^[ \t\r\n\v\f]/;
const IN_COMMENT = /\\.|[^\\()]+|./gs;
/** A dot-atom (RFC 5322 section 3.2.3), with any character that is not ASCII (RFC 6531). */
const DOT_ATOM = /^[\w!#$%&'*+/=?^`{|}~\u0080-\uffff-]+(?:\.[\w!#$%&'*+/=?^`{|}~\u0080-\uffff-]+)*$/;

/**
 * An address as the filter sees it: in angle brackets, `<>` for the null sender. MTAs write it so for mail that came by
 * SMTP; Postfix writes local submissions bare, and SMTP clients may leave the brackets out.
 */
export function inBrackets(text: string): string {
  const trimmed = text.trim();
  if (trimmed.startsWith('<') && trimmed.endsWith('>')) return trimmed;
  // `Boss <boss@example.com>`: what is before the brackets is a name.
  if (trimmed.endsWith('>') && trimmed.includes('<')) return trimmed.slice(trimmed.lastIndexOf('<'));
  return `<${trimmed}>`;
}

/** Most senders: for these there is nothing to find out. */
const PLAIN = /^<[^@\s"()<:]+@[^@\s"():]+>$/;

/**
 * A sender as {@link inBrackets} writes it, and `<>` for what MTAs take for the null sender: nothing but quotes, comments,
 * blanks and a source route, or Postfix's own name for it.
 */
export function knownSender(path: string): string {
  if (PLAIN.test(path)) return path;
  return /^(?:mailer-daemon)?$/i.test(parseAddress(path).address) ? '<>' : path;
}

/**
 * The two halves as they are written, quotes and case of the local part included, without brackets, source route, comments
 * and white space. The domain is undefined where there is no `@`.
 */
export function splitAddress(text: string): { readonly local: string; readonly domain: string | undefined } {
  let path = inBrackets(text).slice(1, -1).trim();
  // Both MTAs take `<<boss@example.com>>` for one pair.
  while (path.startsWith('<') && path.endsWith('>')) path = path.slice(1, -1).trim();
  // A source route is to be ignored (RFC 5321 appendix C).
  if (path.startsWith('@')) path = path.replace(SOURCE_ROUTE, '');
  const pieces = piecesOf(path);
  const at = pieces.lastIndexOf('@');
  if (at >= 0) return { local: pieces.slice(0, at).join(''), domain: unquoted(pieces.slice(at + 1)) };
  // Where the only one is in quotes, as in `<"boss@example.com">`, both MTAs take that one.
  const meant = unquoted(pieces);
  const inner = meant.lastIndexOf('@');
  if (inner >= 0) return { local: writtenLocal(meant.slice(0, inner)), domain: meant.slice(inner + 1) };
  // Where there is none at all, they make one of `example.com!boss` and of `boss%example.com`.
  const [, site = '', user = ''] = /^([^!]+)!(.+)$/s.exec(meant) ?? [];
  if (user !== '') return { local: writtenLocal(user), domain: site };
  const [, before = '', behind] = /^(.+)%([^%]+)$/s.exec(meant) ?? [];
  return behind === undefined
    ? { local: pieces.join(''), domain: undefined }
    : { local: writtenLocal(before), domain: behind };
}

/**
 * Without comments, which nest, and white space, of which one space is left between words (RFC 5322 section 3.2.2). If a
 * comment does not end, all brackets are text.
 */
function piecesOf(path: string, hasComments = true): readonly string[] {
  const pieces: string[] = [];
  let depth = 0;
  let hasGap = false;
  for (let at = 0; at < path.length; ) {
    const pattern = depth > 0 ? IN_COMMENT : PIECE;
    pattern.lastIndex = at;
    const [piece = ''] = pattern.exec(path) ?? [];
    at += piece.length;
    const opens = hasComments && piece === '(';
    if (depth > 0 || opens || SPACE.test(piece)) {
      if (opens) depth++;
      else if (depth > 0 && piece === ')') depth--;
      hasGap = true;
      continue;
    }
    if (hasGap && !/(?:^|[.@])$/.test(pieces.at(-1) ?? '') && !/^[.@]/.test(piece)) pieces.push(' ');
    pieces.push(piece);
    hasGap = false;
  }
  return depth > 0 ? piecesOf(path, false) : pieces;
}

function isQuoted(piece: string): boolean {
  return piece.length > 1 && piece.startsWith('"');
}

/** What quoted strings and quoted pairs stand for. */
function unquoted(pieces: readonly string[]): string {
  return pieces
    .map((piece) => (isQuoted(piece) ? piece.slice(1, -1) : piece).replace(/\\(.)/gs, '$1'))
    .join('');
}

/** A local part, in quotes only where it needs them (RFC 5321 section 4.1.2). */
export function writtenLocal(local: string): string {
  return local === '' || DOT_ATOM.test(local) ? local : `"${local.replace(/["\\]/g, '\\$&')}"`;
}

/**
 * Takes an envelope address apart: `<"a b"@Example.com>` is `{ local: 'a b', domain: 'example.com', address:
 * '"a b"@example.com' }`. It reads what clients may write as Postfix and Sendmail do, so that no spelling slips by: angle
 * brackets may be there or not; a source route, comments and white space are left out; quotes and backslashes are taken
 * off; of several `@` the last one counts; where there is none, `boss%example.com` and `example.com!boss` stand for
 * `boss@example.com`, and anything else, such as `<postmaster>`, has no domain. Never fails on text.
 * @throws TypeError where `text` is no string
 */
export function parseAddress(text: string): Address {
  if (typeof text !== 'string') throw wrongArgument(`parseAddress needs a string, got ${typeof text}`);
  const { local: given, domain: givenDomain } = splitAddress(text);
  const local = unquoted(piecesOf(given, false));
  const domain = givenDomain?.toLowerCase().replace(/\.$/, '');
  const plain = writtenLocal(local);
  return { local, domain: domain ?? '', address: domain === undefined ? plain : `${plain}@${domain}` };
}
