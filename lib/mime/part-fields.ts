/**
 * The header section of one part, and what the fields in it say that decide how the part is read and what it is called.
 */
import { wrongArgument } from '../errors.ts';
import { type ContentFields, readContentFields } from './content-fields.ts';
import { PartHeaders } from './header-section.ts';
import type { Layout } from './layout.ts';
import { parseStructured } from './parameters.ts';

/** What is asked of the part that has the fields. */
interface FieldsOwner {
  readonly parent: FieldsOwner | undefined;
  readonly contentType: string;
}

/** The fields of one part, as received or edited. */
export class PartFields<P extends FieldsOwner> {
  readonly #part: P;
  readonly #layout: Layout;
  readonly #lineEnd: string;
  readonly #onChange: (part: P) => void;
  #headers: PartHeaders | undefined;
  #changedContent: ContentFields | undefined;

  constructor(part: P, layout: Layout, lineEnd: string, onChange: (part: P) => void) {
    this.#part = part;
    this.#layout = layout;
    this.#lineEnd = lineEnd;
    this.#onChange = onChange;
  }

  /** The header section; made up where the part is a file in a text. */
  get headers(): PartHeaders {
    const { source, start, headerEnd, madeUpHeader } = this.#layout;
    this.#headers ??= new PartHeaders(
      madeUpHeader ?? source.subarray(start, headerEnd),
      this.#lineEnd,
      () => {
        this.#changedContent = undefined;
        this.#onChange(this.#part);
      },
    );
    return this.#headers;
  }

  /** Whether any field was edited. */
  get changed(): boolean {
    return this.#headers?.changed ?? false;
  }

  /** What the content fields say now. */
  get content(): ContentFields {
    if (!this.#headers?.changed) return this.#layout.fields;
    this.#changedContent ??= readContentFields(this.#headers.contentFields());
    return this.#changedContent;
  }

  /** Sets a content field. */
  set(name: string, value: string): void {
    this.headers.set(name, value);
    // Without it, what the field says need not be heeded (RFC 2045 section 4).
    if (!this.#part.parent && !this.headers.get('mime-version')) this.headers.add('MIME-Version', '1.0');
  }

  /** Sets parameters of a field; those given as undefined go. */
  setParameters(
    field: 'Content-Type' | 'Content-Disposition',
    changes: Readonly<Record<string, string | undefined>>,
  ): void {
    const { type, disposition } = this.content;
    const present = field === 'Content-Type' ? type : disposition;
    this.set(field, (present ?? parseStructured(this.#part.contentType)).with(changes));
  }

  /** Sets the content type, with these parameters and no others. */
  retype(type: string, parameters: Readonly<Record<string, string>>): void {
    if (!/^[\w.+-]+\/[\w.+-]+$/.test(type))
      throw wrongArgument(`"${type}" is no content type: write type/subtype`);
    this.set('Content-Type', parseStructured(type).with(parameters));
  }

  /** Moves the content fields to another section; Content-Type stays here too, to be changed in place. */
  moveContent(other: PartHeaders): void {
    const isContentField = (name: string) => /^content-/i.test(name);
    other.addFrom(this.headers, isContentField);
    for (const { name } of [...this.headers]) {
      if (isContentField(name) && name.toLowerCase() !== 'content-type') this.headers.remove(name);
    }
  }

  /** Puts this name, or none, in place of all file names in the fields. */
  rename(name: string | undefined): void {
    for (const field of ['Content-Name', 'X-Sun-Data-Name']) this.headers.remove(field);
    const { type, disposition } = this.content;
    if (type && (!disposition || type.get('name') !== undefined))
      this.setParameters('Content-Type', { name });
    else if (!disposition && name !== undefined) this.headers.set('Content-Disposition', 'attachment');
    if (this.content.disposition)
      this.setParameters('Content-Disposition', { filename: name, name: undefined });
  }
}
