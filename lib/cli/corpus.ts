/** Where messages are in mboxes, maildirs and folders. Nothing is kept of them but that. */
import { createReadStream, createWriteStream } from 'node:fs';
import { open, opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { MilterError } from '../errors.ts';
import { temporaryFolder } from './temporary.ts';

/** One message. */
export interface CorpusItem {
  readonly file: string;
  /** As reports call the file. */
  readonly name: string;
  /** Its place among the messages of an mbox, from 1; undefined for a file of its own. */
  readonly number: number | undefined;
  /** Bytes of the file: from here, and up to there. */
  readonly start: number;
  readonly end: number;
  /** Why it cannot be read. */
  readonly fault?: string;
}

/** A message as reports call it. */
export function itemName({ name, number }: CorpusItem): string {
  return number === undefined ? name : `${name}#${number}`;
}

/** A larger message than MTAs take is not read at all. */
const MAX_SIZE = 256 * 1024 * 1024;

/**
 * All messages at these paths, in order of the paths: of an mbox each, of a maildir those in `cur` and `new`, of any other
 * folder all files below it that are not hidden. `-` is standard input. What cannot be read below a folder is an item too:
 * {@link readItem} tells why.
 * @throws MilterError for a path that cannot be read
 */
export async function* readCorpus(paths: readonly string[]): AsyncGenerator<CorpusItem> {
  for (const path of paths) {
    const found = path === '-' ? undefined : await stat(path).catch(refuse(path));
    if (found?.isDirectory() === true) yield* readFolder(path);
    else if (found?.isFile() === true) yield* readFile(path);
    else yield* readStream(path);
  }
}

function refuse(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new MilterError('ERR_MILTER_OPTION', `cannot read ${path}`, { cause });
  };
}

/** What can be read only once, from its beginning, goes into a file first. */
async function* readStream(path: string): AsyncGenerator<CorpusItem> {
  const file = join(temporaryFolder('milter-replay-'), 'messages');
  const from = path === '-' ? process.stdin : createReadStream(path);
  await pipeline(from, createWriteStream(file, { mode: 0o600 })).catch(refuse(path));
  yield* readFile(file, path);
}

function unreadable(file: string, error: unknown): CorpusItem {
  const fault = error instanceof Error ? error.message : String(error);
  return { file, name: file, number: undefined, start: 0, end: 0, fault };
}

async function* readFolder(folder: string): AsyncGenerator<CorpusItem> {
  const files: string[] = [];
  const folders: string[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      if (entry.isDirectory()) folders.push(entry.name);
      else if (entry.isFile() && !entry.name.startsWith('.')) files.push(entry.name);
    }
  } catch (error) {
    yield unreadable(folder, error);
    return;
  }
  const isMaildir = folders.includes('cur') && folders.includes('new');
  // A maildir's own files are indexes of servers, and what is in tmp is half written.
  if (!isMaildir) for (const name of files.sort()) yield* readFile(join(folder, name));
  for (const name of folders.sort()) if (!isMaildir || name !== 'tmp') yield* readFolder(join(folder, name));
}

/** An empty file is no message. */
async function* readFile(file: string, name = file): AsyncGenerator<CorpusItem> {
  let head: string;
  let size: number;
  try {
    ({ head, size } = await lookInto(file));
  } catch (error) {
    yield unreadable(name, error);
    return;
  }
  if (head === 'From ') yield* readMbox(file, name);
  else if (size > 0) yield { file, name, number: undefined, start: 0, end: size };
}

async function lookInto(file: string): Promise<{ readonly head: string; readonly size: number }> {
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(5), 0, 5, 0);
  const { size } = await handle.stat();
  return { head: buffer.toString('latin1', 0, bytesRead), size };
}

const SEPARATOR = Buffer.from('\nFrom ');
/** What may be cut off by the end of a chunk: an empty line and the separator. */
const OVERLAP = SEPARATOR.length + 3;

/** A message begins at each line "From " behind an empty line. */
async function* readMbox(file: string, name: string): AsyncGenerator<CorpusItem> {
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
      yield { file, name, number: ++number, start, end: next };
      start = next;
    }
    kept = bytes.subarray(Math.max(0, bytes.length - OVERLAP));
    base += bytes.length - kept.length;
  }
  yield { file, name, number: ++number, start, end: base + kept.length };
}

function isBehindEmptyLine(bytes: Buffer, newline: number): boolean {
  const before = bytes[newline - 1] === 0x0d ? newline - 2 : newline - 1;
  return bytes[before] === 0x0a;
}

/**
 * The bytes of a message; of an mbox without what its format added.
 * @throws Error where it cannot be read, or is larger than 256 MiB
 */
export async function readItem({ file, number, start, end, fault }: CorpusItem): Promise<Buffer> {
  if (fault !== undefined) throw new Error(fault);
  if (end - start > MAX_SIZE) throw new Error('it is larger than 256 MiB');
  await using handle = await open(file);
  const bytes = Buffer.alloc(end - start);
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, start);
  const read = bytes.subarray(0, bytesRead);
  return number === undefined ? read : unquoted(read);
}

/** Without the line "From " and with lines that were quoted because they began so (mboxrd). */
function unquoted(bytes: Buffer): Buffer {
  const text = bytes
    .toString('latin1')
    .replace(/^From [^\n]*\n/, '')
    .replace(/^>(>*From )/gm, '$1');
  return Buffer.from(text, 'latin1');
}
