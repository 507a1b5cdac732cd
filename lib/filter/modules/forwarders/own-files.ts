/**
 * Lists that users own, such as `/home/ann/.forwarders`: a forwarder's domain a line. They are read with the rights of the filter,
 * never with those of root, and again when they have changed. Users write into them what they like, and nothing but lines of
 * domains comes of it.
 */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Logger } from '../../../index.ts';
import { aLabels, isDomain } from '../../kit.ts';

/** A line of such a list. */
export interface OwnLine {
  /** As A-labels. */
  readonly forwarder: string;
  /** Another word makes another address; empty where there is none. */
  readonly word: string;
}

const MAX_BYTES = 16 * 1024;
const MAX_LINES = 100;
/** So many users' lists are remembered. */
const MAX_KNOWN = 1_000;
/** As Unix names users. Nothing that leads elsewhere. */
const USER = /^[a-z0-9_][a-z0-9_.-]{0,63}$/i;
const OTHERS_WRITE = 0o022n;

interface Known {
  readonly version: string;
  readonly lines: readonly OwnLine[];
}

/** What reading them needs. */
export interface OwnFilesParts {
  readonly log: Logger;
  /** The effective user of this process. @default that */
  readonly uid?: () => number | undefined;
}

/** The lists of all users. */
export class OwnFiles {
  readonly #template: string;
  readonly #log: Logger;
  readonly #uid: () => number | undefined;
  readonly #known = new Map<string, Known>();

  /** @param template with `%{user}` */
  constructor(template: string, { log, uid = () => process.geteuid?.() }: OwnFilesParts) {
    this.#template = template;
    this.#log = log;
    this.#uid = uid;
  }

  /** What stands in a user's list; nothing where there is none, or none that may be read. */
  async read(user: string): Promise<readonly OwnLine[]> {
    if (!USER.test(user)) return [];
    const path = this.#template.replaceAll('%{user}', user);
    const known = this.#known.get(user);
    const { version, lines } = await this.#readAgain(path, known);
    this.#known.delete(user);
    this.#known.set(user, { version, lines });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(oldest);
    }
    return lines;
  }

  async #readAgain(path: string, known: Known | undefined): Promise<Known> {
    let file: FileHandle | undefined;
    let version: string;
    try {
      if (this.#uid() === 0) throw new Error('is not read by root: let the filter run as a user of its own');
      // A pipe must not keep us waiting, nor a symbolic link lead elsewhere.
      file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      const found = await file.stat({ bigint: true });
      version = `${found.ino} ${found.size} ${found.mtimeNs} ${found.mode} ${found.uid}`;
      if (known?.version === version) return known;
      await checkOwner(path, found);
      return { version, lines: this.#parse(path, await readAll(file)) };
    } catch (error) {
      version = error instanceof Error ? error.message : String(error);
      const isThere = !(error instanceof Error && 'code' in error && error.code === 'ENOENT');
      // The same failure again and again is one.
      if (isThere && known?.version !== version)
        this.#log.warn({ path, error: version }, 'a list of forwarders is not read');
      return { version, lines: [] };
    } finally {
      await file?.close();
    }
  }

  /** Lines that are none are told of, and left out: the others may be in use. */
  #parse(path: string, text: string): readonly OwnLine[] {
    const lines: OwnLine[] = [];
    for (const [index, line] of text.split('\n').entries()) {
      const [domain = '', word = '', ...more] = line
        .replace(/(?:^|\s)#.*$/s, '')
        .trim()
        .split(/\s+/);
      if (domain === '') continue;
      const forwarder = aLabels(domain);
      if (lines.length >= MAX_LINES || more.length > 0 || !isDomain(forwarder) || !forwarder.includes('.')) {
        this.#log.warn({ path, line: index + 1 }, 'a line of a list of forwarders is no domain of one');
        if (lines.length >= MAX_LINES) break;
      } else lines.push({ forwarder, word });
    }
    return lines;
  }
}

/** Who owns the folder, or root, wrote it, and nobody else could. */
async function checkOwner(path: string, { uid, mode, size, ...found }: BigIntStats): Promise<void> {
  if ((mode & BigInt(constants.S_IFMT)) !== BigInt(constants.S_IFREG)) throw new Error('is no plain file');
  const folder = await stat(dirname(path), { bigint: true });
  if (uid !== folder.uid && uid !== 0n) throw new Error('does not belong to the owner of its folder');
  if (((mode | folder.mode) & OTHERS_WRITE) !== 0n)
    throw new Error('may be written by others, or its folder: chmod go-w');
  if (found.nlink !== 1n) throw new Error('has another name besides (a hard link)');
  if (size > MAX_BYTES) throw new Error(`is larger than ${MAX_BYTES} bytes`);
}

/** No more than it may have, even if it grows meanwhile. */
async function readAll(file: FileHandle): Promise<string> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_BYTES), 0, MAX_BYTES, 0);
  return buffer.toString('utf8', 0, bytesRead);
}
