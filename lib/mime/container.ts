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

interface Pieces<P> {
  readonly preamble: Buffer;
  readonly slots: Slot<P>[];
  /** From the close delimiter on, epilogue included. */
  readonly tail: Buffer;
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
  #parts: readonly P[];
  #pieces: Pieces<P> | undefined;
  /** Cuts the bytes of the body into pieces, once something is edited. */
  readonly #cut: () => Pieces<P>;

  private constructor(
    boundary: string | undefined,
    encoded: boolean,
    parts: readonly P[],
    cut: () => Pieces<P>,
  ) {
    this.boundary = boundary;
    this.encoded = encoded;
    this.#parts = parts;
    this.#cut = cut;
  }

  /** Takes the body of a scanned multipart or message apart. */
  static fromLayout<P extends Writable>(
    layout: Layout,
    encoded: boolean,
    makePart: (child: Layout) => P,
  ): Container<P> {
    const parts = layout.children.map(makePart);
    return new Container(layout.boundary, encoded, parts, () => cutLayout(layout, parts));
  }

  /** A body that is the one message `part`. */
  static ofMessage<P extends Writable>(part: P, encoded: boolean): Container<P> {
    const slots = [{ delimiter: NOTHING, part, isNew: false }];
    return new Container(undefined, encoded, [part], () => ({ preamble: NOTHING, slots, tail: NOTHING }));
  }

  /** A body of `preamble` and these parts, to be delimited by a new boundary. */
  static of<P extends Writable>(
    parts: readonly P[],
    boundary: string,
    lineEnd: string,
    preamble: Buffer,
  ): Container<P> {
    const container = new Container<P>(boundary, false, [], () => ({ preamble, slots: [], tail: NOTHING }));
    for (const part of parts) container.insert(part, container.parts.length, lineEnd);
    return container;
  }

  /** What it holds, in order. The same array until a part comes or goes. */
  get parts(): readonly P[] {
    return this.#parts;
  }

  /** Takes a part out, the delimiter in front of it too. */
  remove(part: P): void {
    const { slots } = this.#open();
    const at = slots.findIndex((slot) => slot.part === part);
    if (at >= 0) slots.splice(at, 1);
    this.#parts = slots.map((slot) => slot.part);
  }

  insert(part: P, index: number, lineEnd: string): void {
    const delimiter = Buffer.from(`--${this.boundary}${lineEnd}`, 'latin1');
    const { slots } = this.#open();
    slots.splice(index, 0, { delimiter, part, isNew: true });
    this.#parts = slots.map((slot) => slot.part);
  }

  /** Appends all to `out`, with a line break wherever an edit left a delimiter behind an open line. Answers as parts do. */
  write(out: Buffer[], lineEnd: string): boolean {
    const { preamble, slots, tail } = this.#open();
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
    out.push(preamble);
    for (const { delimiter, part } of slots) {
      delimit(delimiter);
      if (delimiter.length > 0) endLine(out, lineBreak);
      isOpen = part.write(out);
    }
    // Nobody closed it; behind a new part somebody should.
    const isUnclosed = tail.length === 0 && slots.at(-1)?.isNew === true;
    delimit(isUnclosed ? Buffer.from(`--${this.boundary}--`, 'latin1') : tail);
    return isOpen || (slots.length === 0 && preamble.length > 0);
  }

  #open(): Pieces<P> {
    this.#pieces ??= this.#cut();
    return this.#pieces;
  }
}

function cutLayout<P>(layout: Layout, parts: readonly P[]): Pieces<P> {
  const { source, delimiters, children, bodyStart, end } = layout;
  const slots = parts.map((part, i) => {
    const start = children[i]?.start ?? end;
    return { delimiter: source.subarray(delimiters[i] ?? start, start), part, isNew: false };
  });
  const tailStart = layout.close < 0 ? end : layout.close;
  const firstEnd = delimiters[0] ?? children[0]?.start ?? tailStart;
  const tail = layout.boundary === undefined && children.length > 0 ? end : tailStart;
  return { preamble: source.subarray(bodyStart, firstEnd), slots, tail: source.subarray(tail, end) };
}

/** Ends the line that `out` ends in, if it is not ended. */
export function endLine(out: Buffer[], lineBreak: Buffer): void {
  const last = out.findLast((piece) => piece.length > 0)?.at(-1);
  if (last !== undefined && last !== LF) out.push(last === CR ? LINE_FEED : lineBreak);
}
