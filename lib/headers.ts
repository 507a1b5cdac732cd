/**
 * The lossless type for message headers, shared by everything that reads or writes them.
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
