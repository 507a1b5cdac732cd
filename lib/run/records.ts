/**
 * Reads the batches that the libmilter side packs; lib/run/native.ts documents the layout.
 */

import { inBrackets } from '../address.ts';
import type { Client } from '../milter/session.ts';
import { decodeText } from '../text.ts';

/** One question to this session's filter, or news for it; what has been gathered comes along. */
export interface Ticket {
  /** To be settled under this number; 0 when nobody waits. For a notice the ticket that it is about. */
  readonly id: number;
  readonly session: number;
  readonly plan: number;
  /** A stage's number, or a Notice. */
  readonly stage: number;
  readonly records: RecordReader;
}

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

/** The records of one ticket, read in order: first what stage, then its macros, then what belongs to the stage. */
export class RecordReader {
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

  /** The number of the next record's stage. */
  stage(): number {
    return this.#u8();
  }

  /** Calls `take` with where the record's packed macros are. */
  macros(take: (bytes: Buffer, start: number, end: number) => void): void {
    if (this.#u8() === 0) {
      take(this.#bytes, this.#at, this.#at);
      return;
    }
    const length = this.#u32();
    take(this.#bytes, this.#at, this.#at + length);
    this.#at += length;
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

  /** The arguments of MAIL or RCPT: the address, always in angle brackets, then ESMTP parameters. */
  envelope(): { address: string; parameters: string[] } {
    const count = this.#u32();
    const address = inBrackets(count > 0 ? this.text() : '');
    const parameters: string[] = [];
    for (let i = 1; i < count; i++) parameters.push(this.text());
    return { address, parameters };
  }

  headers(): { packed: Buffer; count: number } {
    const count = this.#u32();
    return { packed: this.#slice(), count };
  }

  body(): { complete: boolean; bytes: Buffer; chunkLengths: readonly number[] } {
    const complete = this.#u8() === 1;
    const apart = this.#u8() === 1;
    const chunkLengths = Array.from({ length: this.#u32() }, () => this.#u32());
    if (!apart) return { complete, bytes: this.#slice(), chunkLengths };
    this.#u32();
    return { complete, bytes: this.#bodyApart ?? Buffer.alloc(0), chunkLengths };
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
