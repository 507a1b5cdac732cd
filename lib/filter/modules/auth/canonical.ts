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
const SLICE = 128 * 1024;

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
  /** White space is held back until something follows it in its line, and so are empty lines. */
  #space = false;
  #lines = 0;
  /** A CR whose LF may come with the next piece. */
  #cr = false;
  #isEmpty = true;

  add(bytes: Uint8Array): void {
    const out = Buffer.allocUnsafe(2 * bytes.length + 4);
    let end = 0;
    const write = (byte: number): void => {
      if (this.#lines > 0) {
        this.#hash.update(out.subarray(0, end));
        end = 0;
        this.#writeLines();
      }
      if (this.#space) {
        out[end++] = SPACE;
        this.#space = false;
      }
      out[end++] = byte;
      this.#isEmpty = false;
    };
    for (const byte of bytes) {
      if (byte === LF) {
        this.#cr = false;
        this.#space = false;
        this.#lines++;
        continue;
      }
      if (this.#cr) {
        this.#cr = false;
        write(CR);
      }
      if (byte === CR) this.#cr = true;
      else if (byte === SPACE || byte === TAB) this.#space = true;
      else write(byte);
    }
    this.#hash.update(out.subarray(0, end));
  }

  digest(): string {
    if (this.#cr) {
      this.#writeLines();
      this.#hash.update(this.#space ? ' \r' : '\r');
      this.#isEmpty = false;
    }
    // What has content ends with one line break.
    if (!this.#isEmpty) this.#hash.update(CRLF);
    return this.#hash.digest('base64');
  }

  #writeLines(): void {
    for (; this.#lines > 1_000; this.#lines -= 1_000) this.#hash.update(MANY_LINES);
    this.#hash.update(MANY_LINES.subarray(0, 2 * this.#lines));
    this.#lines = 0;
  }
}

const MANY_LINES = Buffer.from('\r\n'.repeat(1_000));
