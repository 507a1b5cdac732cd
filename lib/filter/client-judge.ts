/**
 * For modules that judge the client: they look from MAIL on and report at the first recipient. Mail from a trusted relay
 * they judge at the end of the message, when its headers have told whom the relay had it from.
 */
import { Milter } from '../index.ts';
import { clientFact, type JudgedClient } from './facts.ts';

/** A Milter that judges the client. Write {@link judge}; look-ups begun in it run beside those of other modules. */
export abstract class ClientJudge extends Milter {
  #judging: Promise<void> | undefined;

  /** Looks at the client and reports what it finds. Called once a message. */
  abstract judge(client: JudgedClient): void | Promise<void>;

  override envfrom(): void {
    const { judged } = clientFact.get(this);
    this.#judging = undefined;
    if (judged === undefined) return;
    const judging = this.judge(judged);
    if (judging === undefined) return;
    // Awaited at RCPT; until then nobody listens.
    judging.catch(() => {});
    this.#judging = judging;
  }

  override async envrcpt(): Promise<void> {
    await this.#judging;
  }

  override async eom(): Promise<void> {
    const { relayed, judged } = clientFact.get(this);
    if (relayed && judged !== undefined) await this.judge(judged);
  }
}
