/**
 * The mailboxes of a From, Sender or To field (RFC 5322 section 3.4), as mail readers take them: comments and quoted
 * strings are told apart, groups give their members, and what is broken gives whatever address can still be seen.
 */
import { decodeWords } from '../../mime/words.ts';

/** One mailbox of a field. */
export interface Mailbox {
  /** The display name as a person reads it; empty where there is none. */
  readonly name: string;
  /** `local@domain`, without angle brackets. */
  readonly address: string;
}

/** More than any reader shows; the rest of the field is not read. */
const MAX_LENGTH = 20_000;
const MAX_MAILBOXES = 100;

/** Reads the mailboxes of a field. */
export function readMailboxes(value: string): readonly Mailbox[] {
  const mailboxes: Mailbox[] = [];
  for (const entry of splitList(value.slice(0, MAX_LENGTH))) {
    mailboxes.push(...mailboxesOf(entry));
    if (mailboxes.length >= MAX_MAILBOXES) break;
  }
  return mailboxes.slice(0, MAX_MAILBOXES);
}

interface Piece {
  readonly kind: 'text' | 'quoted' | 'comment' | 'angle';
  readonly text: string;
}

/** The pieces of each entry: commas and semicolons part entries, a colon ends the name of a group. */
function splitList(value: string): readonly (readonly Piece[])[] {
  const entries: Piece[][] = [[]];
  for (const piece of piecesOf(value)) {
    const entry = entries.at(-1) ?? [];
    if (piece.kind !== 'text') entry.push(piece);
    else if (piece.text === ',' || piece.text === ';') entries.push([]);
    // The name of a group, or of a source route.
    else if (piece.text === ':') entry.length = 0;
    else entry.push(piece);
  }
  return entries;
}

/** What parts entries is a piece of its own. A quotation mark that has no other is no piece: of such a field all is read. */
function* piecesOf(value: string): Generator<Piece> {
  let isQuoting = true;
  for (let at = 0; at < value.length; ) {
    const character = value.charAt(at);
    const close = CLOSING[character];
    if (close !== undefined && (character !== '"' || isQuoting)) {
      const { text, end } = enclosed(value, at, close);
      if (character === '"' && end > value.length) {
        isQuoting = false;
        at++;
      } else {
        yield { kind: KINDS[close], text };
        at = end;
      }
    } else if (character === '"') at++;
    else if (/[,;:]/.test(character)) {
      yield { kind: 'text', text: character };
      at++;
    } else {
      PLAIN.lastIndex = at;
      const text = PLAIN.exec(value)?.[0] ?? character;
      yield { kind: 'text', text };
      at += text.length;
    }
  }
}

const PLAIN = /[^",;:(<]+/y;
const CLOSING: Readonly<Record<string, '"' | ')' | '>'>> = { '"': '"', '(': ')', '<': '>' };
const KINDS = { '"': 'quoted', ')': 'comment', '>': 'angle' } as const;

/** Up to the closing character, with backslashes taken off; comments nest. Without one, beyond the end. */
function enclosed(
  value: string,
  start: number,
  close: '"' | ')' | '>',
): { readonly text: string; readonly end: number } {
  let text = '';
  let depth = 1;
  let at = start + 1;
  let quoted = false;
  for (; at < value.length; at++) {
    const character = value.charAt(at);
    if (character === '\\' && close !== '>' && at + 1 < value.length) {
      text += value.charAt(++at);
      continue;
    }
    if (close === '>' && character === '"') quoted = !quoted;
    if (close === ')' && character === '(') depth++;
    if (character === close && !quoted && --depth === 0) break;
    text += character;
  }
  return { text, end: at + 1 };
}

/** One, unless readers may take any of several for it. */
function mailboxesOf(pieces: readonly Piece[]): readonly Mailbox[] {
  const angles = pieces.filter(({ kind }) => kind === 'angle');
  if (angles.length > 0) {
    const name = readName(pieces.filter(({ kind }) => kind === 'text' || kind === 'quoted'));
    return angles.flatMap(({ text }) => {
      const inside = splitList(text.replace(/^[\s<]*(?:@[^:]*:)?/, ''))
        .map(spell)
        .filter((one) => one !== '');
      return inside.map((address) => ({ name, address }));
    });
  }
  const name = readName(pieces.filter(({ kind }) => kind === 'comment'));
  const words = spell(pieces).match(/(?:"(?:[^"\\]|\\.)*"|[^\s"])+/gs) ?? [];
  return words.filter((word) => word.includes('@')).map((address) => ({ name, address }));
}

/** Without comments, and without the white space that the obsolete form allows around dots and at-signs (RFC 5322 section 4.4). */
function spell(pieces: readonly Piece[]): string {
  return pieces
    .map(({ kind, text }) => {
      if (kind === 'comment') return ' ';
      return kind === 'quoted' ? `"${text.replace(/["\\]/g, '\\$&')}"` : text;
    })
    .join('')
    .replace(/\s+/g, ' ')
    .replace(/("(?:[^"\\]|\\.)*")| ?([.@]) ?/gs, (_, quoted?: string, mark?: string) => quoted ?? mark ?? '')
    .trim();
}

function readName(pieces: readonly Piece[]): string {
  return decodeWords(pieces.map(({ text }) => text).join(' '))
    .replace(/\s+/g, ' ')
    .trim();
}
