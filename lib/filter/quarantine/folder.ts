/**
 * The folder of held messages: each a compressed file, named by the SHA-256 of what is in it, so that nothing in the mail
 * chooses a name and one message is stored once. `zcat` reads them. What lies about from a crash never bears such a name.
 */
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { opendir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { createGzip, gunzip } from 'node:zlib';
import type { Logger } from '../../index.ts';
import { FolderSize } from '../folder-size.ts';
import { makeFolder, writeSafely } from '../safe-file.ts';

/** There is no room for another message. */
export class QuarantineFull extends Error {
  override readonly name: string = 'QuarantineFull';
}

/** A message in the folder. */
export interface StoredMessage {
  /** Of the message as it was received: its name. */
  readonly sha256: string;
  /** Bytes of the message. */
  readonly size: number;
}

/** What is in the folder. */
export interface FolderEntry {
  readonly name: string;
  /** Undefined for what is no message: a file that was never finished, or none of ours. */
  readonly sha256: string | undefined;
  readonly bytes: number;
  /** Milliseconds since 1970. */
  readonly changed: number;
}

/** Bytes that are hashed before other work gets its turn. */
const CHUNK = 256 * 1024;

const SUFFIX = '.eml.gz';
/** A message that is about to be removed. */
const ASIDE = '.gone';
const unzip = promisify(gunzip);

/** The folder. */
export class HeldFolder {
  readonly path: string;
  readonly #size: FolderSize;
  readonly #log: Logger;
  #warned = false;

  constructor(path: string, most: number, log: Logger) {
    this.path = path;
    this.#size = new FolderSize(most, () => this.#sum());
    this.#log = log;
  }

  /** Compressed bytes that may be in it. */
  get most(): number {
    return this.#size.most;
  }

  /**
   * Stores a message; resolves when it is safe on disk.
   * @throws QuarantineFull where there is no room for it
   */
  async write(pieces: readonly Buffer[]): Promise<StoredMessage> {
    await makeFolder(this.path, 0o700);
    await this.#size.measure();
    const hash = createHash('sha256');
    let written = 0;
    const count = (bytes: number): void => {
      this.#take(bytes);
      written += bytes;
    };
    let sha256: string | undefined;
    const name = (): string => {
      sha256 ??= hash.digest('hex');
      return this.#file(sha256);
    };
    try {
      await writeSafely(compress(pieces, hash, count), join(this.path, `.new-${randomUUID()}`), name);
    } catch (error) {
      this.#size.giveBack(written);
      throw isNoSpace(error) ? new QuarantineFull('the disk is full', { cause: error }) : error;
    }
    return { sha256: sha256 ?? '', size: pieces.reduce((sum, { length }) => sum + length, 0) };
  }

  /** The message, as it was received. Rejects where it is not there, or is not what it was. */
  async read(sha256: string): Promise<Buffer> {
    const message = await unzip(await this.#read(this.#file(sha256)));
    const hash = createHash('sha256');
    for (const chunk of inChunks([message])) {
      hash.update(chunk);
      await turn();
    }
    if (hash.digest('hex') !== sha256) {
      throw new Error(`${this.#file(sha256)} is not the message that was stored there`);
    }
    return message;
  }

  /** Whoever set it aside may have died of it. */
  async #read(file: string): Promise<Buffer> {
    try {
      return await readFile(file);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await this.putBack();
      return await readFile(file);
    }
  }

  /** Whether it is there. */
  async has(sha256: string): Promise<boolean> {
    return (await sizeOf(this.#file(sha256))) !== undefined;
  }

  /**
   * Removes a message, unless somebody wants it. Somebody who begins to want it meanwhile, and looks whether it is there
   * afterwards, either finds it or sees that it must be written anew.
   */
  async remove(sha256: string, isWanted: () => Promise<boolean>): Promise<void> {
    if (await isWanted()) return;
    const file = this.#file(sha256);
    const aside = join(this.path, `.${sha256}.${randomUUID()}${ASIDE}`);
    try {
      await rename(file, aside);
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    let wanted = true;
    try {
      wanted = await isWanted();
    } finally {
      if (wanted) await putBack(aside, file);
    }
    if (wanted) return;
    this.#size.giveBack((await sizeOf(aside)) ?? 0);
    await rm(aside, { force: true });
  }

  /** Removes what is no message. */
  async removeOther({ name, sha256 }: FolderEntry): Promise<void> {
    if (sha256 === undefined) await rm(join(this.path, name), { force: true });
  }

  /** Puts back messages that a crash left aside: whether they are wanted is to be seen then. */
  async putBack(): Promise<void> {
    for await (const { name } of this.entries()) {
      const sha256 = name.endsWith(ASIDE) ? name.slice(1, 65) : '';
      if (isName(sha256)) await putBack(join(this.path, name), this.#file(sha256));
    }
  }

  /** What is in it, in no order. Empty where there is no such folder yet. */
  async *entries(): AsyncGenerator<FolderEntry> {
    let folder: Awaited<ReturnType<typeof opendir>>;
    try {
      folder = await opendir(this.path);
    } catch (error) {
      if (isMissing(error)) return;
      throw error;
    }
    for await (const { name } of folder) {
      const found = await statOf(join(this.path, name));
      if (found === undefined) continue;
      const plain = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : '';
      yield {
        name,
        sha256: isName(plain) ? plain : undefined,
        bytes: found.size,
        changed: found.mtimeMs,
      };
    }
  }

  /** Makes room for so many bytes, or refuses them. */
  #take(bytes: number): void {
    const isTaken = this.#size.take(bytes);
    const { used, most, isNearlyFull } = this.#size;
    if (!isTaken) throw new QuarantineFull(`the quarantine is full: ${used} of ${most} bytes (max_size)`);
    if (isNearlyFull && !this.#warned) {
      this.#log.warn(
        { path: this.path, bytes: used, max_size: most },
        `the quarantine is ${Math.round((100 * used) / most)} % full; beyond max_size mail is tempfailed`,
      );
    }
    this.#warned = isNearlyFull;
  }

  async #sum(): Promise<number> {
    let bytes = 0;
    for await (const entry of this.entries()) bytes += entry.bytes;
    return bytes;
  }

  #file(sha256: string): string {
    if (!isName(sha256)) throw new Error('not the name of a held message');
    return join(this.path, `${sha256}${SUFFIX}`);
  }
}

/** Another process may have done the same. */
async function putBack(aside: string, file: string): Promise<void> {
  try {
    await rename(aside, file);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** Compresses a message, in turns of the event loop, and hashes what goes in. */
async function* compress(
  pieces: readonly Buffer[],
  hash: Hash,
  count: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  const hashed = function* (): Generator<Buffer> {
    for (const chunk of inChunks(pieces)) {
      hash.update(chunk);
      yield chunk;
    }
  };
  const gzip = createGzip();
  const feeding = pipeline(Readable.from(hashed()), gzip);
  // Where nobody reads on, there is nobody to be told.
  feeding.catch(() => {});
  for await (const chunk of gzip as AsyncIterable<Buffer>) {
    count(chunk.length);
    yield chunk;
  }
  await feeding;
}

function* inChunks(pieces: readonly Buffer[]): Generator<Buffer> {
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += CHUNK) yield piece.subarray(at, at + CHUNK);
  }
}

function isName(text: string): boolean {
  return /^[\da-f]{64}$/.test(text);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function isNoSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}

async function statOf(
  path: string,
): Promise<{ readonly size: number; readonly mtimeMs: number } | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await statOf(path))?.size;
}
