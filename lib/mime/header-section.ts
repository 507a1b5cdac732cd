/**
 * The header section of one part: lossless reading, editing field by field, and the list of what was changed.
 */
import { wrongArgument } from '../errors.ts';
import {
  fieldColon,
  type Header,
  type HeaderChange,
  isFieldName,
  makeHeader,
  smugglingByte,
} from '../headers.ts';
import { decodeText, encodeText } from '../text.ts';
import { type ContentField, contentFieldName } from './content-fields.ts';
import { nextLine } from './layout.ts';

const LF = 0x0a;
const CR = 0x0d;

/** One field, or a line that is none, as it is written. */
interface Entry {
  /** From the name to the end of the last line, line end included. */
  readonly bytes: Buffer;
  readonly header: Header | undefined;
  /** The field's name in lower case. */
  readonly key: string | undefined;
  /** Its place among the entries received; undefined for an added one. */
  readonly origin: number | undefined;
}

/** The fields of one part, in order. Lines that are no fields are kept but not shown. */
export class PartHeaders implements Iterable<Header> {
  readonly #received: Buffer;
  readonly #lineEnd: string;
  readonly #onChange: () => void;
  #entries: Entry[] | undefined;
  #changed: boolean = false;
  /** What {@link changes} counts from, where that is not the section received. */
  #base: readonly Entry[] | undefined;
  #edited: boolean = false;

  /** @param received The header section without the blank line that ends it. */
  constructor(received: Buffer, lineEnd: string, onChange: () => void) {
    this.#received = received;
    this.#lineEnd = lineEnd;
    this.#onChange = onChange;
  }

  /** Whether the section is another than the one received. */
  get changed(): boolean {
    return this.#changed;
  }

  /** Whether a field was set, added or removed since {@link rebase}. @internal */
  get edited(): boolean {
    return this.#edited;
  }

  /** Takes these for the fields, and for what {@link changes} counts from. @internal */
  rebase(section: Buffer): void {
    this.#changed ||= !section.equals(this.#received);
    this.#base = readEntries(section);
    this.#entries = [...this.#base];
    this.#edited = false;
    this.#onChange();
  }

  *[Symbol.iterator](): Generator<Header> {
    for (const { header } of this.#all()) if (header) yield header;
  }

  /** The fields that decide how the part is read, their names in lower case. @internal */
  contentFields(): readonly ContentField[] {
    const fields: ContentField[] = [];
    for (const { bytes, header } of this.#all()) {
      if (!header) continue;
      const name = contentFieldName(bytes, 0, header.name.length);
      if (name !== undefined) fields.push({ name, read: () => decodeText(header.raw) });
    }
    return fields;
  }

  /** The first field of this name, without regard to case. */
  get(name: string): Header | undefined {
    return this.#all()[this.#find(name)]?.header;
  }

  /** All fields of this name, in order. */
  getAll(name: string): readonly Header[] {
    const wanted = name.toLowerCase();
    return this.#all().flatMap(({ header, key }) => (header && key === wanted ? [header] : []));
  }

  /**
   * Gives the first field of this name another value, in place, and removes further ones; adds it where there is none.
   * A string is written after one space, as UTF-8; {@link encodeWords} makes it ASCII. Bytes are written as they are after
   * the colon.
   * @throws TypeError when the name is no field name or the value would start another line of the header section.
   */
  set(name: string, value: string | Uint8Array): void {
    const at = this.#find(name);
    const received = this.#all()[at];
    const entry = this.#make(received?.header?.name ?? name, value, received?.origin);
    if (at < 0) this.#all().push(entry);
    else {
      this.#remove(name, at + 1);
      this.#all()[at] = entry;
    }
    this.#touch();
  }

  /** Adds a field at the end of the section. Values and errors as for {@link set}. */
  add(name: string, value: string | Uint8Array): void {
    this.#all().push(this.#make(name, value, undefined));
    this.#touch();
  }

  /**
   * Gives fields of this name other values, in place, or takes them out.
   * @param change what becomes of each, in order: another value as for {@link set}, null for nothing, undefined for the same
   */
  rewrite(name: string, change: (header: Header) => string | Uint8Array | null | undefined): void {
    const wanted = name.toLowerCase();
    let touched = false;
    const entries = this.#all().flatMap((entry) => {
      const value = entry.header?.name.toLowerCase() === wanted ? change(entry.header) : undefined;
      if (value === undefined) return [entry];
      touched = true;
      return value === null ? [] : [this.#make(entry.header?.name ?? name, value, entry.origin)];
    });
    if (!touched) return;
    this.#entries = entries;
    this.#touch();
  }

  /** Removes every field of this name. */
  remove(name: string): void {
    if (this.#find(name) < 0) return;
    this.#remove(name, 0);
    this.#touch();
  }

  /** Adds the fields of another section whose names pass, byte for byte. */
  addFrom(other: PartHeaders, accepts: (name: string) => boolean): void {
    for (const entry of other.#all()) {
      if (entry.header && accepts(entry.header.name)) this.#all().push({ ...entry, origin: undefined });
    }
    this.#touch();
  }

  /** The whole section as it is to be written, every line ended. */
  toBytes(): Buffer {
    if (!this.#changed) return this.#received;
    // With an odd line in front, which a removed field may leave there, it would not be taken for a header section.
    const first = this.#all().findIndex(
      ({ header, bytes }) => header || bytes.toString('latin1', 0, 5) === 'From ',
    );
    const pieces =
      first < 0
        ? []
        : this.#all()
            .slice(first)
            .map((entry) => entry.bytes);
    return Buffer.concat(
      pieces.flatMap((piece) =>
        piece.at(-1) === LF ? [piece] : [piece, Buffer.from(this.#lineEnd, 'latin1')],
      ),
    );
  }

  /** What differs from the section as received, or from {@link rebase}: changed and deleted fields in order, then added ones. */
  changes(): readonly HeaderChange[] {
    if (!this.#edited) return [];
    const kept = new Map(this.#all().map((entry) => [entry.origin, entry]));
    const counts = new Map<string, number>();
    const changes: HeaderChange[] = [];
    for (const { header, origin } of this.#base ?? readEntries(this.#received)) {
      if (!header) continue;
      const { name } = header;
      const occurrence = (counts.get(name.toLowerCase()) ?? 0) + 1;
      counts.set(name.toLowerCase(), occurrence);
      const now = kept.get(origin)?.header;
      if (!now) changes.push({ kind: 'delete', name, occurrence });
      else if (!now.raw.equals(header.raw))
        changes.push({ kind: 'change', name, occurrence, raw: foldedWithLineFeed(now.raw) });
    }
    for (const { header, origin } of this.#all()) {
      if (header && origin === undefined)
        changes.push({ kind: 'add', name: header.name, raw: foldedWithLineFeed(header.raw) });
    }
    return changes;
  }

  #all(): Entry[] {
    this.#entries ??= readEntries(this.#received);
    return this.#entries;
  }

  #find(name: string): number {
    const wanted = name.toLowerCase();
    return this.#all().findIndex(({ key }) => key === wanted);
  }

  #remove(name: string, from: number): void {
    const wanted = name.toLowerCase();
    this.#entries = this.#all().filter(({ key }, i) => i < from || key !== wanted);
  }

  #make(name: string, value: string | Uint8Array, origin: number | undefined): Entry {
    if (!isFieldName(name)) {
      throw wrongArgument(`"${name}" is no header field name: use printable ASCII without colon or space`);
    }
    const text = typeof value === 'string' ? ` ${value.replace(/\r?\n/g, this.#lineEnd)}` : undefined;
    const raw = text === undefined ? Buffer.from(value as Uint8Array) : encodeText(text);
    if (smugglingByte(raw) >= 0) {
      throw wrongArgument(
        `the value of header field "${name}" holds NUL or a line break that no white space follows: fold it, or take it out`,
      );
    }
    const bytes = Buffer.concat([Buffer.from(`${name}:`), raw, Buffer.from(this.#lineEnd)]);
    return { bytes, header: makeHeader(name, raw), key: name.toLowerCase(), origin };
  }

  #touch(): void {
    this.#changed = true;
    this.#edited = true;
    this.#onChange();
  }
}

function foldedWithLineFeed(raw: Buffer): Buffer {
  return raw.includes(CR) ? Buffer.from(raw.toString('latin1').replaceAll('\r\n', '\n'), 'latin1') : raw;
}

function readEntries(section: Buffer): Entry[] {
  const entries: Entry[] = [];
  let position = 0;
  while (position < section.length) {
    const start = position;
    do {
      position = nextLine(section, position);
    } while (section[position] === 0x20 || section[position] === 0x09);
    const bytes = section.subarray(start, position);
    const colon = fieldColon(bytes, 0, bytes.length);
    const valueEnd = bytes.at(-1) !== LF ? bytes.length : bytes.length - (bytes.at(-2) === CR ? 2 : 1);
    const name = colon < 0 ? undefined : bytes.toString('latin1', 0, colon).trimEnd();
    const header = name === undefined ? undefined : makeHeader(name, bytes.subarray(colon + 1, valueEnd));
    entries.push({ bytes, header, key: name?.toLowerCase(), origin: entries.length });
  }
  return entries;
}
