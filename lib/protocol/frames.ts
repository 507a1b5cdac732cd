/**
 * Frames of the milter protocol: a 32-bit big-endian length, one command byte and the payload; the length counts the last
 * two. Text in a payload ends in NUL. The same for both sides.
 */
import { MilterError } from '../errors.ts';
import { decodeText } from '../text.ts';
import { SMFIP, type VerdictStage as Stage } from './stages.ts';

/** MILTER_CHUNK_SIZE: the most payload that libmilter takes in one frame, and sends in one. */
export const CHUNK_SIZE = 65_535;

/** How a stage travels: its command byte, and the SMFIP_ flags that switch off the stage or its reply. */
interface StageWire {
  readonly command: string;
  readonly off: number;
  readonly noReply: number;
  /** The protocol version in which the stage appeared. */
  readonly since: number;
}

export const STAGES: Readonly<Record<Stage, StageWire>> = {
  connect: { command: 'C', off: SMFIP.NOCONNECT, noReply: SMFIP.NR_CONN, since: 2 },
  helo: { command: 'H', off: SMFIP.NOHELO, noReply: SMFIP.NR_HELO, since: 2 },
  envfrom: { command: 'M', off: SMFIP.NOMAIL, noReply: SMFIP.NR_MAIL, since: 2 },
  envrcpt: { command: 'R', off: SMFIP.NORCPT, noReply: SMFIP.NR_RCPT, since: 2 },
  data: { command: 'T', off: SMFIP.NODATA, noReply: SMFIP.NR_DATA, since: 4 },
  unknown: { command: 'U', off: SMFIP.NOUNKNOWN, noReply: SMFIP.NR_UNKN, since: 3 },
  header: { command: 'L', off: SMFIP.NOHDRS, noReply: SMFIP.NR_HDR, since: 2 },
  eoh: { command: 'N', off: SMFIP.NOEOH, noReply: SMFIP.NR_EOH, since: 2 },
  body: { command: 'B', off: SMFIP.NOBODY, noReply: SMFIP.NR_BODY, since: 2 },
  eom: { command: 'E', off: 0, noReply: 0, since: 2 },
};

/** One frame, taken apart. */
export interface Frame {
  /** The command byte as a character. */
  readonly command: string;
  readonly payload: Buffer;
}

export function encodeFrame(command: string, ...payload: readonly Uint8Array[]): Buffer {
  let length = 1;
  for (const piece of payload) length += piece.length;
  const frame = Buffer.allocUnsafe(4 + length);
  frame.writeUInt32BE(length);
  frame.write(command, 4, 'latin1');
  let at = 5;
  for (const piece of payload) {
    frame.set(piece, at);
    at += piece.length;
  }
  return frame;
}

const NOTHING = Buffer.alloc(0);
const LENGTH_BYTES = 4;
/** What is set aside at once for a frame that has not all come: its length is only a stranger's word. */
const FIRST_ROOM = 65_536;

/**
 * Finds the frames in a stream of bytes. A frame that lies whole in one piece of the stream is not copied; one that does
 * not is put together once, in a buffer that grows no faster than its bytes come.
 */
export class FrameReader {
  readonly #limit: number;
  readonly #sender: string;
  #bytes: Buffer = NOTHING;
  #at = 0;
  #queue: Buffer[] = [];
  #queued = 0;
  /** The beginning of a frame, its length first. */
  #partial: Buffer | undefined;
  #filled = 0;
  /** How long that frame is, its length included; just that until it is known. */
  #wanted = LENGTH_BYTES;

  /** The command byte of the frame that {@link advance} found. */
  command = 0;
  /** In which its payload is, from {@link start} to {@link end}. */
  bytes: Buffer = NOTHING;
  start = 0;
  end = 0;

  /**
   * @param limit the most bytes that a payload may have
   * @param sender who sends the stream, for errors
   */
  constructor(limit: number, sender: string) {
    this.#limit = limit;
    this.#sender = sender;
  }

  push(bytes: Buffer): void {
    if (this.#at >= this.#bytes.length) {
      this.#bytes = bytes;
      this.#at = 0;
    } else {
      this.#queue.push(bytes);
      this.#queued += bytes.length;
    }
  }

  /** How many bytes wait to be looked at. */
  get unread(): number {
    return this.#bytes.length - this.#at + this.#queued;
  }

  /** Whether some of a frame has come, but not all of it. */
  get isWithinFrame(): boolean {
    return this.#partial !== undefined;
  }

  /**
   * Goes on to the next frame. False until more bytes have come.
   * @throws MilterError ERR_MILTER_PROTOCOL when the length is none
   */
  advance(): boolean {
    const left = this.#bytes.length - this.#at;
    if (this.#partial === undefined && left >= LENGTH_BYTES) {
      const bytes = this.#bytes;
      const length = this.#checked(bytes.readUInt32BE(this.#at));
      if (left >= LENGTH_BYTES + length) {
        const from = this.#at + LENGTH_BYTES;
        this.#at = from + length;
        this.#found(bytes, from, this.#at);
        if (this.#at === bytes.length) this.#next();
        return true;
      }
    }
    return this.#assemble();
  }

  /** The next whole frame, as {@link advance} finds it. */
  next(): Frame | undefined {
    if (!this.advance()) return undefined;
    return {
      command: String.fromCharCode(this.command),
      payload: this.bytes.subarray(this.start, this.end),
    };
  }

  /** Copies what there is of a frame that is in several pieces. */
  #assemble(): boolean {
    while (this.#at < this.#bytes.length) {
      let partial = this.#partial ?? Buffer.allocUnsafe(LENGTH_BYTES);
      if (this.#filled === partial.length) {
        const begun = partial;
        partial = Buffer.allocUnsafe(Math.min(this.#wanted, Math.max(FIRST_ROOM, 2 * this.#filled)));
        begun.copy(partial);
      }
      this.#partial = partial;
      const copied = this.#bytes.copy(partial, this.#filled, this.#at);
      this.#filled += copied;
      this.#at += copied;
      if (this.#at === this.#bytes.length) this.#next();
      if (this.#filled === LENGTH_BYTES && this.#wanted === LENGTH_BYTES) {
        this.#wanted += this.#checked(partial.readUInt32BE(0));
      } else if (this.#filled === this.#wanted) {
        this.#partial = undefined;
        this.#filled = 0;
        this.#wanted = LENGTH_BYTES;
        this.#found(partial, LENGTH_BYTES, partial.length);
        return true;
      }
    }
    return false;
  }

  #found(bytes: Buffer, from: number, end: number): void {
    this.command = bytes[from] ?? 0;
    this.bytes = bytes;
    this.start = from + 1;
    this.end = end;
  }

  #next(): void {
    this.#bytes = this.#queue.shift() ?? NOTHING;
    this.#queued -= this.#bytes.length;
    this.#at = 0;
  }

  #checked(length: number): number {
    if (length >= 1 && length <= this.#limit + 1) return length;
    throw new MilterError(
      'ERR_MILTER_PROTOCOL',
      `${this.#sender} sent a frame of ${length} bytes, where 1 to ${this.#limit + 1} are possible`,
    );
  }
}

/** The index of the NUL that ends the text at `start`, or `end` where there is none. */
export function textEnd(bytes: Buffer, start: number, end: number): number {
  const nul = bytes.indexOf(0, start);
  return nul < 0 || nul > end ? end : nul;
}

/** The NUL-ended texts of `bytes[start..end)`, decoded; the last one may lack its NUL. */
export function decodeTexts(bytes: Buffer, start: number, end: number): string[] {
  const texts: string[] = [];
  for (let from = start; from < end; ) {
    const to = textEnd(bytes, from, end);
    texts.push(decodeText(bytes, from, to));
    from = to + 1;
  }
  return texts;
}

/** The NUL-ended texts from `start` on; the last one may lack its NUL. */
export function splitTexts(bytes: Buffer, start: number): Buffer[] {
  const texts: Buffer[] = [];
  for (let from = start; from < bytes.length; ) {
    const to = textEnd(bytes, from, bytes.length);
    texts.push(bytes.subarray(from, to));
    from = to + 1;
  }
  return texts;
}
