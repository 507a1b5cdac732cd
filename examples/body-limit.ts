// Refuses large messages while they arrive: an early body handler need not wait for the end of the message. State that
// belongs to one message is set anew in envfrom, since an instance serves all messages of a connection.
import { Milter, reject } from 'libmilter';

const LIMIT = 10 * 1024 * 1024;

export default class BodyLimit extends Milter {
  static override readonly early = ['body'] as const;
  #size = 0;

  override envfrom(): void {
    this.#size = 0;
  }

  override body(chunk: Buffer) {
    this.#size += chunk.length;
    return this.#size > LIMIT ? reject(552, '5.3.4', 'Bodies may have 10 MiB') : 'continue';
  }
}
