/** The filter of the soak: its handlers do what the sender's address says, `<throw.envrcpt@soak.test>` for one. */
import { setTimeout as pause } from 'node:timers/promises';
import { type MessageVerdict, Milter, reject } from 'libmilter';

/** Stages whose handler may be told what to do. */
export const SOAKED_STAGES = ['envfrom', 'envrcpt', 'header', 'eoh', 'body', 'eom'] as const;
export type SoakedStage = (typeof SOAKED_STAGES)[number];

/** What it does there: nothing, refuse, fail, answer a little later, or not before its deadline. */
export type Deed = 'plain' | 'answer' | 'throw' | 'wait' | 'late';

/** How long a handler has, in milliseconds: long, so that only who means to be late is, and a busy machine rarely. */
const DEADLINE = 2_000;

export default class Soaked extends Milter {
  static override readonly deadlines = { envfrom: DEADLINE, envrcpt: DEADLINE, eom: DEADLINE };
  #deed: string | undefined;
  #stage: string | undefined;

  override async envfrom(sender: string): Promise<MessageVerdict | undefined> {
    [, this.#deed, this.#stage] = /^<(\w+)\.(\w+)@/.exec(sender) ?? [];
    return await this.#do('envfrom');
  }
  override async envrcpt(): Promise<MessageVerdict | undefined> {
    return await this.#do('envrcpt');
  }
  override async header(): Promise<MessageVerdict | undefined> {
    return await this.#do('header');
  }
  override async eoh(): Promise<MessageVerdict | undefined> {
    return await this.#do('eoh');
  }
  override async body(): Promise<MessageVerdict | undefined> {
    return await this.#do('body');
  }
  override async eom(): Promise<MessageVerdict | undefined> {
    const { message } = this;
    message.addHeader('X-Soaked', this.session.helo ?? 'none');
    message.addRcpt('<more@soak.test>');
    message.replaceBody(Buffer.concat([message.body, Buffer.from('soaked\r\n')]));
    return await this.#do('eom');
  }
  override abort(): void {}
  override close(): void {}

  async #do(stage: SoakedStage): Promise<MessageVerdict | undefined> {
    if (stage !== this.#stage) return undefined;
    switch (this.#deed) {
      case 'answer':
        return reject(550, '5.7.1', `refused at ${stage}`);
      case 'throw':
        throw new Error(`thrown at ${stage}`);
      case 'wait':
        await pause(2);
        return undefined;
      case 'late': {
        const { signal } = this.message;
        if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
      }
    }
    return undefined;
  }
}
