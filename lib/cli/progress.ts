/** How far a long command is. */

/** How often it is shown, in milliseconds. */
const SHOW_EVERY = 200;

/** One line that is written over and over, on a terminal only. */
export class Progress {
  readonly #out: NodeJS.WritableStream;
  readonly #timer: NodeJS.Timeout | undefined;

  /** @param done how many messages were worked on, in how many seconds */
  constructor(
    out: NodeJS.WritableStream & { readonly isTTY?: boolean },
    done: { readonly messages: number; readonly seconds: number },
  ) {
    this.#out = out;
    if (out.isTTY !== true) return;
    this.#timer = setInterval(() => {
      const { messages, seconds } = done;
      out.write(`\r${messages} messages, ${(messages / seconds).toFixed(0)} a second `);
    }, SHOW_EVERY);
  }

  end(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#out.write('\r\u001b[K');
  }
}
