/**
 * A text with files in it, uuencoded or yEncoded, taken apart so that files can go and every other byte stays.
 */
import type { PartList, Writable } from './container.ts';
import { readContentFields } from './content-fields.ts';
import type { Encoding } from './encodings.ts';
import type { Layout } from './layout.ts';
import { formatParameter } from './parameters.ts';
import { encodeFile, findFiles, holdsBegin, type TextFile } from './uuencode.ts';

/** Text, file, text … A file that is taken out leaves nothing behind. */
export class TextWithFiles<P extends Writable> implements PartList<P> {
  readonly boundary: undefined;
  /** Whether all this lies in the decoded body of its part. */
  readonly encoded: boolean;
  readonly #pieces: (Buffer | P)[];
  #parts: readonly P[];

  private constructor(encoded: boolean, pieces: (Buffer | P)[], parts: readonly P[]) {
    this.encoded = encoded;
    this.#pieces = pieces;
    this.#parts = parts;
  }

  /** Takes a text apart; undefined where there is no file in it. */
  static find<P extends Writable>(
    text: Buffer,
    encoded: boolean,
    makePart: (file: TextFile) => P | undefined,
  ): TextWithFiles<P> | undefined {
    const pieces: (Buffer | P)[] = [];
    const parts: P[] = [];
    let position = 0;
    for (const file of findFiles(text)) {
      const part = makePart(file);
      if (!part) break;
      pieces.push(text.subarray(position, file.start), part);
      parts.push(part);
      position = file.end;
    }
    if (parts.length === 0) return undefined;
    pieces.push(text.subarray(position));
    return new TextWithFiles(encoded, pieces, parts);
  }

  /** The files, in order. */
  get parts(): readonly P[] {
    return this.#parts;
  }

  remove(part: P): void {
    const at = this.#pieces.indexOf(part);
    if (at >= 0) this.#pieces.splice(at, 1);
    this.#parts = this.#parts.filter((one) => one !== part);
  }

  /** Appends all to `out`. Answers as parts do. */
  write(out: Buffer[]): boolean {
    let isOpen = false;
    for (const piece of this.#pieces) {
      if (Buffer.isBuffer(piece)) out.push(piece);
      const isThere = Buffer.isBuffer(piece) ? piece.length > 0 : piece.write(out);
      isOpen ||= isThere;
    }
    return isOpen;
  }
}

/**
 * Whether a file may be in this text: nearly always the bytes tell that there is none before they are decoded. Of
 * quoted-printable text a line may start with an escape, or with what is none and stands as it is, and be cut anywhere.
 */
export function mayHoldFile(bytes: Buffer, encoding: Encoding): boolean {
  if (encoding === 'identity') return holdsBegin(bytes);
  if (encoding !== 'quoted-printable') return true;
  for (let line = 0; line < bytes.length; ) {
    const first = bytes[line];
    if (first === 0x62 || first === 0x3d) {
      if (
        /^(?:b(?:=|e(?:=|g(?:=|i(?:=|n))))|=62|=y|=3d(?:y|=))/i.test(bytes.toString('latin1', line, line + 5))
      )
        return true;
    }
    const lineFeed = bytes.indexOf(0x0a, line);
    if (lineFeed < 0) return false;
    line = lineFeed + 1;
  }
  return false;
}

/** A changed file as it stands in the text around it, every line ended. */
export function writeFile(file: FileInText, lineEnd: string): Buffer {
  if (!file.contentType.startsWith('text/')) return encodeFile(file.content(), file.names[0] ?? '', lineEnd);
  const text = file.text().replace(/[^\0-\x7f]/gu, '?');
  return Buffer.from(text === '' || text.endsWith('\n') ? text : text + lineEnd, 'latin1');
}

interface FileInText {
  readonly contentType: string;
  readonly names: readonly string[];
  content(): Buffer;
  text(): string;
}

/** A file as a part of the text it stands in, with the header section that it would have as a part. */
export function layoutOfFile(source: Buffer, { name, start, end }: TextFile, depth: number): Layout {
  const fields = [
    ['content-type', 'application/octet-stream'],
    ['content-disposition', `attachment; ${formatParameter('filename', name)}`],
    ['content-transfer-encoding', 'x-uuencode'],
  ] as const;
  return {
    source,
    parent: undefined,
    depth,
    start,
    headerEnd: start,
    bodyStart: start,
    end,
    type: 'application/octet-stream',
    madeUpHeader: Buffer.from(fields.map(([field, value]) => `${field}: ${value}\r\n`).join('')),
    boundary: undefined,
    fields: readContentFields(fields.map(([field, value]) => ({ name: field, read: () => value }))),
    children: [],
    delimiters: [],
    close: -1,
  };
}
