/** Message-IDs that say whom a message was for, so that its bounce does, whoever writes it and in whatever form. */
import { type Message, parseAddress } from '../../../index.ts';
import { createSrs, SrsError } from '../../../srs/index.ts';
import type { Signing } from '../../kit.ts';

/** Bytes of a bounce in which the Message-ID is looked for. */
const MAX_LOOKED = 64 * 1024;

/** Signs with the secrets of module `srs`; while there are none, nothing is signed and nothing found. */
export class SignedIds {
  readonly #signing: () => Signing | undefined;
  readonly #hostname: string;
  readonly #now: () => number;

  constructor(
    signing: () => Signing | undefined,
    { hostname, now }: { readonly hostname: string; readonly now: () => number },
  ) {
    this.#signing = signing;
    this.#hostname = hostname;
    this.#now = now;
  }

  /** With angle brackets; undefined where it cannot be signed. */
  make(sender: string): string | undefined {
    try {
      const signed = this.#srs()?.forward(sender, this.#hostname);
      return signed !== undefined && /^[\w!#$%&'*+/=?^`{|}~.@-]+$/.test(signed) ? `<${signed}>` : undefined;
    } catch (error) {
      if (!(error instanceof SrsError)) throw error;
      return undefined;
    }
  }

  /** Whom the message of ours was for that a bounce is about, in angle brackets; undefined for all other mail. */
  find(message: Message): string | undefined {
    const srs = this.#srs();
    if (srs === undefined || message.sender !== '<>') return undefined;
    const fields = ['In-Reply-To', 'References'].flatMap((name) => message.headers.getAll(name));
    const text = [
      ...fields.map(({ value }) => value),
      message.body.subarray(0, MAX_LOOKED).toString('latin1'),
    ].join('\n');
    for (const [, id = ''] of text.matchAll(/<(SRS0[-+=][\w!#$%&'*+/=?^`{|}~.-]{1,250}@[\w.-]{1,255})>/gi)) {
      if (parseAddress(id).domain !== this.#hostname.toLowerCase()) continue;
      try {
        return `<${srs.reverse(id)}>`;
      } catch (error) {
        if (!(error instanceof SrsError)) throw error;
      }
    }
    return undefined;
  }

  #srs(): ReturnType<typeof createSrs> | undefined {
    const signing = this.#signing();
    if (signing === undefined || signing.secrets.length === 0) return undefined;
    const { secrets, maxAge, hashLength, separator } = signing;
    return createSrs({ secrets, maxAge, hashLength, separator, alwaysRewrite: true, now: this.#now });
  }
}
