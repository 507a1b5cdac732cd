/**
 * The fields that decide how a part is read and what it is called: Content-Type, Content-Disposition,
 * Content-Transfer-Encoding, and the older Content-Name and X-Sun-Data-Name.
 */
import { encodeText } from '../text.ts';
import { type Encoding, parseEncodings } from './encodings.ts';
import { NameList } from './names.ts';
import { type Parameter, parseStructured, type Structured } from './parameters.ts';

/** Lower-case names of the fields read here. */
const NAMES = [
  'content-type',
  'content-disposition',
  'content-transfer-encoding',
  'content-name',
  'x-sun-data-name',
] as const;

/** The lower-case name of a field that decides how a part is read or what it is called. */
export type ContentFieldName = (typeof NAMES)[number];

/** A field that decides how a part is read or what it is called. */
export interface ContentField {
  readonly name: ContentFieldName;
  readonly read: () => string;
}

/** The name of such a field that stands in these bytes, in whatever case; undefined for any other field. */
export function contentFieldName(bytes: Buffer, start: number, end: number): ContentFieldName | undefined {
  for (const name of NAMES) {
    if (name.length !== end - start) continue;
    let i = 0;
    // A letter becomes lower case; a dash stays one, and nothing else that a name may have becomes either.
    while (i < name.length && ((bytes[start + i] ?? 0) | 0x20) === name.charCodeAt(i)) i++;
    if (i === name.length) return name;
  }
  return undefined;
}

const NONE: readonly never[] = [];

const MESSAGES = new Set(['message/rfc822', 'message/global', 'message/news', 'message/partial']);

/**
 * Whether a part of this type contains a message (RFC 2046 section 5.2.1, RFC 6532 section 3.7). Of a message in fragments
 * (section 5.2.2) it is the beginning, header and all.
 */
export function holdsMessage(type: string): boolean {
  return MESSAGES.has(type);
}

/** Whether a part of this type is made of other parts. */
export function holdsParts(type: string): boolean {
  return type.startsWith('multipart/') || holdsMessage(type);
}

/** What the content fields of one part say. Of several fields of one name readers heed one or another: all are here. */
export class ContentFields {
  /** That which makes parts of the body comes first, else the first field. */
  readonly types: readonly Structured[];
  readonly dispositions: readonly Structured[];
  /** How the body may be written, the likeliest first; never empty. */
  readonly encodings: readonly Encoding[];
  readonly #namingFields: readonly string[];
  #names: readonly string[] | undefined;
  #boundaries: readonly string[] | undefined;

  constructor(
    types: readonly Structured[],
    dispositions: readonly Structured[],
    encodings: readonly Encoding[],
    namingFields: readonly string[],
  ) {
    const first = types.length < 2 ? 0 : types.findIndex(({ value }) => holdsParts(value));
    this.types =
      first <= 0
        ? types
        : [...types.slice(first, first + 1), ...types.slice(0, first), ...types.slice(first + 1)];
    this.dispositions = dispositions;
    this.encodings = encodings;
    this.#namingFields = namingFields;
  }

  /** The Content-Type that governs how the part is read. */
  get type(): Structured | undefined {
    return this.types[0];
  }

  /** The first Content-Disposition. */
  get disposition(): Structured | undefined {
    return this.dispositions[0];
  }

  get encoding(): Encoding {
    return this.encodings[0] ?? 'identity';
  }

  /** The governing type, undefined without one and where it is none, `text/plain` where there is a value that is no type. */
  get contentType(): string | undefined {
    const value = this.types[0]?.value;
    if (!value) return undefined;
    const slash = value.indexOf('/');
    const isType = slash > 0 && slash < value.length - 1 && !value.includes('/', slash + 1);
    return isType ? value : 'text/plain';
  }

  /** Every boundary that multipart types declare, the likeliest first; one character per byte. */
  get boundaries(): readonly string[] {
    this.#boundaries ??= boundariesOf(this.types, (type) => type.startsWith('multipart/'));
    return this.#boundaries;
  }

  /** Those of them that fields of this type declare. */
  boundariesOf(type: string): readonly string[] {
    return this.types.length === 1 ? this.boundaries : boundariesOf(this.types, (value) => value === type);
  }

  /** What these fields say in several ways, of which readers heed one or another. */
  get contradictions(): readonly ('content-type' | 'boundary' | 'content-transfer-encoding')[] {
    if (this.types.length < 2 && this.encodings.length === 1 && this.boundaries.length < 2) return NONE;
    const types = new Set(this.types.map(({ value }) => value));
    return [
      ...(types.size > 1 ? (['content-type'] as const) : []),
      ...(this.boundaries.length > 1 ? (['boundary'] as const) : []),
      ...(this.encodings.length > 1 ? (['content-transfer-encoding'] as const) : []),
    ];
  }

  /** Every parameter of all fields of one of the two names. */
  parametersOf(field: 'content-type' | 'content-disposition'): readonly Parameter[] {
    const fields = field === 'content-type' ? this.types : this.dispositions;
    return fields.length === 1 && fields[0] ? fields[0].parameters : fields.flatMap((one) => one.parameters);
  }

  /** Every name in these fields. */
  get names(): readonly string[] {
    if (this.#names) return this.#names;
    const list = new NameList();
    list.addParameters('content-disposition', this.parametersOf('content-disposition'));
    list.addParameters('content-type', this.parametersOf('content-type'));
    for (const text of this.#namingFields) list.addField(text);
    this.#names = list.all;
    return this.#names;
  }
}

function boundariesOf(types: readonly Structured[], accepts: (type: string) => boolean): readonly string[] {
  const boundaries: string[] = [];
  for (const field of types) if (accepts(field.value)) boundaries.push(...field.literals('boundary'));
  if (boundaries.length === 0) return NONE;
  const bytes = boundaries.map((boundary) =>
    /[^\0-\x7f]/.test(boundary) ? encodeText(boundary).toString('latin1') : boundary,
  );
  return bytes.length === 1 ? bytes : [...new Set(bytes)];
}

/** The fields of a part that has none. */
export const noContentFields: ContentFields = new ContentFields([], [], ['identity'], []);

/** Reads them, in the order of the header section. */
export function readContentFields(fields: readonly ContentField[]): ContentFields {
  const types: Structured[] = [];
  const dispositions: Structured[] = [];
  const encodings: string[] = [];
  const namingFields: string[] = [];
  for (const { name, read } of fields) {
    if (name === 'content-type') types.push(parseStructured(read()));
    else if (name === 'content-disposition') dispositions.push(parseStructured(read()));
    else if (name === 'content-transfer-encoding') encodings.push(read());
    else namingFields.push(read());
  }
  return new ContentFields(types, dispositions, parseEncodings(encodings), namingFields);
}
