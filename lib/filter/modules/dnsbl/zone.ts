/**
 * One list in DNS, and whether it can be believed: it must list what RFC 5782 says that every list lists, and not list what
 * none does. One that was given up answers for everything, or for nothing.
 */
import { type Answer, type DnsList, type DnsListKind, isFailure, type Resolver } from '../../../dns/index.ts';
import { type Services, within } from '../../kit.ts';

/** Milliseconds for one question, of those that RCPT has. */
const TIME = 4_000;
/** How often a list is tested; one that is off is tested more often, to be back soon. */
export const TEST_EVERY = 3_600_000;
export const RETRY_EVERY = 300_000;
/** Failures in a row after which a list is off: each costs its mail the whole time. */
const MAX_FAILURES = 5;
/** What is shown of a TXT record. */
const MAX_REASON = 150;

/** What a list says of a subject. */
export interface Listing {
  readonly codes: readonly string[];
  /** The list's own words, printable; empty where it has none. A stranger's. */
  readonly reason: string;
}

/** A list for one kind of subject. */
export class Zone {
  readonly #list: DnsList;
  readonly #kind: DnsListKind;
  readonly #resolver: Resolver;
  readonly #services: Pick<Services, 'log' | 'metrics'>;
  #isGood: boolean | Promise<boolean>;
  #failures = 0;

  constructor(
    list: DnsList,
    kind: DnsListKind,
    resolver: Resolver,
    services: Pick<Services, 'log' | 'metrics'>,
  ) {
    this.#list = list;
    this.#kind = kind;
    this.#resolver = resolver;
    this.#services = services;
    const first = this.#test();
    this.#isGood = first;
    void first.then((isGood) => {
      if (this.#isGood === first) this.#isGood = isGood;
    });
  }

  /** Whether it is on; before the first test is over, a promise. */
  get isGood(): boolean | Promise<boolean> {
    return this.#isGood;
  }

  /** Asks for its test entries; what it was before holds until they are here. */
  async test(): Promise<void> {
    this.#isGood = await this.#test();
  }

  /** What the list says of an address or a domain; undefined where it says nothing, or is off. */
  async ask(subject: string): Promise<Listing | undefined> {
    if (!(await this.#isGood)) return undefined;
    return await within(TIME, (signal) => this.#ask(subject, signal));
  }

  async #ask(subject: string, signal: AbortSignal): Promise<Listing | undefined> {
    const answer = await this.#list.ask(subject, this.#resolver, { signal });
    this.#note(answer);
    if (answer.status !== 'ok') return undefined;
    const name = this.#list.name(subject) ?? '';
    const why = await this.#resolver.resolve(name, 'TXT', { signal });
    const [record = []] = why.status === 'ok' ? why.records : [];
    const text = Buffer.concat([...record])
      .toString('latin1')
      .replace(/[^\x20-\x7e]+/g, ' ')
      .trim();
    return { codes: answer.records, reason: text.slice(0, MAX_REASON) };
  }

  #note(answer: Answer<'A'>): void {
    if (!isFailure(answer)) {
      this.#failures = 0;
      return;
    }
    const { zone } = this.#list;
    this.#services.metrics.count('dnsbl_failures_total', { zone });
    // "badname" is the subject's fault. Who refuses us, or tells us what is no code, does not change by the next mail.
    if (answer.status === 'badname') return;
    const isFinal = answer.status === 'refused' || answer.status === 'malformed';
    if (!isFinal && ++this.#failures < MAX_FAILURES) return;
    if (this.#isGood === false) return;
    this.#isGood = false;
    this.#services.log.warn(
      { zone, reason: answer.reason ?? answer.status },
      `DNS list ${zone} is off until it passes its test`,
    );
  }

  async #test(): Promise<boolean> {
    const { zone } = this.#list;
    const problem = await within(TIME, (signal) => this.#list.test(this.#kind, this.#resolver, { signal }));
    this.#failures = 0;
    const was = this.#isGood;
    if (problem !== undefined && was !== false) {
      // Many lists know no IPv6: that is no trouble of theirs.
      const level = this.#kind === 'ipv6' ? 'info' : 'warn';
      this.#services.log[level](
        { zone, kind: this.#kind },
        `DNS list ${zone} is off until it passes its test: ${problem}`,
      );
    }
    if (problem === undefined && was === false)
      this.#services.log.info({ zone }, `DNS list ${zone} is on again`);
    return problem === undefined;
  }
}
