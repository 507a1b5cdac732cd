/** Domain names as bytes, in the form of the wire: the server makes no string of a name that is just looked up. */

/** RFC 1035 section 2.3.4: of a name on the wire, its final zero included. */
export const MAX_NAME = 255;
const MAX_LABEL = 63;

/** Stand for the ends of a name where its literal parts are looked for; no name that is compared has them. */
export const NAME_START = 1;
export const NAME_END = 2;
const DOT = 0x2e;

/** FNV-1a, which the table of names goes by: over a name from its last byte to its first, so that each suffix has one. */
export const HASH_START = 0x811c_9dc5 | 0;
export function hashByte(hash: number, byte: number): number {
  return Math.imul(hash ^ byte, 0x0100_0193);
}

/** The name of a question, read again and again into the same memory. */
export class QueryName {
  /** In lower case, each label behind its length, without the final zero. */
  readonly wire: Buffer = Buffer.alloc(MAX_NAME + 1);
  /** Where each label begins: at its length. One more is the end. */
  readonly starts: Uint8Array = new Uint8Array(MAX_NAME + 1);
  /** Bytes and labels of `wire`: what is left of the zone, once it was cut off. */
  length = 0;
  labels = 0;
  readonly #text: Buffer = Buffer.alloc(MAX_NAME + 1);

  /**
   * A name that is written with dots. Undefined where it is none that can be asked for.
   */
  static of(text: string): QueryName | undefined {
    const name = new QueryName();
    const labels = text === '' ? [] : text.split('.');
    if (labels.some((label) => label === '' || label.length > MAX_LABEL)) return undefined;
    const end = name.read(Buffer.concat([toWire(text), Buffer.alloc(1)]), 0);
    return end < 0 ? undefined : name;
  }

  /** Reads the name at `offset`, and tells where it ends; -1 where there is none, or one that is compressed or too long. */
  read(packet: Uint8Array, offset: number): number {
    const { wire, starts } = this;
    let at = offset;
    let length = 0;
    let labels = 0;
    for (;;) {
      const size = packet[at];
      if (size === undefined || size > MAX_LABEL) return -1;
      if (size === 0) break;
      const end = at + 1 + size;
      if (end >= packet.length || length + 1 + size >= MAX_NAME) return -1;
      starts[labels++] = length;
      // Lengths are below the letters, so nothing happens to them.
      for (; at < end; at++) {
        const byte = packet[at] ?? 0;
        wire[length++] = byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
      }
    }
    starts[labels] = length;
    this.length = length;
    this.labels = labels;
    return at + 1;
  }

  /** Cuts a zone off, given in the same form; false where the name is not in it. */
  cut(zone: Uint8Array, zoneLabels: number): boolean {
    const rest = this.length - zone.length;
    const labels = this.labels - zoneLabels;
    if (rest < 0 || labels < 0 || this.starts[labels] !== rest) return false;
    for (let i = 0; i < zone.length; i++) if (this.wire[rest + i] !== zone[i]) return false;
    this.length = rest;
    this.labels = labels;
    return true;
  }

  /**
   * The name with dots, between {@link NAME_START} and {@link NAME_END}: `length + 1` bytes, and the label that begins at
   * `n` begins here at `n + 1`. Undefined for names that patterns are not asked for: with dots within a label, blanks,
   * or bytes that are no ASCII.
   */
  text(): Buffer | undefined {
    const { length, labels, starts, wire } = this;
    const text = this.#text;
    for (let i = 0; i < length; i++) text[i] = wire[i] ?? 0;
    for (let label = 0; label < labels; label++) {
      const start = starts[label] ?? 0;
      const end = starts[label + 1] ?? 0;
      for (let i = start + 1; i < end; i++) {
        const byte = wire[i] ?? 0;
        if (byte <= 0x20 || byte >= 0x7f || byte === DOT) return undefined;
      }
      text[start] = DOT;
    }
    text[0] = NAME_START;
    text[length] = NAME_END;
    return text;
  }

  /** One label, as it is: bytes as Latin-1. */
  label(index: number): string {
    return this.wire.toString('latin1', (this.starts[index] ?? 0) + 1, this.starts[index + 1]);
  }

  /** Whether all labels, `most` at most, are octets of an IPv4 address, or one nibble each of an IPv6 one. */
  isAddressPart(family: 4 | 6): boolean {
    const { labels, starts, wire } = this;
    if (labels > (family === 4 ? 4 : 32)) return false;
    for (let label = 0; label < labels; label++) {
      const start = starts[label] ?? 0;
      const size = wire[start] ?? 0;
      if (family === 6) {
        if (size !== 1 || !isHexDigit(wire[start + 1] ?? 0)) return false;
        continue;
      }
      if (size > 3 || (size > 1 && wire[start + 1] === 0x30)) return false;
      let octet = 0;
      for (let i = start + 1; i <= start + size; i++) {
        const digit = (wire[i] ?? 0) - 0x30;
        if (digit < 0 || digit > 9) return false;
        octet = octet * 10 + digit;
      }
      if (octet > 255) return false;
    }
    return true;
  }

  /** The address whose reversed form this is, else the name: printable ASCII, what is not as `?`. */
  subject(): string {
    const labels = Array.from({ length: this.labels }, (_, i) => this.label(i));
    if (labels.length === 4 && this.isAddressPart(4)) return labels.reverse().join('.');
    if (labels.length === 32 && this.isAddressPart(6)) {
      const groups = labels.reverse().join('').match(/.{4}/g) ?? [];
      return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
    }
    return labels.join('.').replace(/[^\x21-\x7e]/g, '?');
  }
}

function isHexDigit(byte: number): boolean {
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x61 && byte <= 0x66);
}

/** A name that is known to be one, in the form of the wire without the final zero. */
export function toWire(name: string): Buffer {
  if (name === '') return Buffer.alloc(0);
  // Each length stands where a dot is before its label.
  const wire = Buffer.from(`.${name}`, 'latin1');
  for (let end = wire.length, i = wire.length - 1; i >= 0; i--) {
    if (wire[i] !== DOT) continue;
    wire[i] = end - i - 1;
    end = i;
  }
  return wire;
}

/** Whether it is a name of letters, digits, hyphens and underscores, in lower case, that fits into a query. */
export function isName(name: string): boolean {
  return name.length <= MAX_NAME - 2 && /^[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/.test(name);
}
