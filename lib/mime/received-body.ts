/**
 * The body of one part as it was received: decoded when it is read, and no more than once.
 */
import { decodeBody, decodeSteps, type Encoding } from './encodings.ts';
import { finishInTurns } from './slice.ts';
import { mayHoldFile } from './text-files.ts';

/** Range and encoding of a received body. */
export class ReceivedBody {
  /** As it is written. */
  readonly bytes: Buffer;
  readonly encoding: Encoding;
  #decoded: Buffer | undefined;
  #mayHoldFile: boolean | undefined;

  constructor(bytes: Buffer, encoding: Encoding) {
    this.bytes = bytes;
    this.encoding = encoding;
  }

  /** Decoded. Every call answers the same object. */
  decode(): Buffer {
    this.#decoded ??= decodeBody(this.bytes, this.encoding);
    return this.#decoded;
  }

  /** Decoded, a large quoted-printable body in turns of the event loop. */
  async load(): Promise<Buffer> {
    if (this.#decoded || this.encoding !== 'quoted-printable') return this.decode();
    const decoded = await finishInTurns(decodeSteps(this.bytes, this.encoding));
    this.#decoded ??= decoded;
    return this.#decoded;
  }

  /** Decoded by each of these encodings in place of its own. */
  decodeOtherwise(encodings: readonly Encoding[]): readonly Buffer[] {
    return encodings.map((encoding) => decodeBody(this.bytes, encoding));
  }

  /** Whether a file may be in it as text; if not, there is none, and it need not be decoded to see that. */
  get mayHoldFile(): boolean {
    this.#mayHoldFile ??= mayHoldFile(this.bytes, this.encoding);
    return this.#mayHoldFile;
  }

  /** The first decoded bytes, at most `length`, without decoding more than they need. */
  head(length: number): Buffer {
    if (this.#decoded || this.encoding === 'identity') return this.decode().subarray(0, length);
    // Mostly an encoded byte takes less than two characters, at most three; whoever pads more has the whole body decoded.
    for (const size of [length * 2, length * 6]) {
      if (size >= this.bytes.length) break;
      const head = decodeBody(this.bytes.subarray(0, size), this.encoding);
      if (head.length >= length) return head.subarray(0, length);
    }
    return this.decode().subarray(0, length);
  }
}
