/** Asks the mail servers of a sender, one after the other, within bounds. */
import {
  askFarSmtp,
  type Dial,
  dialFirst,
  type SmtpAnswer,
  type SmtpOutcome,
  SmtpTrouble,
  TlsTrouble,
} from '../../kit.ts';
import type { MailServer } from './servers.ts';

/** Milliseconds for one connection and for each reply, so that one that sleeps leaves time for the next. */
const STEP = 20_000;
/** Conversations with one server at once. */
const MAX_PER_TARGET = 2;
/** Conversations at once. */
const MAX_AT_ONCE = 100;
const TOO_MANY = 'too many are asked at the moment';

/** What is to be said. */
export interface Errand {
  /** Whose mail server is asked, in angle brackets. */
  readonly sender: string;
  readonly helo: string;
  /** A message for the sender; undefined: whether it would take one. */
  readonly message: Buffer | undefined;
  /** Called when the message is to be handed over. */
  readonly handing: () => Promise<void>;
  readonly signal: AbortSignal;
}

/** What came of it. `unknown`: it may say something else another time. */
export interface Answer {
  readonly verdict: 'good' | 'bad' | 'unknown' | 'unreachable';
  /** What the server said, with its name; or why nobody did. */
  readonly why: string;
  readonly answer: SmtpAnswer | undefined;
}

/** Asks, so many at once. */
export class Asker {
  readonly #dial: Dial;
  /** By address. */
  readonly #busy = new Map<string, number>();
  #all = 0;

  constructor(dial: Dial) {
    this.#dial = dial;
  }

  async ask(servers: readonly MailServer[], errand: Errand): Promise<Answer> {
    if (this.#all >= MAX_AT_ONCE) return { verdict: 'unreachable', why: TOO_MANY, answer: undefined };
    this.#all++;
    try {
      return await this.#askOneOf(servers, errand);
    } finally {
      this.#all--;
    }
  }

  async #askOneOf(servers: readonly MailServer[], errand: Errand): Promise<Answer> {
    let isHanded = false;
    const handing = async (): Promise<void> => {
      await errand.handing();
      isHanded = true;
    };
    let trouble = '';
    for (const server of servers) {
      try {
        return judged(server.name, await this.#converse(server, { ...errand, handing }), errand);
      } catch (error) {
        if (!(error instanceof SmtpTrouble)) throw error;
        trouble = `${server.name}: ${error.message}`;
        // Another server would deliver it once more.
        if (isHanded) break;
      }
      if (errand.signal.aborted) break;
    }
    return { verdict: 'unreachable', why: trouble, answer: undefined };
  }

  async #converse(server: MailServer, errand: Errand): Promise<SmtpOutcome> {
    // Many domains have one mail server, by whatever names.
    const [target = ''] = server.addresses;
    const busy = this.#busy.get(target) ?? 0;
    if (busy >= MAX_PER_TARGET) throw new SmtpTrouble(TOO_MANY);
    this.#busy.set(target, busy + 1);
    try {
      return await this.#withOrWithoutTls(server, errand);
    } finally {
      const left = (this.#busy.get(target) ?? 1) - 1;
      if (left === 0) this.#busy.delete(target);
      else this.#busy.set(target, left);
    }
  }

  async #withOrWithoutTls(server: MailServer, errand: Errand): Promise<SmtpOutcome> {
    try {
      return await this.#once(server, errand, server.name);
    } catch (error) {
      if (!(error instanceof TlsTrouble)) throw error;
      return await this.#once(server, errand, undefined);
    }
  }

  async #once(
    { addresses }: MailServer,
    { sender, helo, message, handing, signal }: Errand,
    tls: string | undefined,
  ): Promise<SmtpOutcome> {
    const connecting = AbortSignal.any([signal, AbortSignal.timeout(STEP)]);
    const socket = await dialFirst(addresses, this.#dial, connecting);
    const question = { helo, sender: '<>', recipient: sender, signal, tls, wait: STEP, handing };
    return await askFarSmtp(socket, message === undefined ? question : { ...question, message });
  }
}

function judged(name: string, { command, answer }: SmtpOutcome, { message }: Errand): Answer {
  const why = `${name}: ${answer.code} ${answer.text}`;
  const { code } = answer;
  if (code >= 200 && code <= 299) return { verdict: 'good', why, answer };
  // Who was only asked may refuse us, or everybody who asks: that says nothing of the address.
  const isPolicy = command === 'MAIL' && message === undefined;
  return { verdict: code >= 500 && !isPolicy ? 'bad' : 'unknown', why, answer };
}
