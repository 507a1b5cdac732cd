/** Reads a query as far as an authoritative server needs it: header, one question, and whether it speaks EDNS. */
import { RCODE } from '../rcode.ts';
import { QueryName } from './name.ts';

export const TYPE = { a: 1, ns: 2, soa: 6, hinfo: 13, txt: 16, opt: 41, any: 255 } as const;
export const CLASS_IN = 1;
export const HEADER_SIZE = 12;
/** An OPT and a TSIG. */
const MAX_ADDITIONALS = 2;

/** The query under way; read again and again into the same memory. */
export class Query {
  readonly name: QueryName = new QueryName();
  type = 0;
  class = 0;
  /** The byte behind the question; 0 where it could not be read. */
  end = 0;
  /** The size of UDP replies that EDNS asks for; 0 without EDNS. */
  udpSize = 0;
  /** Whether it wants DNSSEC: there is none here, but the bit is given back (RFC 3225 section 3). */
  dnssecOk = false;

  /**
   * Reads a packet. Undefined where it is not to be answered at all: it is no query, or too short to be one. Else a code of
   * {@link RCODE}: `ok` where the question can be answered.
   */
  read(packet: Uint8Array): number | undefined {
    this.end = 0;
    this.udpSize = 0;
    this.dnssecOk = false;
    // Who answers replies may do so for ever, with another server that does.
    if (packet.length < HEADER_SIZE || ((packet[2] ?? 0) & 0x80) !== 0) return undefined;
    if (((packet[2] ?? 0) & 0x78) !== 0) return RCODE.notimp;
    if (word(packet, 4) !== 1 || word(packet, 6) !== 0 || word(packet, 8) !== 0) return RCODE.formerr;
    const end = this.name.read(packet, HEADER_SIZE);
    if (end < 0 || end + 4 > packet.length) return RCODE.formerr;
    this.type = word(packet, end);
    this.class = word(packet, end + 2);
    this.end = end + 4;
    const additionals = word(packet, 10);
    return additionals === 0 ? RCODE.ok : this.#readAdditionals(packet, additionals);
  }

  #readAdditionals(packet: Uint8Array, count: number): number {
    if (count > MAX_ADDITIONALS) return RCODE.formerr;
    let at = this.end;
    let version = 0;
    for (let i = 0; i < count; i++) {
      const start = skipName(packet, at);
      if (start < 0 || start + 10 > packet.length) return RCODE.formerr;
      if (word(packet, start) === TYPE.opt) {
        if (this.udpSize !== 0 || packet[at] !== 0) return RCODE.formerr;
        this.udpSize = Math.max(512, word(packet, start + 2));
        version = packet[start + 5] ?? 0;
        this.dnssecOk = ((packet[start + 6] ?? 0) & 0x80) !== 0;
      }
      at = start + 10 + word(packet, start + 8);
      if (at > packet.length) return RCODE.formerr;
    }
    return version === 0 ? RCODE.ok : RCODE.badvers;
  }
}

/** The byte behind a name, which may end in a pointer; -1 where there is none. */
function skipName(packet: Uint8Array, start: number): number {
  for (let at = start; ; ) {
    const size = packet[at];
    if (size === undefined) return -1;
    if (size === 0) return at + 1;
    if (size >= 0xc0) return at + 2;
    if (size > 63) return -1;
    at += 1 + size;
  }
}

function word(packet: Uint8Array, at: number): number {
  return ((packet[at] ?? 0) << 8) | (packet[at + 1] ?? 0);
}
