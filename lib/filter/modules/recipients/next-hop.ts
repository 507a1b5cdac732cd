/** Asks the next mail server who exists there, and remembers what it said. */
import { parseAddress } from '../../../index.ts';
import { askSmtp, Backend, type Endpoint, type Services, type SmtpAnswer } from '../../kit.ts';

/** Milliseconds: who exists may go at any time, who does not may come any moment. */
const KEEP_GOOD = 3_600_000;
const KEEP_BAD = 300_000;
/** Milliseconds that a question may take, of the seven seconds that RCPT has. */
const TIMEOUT = 5_000;
/** Longer addresses (RFC 5321 section 4.5.3.1 allows 320) are not remembered. */
const MAX_REMEMBERED = 400;

/** The server behind this one. */
export class NextHop {
  readonly #server: Endpoint;
  readonly #services: Pick<Services, 'store' | 'hostname'>;
  readonly #backend: Backend;
  /** Questions under way: each is asked once, however many messages wait for it. */
  readonly #asking = new Map<string, Promise<SmtpAnswer>>();

  constructor(server: Endpoint, concurrency: number, services: Pick<Services, 'store' | 'hostname' | 'now'>) {
    this.#server = server;
    this.#services = services;
    this.#backend = new Backend({ concurrency, timeout: TIMEOUT, now: () => services.now() });
  }

  /**
   * What it says to a recipient, now or the last time.
   * @throws SmtpTrouble, BackendError where it could not be asked
   */
  async ask(recipient: string): Promise<SmtpAnswer> {
    const key = `verify/${parseAddress(recipient).address}`;
    const isShort = key.length <= MAX_REMEMBERED;
    const kept = isShort ? await this.#services.store.get(key) : undefined;
    if (kept !== undefined) return JSON.parse(kept) as SmtpAnswer;
    const asking = this.#asking.get(recipient) ?? this.#ask(recipient, isShort ? key : undefined);
    this.#asking.set(recipient, asking);
    return await asking.finally(() => this.#asking.delete(recipient));
  }

  async #ask(recipient: string, key: string | undefined): Promise<SmtpAnswer> {
    const { hostname, store } = this.#services;
    const question = { helo: hostname, sender: '<>', recipient };
    const answer = await this.#backend.ask(
      async (signal) => await askSmtp(this.#server, { ...question, signal }),
    );
    const { code } = answer;
    // What is so for the moment is asked again.
    if (key !== undefined && (code < 400 || code >= 500)) {
      await store.set(key, JSON.stringify(answer), { ttl: code < 400 ? KEEP_GOOD : KEEP_BAD });
    }
    return answer;
  }
}
