/**
 * A message's headers: kept as the packed bytes in which they came, and taken apart when somebody looks.
 */
import { type Header, makeHeader } from '../headers.ts';
import { decodeText } from '../text.ts';

/** The headers of a message, in wire order, as received: pending edits do not show. */
export interface Headers extends Iterable<Header> {
  /** How many there are. */
  readonly length: number;
  /** The first header of that name, in any letter case. */
  get(name: string): Header | undefined;
  /** All headers of that name, in any letter case; the n-th is occurrence n for `changeHeader`. */
  getAll(name: string): readonly Header[];
}

const SPACE = Buffer.of(0x20);

/** Headers that are still coming in. */
export class HeaderList implements Headers {
  readonly #headers: Header[] = [];
  readonly #spaced: boolean;
  #unread: { readonly packed: Buffer; readonly count: number }[] = [];

  /** @param spaced whether values bring their leading space (SMFIP_HDR_LEADSPC); else one is assumed before each */
  constructor(spaced: boolean) {
    this.#spaced = spaced;
  }

  /** Takes note of `count` headers, packed as name and value with their lengths before. */
  add(packed: Buffer, count: number): void {
    this.#unread.push({ packed, count });
  }

  get length(): number {
    return this.#read().length;
  }

  get(name: string): Header | undefined {
    const wanted = name.toLowerCase();
    return this.#read().find((header) => header.name.toLowerCase() === wanted);
  }

  getAll(name: string): readonly Header[] {
    const wanted = name.toLowerCase();
    return this.#read().filter((header) => header.name.toLowerCase() === wanted);
  }

  [Symbol.iterator](): Iterator<Header> {
    return this.#read()[Symbol.iterator]();
  }

  /** The header at `index`, for handlers that get them one by one. */
  at(index: number): Header | undefined {
    return this.#read()[index];
  }

  #read(): readonly Header[] {
    for (const { packed, count } of this.#unread) {
      let at = 0;
      for (let i = 0; i < count; i++) {
        const nameEnd = at + 4 + packed.readUInt32LE(at);
        const valueEnd = nameEnd + 4 + packed.readUInt32LE(nameEnd);
        const value = packed.subarray(nameEnd + 4, valueEnd);
        const raw = this.#spaced ? value : Buffer.concat([SPACE, value]);
        this.#headers.push(makeHeader(decodeText(packed, at + 4, nameEnd), raw));
        at = valueEnd;
      }
    }
    this.#unread = [];
    return this.#headers;
  }
}
