/**
 * One part of a message: a view of its ranges, and the edits made to it. What nobody changed is written by copying its
 * range.
 */
import { isAscii } from 'node:buffer';
import { wrongArgument } from '../errors.ts';
import { holdsDelimiter, makeBoundary } from './boundary.ts';
import { decodeCharset, encodeCharset } from './charsets.ts';
import { Container, endLine, type PartList } from './container.ts';
import { type ContentFields, holdsParts, readContentFields } from './content-fields.ts';
import { type Encoding, encodeBody, encodeSteps, fitsIdentity, type WritableEncoding } from './encodings.ts';
import { PartHeaders } from './header-section.ts';
import type { Layout, ScanContext } from './layout.ts';
import { type Parameter, parseStructured } from './parameters.ts';
import { findReadings } from './readings.ts';
import { ReceivedBody } from './received-body.ts';
import { finishInTurns } from './slice.ts';
import { layoutOfFile, TextWithFiles } from './text-files.ts';
import { encodeFile, firstFileName } from './uuencode.ts';

/** What the parts of one message share. */
export interface Tree {
  readonly context: ScanContext;
  /** How this message ends its lines: CRLF unless its first line ends in a bare LF. */
  readonly lineEnd: '\r\n' | '\n';
}

/** The body taken apart in one of the ways in which it can be read. */
interface Reading {
  readonly list: PartList<Part>;
  /** The content type and the encoding that are read so; a type is undefined where no field has to do with it. */
  readonly type: string | undefined;
  readonly encoding: Encoding;
}

const LF = 0x0a;
const NONE: readonly Part[] = [];

/** One part of a message, or the message itself. Parsing makes them; so does `createPart`. */
export class Part {
  readonly #tree: Tree;
  readonly #layout: Layout;
  readonly #received: ReceivedBody;
  /** How many bodies around this one had to be read a second time. */
  readonly #rescans: number;
  #parent: Part | undefined;
  #headers: PartHeaders | undefined;
  #changedFields: ContentFields | undefined;
  /** Every way to read the body, the likeliest first; the first edit in one of them leaves that one. */
  #readings: readonly Reading[] | undefined;
  /** A new body in place of the received one. */
  #replaced: { readonly content: Buffer; readonly body: Buffer } | undefined;
  /** What the content is now that parts inside were edited. */
  #edited: Buffer | undefined;
  #others: readonly Buffer[] | undefined;
  #text: { readonly content: Buffer; readonly charset: string; readonly text: string } | undefined;
  #bodyEdits = 0;

  /** For the parser: users get parts from `parseMessage` and `createPart`. */
  constructor(tree: Tree, layout: Layout, parent: Part | undefined, rescans = 0, received?: ReceivedBody) {
    const { source, bodyStart, end, fields } = layout;
    this.#tree = tree;
    this.#layout = layout;
    this.#received = received ?? new ReceivedBody(source.subarray(bodyStart, end), fields.encoding);
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

  /** The header section. Of a file in a text ({@link isFileInText}) it is made up, and never written. */
  get headers(): PartHeaders {
    const { source, start, headerEnd, madeUpHeader } = this.#layout;
    this.#headers ??= new PartHeaders(
      madeUpHeader ?? source.subarray(start, headerEnd),
      this.#tree.lineEnd,
      () => {
        this.#changedFields = undefined;
        if (this.#parent) this.#parent.#touchBody(this);
      },
    );
    return this.#headers;
  }

  /**
   * Lower-case type/subtype. Without a usable Content-Type text/plain, in a digest message/rfc822 (RFC 2046 section 5.1.5). Of
   * several fields the one that makes parts of the body, else the first.
   */
  get contentType(): string {
    const declared = this.#fields().contentType;
    if (declared !== undefined) return declared;
    return this.#parent?.contentType === 'multipart/digest' ? 'message/rfc822' : 'text/plain';
  }

  /** Every content type that the part claims: where there are several fields, a reader may heed another than the first. */
  get contentTypes(): readonly string[] {
    const { types } = this.#fields();
    if (types.length < 2) return [this.contentType];
    return [...new Set([this.contentType, ...types.slice(1).map(({ value }) => value)])];
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
   * X-Sun-Data-Name, the name inside a uuencoded body; one with a NUL in it both whole and as far as the NUL.
   */
  get names(): readonly string[] {
    const { names, encodings } = this.#fields();
    if (!encodings.includes('uuencode') || this.#replaced || this.isFileInText) return names;
    const inside = firstFileName(this.#received.bytes);
    return inside === undefined || names.includes(inside) ? names : [...names, inside];
  }

  /** The content by other encodings than {@link encoding}, where further Content-Transfer-Encoding fields declare some. */
  otherContents(): readonly Buffer[] {
    if (this.bodyChanged) return [];
    this.#others ??= this.#received.decodeOtherwise(this.#layout.fields.encodings.slice(1));
    return this.#others;
  }

  /** How the body is to be written (Content-Transfer-Encoding). */
  get encoding(): Encoding {
    return this.#fields().encoding;
  }

  /**
   * The parts directly inside; empty for a leaf. A message/rfc822 has one: the message; so has a file that is called `.eml`,
   * whatever its type.
   */
  get children(): readonly Part[] {
    const list = this.#open()[0]?.list;
    return !list || list instanceof TextWithFiles ? NONE : list.parts;
  }

  /**
   * The parts that are seen by each way of reading this one, {@link children} being the first. There is more than one way only
   * where fields contradict each other or an encoding label may be false. The first edit to a part in one of them settles
   * it: the header is made to say so, and the parts of the others are no more.
   */
  get readings(): readonly (readonly Part[])[] {
    const readings = this.#open();
    return readings.length < 2 ? [this.children] : readings.map(({ list }) => list.parts);
  }

  /** The files that are uuencoded (or yEncoded) in this text: mail readers show them as attachments. */
  get files(): readonly Part[] {
    const list = this.#open()[0]?.list;
    return list instanceof TextWithFiles ? list.parts : NONE;
  }

  /** Like {@link files}, but a large text that may hold some is decoded in turns of the event loop. */
  async loadFiles(): Promise<readonly Part[]> {
    if (this.mayHoldUnreadFiles) await this.#received.load();
    return this.files;
  }

  /** Whether this is a text that must be decoded to see which {@link files} it has. @internal */
  get mayHoldUnreadFiles(): boolean {
    if (this.#readings !== undefined || this.bodyChanged) return false;
    return this.contentType.startsWith('text/') && this.#received.mayHoldFile;
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
      for (const inner of part.#all().toReversed()) waiting.push(inner);
    }
  }

  /**
   * The body with its transfer encoding undone, decoded once: a second call gives the same object until the body is edited.
   * May share memory with the message: do not write to it.
   */
  content(): Buffer {
    if (this.#replaced) return this.#replaced.content;
    const [reading] = this.#readings ?? [];
    if (!this.bodyChanged || !reading) return this.#received.decode();
    if (!this.#edited) {
      const out: Buffer[] = [];
      reading.list.write(out, this.#tree.lineEnd);
      this.#edited = concat(out);
    }
    return this.#edited;
  }

  /** The first bytes of the content, at most `length`, without decoding more of the body than they need. */
  contentHead(length: number): Buffer {
    if (this.bodyChanged) return this.content().subarray(0, length);
    return this.#received.head(length);
  }

  /**
   * The content as text, by its charset; an unknown one is taken for UTF-8 or else windows-1252. Decoded once, like
   * {@link content}. Never throws.
   */
  text(): string {
    const { charset = '' } = this.contentTypeParameters;
    const content = this.content();
    if (this.#text?.content !== content || this.#text.charset !== charset)
      this.#text = { content, charset, text: decodeCharset(content, charset) };
    return this.#text.text;
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
    this.#install(bytes, encodeBody(bytes, encoding, this.#tree.lineEnd));
  }

  /** Like {@link content}, but large quoted-printable bodies are decoded in turns of the event loop. */
  async loadContent(): Promise<Buffer> {
    return this.bodyChanged ? this.content() : await this.#received.load();
  }

  /** Like {@link replaceContent}, but large quoted-printable bodies are encoded in turns of the event loop. */
  async storeContent(content: Uint8Array | string): Promise<void> {
    const bytes = this.#toContent(content);
    if (!this.bodyChanged && bytes.equals(await this.loadContent())) return;
    const encoding = this.#encodingFor(bytes);
    const body = await finishInTurns(encodeSteps(bytes, encoding, this.#tree.lineEnd));
    this.#install(bytes, body);
  }

  /**
   * Takes this part, with all inside it, out of its parent.
   * @throws TypeError for a part without a parent.
   */
  remove(): void {
    const parent = this.#parent;
    if (!parent) throw wrongArgument('a root cannot be removed: replace its content instead');
    parent.#settle(this);
    parent.#open()[0]?.list.remove(this);
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
    const container = this.#toInsertInto();
    if (holdsDelimiter(part.toBytes(), this.#boundaries())) {
      throw wrongArgument(
        'the part holds a line that is a delimiter here: encode its content as base64 first',
      );
    }
    container.insert(part, index, this.#tree.lineEnd);
    part.#parent = this;
    this.#touchBody();
  }

  /** A multipart's parts, where one more can go. */
  #toInsertInto(): Container<Part> {
    const [first] = this.#open();
    if (first) this.#settleOn(first);
    if (first?.list instanceof Container && first.list.boundary !== undefined) return first.list;
    const boundary = makeBoundary();
    this.#setParameters('Content-Type', { boundary });
    const list = Container.of<Part>([], boundary, this.#tree.lineEnd, this.#received.bytes);
    this.#readings = [{ list, type: this.contentType, encoding: 'identity' }];
    return list;
  }

  /** Gives the part this name, or none, in place of all file names that it has. */
  rename(name: string | undefined): void {
    for (const field of ['Content-Name', 'X-Sun-Data-Name']) this.headers.remove(field);
    if (this.#fields().encodings.includes('uuencode') && !this.isFileInText) {
      // The name is in the body too.
      const content = this.content();
      this.#setMimeField('Content-Transfer-Encoding', 'base64');
      this.#install(content, encodeBody(content, 'base64', this.#tree.lineEnd));
    }
    const { type, disposition } = this.#fields();
    if (type && (!disposition || type.get('name') !== undefined))
      this.#setParameters('Content-Type', { name });
    else if (!disposition && name !== undefined) this.headers.set('Content-Disposition', 'attachment');
    if (this.disposition !== undefined)
      this.#setParameters('Content-Disposition', { filename: name, name: undefined });
  }

  /**
   * Of several {@link readings} leaves the first, and of contradicting Content-Type fields the one that governs. The header says
   * so then.
   */
  settle(): void {
    const [first] = this.#open();
    if (first) this.#settleOn(first, true);
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
      this.#received,
    );
    inner.#readings = this.#open();
    inner.#replaced = this.#replaced;
    inner.#bodyEdits = this.#bodyEdits;
    for (const part of inner.#all()) part.#parent = inner;
    const isContentField = (name: string) => /^content-/i.test(name);
    inner.headers.addFrom(this.headers, isContentField);
    for (const { name } of [...this.headers]) {
      // Content-Type changes in place below.
      if (isContentField(name) && name.toLowerCase() !== 'content-type') this.headers.remove(name);
    }
    const boundary = makeBoundary();
    this.#replaced = undefined;
    const list = Container.of([inner], boundary, this.#tree.lineEnd, Buffer.alloc(0));
    this.#readings = [{ list, type: `multipart/${subtype}`, encoding: 'identity' }];
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

  /** Appends the part in pieces, untouched ranges uncopied, to `out`. Answers as {@link PartList} wants to know. */
  write(out: Buffer[]): boolean {
    const { source, start, headerEnd, bodyStart, end } = this.#layout;
    if (!this.changed) {
      out.push(source.subarray(start, end));
      return endsOpen(this.#layout);
    }
    if (this.isFileInText) return this.#writeBody(out);
    out.push(this.headers.toBytes());
    if (bodyStart > headerEnd) out.push(source.subarray(headerEnd, bodyStart));
    endLine(out, this.#lineBreak());
    // Where there was no blank line, what is written now needs one.
    if (bodyStart === headerEnd) out.push(this.#lineBreak());
    return this.#writeBody(out);
  }

  #writeBody(out: Buffer[]): boolean {
    if (this.isFileInText && this.changed) {
      out.push(this.#writeFile());
      return true;
    }
    if (this.#replaced) {
      out.push(this.#replaced.body);
      return this.#replaced.body.length > 0;
    }
    const [reading] = this.#readings ?? [];
    if (!this.bodyChanged || !reading) {
      out.push(this.#received.bytes);
      return endsOpen(this.#layout);
    }
    if (!reading.list.encoded) return reading.list.write(out, this.#tree.lineEnd);
    const encoding = this.encoding === 'quoted-printable' ? 'quoted-printable' : 'base64';
    out.push(encodeBody(this.content(), encoding, this.#tree.lineEnd));
    return true;
  }

  /** A changed file as it stands in the text around it, every line ended. */
  #writeFile(): Buffer {
    const { lineEnd } = this.#tree;
    if (!this.contentType.startsWith('text/'))
      return encodeFile(this.content(), this.names[0] ?? '', lineEnd);
    const text = this.text().replace(/[^\0-\x7f]/gu, '?');
    return Buffer.from(text === '' || text.endsWith('\n') ? text : text + lineEnd, 'latin1');
  }

  #install(content: Buffer, body: Buffer): void {
    // A base64 body that ended its last line, as the body of a message does, ends it again.
    const endsLine = this.encoding === 'base64' && (!this.#parent || this.#received.bytes.at(-1) === LF);
    for (const child of this.#readings ? this.#all() : []) child.#parent = undefined;
    this.#readings = undefined;
    this.#replaced = { content, body: endsLine ? Buffer.concat([body, this.#lineBreak()]) : body };
    this.#touchBody();
  }

  /** Notes that this body, or `inside` it a part, was edited. */
  #touchBody(inside?: Part): void {
    let below = inside;
    for (let part: Part | undefined = this; part; part = part.#parent) {
      part.#bodyEdits++;
      part.#edited = undefined;
      if (below) part.#settle(below);
      // uuencode is only read.
      const mustRecode = part.#readings?.[0]?.list.encoded === true && part.encoding === 'uuencode';
      if (mustRecode && !part.isFileInText) part.#setMimeField('Content-Transfer-Encoding', 'base64');
      below = part;
    }
  }

  /** Leaves of several readings the one that has this part. */
  #settle(part: Part): void {
    if (!this.#readings || this.#readings.length < 2) return;
    const reading = this.#readings.find(({ list }) => list.parts.includes(part));
    if (reading) this.#settleOn(reading);
  }

  #settleOn(reading: Reading, always = false): void {
    const readings = this.#readings ?? [];
    if (readings.length < 2 && !always) return;
    for (const { list } of readings) {
      if (list !== reading.list) for (const part of list.parts) part.#parent = undefined;
    }
    this.#readings = [reading];
    const { types, encodings } = this.#fields();
    const { type, encoding, list } = reading;
    if (type !== undefined) {
      const declared = types.find(({ value }) => value === type) ?? parseStructured(type);
      this.#setMimeField('Content-Type', declared.with({ boundary: list.boundary }));
    }
    if (encodings.length === 1 && encodings[0] === encoding) return;
    if (encoding !== 'identity')
      this.#setMimeField('Content-Transfer-Encoding', encoding === 'uuencode' ? 'base64' : encoding);
    else if (isAscii(this.#received.bytes)) this.headers.remove('Content-Transfer-Encoding');
    else this.#setMimeField('Content-Transfer-Encoding', '8bit');
  }

  #lineBreak(): Buffer {
    return Buffer.from(this.#tree.lineEnd, 'latin1');
  }

  /** What the fields say that decide how this part is read. */
  #fields(): ContentFields {
    if (!this.#headers?.changed) return this.#layout.fields;
    this.#changedFields ??= readContentFields(this.#headers.contentFields());
    return this.#changedFields;
  }

  /** Every way to read the body; none for a leaf. */
  #open(): readonly Reading[] {
    this.#readings ??= this.#replaced ? this.#findFiles() : this.#takeApart();
    return this.#readings;
  }

  /** The parts of all readings. */
  #all(): readonly Part[] {
    const readings = this.#open();
    return readings.length < 2
      ? (readings[0]?.list.parts ?? NONE)
      : readings.flatMap(({ list }) => list.parts);
  }

  #takeApart(): readonly Reading[] {
    const found = findReadings(this.#layout, this.#tree.context, this.#rescans);
    if (found.length === 0) return this.#findFiles();
    return found.map(({ kind, layout, type, encoding }) => {
      const isScanned = layout === this.#layout || layout.parent === this.#layout;
      const rescans = this.#rescans + (isScanned ? 0 : 1);
      const adopt = (child: Layout) => new Part(this.#tree, child, this, rescans);
      const isEncoded = encoding !== 'identity';
      const list =
        kind === 'message'
          ? Container.ofMessage(adopt(layout), isEncoded)
          : Container.fromLayout(layout, isEncoded, adopt);
      return { list, type, encoding };
    });
  }

  /** The files in the text that this part is, if it is one. */
  #findFiles(): readonly Reading[] {
    const { context } = this.#tree;
    const { depth } = this.#layout;
    if (!this.contentType.startsWith('text/') || this.isFileInText) return [];
    if (depth >= context.limits.depth || this.#rescans >= context.limits.rescans) return [];
    if (!this.#replaced && !this.#received.mayHoldFile) return [];
    const encoding = this.#replaced ? this.encoding : this.#received.encoding;
    const text = this.content();
    const list = TextWithFiles.find<Part>(text, encoding !== 'identity', (file) => {
      if (context.parts >= context.limits.parts) return undefined;
      context.parts++;
      return new Part(this.#tree, layoutOfFile(text, file, depth + 1), this, this.#rescans + 1);
    });
    return list ? [{ list, type: undefined, encoding }] : [];
  }

  /** The boundaries that no line inside this part may start with. */
  #boundaries(): readonly string[] {
    const boundaries: string[] = [];
    for (let part: Part | undefined = this; part; part = part.#parent) {
      // Declared boundaries count even where another one was found in use.
      boundaries.push(...part.#fields().boundaries);
      for (const boundary of [part.#layout.boundary, part.#readings?.[0]?.list.boundary]) {
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
    // Written anew where it stands in a text.
    if (this.isFileInText) return 'identity';
    if (encoding === 'base64' || encoding === 'quoted-printable') return encoding;
    if (encoding === 'identity') {
      // Containers must not be encoded (RFC 2045 section 6.4).
      if (/^(?:multipart|message)\//.test(contentType)) return encoding;
      const declared = this.headers.get('content-transfer-encoding')?.value.trim().toLowerCase();
      const allowsEightBit = declared === '8bit' || !isAscii(this.#received.bytes);
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
