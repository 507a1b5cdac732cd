/**
 * One part of a message: a view of its ranges, and the edits made to it. What nobody changed is written by copying its
 * range.
 */
import { isAscii } from 'node:buffer';
import { wrongArgument } from '../errors.ts';
import { decodeText } from '../text.ts';
import { holdsDelimiter, makeBoundary } from './boundary.ts';
import { decodeCharset, encodeCharset } from './charsets.ts';
import { Container, endLine } from './container.ts';
import { type ContentFields, readContentFields } from './content-fields.ts';
import {
  decodeBody,
  decodeSteps,
  type Encoding,
  encodeBody,
  encodeSteps,
  fitsIdentity,
  type WritableEncoding,
} from './encodings.ts';
import { PartHeaders } from './header-section.ts';
import { findHidden } from './hidden.ts';
import type { Layout, ScanContext } from './layout.ts';
import { type Parameter, parseStructured } from './parameters.ts';
import { finishInTurns } from './slice.ts';

/** What the parts of one message share. */
export interface Tree {
  readonly context: ScanContext;
  /** How this message ends its lines: CRLF unless its first line ends in a bare LF. */
  readonly lineEnd: '\r\n' | '\n';
}

const LF = 0x0a;

/** One part of a message, or the message itself. Parsing makes them; so does `createPart`. */
export class Part {
  readonly #tree: Tree;
  readonly #layout: Layout;
  /** How many bodies around this one had to be read a second time. */
  readonly #rescans: number;
  #parent: Part | undefined;
  #headers: PartHeaders | undefined;
  #changedFields: ContentFields | undefined;
  #container: Container<Part> | undefined;
  /** A new body in place of the received one. */
  #replaced: { readonly content: Buffer; readonly body: Buffer } | undefined;
  #bodyEdits = 0;

  /** For the parser: users get parts from `parseMessage` and `createPart`. */
  constructor(tree: Tree, layout: Layout, parent: Part | undefined, rescans = 0) {
    this.#tree = tree;
    this.#layout = layout;
    this.#parent = parent;
    this.#rescans = rescans;
  }

  /** The part that contains this one; undefined for a root and for a part that was taken out. */
  get parent(): Part | undefined {
    return this.#parent;
  }

  /** Whether the body, parts inside it included, was edited. */
  get bodyChanged(): boolean {
    return this.#bodyEdits > 0;
  }

  /** How often the body, parts inside it included, was edited. @internal */
  get bodyEdits(): number {
    return this.#bodyEdits;
  }

  /** Whether anything of this part was edited. */
  get changed(): boolean {
    return this.bodyChanged || (this.#headers?.changed ?? false);
  }

  /** The header section. */
  get headers(): PartHeaders {
    const { source, start, headerEnd } = this.#layout;
    this.#headers ??= new PartHeaders(source.subarray(start, headerEnd), this.#tree.lineEnd, () => {
      this.#changedFields = undefined;
      if (this.#parent) this.#parent.#touchBody();
    });
    return this.#headers;
  }

  /** Lower-case type/subtype. Without a usable Content-Type text/plain, in a digest message/rfc822 (RFC 2046 section 5.1.5). */
  get contentType(): string {
    const declared = this.#fields().type?.value;
    if (declared) return /^[^/]+\/[^/]+$/.test(declared) ? declared : 'text/plain';
    return this.#parent?.contentType === 'multipart/digest' ? 'message/rfc822' : 'text/plain';
  }

  /** Every content type that the part claims: where there are several fields, a reader may heed another than the first. */
  get contentTypes(): readonly string[] {
    return [
      ...new Set([
        this.contentType,
        ...this.#fields()
          .types.slice(1)
          .map(({ value }) => value),
      ]),
    ];
  }

  /** Parameters of Content-Type, decoded, by lower-case name; of duplicates the one that readers prefer. */
  get contentTypeParameters(): Readonly<Record<string, string>> {
    return toRecord(this.parametersOf('content-type'));
  }

  /** Lower-case disposition, such as `attachment`; undefined without Content-Disposition (RFC 2183). */
  get disposition(): string | undefined {
    return this.#fields().disposition?.value;
  }

  /** Parameters of Content-Disposition, like {@link contentTypeParameters}. */
  get dispositionParameters(): Readonly<Record<string, string>> {
    return toRecord(this.parametersOf('content-disposition'));
  }

  /** Every parameter of one of the two fields, duplicates included, those of further fields of that name too, decoded. */
  parametersOf(field: 'content-type' | 'content-disposition'): readonly Parameter[] {
    return this.#fields().parametersOf(field);
  }

  /**
   * Every name this part goes by, whatever a mail reader might show or save it as: file name parameters in all their
   * forms and duplicates, values of unknown Content-Type parameters that look like file names, Content-Name and
   * X-Sun-Data-Name; one with a NUL in it both whole and as far as the NUL.
   */
  get names(): readonly string[] {
    return this.#fields().names;
  }

  /** How the body is to be written (Content-Transfer-Encoding). */
  get encoding(): Encoding {
    return this.#fields().encoding;
  }

  /** The parts directly inside; empty for a leaf. A message/rfc822 has one: the message. */
  get children(): readonly Part[] {
    return this.#open().parts;
  }

  /** This part and all inside it, each before its children. A part may be edited or removed when it is reached. */
  *walk(): Generator<Part> {
    const waiting: Part[] = [this];
    for (let part = waiting.pop(); part; part = waiting.pop()) {
      yield part;
      for (const child of part.children.toReversed()) waiting.push(child);
    }
  }

  /** The body with its transfer encoding undone. May share memory with the message: do not write to it. */
  content(): Buffer {
    return this.#replaced?.content ?? decodeBody(this.#receivedBody(), this.#layout.fields.encoding);
  }

  /** The first bytes of the content, at most `length`, without decoding more of the body than they need. */
  contentHead(length: number): Buffer {
    if (this.#replaced) return this.#replaced.content.subarray(0, length);
    const { encoding } = this.#layout.fields;
    const body = this.#receivedBody();
    if (encoding === 'identity') return body.subarray(0, length);
    // An encoded byte takes at most three characters; whoever pads more than that has the whole body decoded.
    const head = decodeBody(body.subarray(0, length * 6), encoding);
    return (head.length < length ? decodeBody(body, encoding) : head).subarray(0, length);
  }

  /** The content as text, by its charset; an unknown one is taken for UTF-8 or else windows-1252. Never throws. */
  text(): string {
    const { charset = '' } = this.contentTypeParameters;
    return decodeCharset(this.content(), charset);
  }

  /**
   * Replaces the content, and all parts inside. Bytes are taken as they are. Text is encoded in the part's charset, or in
   * UTF-8 if that cannot hold it (Content-Type says so then), and its line ends become the message's. The transfer
   * encoding stays unless it cannot carry the new content. Equal content changes nothing.
   */
  replaceContent(content: Uint8Array | string): void {
    const bytes = this.#toContent(content);
    if (!this.bodyChanged && bytes.equals(this.content())) return;
    const encoding = this.#encodingFor(bytes);
    this.#install(bytes, encoding, encodeBody(bytes, encoding, this.#tree.lineEnd));
  }

  /** Like {@link content}, but large quoted-printable bodies are decoded in turns of the event loop. */
  async loadContent(): Promise<Buffer> {
    return (
      this.#replaced?.content ??
      (await finishInTurns(decodeSteps(this.#receivedBody(), this.#layout.fields.encoding)))
    );
  }

  /** Like {@link replaceContent}, but large quoted-printable bodies are encoded in turns of the event loop. */
  async storeContent(content: Uint8Array | string): Promise<void> {
    const bytes = this.#toContent(content);
    if (!this.bodyChanged && bytes.equals(await this.loadContent())) return;
    const encoding = this.#encodingFor(bytes);
    const body = await finishInTurns(encodeSteps(bytes, encoding, this.#tree.lineEnd));
    this.#install(bytes, encoding, body);
  }

  /**
   * Takes this part, with all inside it, out of its parent.
   * @throws TypeError for a part without a parent.
   */
  remove(): void {
    const parent = this.#parent;
    if (!parent) throw wrongArgument('a root cannot be removed: replace its content instead');
    parent.#open().remove(this);
    parent.#touchBody();
    this.#parent = undefined;
  }

  /**
   * Puts a part that is in no tree among the children of this multipart, by default as the last.
   * @throws TypeError when this is no multipart, or the part is in a tree or holds a line that is a delimiter here.
   */
  insert(part: Part, index: number = this.children.length): void {
    if (!this.contentType.startsWith('multipart/') || this.#replaced) {
      throw wrongArgument(`parts go into a multipart, this is ${this.contentType}: wrap it first`);
    }
    if (part.#parent || part === this)
      throw wrongArgument('the part is in a tree already: remove it there first');
    let container = this.#open();
    if (container.boundary === undefined) {
      const boundary = makeBoundary();
      this.#setParameters('Content-Type', { boundary });
      container = this.#container = Container.of<Part>(
        [],
        boundary,
        this.#tree.lineEnd,
        this.#receivedBody(),
      );
    }
    if (holdsDelimiter(part.toBytes(), this.#boundaries())) {
      throw wrongArgument(
        'the part holds a line that is a delimiter here: encode its content as base64 first',
      );
    }
    container.insert(part, index, this.#tree.lineEnd);
    part.#parent = this;
    this.#touchBody();
  }

  /** Gives the part this name, or none, in place of all file names that its header has. */
  rename(name: string | undefined): void {
    for (const field of ['Content-Name', 'X-Sun-Data-Name']) this.headers.remove(field);
    const { type, disposition } = this.#fields();
    if (type && (!disposition || type.get('name') !== undefined))
      this.#setParameters('Content-Type', { name });
    else if (!disposition && name !== undefined) this.headers.set('Content-Disposition', 'attachment');
    if (this.disposition !== undefined)
      this.#setParameters('Content-Disposition', { filename: name, name: undefined });
  }

  /** Gives the part another content type, with these parameters and no others. */
  retype(type: string, parameters: Readonly<Record<string, string>> = {}): void {
    if (!/^[\w.+-]+\/[\w.+-]+$/.test(type))
      throw wrongArgument(`"${type}" is no content type: write type/subtype`);
    this.#setMimeField('Content-Type', parseStructured(type).with(parameters));
  }

  /**
   * Turns this part into a multipart whose only child is what it was, and returns that child. Content fields go down
   * with it, all other fields stay.
   */
  wrap(subtype = 'mixed'): Part {
    const inner = new Part(
      this.#tree,
      { ...this.#layout, start: this.#layout.headerEnd },
      this,
      this.#rescans,
    );
    inner.#container = this.#open();
    inner.#replaced = this.#replaced;
    inner.#bodyEdits = this.#bodyEdits;
    for (const part of inner.children) part.#parent = inner;
    const isContentField = (name: string) => /^content-/i.test(name);
    inner.headers.addFrom(this.headers, isContentField);
    for (const { name } of [...this.headers]) {
      // Content-Type changes in place below.
      if (isContentField(name) && name.toLowerCase() !== 'content-type') this.headers.remove(name);
    }
    const boundary = makeBoundary();
    this.#replaced = undefined;
    this.#container = Container.of([inner], boundary, this.#tree.lineEnd, Buffer.alloc(0));
    this.retype(`multipart/${subtype}`, { boundary });
    this.#touchBody();
    return inner;
  }

  /** The part as it is written now: header section, blank line, body. May share memory with the message. */
  toBytes(): Buffer {
    const out: Buffer[] = [];
    this.write(out);
    return concat(out);
  }

  /** The body as it is written now, transfer encoding and all. */
  bodyBytes(): Buffer {
    const out: Buffer[] = [];
    this.#writeBody(out);
    return concat(out);
  }

  /** Appends the part in pieces, untouched ranges uncopied, to `out`. Answers as {@link Container} wants to know. */
  write(out: Buffer[]): boolean {
    const { source, start, headerEnd, bodyStart, end } = this.#layout;
    if (!this.changed) {
      out.push(source.subarray(start, end));
      return endsOpen(this.#layout);
    }
    out.push(this.headers.toBytes());
    if (bodyStart > headerEnd) out.push(source.subarray(headerEnd, bodyStart));
    endLine(out, this.#lineBreak());
    // Where there was no blank line, what is written now needs one.
    if (bodyStart === headerEnd) out.push(this.#lineBreak());
    return this.#writeBody(out);
  }

  #writeBody(out: Buffer[]): boolean {
    if (this.#replaced) {
      out.push(this.#replaced.body);
      return this.#replaced.body.length > 0;
    }
    if (!this.bodyChanged || !this.#container) {
      out.push(this.#receivedBody());
      return endsOpen(this.#layout);
    }
    if (!this.#container.encoded) return this.#container.write(out, this.#tree.lineEnd);
    const inner: Buffer[] = [];
    this.#container.write(inner, this.#tree.lineEnd);
    const encoding = this.encoding === 'quoted-printable' ? 'quoted-printable' : 'base64';
    out.push(encodeBody(Buffer.concat(inner), encoding, this.#tree.lineEnd));
    return true;
  }

  #install(content: Buffer, encoding: WritableEncoding, body: Buffer): void {
    // A base64 body that ended its last line, as the body of a message does, ends it again.
    const endsLine = encoding === 'base64' && (!this.#parent || this.#receivedBody().at(-1) === LF);
    for (const child of this.#container?.parts ?? []) child.#parent = undefined;
    this.#container = undefined;
    this.#replaced = { content, body: endsLine ? Buffer.concat([body, this.#lineBreak()]) : body };
    this.#touchBody();
  }

  #touchBody(): void {
    for (let part: Part | undefined = this; part; part = part.#parent) {
      part.#bodyEdits++;
      // uuencode is only read.
      const mustRecode = part.#container?.encoded === true && part.encoding === 'uuencode';
      if (mustRecode) part.#setMimeField('Content-Transfer-Encoding', 'base64');
    }
  }

  #lineBreak(): Buffer {
    return Buffer.from(this.#tree.lineEnd, 'latin1');
  }

  #receivedBody(): Buffer {
    return this.#layout.source.subarray(this.#layout.bodyStart, this.#layout.end);
  }

  /** What the fields say that decide how this part is read. */
  #fields(): ContentFields {
    if (!this.#headers?.changed) return this.#layout.fields;
    this.#changedFields ??= readContentFields(
      [...this.#headers].map(({ name, raw }) => ({ name: name.toLowerCase(), read: () => decodeText(raw) })),
    );
    return this.#changedFields;
  }

  #open(): Container<Part> {
    if (this.#container) return this.#container;
    this.#container = this.#replaced ? Container.empty() : this.#takeApart();
    return this.#container;
  }

  #takeApart(): Container<Part> {
    const hidden = findHidden(this.#layout, this.#tree.context, this.#rescans);
    const rescans = this.#rescans + (hidden ? 1 : 0);
    const adopt = (child: Layout) => new Part(this.#tree, child, this, rescans);
    if (hidden?.kind === 'message') return Container.ofMessage(adopt(hidden.layout), hidden.encoded);
    return Container.fromLayout(hidden?.layout ?? this.#layout, hidden?.encoded ?? false, adopt);
  }

  /** The boundaries that no line inside this part may start with. */
  #boundaries(): readonly string[] {
    const boundaries: string[] = [];
    for (let part: Part | undefined = this; part; part = part.#parent) {
      // The declared boundary counts even where another one was found in use.
      for (const boundary of [part.#layout.boundary, part.#container?.boundary]) {
        if (boundary !== undefined) boundaries.push(boundary);
      }
    }
    return boundaries;
  }

  #toContent(content: Uint8Array | string): Buffer {
    if (typeof content !== 'string') return viewOf(content);
    const isText = this.contentType.startsWith('text/');
    const canonical = isText ? content.replace(/\r?\n/g, this.#tree.lineEnd) : content;
    const { charset = 'us-ascii' } = isText ? this.contentTypeParameters : { charset: 'utf-8' };
    const bytes = encodeCharset(canonical, charset);
    if (bytes) return bytes;
    this.#setParameters('Content-Type', { charset: 'utf-8' });
    return Buffer.from(canonical, 'utf8');
  }

  /** The transfer encoding for new content: the present one if it will do, else another, which the header then names. */
  #encodingFor(bytes: Buffer): WritableEncoding {
    const { encoding, contentType } = this;
    if (encoding === 'base64' || encoding === 'quoted-printable') return encoding;
    if (encoding === 'identity') {
      // Containers must not be encoded (RFC 2045 section 6.4).
      if (/^(?:multipart|message)\//.test(contentType)) return encoding;
      const declared = this.headers.get('content-transfer-encoding')?.value.trim().toLowerCase();
      const allowsEightBit = declared === '8bit' || !isAscii(this.#receivedBody());
      const fits = declared === 'binary' || fitsIdentity(bytes, allowsEightBit);
      if (fits && !holdsDelimiter(bytes, this.#parent ? this.#parent.#boundaries() : [])) return encoding;
    }
    const better = contentType.startsWith('text/') ? 'quoted-printable' : 'base64';
    this.#setMimeField('Content-Transfer-Encoding', better);
    return better;
  }

  #setParameters(
    field: 'Content-Type' | 'Content-Disposition',
    changes: Readonly<Record<string, string | undefined>>,
  ): void {
    const { type, disposition } = this.#fields();
    const present = (field === 'Content-Type' ? type : disposition) ?? parseStructured(this.contentType);
    this.#setMimeField(field, present.with(changes));
  }

  #setMimeField(name: string, value: string): void {
    this.headers.set(name, value);
    // Without it, what the field says need not be heeded (RFC 2045 section 4).
    if (!this.#parent && !this.headers.get('mime-version')) this.headers.add('MIME-Version', '1.0');
  }
}

/** Whether the last line of a received part is open, its break being the next delimiter's. */
function endsOpen(layout: Layout): boolean {
  let last = layout;
  for (let child = last.children.at(-1); child && last.close < 0; child = last.children.at(-1)) last = child;
  return last.end > last.bodyStart;
}

function toRecord(parameters: readonly Parameter[]): Readonly<Record<string, string>> {
  // The preferred one comes first, and of equal keys fromEntries keeps the last.
  return Object.fromEntries(parameters.toReversed().map(({ name, value }) => [name, value]));
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function concat(pieces: readonly Buffer[]): Buffer {
  return pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
}
