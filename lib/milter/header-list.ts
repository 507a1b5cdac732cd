/**
 * A message's headers: kept as the bytes in which they came, and taken apart when somebody looks.
 */
import { type Header, makeHeader } from '../headers.ts';

/** The headers of a message, in wire order, as received: pending edits do not show. */
export interface Headers extends Iterable<Header> {
  /** How many there are. */
  readonly length: number;
  /** The first header of that name, in any letter case. */
  get(name: string): Header | undefined;
  /** All headers of that name, in any letter case; the n-th is occurrence n for `changeHeader`. */
  getAll(name: string): readonly Header[];
}

/** Some headers as an engine has them. */
export interface HeaderBatch {
  /** Calls `take` for each of them, in order. */
  read(take: (name: string, value: Buffer) => void): void;
}

const SPACE = Buffer.of(0x20);

/** Headers that are still coming in. */
export class HeaderList implements Headers {
  readonly #headers: Header[] = [];
  readonly #spaced: boolean;
  #unread: HeaderBatch[] = [];

  /** @param spaced whether values bring their leading space (SMFIP_HDR_LEADSPC); else one is assumed before each */
  constructor(spaced: boolean) {
    this.#spaced = spaced;
  }

  add(batch: HeaderBatch): void {
    this.#unread.push(batch);
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
    for (const batch of this.#unread) {
      batch.read((name, value) => {
        this.#headers.push(makeHeader(name, this.#spaced ? value : Buffer.concat([SPACE, value])));
      });
    }
    this.#unread = [];
    return this.#headers;
  }
}
