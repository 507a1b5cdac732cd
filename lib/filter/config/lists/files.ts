/**
 * Lists that stand in files: read when the configuration is, and anew when they change. A change is looked for by
 * {@link ListFiles.refresh}, which the filter calls every few seconds, never on the way of a mail.
 */
import { type BigIntStats, readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { setImmediate as breathe } from 'node:timers/promises';
import { show } from '../../../options.ts';
import { BadValue, type FileFault } from '../faults.ts';

/** What entries are gathered into. */
export interface Entries {
  /** A `#` begins a comment only at the start of a line: elsewhere it may be part of an entry. @default false */
  readonly wholeLines?: boolean;
  /**
   * @param line where it stands in its file, from 1
   * @throws BadValue for what is no entry
   */
  add(entry: string, line: number): void;
  /** Called when all are in it. @throws BadValue for a list that is none, whatever its entries */
  end?(): void;
}

/** A list in a file: what it held when it was last right. */
export interface ListFile<E extends Entries> {
  readonly path: string;
  readonly entries: E;
}

/** Who is told of new versions. */
export interface ListWatcher {
  readonly changed?: (path: string) => void;
  /** Once for each bad version; the old one stays. */
  readonly failed?: (path: string, faults: readonly FileFault[]) => void;
}

const MAX_BYTES = 64 * 1024 * 1024;
const MAX_ENTRY = 4_000;
/** More are of no use to anybody. */
const MAX_FAULTS = 20;
/** Lines between which other work may run: some milliseconds, if each is a regular expression. */
const LINES_AT_ONCE = 100;

interface Watched {
  readonly file: { readonly path: string; entries: Entries };
  readonly make: () => Entries;
  /** Of the version read last, good or bad. */
  version: string;
}

/** The files of one configuration. The same file may hold lists of several kinds. */
export class ListFiles {
  readonly #watched = new Map<object, Map<string, Watched>>();
  #before: ListFiles | undefined;
  #refreshing: Promise<void> | undefined;

  /** @param before those of the configuration that this one follows: what they read need not be read again */
  constructor(before?: ListFiles) {
    this.#before = before;
  }

  /** To be called when the configuration was read: lists that it does not have any more are looked at no longer. */
  settle(): void {
    this.#before = undefined;
  }

  /**
   * Reads a file, or gives what was read of it before.
   * @param kind tells lists apart that are made differently; `make` makes an empty one
   * @throws BadValue with all faults of the file
   */
  open<E extends Entries>(path: string, kind: object, make: () => E): ListFile<E> {
    const files = this.#watched.get(kind) ?? new Map<string, Watched>();
    this.#watched.set(kind, files);
    const known = files.get(path) ?? this.#before?.find(kind, path);
    if (known !== undefined) {
      files.set(path, known);
      return known.file as ListFile<E>;
    }
    const { version, text } = readNow(path);
    const reader = new LineReader(path, text, make());
    while (reader.read(Number.POSITIVE_INFINITY));
    if (reader.faults.length > 0) throw new BadValue(`${show(path)} has faults`, reader.faults);
    reader.entries.end?.();
    const file = { path, entries: reader.entries };
    files.set(path, { file, make, version });
    return file;
  }

  /** @internal */
  find(kind: object, path: string): Watched | undefined {
    return this.#watched.get(kind)?.get(path);
  }

  /** Reads what has changed. A bad new version is told of once, and the old one stays. Never rejects. */
  refresh(watcher: ListWatcher = {}): Promise<void> {
    this.#refreshing ??= this.#refresh(watcher).finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #refresh(watcher: ListWatcher): Promise<void> {
    for (const files of this.#watched.values()) {
      for (const watched of files.values()) await refreshOne(watched, watcher);
    }
  }
}

async function refreshOne(watched: Watched, watcher: ListWatcher): Promise<void> {
  const { file, make } = watched;
  let version = '';
  try {
    version = versionOf(file.path, await stat(file.path, { bigint: true }));
    if (version === watched.version) return;
    // The version is that before reading: what is written meanwhile is another one.
    watched.version = version;
    const reader = new LineReader(file.path, decode(file.path, await readFile(file.path)), make());
    while (reader.read(LINES_AT_ONCE)) await breathe();
    if (reader.faults.length > 0) return watcher.failed?.(file.path, reader.faults);
    reader.entries.end?.();
    file.entries = reader.entries;
    watcher.changed?.(file.path);
  } catch (error) {
    const message = error instanceof BadValue ? error.message : unreadable(error);
    // The same failure again and again is one.
    if (version === '' && watched.version === message) return;
    if (version === '') watched.version = message;
    watcher.failed?.(file.path, [{ file: file.path, line: 0, column: 0, message }]);
  }
}

/** Puts the lines of a text into a list, so many at a time. */
class LineReader<E extends Entries> {
  readonly faults: FileFault[] = [];
  readonly entries: E;
  readonly #path: string;
  readonly #text: string;
  #at = 0;
  #line = 0;

  constructor(path: string, text: string, entries: E) {
    this.#path = path;
    this.#text = text;
    this.entries = entries;
  }

  /** Reads the next lines; false when there are no more. */
  read(lines: number): boolean {
    const text = this.#text;
    for (let n = 0; n < lines; n++) {
      if (this.#at >= text.length || this.faults.length >= MAX_FAULTS) return false;
      const newline = text.indexOf('\n', this.#at);
      const end = newline < 0 ? text.length : newline;
      this.#readLine(text.slice(this.#at, end));
      this.#at = end + 1;
    }
    return true;
  }

  #readLine(line: string): void {
    this.#line++;
    const comment = this.entries.wholeLines === true ? /^\s*#.*$/s : /(^|\s)#.*$/s;
    const entry = line.replace(comment, '').trim();
    if (entry === '') return;
    try {
      if (entry.length > MAX_ENTRY) throw new BadValue(`is longer than ${MAX_ENTRY} characters`);
      this.entries.add(entry, this.#line);
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      const column = line.indexOf(entry) + 1;
      this.faults.push({ file: this.#path, line: this.#line, column, message: error.message });
    }
  }
}

/** @throws BadValue where the file cannot be read, or is no text */
export function readNow(path: string): { version: string; text: string } {
  try {
    const version = versionOf(path, statSync(path, { bigint: true }));
    return { version, text: decode(path, readFileSync(path)) };
  } catch (error) {
    throw error instanceof BadValue ? error : new BadValue(unreadable(error));
  }
}

function versionOf(path: string, found: BigIntStats): string {
  if (!found.isFile()) throw new BadValue(`${show(path)} is no file`);
  if (found.size > MAX_BYTES) {
    throw new BadValue(`${show(path)} is larger than the ${MAX_BYTES / 1024 / 1024} MiB that are read`);
  }
  return `${found.ino} ${found.size} ${found.mtimeNs}`;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function decode(path: string, bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new BadValue(`${show(path)} is no text in UTF-8`);
  }
}

function unreadable(error: unknown): string {
  return `cannot be read: ${error instanceof Error ? error.message : String(error)}`;
}
