/**
 * clamd: sessions that are kept open from message to message. That clamd closes one which nobody used for a while is no
 * failure: the next scan has a new one.
 */

import type { VirusVerdict } from './clamd-reply.ts';
import { ClamdSession } from './clamd-session.ts';
import type { ScannerAddress } from './connect.ts';
import { ScannerError } from './error.ts';

/** Milliseconds for which a session is kept that nobody uses: clamd's own limit (CommandReadTimeout) is 30 s unless set. */
const KEEP = 5_000;
/** Sessions that are kept. */
const MAX_KEPT = 16;

/** Scans bytes; several calls may be under way at once. Rejects with a {@link ScannerError}. */
export type ClamdScan = (pieces: Iterable<Buffer>) => Promise<VirusVerdict>;

interface Kept {
  readonly session: ClamdSession;
  readonly timer: NodeJS.Timeout;
}

/** A clamd. */
export class Clamd {
  readonly #address: ScannerAddress;
  readonly #kept: Kept[] = [];
  #isClosed = false;

  constructor(address: ScannerAddress) {
    this.#address = address;
  }

  /** Has `work` scan what it wants, all in one session. When `signal` fires, what is under way fails. */
  async scan<T>(signal: AbortSignal, work: (scan: ClamdScan) => Promise<T>): Promise<T> {
    return await this.#inSession(signal, (ask) => work((pieces) => ask((session) => session.scan(pieces))));
  }

  /** What clamd says to a command without more, such as `PING` or `VERSION`. */
  async say(command: string, signal: AbortSignal): Promise<string> {
    return await this.#inSession(signal, (ask) => ask((session) => session.say(command)));
  }

  /** Ends the sessions that nobody uses; those in use end with what is under way. */
  close(): void {
    this.#isClosed = true;
    for (const { session, timer } of this.#kept.splice(0)) {
      clearTimeout(timer);
      session.end();
    }
  }

  async #inSession<T>(
    signal: AbortSignal,
    work: (ask: <A>(question: (session: ClamdSession) => Promise<A>) => Promise<A>) => Promise<T>,
  ): Promise<T> {
    const used = new SessionInUse(this.#take(), this.#address, signal);
    let isSound = false;
    try {
      const result = await work((question) => used.ask(question));
      isSound = true;
      return result;
    } finally {
      const session = used.release();
      const canKeep = isSound && !this.#isClosed && this.#kept.length < MAX_KEPT;
      if (canKeep && session?.isIdle === true) this.#keep(session);
      else session?.end();
    }
  }

  /** The one that was used last, so that those that are not needed go. */
  #take(): ClamdSession | undefined {
    for (let kept = this.#kept.pop(); kept !== undefined; kept = this.#kept.pop()) {
      clearTimeout(kept.timer);
      if (kept.session.isIdle) return kept.session;
    }
    return undefined;
  }

  #keep(session: ClamdSession): void {
    session.rest();
    const timer = setTimeout(() => {
      this.#kept.splice(
        this.#kept.findIndex((kept) => kept.session === session),
        1,
      );
      session.end();
    }, KEEP).unref();
    this.#kept.push({ session, timer });
  }
}

/** The session of somebody who asks: one that was kept, or a new one where that is not any good. */
class SessionInUse {
  readonly #address: ScannerAddress;
  readonly #signal: AbortSignal;
  /** From before; clamd may have closed it, or be about to. */
  readonly #old: ClamdSession | undefined;
  #new: Promise<ClamdSession> | undefined;
  #opened: ClamdSession | undefined;
  readonly #letGo: (() => void)[] = [];

  constructor(old: ClamdSession | undefined, address: ScannerAddress, signal: AbortSignal) {
    this.#old = old;
    this.#address = address;
    this.#signal = signal;
    if (old !== undefined) this.#letGo.push(old.use(signal));
  }

  async ask<A>(question: (session: ClamdSession) => Promise<A>): Promise<A> {
    const old = this.#old;
    if (old === undefined || this.#new !== undefined) return await question(await this.#another());
    try {
      return await question(old);
    } catch (error) {
      const wasClosed = error instanceof ScannerError && error.fault === 'cut-off' && !old.hasAnswered;
      if (!wasClosed) throw error;
    }
    return await question(await this.#another());
  }

  /** What can be kept, or must be ended. */
  release(): ClamdSession | undefined {
    for (const letGo of this.#letGo) letGo();
    if (this.#new === undefined) return this.#old;
    this.#old?.end();
    // One that is still being opened is nobody's.
    if (this.#opened === undefined) void this.#new.then((session) => session.end()).catch(() => {});
    return this.#opened;
  }

  #another(): Promise<ClamdSession> {
    this.#new ??= ClamdSession.open(this.#address, this.#signal).then((session) => {
      this.#opened = session;
      this.#letGo.push(session.use(this.#signal));
      return session;
    });
    return this.#new;
  }
}
