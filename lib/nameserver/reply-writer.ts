/** Writes replies, each over the last one. */
import { RCODE } from '../rcode.ts';
import { CLASS_IN, HEADER_SIZE, type Query, TYPE } from './query.ts';

/** What fits into a UDP packet on every path (the DNS flag day of 2020): what is announced, and what is sent at most. */
const UDP_PAYLOAD = 1_232;
const PLAIN_UDP_PAYLOAD = 512;
/** More than the largest reply, that of sixteen lines with long texts. */
const MAX_REPLY = 65_535;
const OPT_SIZE = 11;
const MAX_STRING = 255;
/** Bits of the third byte. */
const REPLY = 0x80;
const AUTHORITATIVE = 4;
const TRUNCATED = 2;
/** Where the question's name is, as a compressed name. */
const QUESTION_NAME = 0xc000 | HEADER_SIZE;

/** One reply at a time. */
export class ReplyWriter {
  #bytes = Buffer.alloc(MAX_REPLY);
  #at = 0;
  #answers = 0;
  #authorities = 0;

  /** Begins the reply to a query: its header and question, in which letters keep their case. */
  begin(packet: Uint8Array, { end }: Query): void {
    const bytes = this.#bytes;
    const size = Math.max(end, HEADER_SIZE);
    for (let i = 0; i < size; i++) bytes[i] = packet[i] ?? 0;
    this.#at = size;
    this.#answers = 0;
    this.#authorities = 0;
  }

  /** One address. */
  a(ttl: number, code: number): void {
    this.#answers++;
    this.#record(QUESTION_NAME, TYPE.a, ttl, 4);
    this.#long(code);
  }

  /** A text, in character-strings as long as they may be. */
  txt(ttl: number, text: Uint8Array): void {
    const strings = Math.max(1, Math.ceil(text.length / MAX_STRING));
    this.#answers++;
    this.#record(QUESTION_NAME, TYPE.txt, ttl, text.length + strings);
    for (let i = 0; i < strings; i++) {
      const part = text.subarray(i * MAX_STRING, (i + 1) * MAX_STRING);
      this.#bytes[this.#at++] = part.length;
      this.#append(part);
    }
  }

  /** Any other record of the name that was asked for. */
  answer(type: number, ttl: number, data: Uint8Array): void {
    this.#answers++;
    this.#record(QUESTION_NAME, type, ttl, data.length);
    this.#append(data);
  }

  /** The SOA record of the zone, whose name begins so many bytes into the question's. */
  authority(zoneAt: number, ttl: number, soa: Uint8Array): void {
    this.#authorities++;
    this.#record(QUESTION_NAME + zoneAt, TYPE.soa, ttl, soa.length);
    this.#append(soa);
  }

  /**
   * Ends it. Where it is too long, all but the question is left out, and the reply marked as truncated.
   * @param isOurs the name is in our zone
   */
  end(query: Query, rcode: number, isOurs: boolean, isTcp: boolean): Buffer {
    const { udpSize } = query;
    const limit = isTcp ? MAX_REPLY : Math.min(udpSize || PLAIN_UDP_PAYLOAD, UDP_PAYLOAD);
    const size = this.#at + (udpSize === 0 ? 0 : OPT_SIZE);
    return size > limit ? this.endTruncated(query) : this.#end(query, rcode, isOurs ? AUTHORITATIVE : 0);
  }

  /** Ends it with nothing but the question, so that the client asks again over TCP. */
  endTruncated(query: Query): Buffer {
    this.#at = query.end;
    this.#answers = 0;
    this.#authorities = 0;
    return this.#end(query, RCODE.ok, AUTHORITATIVE | TRUNCATED);
  }

  /** Leaves the last reply alone: whoever sends it has not yet done so. */
  release(): void {
    this.#bytes = Buffer.alloc(MAX_REPLY);
  }

  #end(query: Query, rcode: number, flags: number): Buffer {
    const bytes = this.#bytes;
    // What is kept of the query: that recursion was desired, and that checking is disabled.
    bytes[2] = REPLY | ((bytes[2] ?? 0) & 0x79) | flags;
    bytes[3] = ((bytes[3] ?? 0) & 0x10) | (rcode & 15);
    this.#count(4, query.end === 0 ? 0 : 1);
    this.#count(6, this.#answers);
    this.#count(8, this.#authorities);
    this.#count(10, query.udpSize === 0 ? 0 : 1);
    if (query.udpSize !== 0) this.#opt(rcode, query.dnssecOk);
    return bytes.subarray(0, this.#at);
  }

  #opt(rcode: number, dnssecOk: boolean): void {
    const bytes = this.#bytes;
    bytes[this.#at++] = 0;
    this.#short(TYPE.opt);
    this.#short(UDP_PAYLOAD);
    bytes[this.#at++] = rcode >>> 4;
    bytes[this.#at++] = 0;
    this.#short(dnssecOk ? 0x8000 : 0);
    this.#short(0);
  }

  #record(name: number, type: number, ttl: number, size: number): void {
    this.#short(name);
    this.#short(type);
    this.#short(CLASS_IN);
    this.#long(ttl);
    this.#short(size);
  }

  #append(data: Uint8Array): void {
    this.#bytes.set(data, this.#at);
    this.#at += data.length;
  }

  #short(value: number): void {
    this.#bytes[this.#at++] = value >>> 8;
    this.#bytes[this.#at++] = value;
  }

  #long(value: number): void {
    this.#short(value >>> 16);
    this.#short(value);
  }

  #count(at: number, value: number): void {
    this.#bytes[at] = value >>> 8;
    this.#bytes[at + 1] = value;
  }
}
