/** IP addresses as plain integers, so that a network is compared with a mask and nothing is allocated. */

/** An IPv6 address, most significant word first; each word is a signed 32-bit integer. */
export type Ip6 = readonly [number, number, number, number];

/** An address. An IPv4-mapped IPv6 address is IPv4 (RFC 7208 section 5). */
export type Ip =
  | { readonly family: 4; readonly bits: number; readonly text: string }
  | { readonly family: 6; readonly words: Ip6; readonly text: string };

/** Before an IPv6 address in mail (RFC 5321 section 4.1.3), and so in Sendmail's macros. */
const TAG = /^ipv6:/i;

/** Reads a textual address; a tag (`IPv6:::1`) and a zone (`fe80::1%eth0`) are dropped. Undefined if it is none. */
export function parseIp(text: string): Ip | undefined {
  const bits = parseIp4(text);
  if (bits !== undefined) return { family: 4, bits, text };
  const untagged = text.replace(TAG, '');
  const zone = untagged.indexOf('%');
  const plain = (zone < 0 ? untagged : untagged.slice(0, zone)).toLowerCase();
  const words = parseIp6(plain);
  if (words === undefined) return undefined;
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) {
    return { family: 4, bits: words[3], text: formatIp4(words[3]) };
  }
  return { family: 6, words, text: plain };
}

/** Reads `ip4-network` of RFC 7208 section 5.6: four decimal numbers without leading zeros. */
export function parseIp4(text: string): number | undefined {
  let bits = 0;
  let octet = -1; // Below zero where no digit has been read yet.
  let dots = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (octet < 0 || ++dots > 3) return undefined;
      bits = (bits << 8) | octet;
      octet = -1;
      continue;
    }
    const digit = code - 0x30;
    if (digit < 0 || digit > 9 || octet === 0) return undefined;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (octet > 255) return undefined;
  }
  return dots === 3 && octet >= 0 ? (bits << 8) | octet : undefined;
}

/** Reads an IPv6 address in any form of RFC 4291 section 2.2, without a zone. */
export function parseIp6(text: string): Ip6 | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  // "::" stands for at least one group.
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  const word = (at: number): number => ((groups[at] ?? 0) << 16) | (groups[at + 1] ?? 0);
  return [word(0), word(2), word(4), word(6)];
}

/** The groups between colons; the last may be an IPv4 address where `endsAddress`. */
function parseGroups(text: string, endsAddress: boolean): number[] | undefined {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (endsAddress && i === parts.length - 1 && part.includes('.')) {
      const bits = parseIp4(part);
      if (bits === undefined) return undefined;
      groups.push(bits >>> 16, bits & 0xffff);
    } else if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
    } else {
      return undefined;
    }
  }
  return groups;
}

/** Whether the first `prefix` bits are equal. */
export function sameNetwork4(a: number, b: number, prefix: number): boolean {
  // A shift by 32 would be a shift by 0.
  return prefix === 0 || (a ^ b) >>> (32 - prefix) === 0;
}

/** Whether the first `prefix` bits are equal. */
export function sameNetwork6(a: Ip6, b: Ip6, prefix: number): boolean {
  if (prefix <= 32) return sameNetwork4(a[0], b[0], prefix);
  if (a[0] !== b[0]) return false;
  if (prefix <= 64) return sameNetwork4(a[1], b[1], prefix - 32);
  if (a[1] !== b[1]) return false;
  if (prefix <= 96) return sameNetwork4(a[2], b[2], prefix - 64);
  return a[2] === b[2] && sameNetwork4(a[3], b[3], prefix - 96);
}

/** The `%{i}` of RFC 7208 section 7.3: the dotted quad, or the 32 nibbles of an IPv6 address, in capitals, between dots. */
export function dottedAddress(address: Ip): string {
  if (address.family === 4) return address.text;
  const digits = address.words.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
  return [...digits.toUpperCase()].join('.');
}

/** The octets of an IPv4 address or the nibbles of an IPv6 one, the last first: how names in DNS begin. */
export function reversed(address: Ip): string {
  return dottedAddress(address).toLowerCase().split('.').reverse().join('.');
}

/** The name under which the address's PTR records are. */
export function reverseName(address: Ip): string {
  return `${reversed(address)}.${address.family === 4 ? 'in-addr' : 'ip6'}.arpa`;
}

/** The network of so many bits that an address is in: `192.0.2.0/24`, `2001:db8:0:1:0:0:0:0/64`. */
export function networkOf(address: Ip, prefix4: number, prefix6: number): string {
  if (address.family === 4) return `${formatIp4(address.bits & mask(prefix4))}/${prefix4}`;
  const words = address.words.map((word, i) => word & mask(prefix6 - 32 * i));
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  return `${groups.map((group) => group.toString(16)).join(':')}/${prefix6}`;
}

/** A word whose first bits are set; all of them for 32 and more. */
function mask(bits: number): number {
  // A shift by 32 would be a shift by 0.
  return bits <= 0 ? 0 : bits >= 32 ? -1 : ~(0xffff_ffff >>> bits);
}

function formatIp4(bits: number): string {
  return `${bits >>> 24}.${(bits >>> 16) & 255}.${(bits >>> 8) & 255}.${bits & 255}`;
}
