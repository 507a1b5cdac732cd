/**
 * One part of a message: a view of its ranges, and the edits made to it. What nobody changed is written by copying its
 * range.
 */
import { wrongArgument } from '../errors.ts';
import { holdsDelimiter } from './boundary.ts';
import { endLine } from './container.ts';
import { holdsParts } from './content-fields.ts';
import { type Encoding, encodeBody, encodeSteps, type WritableEncoding } from './encodings.ts';
import type { PartHeaders } from './header-section.ts';
import { endsOpen, type Layout } from './layout.ts';
import { contentBytes, encodingFor } from './new-content.ts';
import { type Parameter, toRecord } from './parameters.ts';
import { type Family, joinPieces, PartBody, type Tree } from './part-body.ts';
import { PartFields } from './part-fields.ts';
import { finishInTurns } from './slice.ts';
import { writeFile } from './text-files.ts';
import { firstFileName } from './uuencode.ts';

/** One part of a message, or the message itself. Parsing makes them; so does `createPart`. */
export class Part {
  static readonly #family: Family<Part> = {
    make: (parent, layout, rescans) => new Part(parent.#tree, layout, parent, rescans),
    letGo(part) {
      part.#parent = undefined;
    },
  };

  readonly #tree: Tree;
  readonly #layout: Layout;
  readonly #fields: PartFields<Part>;
  #body: PartBody<Part>;
  #parent: Part | undefined;
  #bodyEdits = 0;

  /**
   * For the parser: users get parts from `parseMessage` and `createPart`.
   * @param rescans how many bodies around this one had to be read a second time
   */
  constructor(tree: Tree, layout: Layout, parent?: Part, rescans = 0, body?: PartBody<Part>) {
    this.#tree = tree;
    this.#layout = layout;
    this.#parent = parent;
    this.#fields = new PartFields<Part>(this, layout, tree.lineEnd, Part.#touchFields);
    this.#body = body ?? new PartBody<Part>(this, this.#fields, Part.#family, tree, layout, rescans);
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
    return this.bodyChanged || this.#fields.changed;
  }

  /** The header section. Of a file in a text ({@link isFileInText}) it is made up, and never written. */
  get headers(): PartHeaders {
    return this.#fields.headers;
  }

  /**
   * Lower-case type/subtype. Without a usable Content-Type text/plain, in a digest message/rfc822 (RFC 2046 section 5.1.5). Of
   * several fields the one that makes parts of the body, else the first.
   */
  get contentType(): string {
    const declared = this.#fields.content.contentType;
    if (declared !== undefined) return declared;
    return this.#parent?.contentType === 'multipart/digest' ? 'message/rfc822' : 'text/plain';
  }

  /** Every content type that the part claims: where there are several fields, a reader may heed another than the first. */
  get contentTypes(): readonly string[] {
    const { types } = this.#fields.content;
    if (types.length < 2) return [this.contentType];
    return [...new Set([this.contentType, ...types.slice(1).map(({ value }) => value)])];
  }

  /** Parameters of Content-Type, decoded, by lower-case name; of duplicates the one that readers prefer. */
  get contentTypeParameters(): Readonly<Record<string, string>> {
    return toRecord(this.parametersOf('content-type'));
  }

  /** The charset that Content-Type declares. @internal */
  get charset(): string | undefined {
    return this.parametersOf('content-type').find(({ name }) => name === 'charset')?.value;
  }

  /** Lower-case disposition, such as `attachment`; undefined without Content-Disposition (RFC 2183). */
  get disposition(): string | undefined {
    return this.#fields.content.disposition?.value;
  }

  /** Parameters of Content-Disposition, like {@link contentTypeParameters}. */
  get dispositionParameters(): Readonly<Record<string, string>> {
    return toRecord(this.parametersOf('content-disposition'));
  }

  /** Every parameter of one of the two fields, duplicates included, those of further fields of that name too, decoded. */
  parametersOf(field: 'content-type' | 'content-disposition'): readonly Parameter[] {
    return this.#fields.content.parametersOf(field);
  }

  /**
   * Every name this part goes by, whatever a mail reader might show or save it as: file name parameters in all their
   * forms and duplicates, values of unknown Content-Type parameters that look like file names, Content-Name and
   * X-Sun-Data-Name, the name inside a uuencoded body; one with a NUL in it both whole and as far as the NUL.
   */
  get names(): readonly string[] {
    const { names, encodings } = this.#fields.content;
    if (!encodings.includes('uuencode') || this.#body.isReplaced || this.isFileInText) return names;
    const inside = firstFileName(this.#body.received.bytes);
    return inside === undefined || names.includes(inside) ? names : [...names, inside];
  }

  /** The content by other encodings than {@link encoding}, where further Content-Transfer-Encoding fields declare some. */
  otherContents(): readonly Buffer[] {
    return this.#body.otherContents();
  }

  /** How the body is to be written (Content-Transfer-Encoding). */
  get encoding(): Encoding {
    return this.#fields.content.encoding;
  }

  /**
   * The parts directly inside; empty for a leaf. A message/rfc822 has one: the message; so has a file that is called `.eml`,
   * whatever its type.
   */
  get children(): readonly Part[] {
    return this.#body.children;
  }

  /**
   * The parts that are seen by each way of reading this one, {@link children} being the first. There is more than one way only
   * where fields contradict each other or an encoding label may be false. The first edit to a part in one of them settles
   * it: the header is made to say so, and the parts of the others are no more.
   */
  get readings(): readonly (readonly Part[])[] {
    const readings = this.#body.open();
    return readings.length < 2 ? [this.children] : readings.map(({ list }) => list.parts);
  }

  /** The files that are uuencoded (or yEncoded) in this text: mail readers show them as attachments. */
  get files(): readonly Part[] {
    return this.#body.files;
  }

  /** Like {@link files}, but a large text that may hold some is decoded in turns of the event loop. */
  async loadFiles(): Promise<readonly Part[]> {
    if (this.mayHoldUnreadFiles) await this.#body.received.load();
    return this.files;
  }

  /** Whether this is a text that must be decoded to see which {@link files} it has. @internal */
  get mayHoldUnreadFiles(): boolean {
    return this.#body.mayHoldUnreadFiles;
  }

  /** Whether this part has content of its own: all but a multipart or a message that has parts. An `.eml` file has. */
  get isLeaf(): boolean {
    return !holdsParts(this.contentType) || this.children.length === 0;
  }

  /**
   * Whether this is one of the {@link files} in the text of its parent. It has no header section of its own: `headers`
   * shows what one would say. What it becomes is written into the text: a text as ASCII, anything else uuencoded.
   */
  get isFileInText(): boolean {
    return this.#layout.madeUpHeader !== undefined;
  }

  /**
   * This part and all inside it, each before what is inside: children by every reading, and files in text. A part may be edited
   * or removed when it is reached.
   */
  *walk(): Generator<Part> {
    const waiting: Part[] = [this];
    for (let part = waiting.pop(); part; part = waiting.pop()) {
      // Another reading of its parent was settled on meanwhile.
      if (part !== this && !part.#parent) continue;
      yield part;
      for (const inner of part.#body.all.toReversed()) waiting.push(inner);
    }
  }

  /**
   * The body with its transfer encoding undone, decoded once: a second call gives the same object until the body is edited.
   * May share memory with the message: do not write to it.
   */
  content(): Buffer {
    return this.#body.content();
  }

  /** The first bytes of the content, at most `length`, without decoding more of the body than they need. */
  contentHead(length: number): Buffer {
    if (this.bodyChanged) return this.content().subarray(0, length);
    return this.#body.received.head(length);
  }

  /**
   * The content as text, by its charset; an unknown one is taken for UTF-8 or else windows-1252. Decoded once, like
   * {@link content}. Never throws.
   */
  text(): string {
    return this.#body.text(this.charset ?? '');
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
    this.#replaceBody(bytes, encodeBody(bytes, encoding, this.#tree.lineEnd));
  }

  /** Like {@link content}, but large quoted-printable bodies are decoded in turns of the event loop. */
  async loadContent(): Promise<Buffer> {
    return this.bodyChanged ? this.content() : await this.#body.received.load();
  }

  /** Like {@link replaceContent}, but large quoted-printable bodies are encoded in turns of the event loop. */
  async storeContent(content: Uint8Array | string): Promise<void> {
    const bytes = this.#toContent(content);
    if (!this.bodyChanged && bytes.equals(await this.loadContent())) return;
    const encoding = this.#encodingFor(bytes);
    const body = await finishInTurns(encodeSteps(bytes, encoding, this.#tree.lineEnd));
    this.#replaceBody(bytes, body);
  }

  /**
   * Takes this part, with all inside it, out of its parent.
   * @throws TypeError for a part without a parent.
   */
  remove(): void {
    const parent = this.#parent;
    if (!parent) throw wrongArgument('a root cannot be removed: replace its content instead');
    parent.#body.remove(this);
    parent.#touchBody();
    this.#parent = undefined;
  }

  /**
   * Puts a part that is in no tree among the children of this multipart, by default as the last.
   * @throws TypeError when this is no multipart, or the part is in a tree or holds a line that is a delimiter here.
   */
  insert(part: Part, index: number = this.children.length): void {
    if (!this.contentType.startsWith('multipart/') || this.#body.isReplaced) {
      throw wrongArgument(`parts go into a multipart, this is ${this.contentType}: wrap it first`);
    }
    if (part.#parent || part === this)
      throw wrongArgument('the part is in a tree already: remove it there first');
    const container = this.#body.toInsertInto();
    if (holdsDelimiter(part.toBytes(), this.#boundaries())) {
      throw wrongArgument(
        'the part holds a line that is a delimiter here: encode its content as base64 first',
      );
    }
    container.insert(part, index, this.#tree.lineEnd);
    part.#parent = this;
    this.#touchBody();
  }

  /** Gives the part this name, or none, in place of all file names that it has. */
  rename(name: string | undefined): void {
    if (this.#fields.content.encodings.includes('uuencode') && !this.isFileInText) {
      // The name is in the body too.
      const content = this.content();
      this.#fields.set('Content-Transfer-Encoding', 'base64');
      this.#replaceBody(content, encodeBody(content, 'base64', this.#tree.lineEnd));
    }
    this.#fields.rename(name);
  }

  /**
   * Of several {@link readings} leaves the first, and of contradicting Content-Type fields the one that governs. The header says
   * so then.
   */
  settle(): void {
    this.#body.settle();
  }

  /** Gives the part another content type, with these parameters and no others. */
  retype(type: string, parameters: Readonly<Record<string, string>> = {}): void {
    this.#fields.retype(type, parameters);
  }

  /**
   * Turns this part into a multipart whose only child is what it was, and returns that child. Content fields go down
   * with it, all other fields stay.
   */
  wrap(subtype = 'mixed'): Part {
    const body = this.#body;
    const inner = new Part(this.#tree, { ...this.#layout, start: this.#layout.headerEnd }, this, 0, body);
    inner.#bodyEdits = this.#bodyEdits;
    for (const part of body.all) part.#parent = inner;
    const type = `multipart/${subtype}`;
    const { outer, boundary } = body.wrap(inner, inner.#fields, type);
    this.#body = outer;
    this.#fields.moveContent(inner.headers);
    this.retype(type, { boundary });
    this.#touchBody();
    return inner;
  }

  /** The part as it is written now: header section, blank line, body. May share memory with the message. */
  toBytes(): Buffer {
    const out: Buffer[] = [];
    this.write(out);
    return joinPieces(out);
  }

  /** The body as it is written now, transfer encoding and all. */
  bodyBytes(): Buffer {
    const out: Buffer[] = [];
    this.#writeBody(out);
    return joinPieces(out);
  }

  /** Appends the part in pieces, untouched ranges uncopied, to `out`. Answers as {@link PartList} wants to know. */
  write(out: Buffer[]): boolean {
    const { source, start, headerEnd, bodyStart, end } = this.#layout;
    if (!this.changed) {
      out.push(source.subarray(start, end));
      return endsOpen(this.#layout);
    }
    if (this.isFileInText) return this.#writeBody(out);
    const lineBreak = Buffer.from(this.#tree.lineEnd, 'latin1');
    out.push(this.headers.toBytes());
    if (bodyStart > headerEnd) out.push(source.subarray(headerEnd, bodyStart));
    endLine(out, lineBreak);
    // Where there was no blank line, what is written now needs one.
    if (bodyStart === headerEnd) out.push(lineBreak);
    return this.#writeBody(out);
  }

  #writeBody(out: Buffer[]): boolean {
    if (!this.isFileInText || !this.changed) return this.#body.write(out);
    out.push(writeFile(this, this.#tree.lineEnd));
    return true;
  }

  #replaceBody(content: Buffer, body: Buffer): void {
    this.#body.replace(content, body);
    this.#touchBody();
  }

  /** Notes that this body, or `inside` it a part, was edited. */
  #touchBody(inside?: Part): void {
    let below = inside;
    for (let part: Part | undefined = this; part; part = part.#parent) {
      part.#bodyEdits++;
      part.#body.touch(below);
      below = part;
    }
  }

  /** Notes that a field of this part was edited. */
  static #touchFields(part: Part): void {
    if (part.#parent) part.#parent.#touchBody(part);
  }

  /** The boundaries that no line inside this part may start with. */
  #boundaries(): readonly string[] {
    const boundaries: string[] = [];
    for (let part: Part | undefined = this; part; part = part.#parent)
      boundaries.push(...part.#fields.content.boundaries, ...part.#body.boundaries);
    return boundaries;
  }

  #toContent(content: Uint8Array | string): Buffer {
    const { bytes, charset } = contentBytes(content, this, this.#tree.lineEnd);
    if (charset !== undefined) this.#fields.setParameters('Content-Type', { charset });
    return bytes;
  }

  /** The transfer encoding for new content, which the header names then. */
  #encodingFor(bytes: Buffer): WritableEncoding {
    // Written anew where it stands in a text.
    if (this.isFileInText) return 'identity';
    const received = this.#body.received.bytes;
    const encoding = encodingFor(bytes, this, received, () =>
      this.#parent ? this.#parent.#boundaries() : [],
    );
    if (encoding !== this.encoding) this.#fields.set('Content-Transfer-Encoding', encoding);
    return encoding;
  }
}
