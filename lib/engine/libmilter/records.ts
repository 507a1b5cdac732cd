/**
 * Reads the batches that the addon packs; addon.ts documents the layout.
 */

import { inBrackets } from '../../address.ts';
import type { HeaderBatch } from '../../milter/header-list.ts';
import type { MacroNews } from '../../milter/macros.ts';
import type { Client } from '../../milter/session.ts';
import { decodeText } from '../../text.ts';
import type { BodyRecord, Records, Ticket } from '../engine.ts';

/** Stands for a length, where a name has no value any more. */
const GONE = 0xffff_ffff;

const HEADER_BYTES = 20;

/** Calls `each` for every ticket of a batch. */
export function readBatch(
  batch: Buffer,
  bodies: readonly Buffer[] | undefined,
  each: (ticket: Ticket) => void,
): void {
  let body = 0;
  for (let at = 0; at < batch.length; ) {
    const end = at + HEADER_BYTES + batch.readUInt32LE(at);
    const apart = batch.readUInt8(at + 17) === 1 ? bodies?.[body++] : undefined;
    each({
      id: batch.readUInt32LE(at + 4),
      session: batch.readUInt32LE(at + 8),
      plan: batch.readUInt32LE(at + 12),
      stage: batch.readUInt8(at + 16),
      records: new RecordReader(batch, at + HEADER_BYTES, end, apart),
    });
    at = end;
  }
}

const families: Readonly<Record<string, Client['family']>> = { '4': 'inet', '6': 'inet6', L: 'unix' };

/** The records of one ticket. */
export class RecordReader implements Records {
  readonly #bytes: Buffer;
  readonly #end: number;
  readonly #bodyApart: Buffer | undefined;
  #at: number;

  constructor(bytes: Buffer, start: number, end: number, bodyApart: Buffer | undefined) {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#bodyApart = bodyApart;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  stage(): number {
    return this.#u8();
  }

  macros(): MacroNews | undefined {
    if (this.#u8() === 0) return undefined;
    return new PackedMacros(this.#slice());
  }

  negotiation(): { actions: number; steps: number } {
    return { actions: this.#u32(), steps: this.#u32() };
  }

  client(): Client {
    const hostname = this.text();
    const family = families[String.fromCharCode(this.#u8())] ?? 'unknown';
    const port = this.#bytes.readUInt16LE(this.#at);
    this.#at += 2;
    const address = this.text();
    return { hostname, family, address: family === 'unknown' ? undefined : address, port };
  }

  text(): string {
    const length = this.#u32();
    const text = decodeText(this.#bytes, this.#at, this.#at + length);
    this.#at += length;
    return text;
  }

  envelope(): { address: string; parameters: string[] } {
    const count = this.#u32();
    const address = inBrackets(count > 0 ? this.text() : '');
    const parameters: string[] = [];
    for (let i = 1; i < count; i++) parameters.push(this.text());
    return { address, parameters };
  }

  headers(): HeaderBatch {
    const count = this.#u32();
    return new PackedHeaders(this.#slice(), count);
  }

  body(): BodyRecord {
    const complete = this.#u8() === 1;
    const apart = this.#u8() === 1;
    const lengths = Array.from({ length: this.#u32() }, () => this.#u32());
    let bytes: Buffer;
    if (apart) {
      this.#u32();
      bytes = this.#bodyApart ?? Buffer.alloc(0);
    } else {
      bytes = this.#slice();
    }
    if (lengths.length === 0) return { complete, chunks: [bytes] };
    let at = 0;
    const chunks = lengths.map((length) => {
      at += length;
      return bytes.subarray(at - length, at);
    });
    return { complete, chunks };
  }

  #slice(): Buffer {
    const length = this.#u32();
    const bytes = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return bytes;
  }

  #u8(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  #u32(): number {
    const value = this.#bytes.readUInt32LE(this.#at);
    this.#at += 4;
    return value;
  }
}

/** For each u8 index in the plan a text, or GONE. */
class PackedMacros implements MacroNews {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  read(names: readonly string[], values: Map<string, string>): void {
    const bytes = this.#bytes;
    for (let at = 0; at < bytes.length; ) {
      const name = names[bytes.readUInt8(at)] ?? '';
      const length = bytes.readUInt32LE(at + 1);
      at += 5;
      if (length === GONE) {
        values.delete(name);
      } else {
        values.set(name, decodeText(bytes, at, at + length));
        at += length;
      }
    }
  }
}

/** Name and value of each as texts. */
class PackedHeaders implements HeaderBatch {
  readonly #bytes: Buffer;
  readonly #count: number;

  constructor(bytes: Buffer, count: number) {
    this.#bytes = bytes;
    this.#count = count;
  }

  read(take: (name: string, value: Buffer) => void): void {
    const bytes = this.#bytes;
    let at = 0;
    for (let i = 0; i < this.#count; i++) {
      const nameEnd = at + 4 + bytes.readUInt32LE(at);
      const valueEnd = nameEnd + 4 + bytes.readUInt32LE(nameEnd);
      take(decodeText(bytes, at + 4, nameEnd), bytes.subarray(nameEnd + 4, valueEnd));
      at = valueEnd;
    }
  }
}
