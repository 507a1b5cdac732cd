/**
 * The body of a multipart or of a message inside a message, taken apart so that parts can come and go while every byte
 * between them stays.
 */
import type { Layout } from './layout.ts';

const LF = 0x0a;
const CR = 0x0d;
const LINE_FEED = Buffer.from('\n');
const NOTHING = Buffer.alloc(0);

/** What a container holds. */
export interface Writable {
  /**
   * Appends itself to `out`. Answers whether its last line is still open, so that a delimiter behind it needs a line break of
   * its own; without that, only where a header section without a body comes last.
   */
  write(out: Buffer[]): boolean;
}

/** A child and the delimiter line in front of it, empty inside message/rfc822. */
interface Slot<P> {
  readonly delimiter: Buffer;
  readonly part: P;
  readonly isNew: boolean;
}

/** What a body is once it is taken apart. */
export interface PartList<P> {
  /** What parts are delimited by; undefined inside message/rfc822 and for a multipart that never had one. */
  readonly boundary: string | undefined;
  /** Whether all this lies in the decoded body of its part. */
  readonly encoded: boolean;
  /** What it holds, in order. The same array until a part comes or goes. */
  readonly parts: readonly P[];
  remove(part: P): void;
  /** Appends all to `out`. Answers as {@link Writable.write} does. */
  write(out: Buffer[], lineEnd: string): boolean;
}

/** Preamble, (delimiter, part)*, tail. */
export class Container<P extends Writable> implements PartList<P> {
  /** What parts are delimited by; undefined inside message/rfc822 and for a multipart that never had one. */
  readonly boundary: string | undefined;
  /** Whether all this lies in the decoded body of its part. */
  readonly encoded: boolean;
  readonly #preamble: Buffer;
  readonly #slots: Slot<P>[];
  #parts: readonly P[] | undefined;
  /** From the close delimiter on, epilogue included. */
  readonly #tail: Buffer;

  private constructor(
    boundary: string | undefined,
    encoded: boolean,
    preamble: Buffer,
    slots: Slot<P>[],
    tail: Buffer,
  ) {
    this.boundary = boundary;
    this.encoded = encoded;
    this.#preamble = preamble;
    this.#slots = slots;
    this.#tail = tail;
  }

  /** Takes the body of a scanned multipart or message apart. */
  static fromLayout<P extends Writable>(
    layout: Layout,
    encoded: boolean,
    makePart: (child: Layout) => P,
  ): Container<P> {
    const { source, delimiters, children, bodyStart, end } = layout;
    const tailStart = layout.close < 0 ? end : layout.close;
    const slots = children.map((child, i) => ({
      delimiter: source.subarray(delimiters[i] ?? child.start, child.start),
      part: makePart(child),
      isNew: false,
    }));
    const firstEnd = delimiters[0] ?? children[0]?.start ?? tailStart;
    const tail = layout.boundary === undefined && children.length > 0 ? end : tailStart;
    return new Container(
      layout.boundary,
      encoded,
      source.subarray(bodyStart, firstEnd),
      slots,
      source.subarray(tail, end),
    );
  }

  /** A body that has no parts. */
  static empty<P extends Writable>(): Container<P> {
    return new Container<P>(undefined, false, NOTHING, [], NOTHING);
  }

  /** A body that is the one message `part`. */
  static ofMessage<P extends Writable>(part: P, encoded: boolean): Container<P> {
    return new Container(undefined, encoded, NOTHING, [{ delimiter: NOTHING, part, isNew: false }], NOTHING);
  }

  /** A body of `preamble` and these parts, to be delimited by a new boundary. */
  static of<P extends Writable>(
    parts: readonly P[],
    boundary: string,
    lineEnd: string,
    preamble: Buffer,
  ): Container<P> {
    const container = new Container<P>(boundary, false, preamble, [], NOTHING);
    for (const part of parts) container.insert(part, container.parts.length, lineEnd);
    return container;
  }

  /** What it holds, in order. The same array until a part comes or goes. */
  get parts(): readonly P[] {
    this.#parts ??= this.#slots.map((slot) => slot.part);
    return this.#parts;
  }

  /** Takes a part out, the delimiter in front of it too. */
  remove(part: P): void {
    const at = this.#slots.findIndex((slot) => slot.part === part);
    if (at >= 0) this.#slots.splice(at, 1);
    this.#parts = undefined;
  }

  insert(part: P, index: number, lineEnd: string): void {
    const delimiter = Buffer.from(`--${this.boundary}${lineEnd}`, 'latin1');
    this.#slots.splice(index, 0, { delimiter, part, isNew: true });
    this.#parts = undefined;
  }

  /** Appends all to `out`, with a line break wherever an edit left a delimiter behind an open line. Answers as parts do. */
  write(out: Buffer[], lineEnd: string): boolean {
    const lineBreak = Buffer.from(lineEnd, 'latin1');
    let isOpen = false;
    const delimit = (delimiter: Buffer) => {
      if (delimiter.length === 0) return;
      // A delimiter brings its own line break, unless it stood behind a line that was no body.
      if (delimiter[0] === LF || delimiter[0] === CR) out.push(delimiter);
      else if (isOpen) out.push(lineBreak, delimiter);
      else {
        endLine(out, lineBreak);
        out.push(delimiter);
      }
      isOpen = true;
    };
    out.push(this.#preamble);
    for (const { delimiter, part } of this.#slots) {
      delimit(delimiter);
      if (delimiter.length > 0) endLine(out, lineBreak);
      isOpen = part.write(out);
    }
    // Nobody closed it; behind a new part somebody should.
    const isUnclosed = this.#tail.length === 0 && this.#slots.at(-1)?.isNew === true;
    delimit(isUnclosed ? Buffer.from(`--${this.boundary}--`, 'latin1') : this.#tail);
    return isOpen || (this.#slots.length === 0 && this.#preamble.length > 0);
  }
}

/** Ends the line that `out` ends in, if it is not ended. */
export function endLine(out: Buffer[], lineBreak: Buffer): void {
  const last = out.findLast((piece) => piece.length > 0)?.at(-1);
  if (last !== undefined && last !== LF) out.push(last === CR ? LINE_FEED : lineBreak);
}
