/** The thread of verifier.ts: has mailauth to itself, and asks for bodies and DNS. */
import { parentPort } from 'node:worker_threads';
import { verify } from './mailauth.ts';
import type { Question, Records, Verified } from './verified.ts';

/** What the thread is told; `id` names the message. */
export type ToThread =
  | { readonly id: number; readonly question: Question }
  | { readonly id: number; readonly chunk: Uint8Array | undefined }
  | { readonly id: number; readonly asked: number; readonly records: Records };

/** What it says: for each message what it needs, and in the end what it found. */
export type FromThread =
  | { readonly id: number; readonly more: true }
  | { readonly id: number; readonly ask: number; readonly name: string; readonly type: string }
  | { readonly id: number; readonly verified: Verified }
  | { readonly id: number; readonly error: string };

/** One message under way. */
class Job {
  readonly #id: number;
  #chunk: ((chunk: Uint8Array | undefined) => void) | undefined;
  readonly #answers = new Map<number, (records: Records) => void>();
  #asked = 0;

  constructor(id: number) {
    this.#id = id;
  }

  async run(question: Question): Promise<void> {
    try {
      const verified = await verify(question, this.#body(), (name, type) => this.#ask(name, type));
      say({ id: this.#id, verified });
    } catch (error) {
      say({ id: this.#id, error: error instanceof Error ? error.message : String(error) });
    }
  }

  hear(message: ToThread): void {
    if ('chunk' in message) this.#chunk?.(message.chunk);
    else if ('asked' in message) {
      this.#answers.get(message.asked)?.(message.records);
      this.#answers.delete(message.asked);
    }
  }

  /** As much as is worked on, and no more: it is another's memory. */
  async *#body(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
      this.#chunk = resolve;
      say({ id: this.#id, more: true });
      const chunk = await promise;
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  #ask(name: string, type: string): Promise<Records> {
    const ask = this.#asked++;
    const { promise, resolve } = Promise.withResolvers<Records>();
    this.#answers.set(ask, resolve);
    say({ id: this.#id, ask, name, type });
    return promise;
  }
}

const jobs = new Map<number, Job>();

function say(message: FromThread): void {
  parentPort?.postMessage(message);
}

parentPort?.on('message', (message: ToThread) => {
  if (!('question' in message)) {
    jobs.get(message.id)?.hear(message);
    return;
  }
  const job = new Job(message.id);
  jobs.set(message.id, job);
  void job.run(message.question).finally(() => jobs.delete(message.id));
});
