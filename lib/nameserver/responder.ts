/** From the bytes of a query to those of its reply: no socket, no time, and no string where a name is just looked up. */

import { RCODE } from '../rcode.ts';
import type { ListAnswer } from './line.ts';
import type { ListLine } from './pattern-list.ts';
import { CLASS_IN, Query, TYPE } from './query.ts';
import type { RateLimit } from './rate-limit.ts';
import { ReplyWriter } from './reply-writer.ts';
import { type SignedName, splitSigned } from './ses-name.ts';
import type { Zone } from './zone.ts';

/** Of type HINFO, for questions for everything (RFC 8482 section 4.2): "RFC8482" and nothing. */
const NOT_EVERYTHING = Buffer.from('\x07RFC8482\x00', 'latin1');
/** The answer to a good signature, and for how many seconds it holds: the next mail has another one. */
const SIGNED: ListAnswer = { codes: [0x7f00_0002], text: undefined, ttl: 0, until: Number.POSITIVE_INFINITY };
const SIGNED_LINES: readonly Pick<ListLine, 'answer'>[] = [{ answer: SIGNED }];
/** AXFR and IXFR: transfers of the zone. */
const TRANSFERS = [252, 251];

/** What is known of who asks. */
export interface Asker {
  readonly isTcp: boolean;
  /** The address, for limits. */
  readonly address: string;
}

/** Answers one query after the other. */
export class Responder {
  /** What is answered from; may be replaced at any time. */
  zone: Zone;
  readonly #query = new Query();
  readonly #writer = new ReplyWriter();
  readonly #guesses: RateLimit;

  /** @param guesses wrong signatures from one network: those beyond are not looked at */
  constructor(zone: Zone, guesses: RateLimit) {
    this.zone = zone;
    this.#guesses = guesses;
  }

  /**
   * The reply to a packet, undefined where there is to be none. Its bytes are good until the next call: see
   * {@link release}. A promise where a signature must be looked up; then the bytes are the caller's own.
   */
  respond(packet: Uint8Array, asker: Asker): Buffer | undefined | Promise<Buffer> {
    const query = this.#query;
    const fault = query.read(packet);
    if (fault === undefined) return undefined;
    this.#writer.begin(packet, query);
    if (fault !== RCODE.ok) return this.#writer.end(query, fault, false, asker.isTcp);
    const { zone } = this;
    const { name } = query;
    if (query.class !== CLASS_IN || !name.cut(zone.wire, zone.labels) || TRANSFERS.includes(query.type))
      return this.#writer.end(query, RCODE.refused, false, asker.isTcp);
    if (name.length === 0) return this.#apex(zone, asker);
    const signed = zone.ses === undefined ? undefined : splitSigned(name, zone.name, packet);
    if (signed === 'unsigned') return this.#finish(zone, [], true, asker);
    if (signed !== undefined) return this.#checkSigned(Buffer.from(packet), signed, zone, asker);
    const finding = zone.list.find(name);
    return this.#finish(zone, finding.lines, finding.isParent, asker);
  }

  /** A reply without answers, which has an honest client ask again over TCP. */
  truncated(packet: Uint8Array): Buffer | undefined {
    const query = this.#query;
    const fault = query.read(packet);
    if (fault !== RCODE.ok) return undefined;
    this.#writer.begin(packet, query);
    return this.#writer.endTruncated(query);
  }

  /** Leaves the bytes of the last reply alone from now on. */
  release(): void {
    this.#writer.release();
  }

  #apex(zone: Zone, asker: Asker): Buffer {
    const { type } = this.#query;
    const writer = this.#writer;
    if (type === TYPE.soa) writer.answer(TYPE.soa, zone.ttl, zone.soa);
    else if (type === TYPE.ns) for (const host of zone.ns) writer.answer(TYPE.ns, zone.ttl, host);
    else if (type === TYPE.any) writer.answer(TYPE.hinfo, zone.ttl, NOT_EVERYTHING);
    else writer.authority(0, zone.ttl, zone.soa);
    return writer.end(this.#query, RCODE.ok, true, asker.isTcp);
  }

  /** Writes what was found for the name of the query. */
  #finish(zone: Zone, lines: readonly Pick<ListLine, 'answer'>[], exists: boolean, { isTcp }: Asker): Buffer {
    const writer = this.#writer;
    const query = this.#query;
    let answers = 0;
    if (lines.length > 0) {
      if (query.type === TYPE.a) answers = this.#writeCodes(zone, lines);
      else if (query.type === TYPE.txt) answers = this.#writeTexts(zone, lines);
      else if (query.type === TYPE.any) {
        writer.answer(TYPE.hinfo, zone.ttl, NOT_EVERYTHING);
        answers = 1;
      }
    }
    if (answers === 0) writer.authority(query.name.length, zone.ttl, zone.soa);
    const rcode = lines.length > 0 || exists ? RCODE.ok : RCODE.nxdomain;
    return writer.end(query, rcode, true, isTcp);
  }

  #writeCodes(zone: Zone, lines: readonly Pick<ListLine, 'answer'>[]): number {
    const ttl = ttlOf(zone, lines);
    const [first, second] = lines;
    const codes =
      first !== undefined && second === undefined
        ? first.answer.codes
        : new Set(lines.flatMap(({ answer }) => answer.codes));
    let count = 0;
    for (const code of codes) {
      this.#writer.a(ttl, code);
      count++;
    }
    return count;
  }

  #writeTexts(zone: Zone, lines: readonly Pick<ListLine, 'answer'>[]): number {
    const ttl = ttlOf(zone, lines);
    let subject: Buffer | undefined;
    const texts = new Set<readonly Buffer[]>();
    for (const { answer } of lines) if (answer.text !== undefined) texts.add(answer.text);
    for (const [first = NOTHING, ...others] of texts) {
      const parts = [first];
      for (const part of others) {
        subject ??= Buffer.from(this.#query.name.subject(), 'latin1');
        parts.push(subject, part);
      }
      this.#writer.txt(ttl, Buffer.concat(parts));
    }
    return texts.size;
  }

  /** The query is read anew when it is known: others came in between. */
  async #checkSigned(packet: Buffer, signed: SignedName, zone: Zone, asker: Asker): Promise<Buffer> {
    let rcode: number = RCODE.refused;
    let isGood = false;
    if (this.#guesses.has(asker.address)) {
      try {
        isGood = await isSigned(signed, zone);
        rcode = RCODE.ok;
        if (!isGood) this.#guesses.take(asker.address);
      } catch {
        // The store is away: who asks is to try again.
        rcode = RCODE.servfail;
      }
    }
    const query = this.#query;
    query.read(packet);
    query.name.cut(zone.wire, zone.labels);
    this.#writer.begin(packet, query);
    const reply =
      rcode === RCODE.ok
        ? this.#finish(zone, isGood ? SIGNED_LINES : [], false, asker)
        : this.#writer.end(query, rcode, false, asker.isTcp);
    // Copied: others may be written before this one is sent.
    return Buffer.from(reply);
  }
}

const NOTHING = Buffer.alloc(0);

async function isSigned({ locals, domains }: SignedName, { ses }: Zone): Promise<boolean> {
  for (const domain of domains) {
    for (const local of locals) if ((await ses?.(local, domain)) === true) return true;
  }
  return false;
}

/** The shortest of those that the lines say. */
function ttlOf(zone: Zone, lines: readonly Pick<ListLine, 'answer'>[]): number {
  let ttl = Number.POSITIVE_INFINITY;
  for (const { answer } of lines) ttl = Math.min(ttl, answer.ttl ?? zone.ttl);
  return ttl;
}
