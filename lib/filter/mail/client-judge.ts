/**
 * For modules that judge the client: they look from MAIL on and report at the first recipient. Mail from a trusted relay
 * they judge at the end of the message, when its headers have told whom the relay had it from.
 */
import { Milter } from '../../index.ts';
import { clientFact, type JudgedClient } from '../facts.ts';

/** A Milter that judges the client. Write {@link judge}; look-ups begun in it run beside those of other modules. */
export abstract class ClientJudge extends Milter {
  #judging: Promise<() => void> | undefined;

  /**
   * Looks at the client, once a message. What it finds at once it may report itself; what it waits for, it reports in the
   * function that its promise resolves to: by then the message may be over, and another one under way.
   */
  abstract judge(client: JudgedClient): void | Promise<() => void>;

  override envfrom(): void {
    this.#judging = undefined;
    const { judged } = clientFact.get(this);
    const judging = judged === undefined ? undefined : this.judge(judged);
    if (judging === undefined) return;
    // Awaited at RCPT; until then nobody listens.
    judging.catch(() => {});
    this.#judging = judging;
  }

  override envrcpt(_recipient: string): Promise<void> | undefined {
    const judging = this.#judging;
    return judging?.then((report) => {
      // Once: the next recipient finds what the first one found.
      if (this.#judging !== judging) return;
      this.#judging = undefined;
      report();
    });
  }

  override eom(): Promise<void> | undefined {
    const { relayed, judged } = clientFact.get(this);
    if (!relayed || judged === undefined) return undefined;
    return this.judge(judged)?.then((report) => report());
  }
}
