/**
 * Files written as text the way of uuencode (POSIX, its base64 form too) and of yEnc: finding them among other text, reading
 * and writing them.
 */

const LF = 0x0a;
const CR = 0x0d;

/** One file in a text. */
export interface TextFile {
  readonly name: string;
  /** The first byte of the line that begins it. */
  readonly start: number;
  /** Behind the line that ends it; without one, behind the last line that looks like its data. */
  readonly end: number;
}

const WORD = Buffer.from('begin');
const UU_LINE = Buffer.from('\nbegin');
const YENC_LINE = Buffer.from('\n=ybegin ');
/** How many files one text may have; the rest stays text. */
const MAX_FILES = 1000;
/** Longer lines begin no file. */
const MAX_BEGIN = 1024;

const BEGIN = /^(?:begin(?:-base64)? +[0-7]{3,4} +(\S[^\r\n]*)|=ybegin [^\r\n]*?name=([^\r\n]+))/;

/** The files in a text, in order. Linear in its length. */
export function findFiles(text: Buffer): readonly TextFile[] {
  const files: TextFile[] = [];
  const search = new BeginSearch(text);
  for (let line = search.next(0); line >= 0 && files.length < MAX_FILES; ) {
    const name = beginName(text, line);
    const end = name === undefined ? line + 1 : fileEnd(text, line);
    if (name !== undefined) files.push({ name, start: line, end });
    line = search.next(end);
  }
  return files;
}

/** The first line that begins a file, or -1, and the name on it. */
function findFirst(text: Buffer): { readonly line: number; readonly name: string | undefined } {
  const search = new BeginSearch(text);
  for (let line = search.next(0); line >= 0; line = search.next(line + 1)) {
    const name = beginName(text, line);
    if (name !== undefined) return { line, name };
  }
  return { line: -1, name: undefined };
}

/** Whether any line starts as those do that begin a file. */
export function holdsBegin(text: Buffer): boolean {
  // Nearly no text has the word, which both kinds have in common.
  if (!text.includes(WORD)) return false;
  return new BeginSearch(text).next(0) >= 0;
}

/** The name on the first line that begins a file; undefined where none does. */
export function firstFileName(text: Buffer): string | undefined {
  return findFirst(text).name;
}

/** Goes from one line that starts as those do that begin a file to the next. */
class BeginSearch {
  readonly #text: Buffer;
  /** Where the next line break in front of either kind is, as far as known. */
  #uuencoded = -1;
  #yencoded = -1;

  constructor(text: Buffer) {
    this.#text = text;
  }

  /** The next such line from `from` on, or -1. */
  next(from: number): number {
    const text = this.#text;
    if (from === 0 && startsFile(text, 0)) return 0;
    const at = Math.max(0, from - 1);
    const find = (line: Buffer) => {
      const found = text.indexOf(line, at);
      return found < 0 ? Number.POSITIVE_INFINITY : found;
    };
    // What was found behind `from` need not be found again.
    if (this.#uuencoded < at) this.#uuencoded = find(UU_LINE);
    if (this.#yencoded < at) this.#yencoded = find(YENC_LINE);
    const found = Math.min(this.#uuencoded, this.#yencoded);
    return found === Number.POSITIVE_INFINITY ? -1 : found + 1;
  }
}

function startsFile(text: Buffer, line: number): boolean {
  const first = text[line];
  if (first === 0x62) return text.toString('latin1', line, line + 5) === 'begin';
  return first === 0x3d && text.toString('latin1', line, line + 8) === '=ybegin ';
}

function beginName(text: Buffer, line: number): string | undefined {
  const match = BEGIN.exec(text.toString('utf8', line, Math.min(text.length, line + MAX_BEGIN)));
  return (match?.[1] ?? match?.[2])?.trim();
}

function lineEnd(text: Buffer, line: number): number {
  const lineFeed = text.indexOf(LF, line);
  return lineFeed < 0 ? text.length : lineFeed + 1;
}

function fileEnd(text: Buffer, begin: number): number {
  const isYenc = text[begin] === 0x3d;
  const isBase64 = !isYenc && text[begin + 5] === 0x2d;
  let at = lineEnd(text, begin);
  while (at < text.length) {
    const next = lineEnd(text, at);
    const word = text.toString('latin1', at, Math.min(next, at + 6)).trimEnd();
    if (isYenc ? word.startsWith('=yend') : word === (isBase64 ? '====' : 'end')) return next;
    const isData = isYenc
      ? !startsFile(text, at)
      : hasOnly(text, at, next, isBase64 ? isBase64Code : isUuCode);
    if (!isData) return at;
    at = next;
  }
  return at;
}

function hasOnly(text: Buffer, from: number, to: number, accepts: (code: number) => boolean): boolean {
  let last = to;
  while (last > from && (text[last - 1] === LF || text[last - 1] === CR)) last--;
  for (let i = from; i < last; i++) if (!accepts(text[i] ?? 0)) return false;
  return last > from;
}

function isUuCode(code: number): boolean {
  return code >= 0x20 && code <= 0x60;
}

function isBase64Code(code: number): boolean {
  return /[A-Za-z0-9+/=]/.test(String.fromCharCode(code));
}

/** The content of the first file in a text; what stands around it is no content. Without a begin, of all its lines. */
export function decodeFile(text: Buffer): Buffer {
  const { line: begin } = findFirst(text);
  const data = begin < 0 ? 0 : lineEnd(text, begin);
  if (begin >= 0 && text[begin] === 0x3d) return decodeYenc(text, data);
  if (begin >= 0 && text[begin + 5] === 0x2d) {
    const end = text.indexOf('====', data, 'latin1');
    return Buffer.from(text.toString('latin1', data, end < 0 ? text.length : end), 'base64');
  }
  return decodeLines(text, data);
}

function decodeLines(text: Buffer, data: number): Buffer {
  // What is missing at the end of a line were spaces, which stand for zeros: no more of them than there is text.
  const decoded = Buffer.allocUnsafe(text.length - data + 66);
  let length = 0;
  for (let line = data; line < text.length && length < text.length - data; ) {
    const next = lineEnd(text, line);
    let end = next;
    while (end > line && (text[end - 1] === LF || text[end - 1] === CR)) end--;
    const bytes = ((text[line] ?? 0) - 32) & 63;
    const isEnd = end - line === 3 && text.toString('latin1', line, end) === 'end';
    if (isEnd || end === line || bytes === 0) break;
    const first = length;
    for (let i = line + 1; length < first + bytes; i += 4) {
      const [a, b, c, d] = [0, 1, 2, 3].map((k) => (i + k < end ? ((text[i + k] ?? 0) - 32) & 63 : 0));
      const group = ((a ?? 0) << 18) | ((b ?? 0) << 12) | ((c ?? 0) << 6) | (d ?? 0);
      decoded[length++] = group >> 16;
      decoded[length++] = group >> 8;
      decoded[length++] = group;
    }
    length = Math.min(length, first + bytes);
    line = next;
  }
  return decoded.subarray(0, length);
}

function decodeYenc(text: Buffer, data: number): Buffer {
  const decoded = Buffer.allocUnsafe(text.length - data);
  let length = 0;
  for (let line = data; line < text.length; ) {
    const next = lineEnd(text, line);
    if (text[line] === 0x3d && text[line + 1] === 0x79) {
      if (text.toString('latin1', line, line + 5) === '=yend') break;
    } else {
      for (let i = line; i < next; i++) {
        let byte = text[i] ?? 0;
        if (byte === LF || byte === CR) continue;
        if (byte === 0x3d) byte = (text[++i] ?? 0) - 64;
        decoded[length++] = byte - 42;
      }
    }
    line = next;
  }
  return decoded.subarray(0, length);
}

/** Writes a file as uuencode does, every line ended. */
export function encodeFile(content: Buffer, name: string, lineEnd: string): Buffer {
  const safe = name.replace(/[^\x20-\x7e]/gu, '_').trim() || 'file';
  const code = (value: number) => String.fromCharCode(value === 0 ? 0x60 : value + 32);
  const lines = [`begin 644 ${safe}`];
  for (let at = 0; at < content.length; at += 45) {
    const size = Math.min(45, content.length - at);
    let line = code(size);
    for (let i = at; i < at + size; i += 3) {
      const group = ((content[i] ?? 0) << 16) | ((content[i + 1] ?? 0) << 8) | (content[i + 2] ?? 0);
      line += code(group >> 18) + code((group >> 12) & 63) + code((group >> 6) & 63) + code(group & 63);
    }
    lines.push(line);
  }
  lines.push('`', 'end', '');
  return Buffer.from(lines.join(lineEnd), 'latin1');
}
