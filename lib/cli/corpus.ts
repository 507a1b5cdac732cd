/** Where messages are in mboxes, maildirs and folders. Nothing is kept of them but that. */
import { createReadStream } from 'node:fs';
import { open, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { MilterError } from '../errors.ts';

/** One message. */
export interface CorpusItem {
  readonly file: string;
  /** Its place among the messages of an mbox, from 1; undefined for a file of its own. */
  readonly number: number | undefined;
  /** Bytes of the file: from here, and up to there. */
  readonly start: number;
  readonly end: number;
}

/** A message as reports call it. */
export function itemName({ file, number }: CorpusItem): string {
  return number === undefined ? file : `${file}#${number}`;
}

/**
 * All messages at these paths, in order of the paths: of an mbox each, of a maildir those in `cur` and `new`, of any other
 * folder all files below it that are not hidden.
 * @throws MilterError for a path that cannot be read
 */
export async function* readCorpus(paths: readonly string[]): AsyncGenerator<CorpusItem> {
  for (const path of paths) {
    const found = await stat(path).catch((cause: unknown) => {
      throw new MilterError('ERR_MILTER_OPTION', `cannot read ${path}`, { cause });
    });
    yield* found.isDirectory() ? readFolder(path) : readFile(path);
  }
}

async function* readFolder(folder: string): AsyncGenerator<CorpusItem> {
  const files: string[] = [];
  const folders: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (entry.isDirectory()) folders.push(entry.name);
    else if (entry.isFile() && !entry.name.startsWith('.')) files.push(entry.name);
  }
  const isMaildir = folders.includes('cur') && folders.includes('new');
  // A maildir's own files are indexes of servers, and what is in tmp is half written.
  if (!isMaildir) for (const name of files.sort()) yield* readFile(join(folder, name));
  for (const name of folders.sort()) if (!isMaildir || name !== 'tmp') yield* readFolder(join(folder, name));
}

async function* readFile(file: string): AsyncGenerator<CorpusItem> {
  const handle = await open(file);
  let head: string;
  let size: number;
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(5), 0, 5, 0);
    head = buffer.toString('latin1', 0, bytesRead);
    ({ size } = await handle.stat());
  } finally {
    await handle.close();
  }
  if (head !== 'From ') yield { file, number: undefined, start: 0, end: size };
  else yield* readMbox(file);
}

const SEPARATOR = Buffer.from('\nFrom ');
/** What may be cut off by the end of a chunk: an empty line and the separator. */
const OVERLAP = SEPARATOR.length + 3;

/** A message begins at each line "From " behind an empty line. */
async function* readMbox(file: string): AsyncGenerator<CorpusItem> {
  let number = 0;
  let start = 0;
  let kept: Buffer = Buffer.alloc(0);
  /** Where `kept` begins in the file. */
  let base = 0;
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    const bytes = Buffer.concat([kept, chunk]);
    for (let at = bytes.indexOf(SEPARATOR); at >= 0; at = bytes.indexOf(SEPARATOR, at + 1)) {
      const next = base + at + 1;
      if (next <= start || !isBehindEmptyLine(bytes, at)) continue;
      yield { file, number: ++number, start, end: next };
      start = next;
    }
    kept = bytes.subarray(Math.max(0, bytes.length - OVERLAP));
    base += bytes.length - kept.length;
  }
  yield { file, number: ++number, start, end: base + kept.length };
}

function isBehindEmptyLine(bytes: Buffer, newline: number): boolean {
  const before = bytes[newline - 1] === 0x0d ? newline - 2 : newline - 1;
  return bytes[before] === 0x0a;
}

/** The bytes of a message; of an mbox without what its format added. */
export async function readItem({ file, number, start, end }: CorpusItem): Promise<Buffer> {
  const handle = await open(file);
  try {
    const bytes = Buffer.alloc(end - start);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
    const read = bytes.subarray(0, bytesRead);
    return number === undefined ? read : unquoted(read);
  } finally {
    await handle.close();
  }
}

/** Without the line "From " and with lines that were quoted because they began so (mboxrd). */
function unquoted(bytes: Buffer): Buffer {
  const text = bytes
    .toString('latin1')
    .replace(/^From [^\n]*\n/, '')
    .replace(/^>(>*From )/gm, '$1');
  return Buffer.from(text, 'latin1');
}
