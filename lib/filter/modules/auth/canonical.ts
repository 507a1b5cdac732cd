/**
 * The relaxed canonicalization of DKIM (RFC 6376 section 3.4): what a signature covers, so that spaces and folds may change on
 * the way.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { Header } from '../../../index.ts';

const CR = 0x0d;
const LF = 0x0a;
const SPACE = 0x20;
const TAB = 0x09;
const CRLF = Buffer.from('\r\n');
/** Bytes between which other work gets its turn. */
const SLICE = 64 * 1024;

/** A header field, relaxed (section 3.4.2), with the CRLF at its end. */
export function relaxedField({ name, raw }: Pick<Header, 'name' | 'raw'>): Buffer {
  return Buffer.from(`${relaxed(name, raw.toString('latin1'))}\r\n`, 'latin1');
}

/** The same for text that holds bytes as characters. */
export function relaxed(name: string, value: string): string {
  const unfolded = value.replace(/\r?\n/g, '').replace(/[ \t]+/g, ' ');
  return `${name.trim().toLowerCase()}:${unfolded.replace(/^ | $/g, '')}`;
}

/** The SHA-256 of a body, relaxed (section 3.4.4), as base64; other work gets its turn meanwhile. */
export async function hashBody(bytes: Uint8Array): Promise<string> {
  const body = new RelaxedBody();
  for (let at = 0; at < bytes.length; at += SLICE) {
    if (at > 0) await turn();
    body.add(bytes.subarray(at, at + SLICE));
  }
  return body.digest();
}

/** Runs of white space become one space, at the end of a line none; empty lines at the end are none. */
class RelaxedBody {
  readonly #hash = createHash('sha256');
  /** Short pieces are gathered here: to hash each would take longer than all the rest. */
  readonly #out = Buffer.allocUnsafe(8 * SHORT);
  #end = 0;
  /** White space and line ends are held back until something follows them. */
  #space = false;
  #lines = 0;
  /** A CR whose LF may come with the next bytes. */
  #cr = false;
  #isEmpty = true;

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const byte = bytes[at] ?? 0;
      if (byte === LF) {
        this.#cr = false;
        this.#space = false;
        this.#lines++;
        at++;
        continue;
      }
      if (this.#cr) this.#writeCr();
      if (byte === CR) {
        this.#cr = true;
        at++;
      } else if (byte === SPACE || byte === TAB) {
        this.#space = true;
        at++;
      } else {
        const end = endOfPlain(bytes, at);
        this.#writeHeld();
        this.#write(bytes, at, end);
        at = end;
      }
    }
  }

  digest(): string {
    if (this.#cr) this.#writeCr();
    // What has content ends with one line break.
    if (!this.#isEmpty) this.#write(CRLF, 0, 2);
    return this.#hash.update(this.#out.subarray(0, this.#end)).digest('base64');
  }

  #writeCr(): void {
    this.#cr = false;
    this.#writeHeld();
    this.#write(CRLF, 0, 1);
  }

  #writeHeld(): void {
    for (; this.#lines > 0; this.#lines--) this.#write(CRLF, 0, 2);
    if (this.#space) this.#write(ONE_SPACE, 0, 1);
    this.#space = false;
    this.#isEmpty = false;
  }

  #write(bytes: Uint8Array, start: number, end: number): void {
    if (this.#end + SHORT > this.#out.length || end - start > SHORT) {
      this.#hash.update(this.#out.subarray(0, this.#end));
      this.#end = 0;
    }
    if (end - start > SHORT) {
      this.#hash.update(bytes.subarray(start, end));
      return;
    }
    for (let at = start; at < end; at++) this.#out[this.#end++] = bytes[at] ?? 0;
  }
}

/** Where that ends which relaxing leaves as it is: text with single spaces in it, and line ends between lines of text. */
function endOfPlain(bytes: Uint8Array, start: number): number {
  let at = start;
  while (at < bytes.length) {
    const byte = bytes[at] ?? 0;
    if (byte > SPACE || (byte !== SPACE && byte !== TAB && byte !== CR && byte !== LF)) at++;
    else if (byte === SPACE && (bytes[at + 1] ?? 0) > SPACE) at += 2;
    else if (byte === CR && bytes[at + 1] === LF && (bytes[at + 2] ?? 0) > SPACE) at += 3;
    else break;
  }
  return at;
}

const SHORT = 512;
const ONE_SPACE = Buffer.of(SPACE);
