/** Lists in DNS, of addresses or domains with a good or a bad name: RFC 5782. */
import { wrongArgument } from '../errors.ts';
import { parseIp, parseIp4, reversed } from '../ip.ts';
import { checkOptions, type Kinds, texts } from '../options.ts';
import { type Answer, isFailure, type ResolveOptions, type Resolver } from './answer.ts';
import { queryName } from './name.ts';

/** Options of {@link DnsList}. */
export interface DnsListOptions {
  /**
   * The codes that count: addresses in 127.0.0.0/8, or ranges of them such as `127.0.0.2-127.0.0.10`.
   * @default 127.0.0.2-127.0.0.255
   */
  readonly codes?: readonly string[];
}

const KINDS: Kinds<DnsListOptions> = { codes: texts };

/** What a list is about; each kind has test entries of its own (RFC 5782 sections 2.3, 2.4 and 5). */
export type DnsListKind = 'ipv4' | 'ipv6' | 'domain';

/** Under the list's zone: what must be listed, and what must not. The mapped addresses keep their 32 nibbles. */
const TEST_ENTRIES: Readonly<Record<DnsListKind, readonly [listed: string, unlisted: string]>> = {
  ipv4: ['2.0.0.127', '1.0.0.127'],
  ipv6: [`2.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`, `1.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`],
  domain: ['test', 'invalid'],
};

const DEFAULT_CODES = ['127.0.0.2-127.0.0.255'];
const LOOPBACK = 127;
/** 127.255.255.0/24: by a custom of the great lists, not a code but a complaint about who asks. */
const COMPLAINT = 0x7fff_ff;

/**
 * A list in DNS.
 *
 * ```ts
 * const list = new DnsList('bl.example.net');
 * const answer = await list.ask('192.0.2.1', resolver);
 * if (answer.status === 'ok') console.log('listed:', answer.records);
 * ```
 */
export class DnsList {
  /** In lower case, without the final dot. */
  readonly zone: string;
  readonly #codes: readonly Range[];

  /** @throws TypeError for a zone that is no domain name, a code that is none, or an unknown option */
  constructor(zone: string, options: DnsListOptions = {}) {
    checkOptions('DnsList option', options, KINDS, wrongArgument);
    const name = typeof zone === 'string' ? queryName(zone) : undefined;
    if (name === undefined) throw wrongArgument(`DnsList: ${JSON.stringify(zone)} is no domain name`);
    this.zone = name;
    this.#codes = (options.codes ?? DEFAULT_CODES).map(readRange);
  }

  /**
   * The name under which a subject is listed: `1.2.0.192.bl.example.net` for 192.0.2.1, 32 nibbles for IPv6, the domain
   * itself otherwise. Its TXT record tells people why. Undefined where it cannot be asked.
   */
  name(subject: string): string | undefined {
    const address = parseIp(subject);
    const head = address === undefined ? queryName(subject) : reversed(address);
    return head === undefined ? undefined : queryName(`${head}.${this.zone}`);
  }

  /**
   * Asks whether an IP address or a domain is listed. `ok` has the codes that count; `nodata` and `nxdomain` mean that it is
   * not listed, or not with such a code. An answer that is no code at all, or from 127.255.255.0/24, by which lists refuse
   * who asks too much, is a failure.
   */
  async ask(subject: string, resolver: Resolver, options?: ResolveOptions): Promise<Answer<'A'>> {
    const name = this.name(subject);
    if (name === undefined)
      return { status: 'badname', reason: `${JSON.stringify(subject)} cannot be asked` };
    const answer = await askCodes(name, resolver, options);
    if (answer.status !== 'ok') return answer;
    const records = answer.records.filter((code) => this.#counts(code));
    return records.length > 0 ? { ...answer, records } : { status: 'nodata', ttl: answer.ttl };
  }

  /**
   * Asks for the entries that every list has for tests. Resolves to undefined where they are as they should be, else to
   * what is wrong: a list that has been given up lists everything, or nothing.
   */
  async test(kind: DnsListKind, resolver: Resolver, options?: ResolveOptions): Promise<string | undefined> {
    const [listed, unlisted] = TEST_ENTRIES[kind].map((entry) => `${entry}.${this.zone}`) as [string, string];
    const [good, bad] = await Promise.all([
      askCodes(listed, resolver, options),
      askCodes(unlisted, resolver, options),
    ]);
    for (const answer of [good, bad]) {
      if (isFailure(answer)) return `${this.zone}: ${answer.reason ?? 'no answer'} (${answer.status})`;
    }
    if (good.status !== 'ok') return `${this.zone}: ${listed} must be listed, and is not (${good.status})`;
    if (bad.status === 'ok') return `${this.zone}: ${unlisted} must not be listed, and is`;
    return undefined;
  }

  #counts(code: string): boolean {
    const bits = parseIp4(code);
    return bits !== undefined && this.#codes.some(({ first, last }) => bits >= first && bits <= last);
  }
}

/** Codes; those of 127.0.0.0/8 are below 2^31, so that they compare as they are. */
interface Range {
  readonly first: number;
  readonly last: number;
}

function readRange(text: string): Range {
  const [, from = '', to = from] = /^([\d.]+)(?:\s*-\s*([\d.]+))?$/.exec(text) ?? [];
  const first = parseIp4(from);
  const last = parseIp4(to);
  if (first === undefined || last === undefined || first >>> 24 !== LOOPBACK || last >>> 24 !== LOOPBACK) {
    throw wrongArgument(
      `DnsList: ${JSON.stringify(text)} is no code; write 127.0.0.2 or 127.0.0.2-127.0.0.10`,
    );
  }
  if (first > last) throw wrongArgument(`DnsList: the codes "${text}" end before they begin`);
  return { first, last };
}

/** The addresses at a name, all of them codes. */
async function askCodes(name: string, resolver: Resolver, options?: ResolveOptions): Promise<Answer<'A'>> {
  const answer = await resolver.resolve(name, 'A', options);
  if (answer.status !== 'ok') return answer;
  for (const code of answer.records) {
    const bits = parseIp4(code) ?? 0;
    if (bits >>> 24 !== LOOPBACK)
      return { status: 'malformed', reason: `${name} has ${code}, which is no code of a list` };
    if (bits >>> 8 === COMPLAINT) return { status: 'refused', reason: `the list does not serve us: ${code}` };
  }
  return answer;
}
