/**
 * A whole message: parsing it, whole or in pieces, and what its edits come to.
 */
import { wrongArgument } from '../errors.ts';
import type { Header, HeaderChange } from '../headers.ts';
import { checkOptions, checkValue, iterable, type Kind, type Kinds, object } from '../options.ts';
import { encodeText } from '../text.ts';
import { bytes } from './kinds.ts';
import { nextLine, type ScanContext, Scanner } from './layout.ts';
import { defaultParseLimits, type ParseLimits, type ParseProblem, withLimits } from './limits.ts';
import { Part } from './part.ts';
import { Slice } from './slice.ts';

/** Options of {@link parseMessage} and its relatives. */
export interface ParseOptions {
  /** Bounds on the structure followed. @default {@link defaultParseLimits} */
  readonly limits?: Partial<ParseLimits>;
}

/** The smallest set of changes that makes the message received into the edited one. */
export interface MessageChanges {
  /** Changed and deleted fields in the order received, then added ones. */
  readonly headers: readonly HeaderChange[];
  /** The whole new body, if anything below the header changed. */
  readonly body: Buffer | undefined;
}

/** A message as a tree of parts over its bytes. */
export class MimeMessage {
  /** The message itself: its header section is the message's. */
  readonly root: Part;
  readonly #problems: readonly ParseProblem[];
  /** The edits of the body that {@link rebase} found made. */
  #settledEdits = 0;

  /** For the parser: users get one from {@link parseMessage}. */
  constructor(root: Part, problems: readonly ParseProblem[]) {
    this.root = root;
    this.#problems = problems;
  }

  /**
   * Limits that the message reached, and fields in it that contradict each other; grows while encoded parts inside it are
   * opened. Empty for nearly every mail.
   */
  get problems(): readonly ParseProblem[] {
    return this.#problems;
  }

  /** Whether anything was edited; in a composed filter, by this member. */
  get changed(): boolean {
    return this.root.headers.edited || this.#bodyEdited;
  }

  get #bodyEdited(): boolean {
    return this.root.bodyEdits > this.#settledEdits;
  }

  /** Gives the message these header fields; {@link changed} and {@link changes} count from here on. @internal */
  rebase(headers: Iterable<Header>): void {
    this.root.headers.rebase(headerSection(headers));
    this.#settledEdits = this.root.bodyEdits;
  }

  /** Every part, each before its children. */
  parts(): Generator<Part> {
    return this.root.walk();
  }

  /** Whether a part is in this message now: not if it, or what it stood in, was taken out or is read in another way. */
  has(part: Part): boolean {
    let top = part;
    while (top.parent !== undefined) top = top.parent;
    return top === this.root;
  }

  /** The message as it is now. Unchanged, these are the very bytes that were parsed: do not write to them. */
  toBytes(): Buffer {
    return this.root.toBytes();
  }

  /** The same bytes in pieces, untouched ranges uncopied, for `Readable.from` and the like. */
  pieces(): readonly Buffer[] {
    const out: Buffer[] = [];
    this.root.write(out);
    return out;
  }

  /** What a filter has to do to the message received; in a composed filter, to what the members before made of it. */
  changes(): MessageChanges {
    return {
      headers: this.root.headers.changes(),
      body: this.#bodyEdited ? this.root.bodyBytes() : undefined,
    };
  }
}

/**
 * Parses a message. Takes a view of the bytes, not a copy: do not write to them afterwards. Never throws on any content;
 * time is linear in its length.
 * @throws TypeError for what are no bytes, an unknown option or an impossible limit
 */
export function parseMessage(bytes: Uint8Array, options: ParseOptions = {}): MimeMessage {
  const scan = startScan(bytes, options);
  scan.scanner.run();
  return finish(scan);
}

/**
 * Parses a message that comes in chunks, to the same tree in any chunking. Lets the event loop turn at least every few
 * milliseconds, however odd the message. Rejects if the source does, and
 * with a TypeError where a chunk is no bytes, as those of a stream with an encoding are.
 */
export async function parseMessageStream(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  options: ParseOptions = {},
): Promise<MimeMessage> {
  checkValue('parseMessageStream: the source', source, aSource, wrongArgument);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of source) {
    checkValue('parseMessageStream: a chunk', chunk, bytes, wrongArgument);
    chunks.push(chunk);
    length += chunk.length;
  }
  const slice = new Slice();
  const whole = Buffer.allocUnsafe(length);
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.length;
    if (slice.isOver) await slice.next();
  }
  return await finishScan(startScan(whole, options), slice);
}

/**
 * Parses a message whose header fields and body came apart, as a filter gets them. Fields stay the fields they are, so
 * that {@link MimeMessage.changes} counts them as the sender of the fields does. Line ends become CRLF. Lets the event loop
 * turn as {@link parseMessageStream} does.
 */
export async function parseHeadersAndBody(
  headers: Iterable<Header>,
  body: Uint8Array,
  options: ParseOptions = {},
): Promise<MimeMessage> {
  checkValue('parseHeadersAndBody: the list of headers', headers, fields, wrongArgument);
  checkValue('parseHeadersAndBody: the body', body, bytes, wrongArgument);
  const slice = new Slice();
  const section = headerSection(headers);
  const scan = startScan(Buffer.concat([section, Buffer.from('\r\n'), body]), options, section.length);
  return await finishScan(scan, slice);
}

/** Fields as they are written, with CRLF. */
function headerSection(headers: Iterable<Header>): Buffer {
  const fields = [...headers].flatMap(({ name, raw }) => [
    encodeText(`${name}:`),
    raw.includes(0x0a) ? Buffer.from(raw.toString('latin1').replace(/\r?\n/g, '\r\n'), 'latin1') : raw,
    Buffer.from('\r\n'),
  ]);
  return Buffer.concat(fields);
}

interface Scan {
  readonly scanner: Scanner;
  readonly context: ScanContext;
}

const KINDS: Kinds<ParseOptions> = { limits: object() };

const fields = iterable<Header>();

const aSource: Kind<AsyncIterable<Uint8Array> | Iterable<Uint8Array>> = {
  must: 'be a stream or list of Buffers',
  accepts: (value): value is Iterable<Uint8Array> =>
    typeof value === 'object' &&
    value !== null &&
    (Symbol.asyncIterator in value || Symbol.iterator in value),
};

function startScan(message: Uint8Array, options: ParseOptions, headerEnd?: number): Scan {
  checkValue('a message', message, bytes, wrongArgument);
  checkOptions('parse option', options, KINDS, wrongArgument);
  const limits = withLimits(defaultParseLimits, options.limits);
  const context: ScanContext = {
    limits,
    problems: [],
    parts: 0,
    rescannable: limits.rescans * 4 * message.length + 65_536,
  };
  const view = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  return {
    scanner: new Scanner(view, context, headerEnd === undefined ? { depth: 0 } : { depth: 0, headerEnd }),
    context,
  };
}

async function finishScan(scan: Scan, slice: Slice): Promise<MimeMessage> {
  while (!scan.scanner.run(1000)) if (slice.isOver) await slice.next();
  return finish(scan);
}

function finish({ scanner, context }: Scan): MimeMessage {
  const { source } = scanner.root;
  const second = nextLine(source, 0);
  const lineEnd = source[second - 1] === 0x0a && source[second - 2] !== 0x0d ? '\n' : '\r\n';
  return new MimeMessage(new Part({ context, lineEnd }, scanner.root, undefined), context.problems);
}
