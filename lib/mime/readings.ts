/**
 * The ways in which a body can be read. Nearly every body has one: parts that the scan of the message found, or none. But a
 * transfer encoding may be false or forbidden, fields may contradict each other, the declared boundary may not occur, and a file
 * called `.eml` is a message to whoever opens it: a mail reader that reads it that way shows what is there, so it must be found.
 */
import { fieldColon } from '../headers.ts';
import { guessBoundary, holdsDelimiter } from './boundary.ts';
import { holdsMessage, holdsParts } from './content-fields.ts';
import { decodeBody, type Encoding } from './encodings.ts';
import { type Layout, type ScanContext, Scanner } from './layout.ts';
import { extensionsOf } from './names.ts';

/** One way to read a body. */
export interface BodyReading {
  /** The message inside, or what has the parts of a multipart. */
  readonly kind: 'message' | 'multipart';
  readonly layout: Layout;
  /** The content type that is read so; undefined where the name alone makes a message of it. */
  readonly type: string | undefined;
  /** What is undone before. */
  readonly encoding: Encoding;
}

const NONE: readonly BodyReading[] = [];

/** Extensions of files that mail readers open as messages. */
const MESSAGE_EXTENSIONS = new Set(['eml', 'emlx', 'mht', 'mhtml', 'mbs', 'nws']);

/** Whether a file of one of these names is opened as a message. */
export function isNamedMessage(names: readonly string[]): boolean {
  return names.some((name) => extensionsOf(name).some((extension) => MESSAGE_EXTENSIONS.has(extension)));
}

/** Whether bytes start with a header field, or with the line of an mbox. */
function looksLikeMessage(bytes: Buffer): boolean {
  return fieldColon(bytes, 0, bytes.length) > 0 || bytes.toString('latin1', 0, 5) === 'From ';
}

/**
 * Every way in which a mail reader may find parts in this body, the likeliest first; empty for a leaf.
 * @param rescans How many bodies around this one were looked at again: each level may cost as much as the message is long.
 */
export function findReadings(outer: Layout, context: ScanContext, rescans: number): readonly BodyReading[] {
  const { fields, type, children } = outer;
  if (fields.types.length < 2) {
    // Nearly every leaf, and nearly every multipart.
    if (!holdsParts(type) && !isNamedMessage(fields.names)) return NONE;
    const isPlain = fields.encodings.length === 1 && fields.encoding === 'identity';
    if (isPlain && children.length > 0 && type.startsWith('multipart/') && fields.boundaries.length < 2)
      return [{ kind: 'multipart', layout: outer, type, encoding: 'identity' }];
  }
  const finder = new ReadingFinder(outer, context, rescans);
  finder.find();
  return finder.found;
}

class ReadingFinder {
  readonly found: BodyReading[] = [];
  readonly #outer: Layout;
  readonly #context: ScanContext;
  readonly #rescans: number;
  readonly #bodies = new Map<Encoding, Buffer>();
  /** No more can be read again. */
  #isSpent: boolean = false;

  constructor(outer: Layout, context: ScanContext, rescans: number) {
    this.#outer = outer;
    this.#context = context;
    this.#rescans = rescans;
  }

  find(): void {
    const outer = this.#outer;
    const { type, fields, boundary, children } = outer;
    const isScanned = children.length > 0 || outer.close >= 0;
    if (isScanned) {
      const [message] = children;
      if (!holdsMessage(type))
        this.found.push({ kind: 'multipart', layout: outer, type, encoding: 'identity' });
      else if (message) this.found.push({ kind: 'message', layout: message, type, encoding: 'identity' });
    }
    if (outer.depth >= this.#context.limits.depth) return;
    const types = new Set([type, ...fields.types.map(({ value }) => value)]);
    const encodings = this.#encodings();
    for (const candidate of types) {
      for (const encoding of encodings) {
        const isDone = isScanned && candidate === type && encoding === 'identity';
        if (holdsMessage(candidate) && !isDone) this.#tryMessage(candidate, encoding, true);
        if (!candidate.startsWith('multipart/')) continue;
        // Much software labels whole messages so; who finds delimiters does not decode.
        if (encoding === 'quoted-printable' && this.found.length > 0) continue;
        for (const declared of fields.boundariesOf(candidate))
          if (!isDone || declared !== boundary) this.#tryMultipart(candidate, encoding, declared);
      }
    }
    if (this.found.length > 0) return;
    // Nothing that is declared: what looks like it.
    if (type.startsWith('multipart/')) {
      for (const encoding of encodings) {
        const body = this.#body(encoding);
        const guess = body && guessBoundary(body);
        if (guess !== undefined) this.#tryMultipart(type, encoding, guess);
        if (this.found.length > 0) return;
      }
    } else if (holdsMessage(type)) {
      const encoding = [...encodings].find((one) => one !== 'identity');
      if (encoding !== undefined) this.#tryMessage(type, encoding, false);
    } else if (isNamedMessage(fields.names)) {
      for (const encoding of encodings) this.#tryMessage(undefined, encoding, true);
    }
  }

  /** Whatever the label says, a body may be as it stands: encoding it is forbidden (RFC 2045 section 6.4) where it has parts. */
  #encodings(): ReadonlySet<Encoding> {
    const { encodings } = this.#outer.fields;
    // Text that is quoted-printable reads like a message before it is decoded, too.
    const isQuoted = holdsMessage(this.#outer.type) && encodings[0] === 'quoted-printable';
    const all: readonly Encoding[] = isQuoted ? [...encodings, 'identity'] : ['identity', ...encodings];
    if (encodings.length === 1 && isQuoted) {
      const [plain, decoded] = [this.#body('identity'), this.#body('quoted-printable')];
      if (plain && decoded?.equals(plain)) return new Set(['identity']);
    }
    return new Set(all);
  }

  #tryMessage(type: string | undefined, encoding: Encoding, mustLookLikeOne: boolean): void {
    const body = this.#body(encoding);
    if (!body || (mustLookLikeOne && !looksLikeMessage(body))) return;
    const scanner = new Scanner(body, this.#context, { depth: this.#outer.depth + 1 });
    scanner.run();
    this.found.push({ kind: 'message', layout: scanner.root, type, encoding });
  }

  #tryMultipart(type: string, encoding: Encoding, boundary: string): void {
    const body = this.#body(encoding);
    if (!body || !holdsDelimiter(body, [boundary]) || !this.#charge(body.length)) return;
    const scanner = new Scanner(body, this.#context, {
      depth: this.#outer.depth,
      multipart: { type, boundary },
    });
    scanner.run();
    if (scanner.root.children.length > 0)
      this.found.push({ kind: 'multipart', layout: scanner.root, type, encoding });
  }

  /** The body with this encoding undone; undefined where it must not be read again. */
  #body(encoding: Encoding): Buffer | undefined {
    const known = this.#bodies.get(encoding);
    const { source, bodyStart, end } = this.#outer;
    if (!this.#charge(end - bodyStart)) return undefined;
    if (known) return known;
    const body = decodeBody(source.subarray(bodyStart, end), encoding);
    this.#bodies.set(encoding, body);
    return body;
  }

  /** Whether as many bytes may be read once more. */
  #charge(bytes: number): boolean {
    const { limits, problems } = this.#context;
    if (this.#isSpent) return false;
    this.#context.rescannable -= bytes;
    if (this.#rescans < limits.rescans && this.#context.rescannable >= 0) return true;
    this.#isSpent = true;
    problems.push({ kind: 'limit', limit: 'rescans', value: limits.rescans, offset: this.#outer.start });
    return false;
  }
}
