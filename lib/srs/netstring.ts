/** Netstrings, `5:hello,`: how MTAs write questions to a socket map, and want the answers. */

/** What both MTAs take, and so what is read and written. */
export const MAX_NETSTRING = 100_000;

/** No netstring, or one that is too long. */
export class NetstringFault extends Error {
  override readonly name: string = 'NetstringFault';
}

const COLON = 0x3a;
const COMMA = 0x2c;
const ZERO = 0x30;

/** Reads netstrings from whatever pieces they come in. After a fault it is of no more use. */
export class NetstringReader {
  /** The length as far as it was read. */
  #length: number | undefined;
  #inBody = false;
  #pieces: Buffer[] = [];
  /** Octets still to come, the comma included. */
  #missing = 0;

  /** Whether a netstring has begun and is not complete. */
  get isInside(): boolean {
    return this.#length !== undefined;
  }

  /**
   * The netstrings that these bytes complete.
   * @throws NetstringFault at the first octet that cannot be part of one
   */
  *push(bytes: Buffer): Generator<Buffer, void> {
    let at = 0;
    while (at < bytes.length) {
      if (!this.#inBody) {
        this.#readLength(bytes[at] ?? 0);
        at++;
        continue;
      }
      const piece = bytes.subarray(at, at + this.#missing);
      this.#pieces.push(piece);
      this.#missing -= piece.length;
      at += piece.length;
      if (this.#missing === 0) yield this.#complete();
    }
  }

  #readLength(octet: number): void {
    const length = this.#length;
    if (octet === COLON && length !== undefined) {
      this.#inBody = true;
      this.#missing = length + 1;
      return;
    }
    const digit = octet - ZERO;
    // A length has no leading zero.
    if (digit < 0 || digit > 9 || length === 0) throw new NetstringFault('this is no netstring');
    this.#length = (length ?? 0) * 10 + digit;
    if (this.#length > MAX_NETSTRING)
      throw new NetstringFault(`a netstring of more than ${MAX_NETSTRING} octets`);
  }

  #complete(): Buffer {
    const whole = Buffer.concat(this.#pieces);
    if (whole.at(-1) !== COMMA) throw new NetstringFault('a netstring that does not end with a comma');
    this.#length = undefined;
    this.#inBody = false;
    this.#pieces = [];
    return whole.subarray(0, -1);
  }
}

/** A netstring of these octets. */
export function netstring(bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length}:`), bytes, Buffer.from(',')]);
}
