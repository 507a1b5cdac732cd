/**
 * Message headers: the lossless type, and what may stand in a field, shared by everything that reads or writes them.
 */
import { decodeText } from './text.ts';

/** One header field as it came: what a person reads, and the very bytes. */
export interface Header {
  /** The field name, in the sender's spelling. */
  readonly name: string;
  /** The text after the colon without one leading space; continuation lines are joined by LF and white space. */
  readonly value: string;
  /** Every byte after the colon. */
  readonly raw: Buffer;
}

/**
 * What happened to one field. Occurrences count fields of one name from 1, as received, without regard to case. `raw` is
 * every byte to stand after the colon, folded with LF alone as filters send and receive fields.
 */
export type HeaderChange =
  | { readonly kind: 'change'; readonly name: string; readonly occurrence: number; readonly raw: Buffer }
  | { readonly kind: 'delete'; readonly name: string; readonly occurrence: number }
  | { readonly kind: 'add'; readonly name: string; readonly raw: Buffer };

/** Makes a {@link Header} whose text is decoded when it is read. */
export function makeHeader(name: string, raw: Buffer): Header {
  return new LazyHeader(name, raw);
}

class LazyHeader implements Header {
  readonly name: string;
  readonly raw: Buffer;
  #value: string | undefined;

  constructor(name: string, raw: Buffer) {
    this.name = name;
    this.raw = raw;
    Object.freeze(this);
  }

  get value(): string {
    this.#value ??= decodeText(this.raw, this.raw[0] === 0x20 ? 1 : 0);
    return this.#value;
  }

  toJSON(): { name: string; value: string } {
    return { name: this.name, value: this.value };
  }

  /** What console.log() shows. */
  [Symbol.for('nodejs.util.inspect.custom')](): { name: string; value: string } {
    return this.toJSON();
  }
}

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const TAB = 0x09;
const COLON = 0x3a;

/** Whether a field may have this name: printable ASCII without colon or space (RFC 5322 section 2.2). */
export function isFieldName(name: string): boolean {
  return /^[!-9;-~]+$/.test(name);
}

/** The index of the colon that ends the field name at `start`, or -1 if the line is no header field. */
export function fieldColon(bytes: Buffer, start: number, end: number): number {
  let i = start;
  for (; i < end; i++) {
    const byte = bytes[i] ?? 0;
    if (byte === COLON || byte <= SPACE || byte > 0x7e) break;
  }
  if (i === start) return -1;
  // White space before the colon is obsolete, not illegal (RFC 5322 section 4.5).
  while (i < end && (bytes[i] === SPACE || bytes[i] === TAB)) i++;
  return i < end && bytes[i] === COLON ? i : -1;
}

/**
 * The index of the first byte of a field's value that would end the field (NUL, a lone CR, a line break that no white
 * space follows), or -1: what a stranger's text could smuggle another field in with.
 */
export function smugglingByte(value: Buffer): number {
  for (let i = 0; i < value.length; i++) {
    const byte = value[i];
    const next = value[i + 1];
    const isBad = byte === LF ? next !== SPACE && next !== TAB : byte === 0 || (byte === CR && next !== LF);
    if (isBad) return i;
  }
  return -1;
}
