/** Who was asked or told, and what came of it: each sender once, so many in a time, and remembered. */
import { parseAddress } from '../../../index.ts';
import { pairKey, type Services, within } from '../../kit.ts';
import { type Answer, Asker } from './asker.ts';
import { serversOf } from './servers.ts';

/** Nobody is told more often. */
const WEEK = 7 * 86_400_000;
const MAX_WHY = 300;

/** What came of it, and why. */
export interface Outcome {
  /**
   * Besides what a server answers: the domain takes no mail (`null-mx`, `no-mail`), this machine is its mail server (`own`), or
   * too many were asked (`limit`).
   */
  readonly verdict: Answer['verdict'] | 'null-mx' | 'no-mail' | 'own' | 'limit';
  readonly why: string;
}

/** What is remembered of a sender. */
interface Known {
  readonly verdict: 'good' | 'bad';
  /** It was told, not only asked for. */
  readonly told: boolean;
  readonly why: string;
}

/** As the configuration has it; times in milliseconds. */
export interface Limits {
  readonly cache_good: number;
  readonly cache_bad: number;
  readonly rate: { readonly messages: number; readonly per: number };
}

/** Asks and tells. */
export class Callouts {
  readonly #services: Services;
  readonly #limits: Limits;
  readonly #asker: Asker;
  /** Under way: whoever asks the same waits for that, however many messages there are. */
  readonly #asking = new Map<string, Promise<Outcome>>();

  constructor(limits: Limits, services: Services) {
    this.#limits = limits;
    this.#services = services;
    this.#asker = new Asker(services.dial);
  }

  /**
   * What is known of a sender, or what its mail server says now.
   * @param sender in angle brackets
   * @param message what it is told, unless it was told in the last week; undefined: it is only asked whether it exists
   * @param time milliseconds
   * @throws StoreError: nobody is asked then
   */
  async ask(sender: string, message: Buffer | undefined, time: number): Promise<Outcome> {
    const key = keyOf(sender);
    const asking =
      this.#asking.get(key) ??
      this.#lookUp(key, sender, message, time).finally(() => this.#asking.delete(key));
    this.#asking.set(key, asking);
    return await asking;
  }

  /** It took a message, and returned it. */
  async returned(sender: string): Promise<void> {
    const why = 'it took a message, and returned it';
    await this.#remember(keyOf(sender), { verdict: 'bad', told: true, why });
  }

  async #lookUp(key: string, sender: string, message: Buffer | undefined, time: number): Promise<Outcome> {
    const [kept, mark] = await this.#services.store.batch([
      { call: 'get', key: `sender/${key}` },
      { call: 'get', key: `told/${key}` },
    ]);
    const telling = mark === undefined ? message : undefined;
    const known = kept === undefined ? undefined : (JSON.parse(kept) as Known);
    if (known !== undefined && (known.verdict === 'bad' || known.told || telling === undefined)) return known;
    return await within(time, (signal) => this.#askNow(key, sender, telling, mark !== undefined, signal));
  }

  async #askNow(
    key: string,
    sender: string,
    message: Buffer | undefined,
    wasTold: boolean,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { store, resolver, hostname, metrics } = this.#services;
    const found = await serversOf(parseAddress(sender).domain, resolver, signal);
    if (found.status === 'unknown') return { verdict: 'unreachable', why: found.why };
    if (found.status !== 'found') return { verdict: found.status, why: found.why };
    const { messages, per } = this.#limits.rate;
    const admission = await store.admit([{ key: 'rate', add: 1, most: messages, per }]);
    if (!admission.admitted) return { verdict: 'limit', why: `rate allows ${messages}` };
    const mark = `told/${key}`;
    // Before it is sent: whatever becomes of it then, it is not sent again.
    const handing = async (): Promise<void> => await store.set(mark, '1', { ttl: WEEK });
    const errand = { sender, helo: hostname, message, handing, signal };
    const { verdict, why: said, answer } = await this.#asker.ask(found.servers, errand);
    metrics.count('callouts_total', { verdict });
    const why = said.slice(0, MAX_WHY);
    if (verdict === 'good' || verdict === 'bad') {
      const told = wasTold || (message !== undefined && verdict === 'good');
      await this.#remember(key, { verdict, told, why });
    }
    if (verdict !== 'good' && message !== undefined && answer !== undefined) {
      // It says itself that it did not take it: nobody was told.
      await store.delete(mark).catch((error: unknown) => this.#failed(error));
    }
    return { verdict, why };
  }

  async #remember(key: string, known: Known): Promise<void> {
    const { cache_good, cache_bad } = this.#limits;
    const keep = { ttl: known.verdict === 'good' ? cache_good : cache_bad };
    await this.#services.store
      .set(`sender/${key}`, JSON.stringify(known), keep)
      .catch((error: unknown) => this.#failed(error));
  }

  /** What was said holds all the same. */
  #failed(error: unknown): void {
    this.#services.log.warn({ error }, 'what a mail server said cannot be remembered');
  }
}

/** Of bounded length, and without what sites put before an address for each message. */
function keyOf(address: string): string {
  return pairKey(address, '');
}
