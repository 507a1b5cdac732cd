/**
 * The body of one part: as it was received, taken apart in every way in which it can be read, or as the content that was put
 * in its place.
 */
import { isAscii } from 'node:buffer';
import { makeBoundary } from './boundary.ts';
import { decodeCharset } from './charsets.ts';
import { Container, type PartList, type Writable } from './container.ts';
import { holdsMessage } from './content-fields.ts';
import { type Encoding, encodeBody } from './encodings.ts';
import { endsOpen, type Layout, type ScanContext } from './layout.ts';
import { parseStructured } from './parameters.ts';
import type { PartFields } from './part-fields.ts';
import { findReadings } from './readings.ts';
import { ReceivedBody } from './received-body.ts';
import { layoutOfFile, TextWithFiles } from './text-files.ts';

/** What the parts of one message share. */
export interface Tree {
  readonly context: ScanContext;
  /** How this message ends its lines: CRLF unless its first line ends in a bare LF. */
  readonly lineEnd: '\r\n' | '\n';
}

/** What a body asks of the part that it belongs to. */
interface BodyOwner<P> extends Writable {
  readonly parent: P | undefined;
  readonly contentType: string;
  readonly bodyChanged: boolean;
  readonly isFileInText: boolean;
}

/** How parts come into a tree and go. */
export interface Family<P> {
  /** @param rescans how many bodies around the part had to be read a second time */
  make(parent: P, layout: Layout, rescans: number): P;
  letGo(part: P): void;
}

/** The body taken apart in one of the ways in which it can be read. */
interface Reading<P> {
  readonly list: PartList<P>;
  /** The content type and the encoding that are read so; a type is undefined where no field has to do with it. */
  readonly type: string | undefined;
  readonly encoding: Encoding;
}

const LF = 0x0a;
const NONE: readonly never[] = [];

/** The body of one part. */
export class PartBody<P extends BodyOwner<P>> {
  readonly received: ReceivedBody;
  readonly #family: Family<P>;
  readonly #tree: Tree;
  readonly #layout: Layout;
  readonly #rescans: number;
  #part: P;
  #fields: PartFields<P>;
  /** Every way to read it, the likeliest first; the first edit in one of them leaves that one. */
  #readings: readonly Reading<P>[] | undefined;
  /** A new body in place of the received one. */
  #replaced: { readonly content: Buffer; readonly body: Buffer } | undefined;
  /** What the content is now that parts inside were edited. */
  #edited: Buffer | undefined;
  #others: readonly Buffer[] | undefined;
  #text: { readonly content: Buffer; readonly charset: string; readonly text: string } | undefined;

  constructor(
    part: P,
    fields: PartFields<P>,
    family: Family<P>,
    tree: Tree,
    layout: Layout,
    rescans: number,
  ) {
    const { source, bodyStart, end } = layout;
    this.received = new ReceivedBody(source.subarray(bodyStart, end), layout.fields.encoding);
    this.#part = part;
    this.#fields = fields;
    this.#family = family;
    this.#tree = tree;
    this.#layout = layout;
    this.#rescans = rescans;
  }

  /** Gives this body to `inner`, and answers that of a multipart of this type around it, which its part has then. */
  wrap(
    inner: P,
    fields: PartFields<P>,
    type: string,
  ): { readonly outer: PartBody<P>; readonly boundary: string } {
    // They follow from what the part is now.
    this.open();
    const outer = new PartBody(
      this.#part,
      this.#fields,
      this.#family,
      this.#tree,
      this.#layout,
      this.#rescans,
    );
    const boundary = makeBoundary();
    const list = Container.of([inner], boundary, this.#tree.lineEnd, Buffer.alloc(0));
    outer.#readings = [{ list, type, encoding: 'identity' }];
    this.#part = inner;
    this.#fields = fields;
    return { outer, boundary };
  }

  /** Whether other content was put in its place. */
  get isReplaced(): boolean {
    return this.#replaced !== undefined;
  }

  /** The parts of the first reading; none for a leaf and a text. */
  get children(): readonly P[] {
    const list = this.open()[0]?.list;
    return !list || list instanceof TextWithFiles ? NONE : list.parts;
  }

  /** The files in a text. */
  get files(): readonly P[] {
    const list = this.open()[0]?.list;
    return list instanceof TextWithFiles ? list.parts : NONE;
  }

  /** The parts of all readings. */
  get all(): readonly P[] {
    const readings = this.open();
    if (readings.length < 2) return readings[0]?.list.parts ?? NONE;
    return readings.flatMap(({ list }) => list.parts);
  }

  /** The boundaries in use, the declared one included even where another one was found. */
  get boundaries(): readonly string[] {
    const used = [this.#layout.boundary, this.#readings?.[0]?.list.boundary];
    return used.filter((boundary) => boundary !== undefined);
  }

  /** Whether it is a text that must be decoded to see which files are in it. */
  get mayHoldUnreadFiles(): boolean {
    if (this.#readings !== undefined || this.#part.bodyChanged) return false;
    return this.#part.contentType.startsWith('text/') && this.received.mayHoldFile;
  }

  /** Every way to read it; none for a leaf. */
  open(): readonly Reading<P>[] {
    this.#readings ??= this.#replaced ? this.#findFiles() : this.#takeApart();
    return this.#readings;
  }

  /** Decoded. Every call answers the same object until it is edited. */
  content(): Buffer {
    if (this.#replaced) return this.#replaced.content;
    const [reading] = this.#readings ?? NONE;
    if (!this.#part.bodyChanged || !reading) return this.received.decode();
    if (!this.#edited) {
      const out: Buffer[] = [];
      reading.list.write(out, this.#tree.lineEnd);
      this.#edited = joinPieces(out);
    }
    return this.#edited;
  }

  /** Decoded by the further encodings that the fields declare. */
  otherContents(): readonly Buffer[] {
    const { encodings } = this.#layout.fields;
    if (encodings.length < 2 || this.#part.bodyChanged) return NONE;
    this.#others ??= this.received.decodeOtherwise(encodings.slice(1));
    return this.#others;
  }

  text(charset: string): string {
    const content = this.content();
    if (this.#text?.content !== content || this.#text.charset !== charset)
      this.#text = { content, charset, text: decodeCharset(content, charset) };
    return this.#text.text;
  }

  /** Puts other content in its place; `body` is how that is written. */
  replace(content: Buffer, body: Buffer): void {
    // A base64 body that ended its last line, as the body of a message does, ends it again.
    const isBase64 = this.#fields.content.encoding === 'base64';
    const endsLine = isBase64 && (!this.#part.parent || this.received.bytes.at(-1) === LF);
    if (this.#readings) this.all.forEach(this.#family.letGo);
    this.#readings = undefined;
    const lineBreak = Buffer.from(this.#tree.lineEnd, 'latin1');
    this.#replaced = { content, body: endsLine ? Buffer.concat([body, lineBreak]) : body };
  }

  /** The parts of a multipart, where one more can go. */
  toInsertInto(): Container<P> {
    const [first] = this.open();
    if (first) this.#settleOn(first);
    if (first?.list instanceof Container && first.list.boundary !== undefined) return first.list;
    const boundary = makeBoundary();
    this.#fields.setParameters('Content-Type', { boundary });
    const list = Container.of<P>([], boundary, this.#tree.lineEnd, this.received.bytes);
    this.#readings = [{ list, type: this.#part.contentType, encoding: 'identity' }];
    return list;
  }

  remove(part: P): void {
    this.#settleOnThatOf(part);
    this.open()[0]?.list.remove(part);
    this.#replaced = undefined;
  }

  /** Notes that it was edited, or inside it this part. */
  touch(inside: P | undefined): void {
    this.#edited = undefined;
    if (inside) {
      this.#settleOnThatOf(inside);
      // What was put in its place is written by its pieces from now on.
      this.#replaced = undefined;
    }
    // uuencode is only read.
    const isRecoded = this.#readings?.[0]?.list.encoded === true && !this.#part.isFileInText;
    if (isRecoded && this.#fields.content.encoding === 'uuencode')
      this.#fields.set('Content-Transfer-Encoding', 'base64');
  }

  /** Of several readings leaves the first, and lets the header say so. */
  settle(): void {
    const [first] = this.open();
    if (first) this.#settleOn(first, true);
  }

  /** Leaves of several readings the one that has this part. */
  #settleOnThatOf(part: P): void {
    const reading = this.#readings?.find(({ list }) => list.parts.includes(part));
    if (reading) this.#settleOn(reading, this.#isAmbiguous(reading));
  }

  /** Whether the fields allow for another reading than this one, which what is put into it may open up. */
  #isAmbiguous({ type }: Reading<P>): boolean {
    const { types, encodings } = this.#fields.content;
    return types.length > 1 || encodings.length > 1 || isReadBothWays(type, encodings[0]);
  }

  #settleOn(reading: Reading<P>, always = false): void {
    const readings = this.#readings ?? NONE;
    if (readings.length < 2 && !always) return;
    for (const { list } of readings) if (list !== reading.list) list.parts.forEach(this.#family.letGo);
    this.#readings = [reading];
    const { types, encodings } = this.#fields.content;
    const { type, encoding, list } = reading;
    if (type !== undefined) {
      const declared = types.find(({ value }) => value === type) ?? parseStructured(type);
      this.#fields.set('Content-Type', declared.with({ boundary: list.boundary }));
    }
    const written = encoding === 'uuencode' || isReadBothWays(type, encoding) ? 'base64' : encoding;
    if (encodings.length === 1 && encodings[0] === written) return;
    if (written !== 'identity') this.#fields.set('Content-Transfer-Encoding', written);
    else if (isAscii(this.received.bytes)) this.#fields.headers.remove('Content-Transfer-Encoding');
    else this.#fields.set('Content-Transfer-Encoding', '8bit');
  }

  /** Appends it to `out` as it is written now. Answers as {@link Writable.write} does. */
  write(out: Buffer[]): boolean {
    if (this.#replaced) {
      out.push(this.#replaced.body);
      return this.#replaced.body.length > 0;
    }
    const [reading] = this.#readings ?? NONE;
    if (!this.#part.bodyChanged || !reading) {
      out.push(this.received.bytes);
      return endsOpen(this.#layout);
    }
    if (!reading.list.encoded) return reading.list.write(out, this.#tree.lineEnd);
    const isQuoted = this.#fields.content.encoding === 'quoted-printable';
    const encoding = isQuoted ? 'quoted-printable' : 'base64';
    out.push(encodeBody(this.content(), encoding, this.#tree.lineEnd));
    return true;
  }

  #takeApart(): readonly Reading<P>[] {
    const found = findReadings(this.#layout, this.#tree.context, this.#rescans);
    if (found.length === 0) return this.#findFiles();
    return found.map(({ kind, layout, type, encoding }) => {
      const isScanned = layout === this.#layout || layout.parent === this.#layout;
      const rescans = this.#rescans + (isScanned ? 0 : 1);
      const adopt = (child: Layout) => this.#family.make(this.#part, child, rescans);
      const isEncoded = encoding !== 'identity';
      const list =
        kind === 'message'
          ? Container.ofMessage(adopt(layout), isEncoded)
          : Container.fromLayout(layout, isEncoded, adopt);
      return { list, type, encoding };
    });
  }

  /** The files in the text that it is, if it is one. */
  #findFiles(): readonly Reading<P>[] {
    const { context } = this.#tree;
    const { depth } = this.#layout;
    if (!this.#part.contentType.startsWith('text/') || this.#part.isFileInText) return NONE;
    if (depth >= context.limits.depth || this.#rescans >= context.limits.rescans) return NONE;
    if (!this.#replaced && !this.received.mayHoldFile) return NONE;
    const encoding = this.#replaced ? this.#fields.content.encoding : this.received.encoding;
    const text = this.content();
    const list = TextWithFiles.find<P>(text, encoding !== 'identity', (file) => {
      if (context.parts >= context.limits.parts) return undefined;
      context.parts++;
      return this.#family.make(this.#part, layoutOfFile(text, file, depth + 1), this.#rescans + 1);
    });
    return list ? [{ list, type: undefined, encoding }] : NONE;
  }
}

/** Whether it looks like a message decoded and as it stands: only what is base64 has one reading. */
function isReadBothWays(type: string | undefined, encoding: Encoding | undefined): boolean {
  return encoding === 'quoted-printable' && type !== undefined && holdsMessage(type);
}

/** The pieces as one; a single one uncopied. */
export function joinPieces(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
}
