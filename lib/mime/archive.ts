/**
 * What is inside an attachment that is an archive, and inside the archives inside it.
 */

import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { wrongArgument } from '../errors.ts';
import { checkValue } from '../options.ts';
import {
  type ArchiveLimits,
  type ArchiveProblem,
  Budget,
  defaultArchiveLimits,
  LimitReached,
} from './archive-budget.ts';
import { type ArchiveFormat, archiveFormat } from './archive-formats.ts';
import { aBuffer } from './kinds.ts';
import { withLimits } from './limits.ts';
import { programFormat } from './programs.ts';
import { isTar, readTar } from './tar.ts';
import { readTnef } from './tnef.ts';
import { isTooLarge, openMember, peekMember, readZip, type ZipMember } from './zip.ts';

const inflate = promisify(gunzip);

/** One member of an archive, or of one inside it. */
export interface ArchiveMember {
  /** Its name there, folders included. */
  readonly name: string;
  /** The names of the archives around it and its own, joined by `/`. */
  readonly path: string;
  /** Whether its content cannot be read for want of a password. */
  readonly encrypted: boolean;
  /** The first bytes of its content, up to 512; empty if they cannot be had. */
  readonly head: Buffer;
  /** What program it is by these bytes: see {@link programFormat}. */
  readonly program: string | undefined;
  /** The kind of archive that it is itself; what is in it is listed too, as far as it can be. */
  readonly format: ArchiveFormat | undefined;
}

/** What was found in an archive. Of a damaged one what can be listed is; behind a limit there may be no members. */
export interface ArchiveListing {
  /** The kind of the archive itself. */
  readonly format: ArchiveFormat;
  /** Those of the archive and of the archives in it, in the order in which they were found. */
  readonly members: readonly ArchiveMember[];
  /** What could not be looked into, and why. */
  readonly problems: readonly ArchiveProblem[];
}

/**
 * Lists an archive and the archives in it. Resolves to undefined for what is none, or empty. Never rejects on any content; lets
 * the event loop turn.
 * @param names What the attachment is called: something called `.zip` that is none is a corrupt zip.
 */
export async function listArchive(
  bytes: Buffer,
  names: readonly string[] = [],
  limits?: Partial<ArchiveLimits>,
): Promise<ArchiveListing | undefined> {
  checkValue('listArchive: the archive', bytes, aBuffer, wrongArgument);
  const checked = withLimits(defaultArchiveLimits, limits);
  const format = archiveFormat(bytes, names);
  // Delivery reports have zip files of no bytes in them.
  if (!format || bytes.length === 0) return undefined;
  const lister = new Lister(new Budget(checked));
  await lister.list(bytes, format, names[0] ?? format, 1);
  return { format, members: lister.members, problems: lister.problems };
}

class Lister {
  readonly members: ArchiveMember[] = [];
  readonly problems: ArchiveProblem[] = [];
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  async list(bytes: Buffer, format: ArchiveFormat, path: string, depth: number): Promise<void> {
    try {
      if (depth > this.#budget.limits.depth) throw new LimitReached('depth');
      if (format === 'zip') await this.#listZip(bytes, path, depth);
      else if (format === 'tar') await this.#listTar(bytes, path, depth);
      else if (format === 'gzip') await this.#listGzip(bytes, path, depth);
      else if (format === 'tnef') await this.#listTnef(bytes, path, depth);
      else this.problems.push({ kind: 'unread', path, format });
    } catch (error) {
      if (!(error instanceof LimitReached)) throw error;
      const { limit } = error;
      if (!this.problems.some((problem) => problem.kind === 'limit' && problem.limit === limit)) {
        this.problems.push({ kind: 'limit', path, limit, value: this.#budget.limits[limit] });
      }
    }
  }

  async #listZip(bytes: Buffer, path: string, depth: number): Promise<void> {
    const { members, fault } = await readZip(bytes, this.#budget);
    if (fault !== undefined) this.problems.push({ kind: 'corrupt', path, reason: fault });
    if (members.some((member) => member.encrypted)) this.problems.push({ kind: 'encrypted', path });
    // Two names of one member are one thing to open.
    const opened = new Set<Buffer>();
    for (const member of members) {
      const head = peekMember(member, this.#budget);
      const { path: inner, format } = this.#note(member.name, path, head, member.encrypted);
      if (format === undefined || member.encrypted || member.data.length === 0 || opened.has(member.data))
        continue;
      opened.add(member.data);
      await this.#openZipMember(member, format, inner, depth);
    }
  }

  async #openZipMember(member: ZipMember, format: ArchiveFormat, path: string, depth: number): Promise<void> {
    const bytes = await openMember(member, this.#budget);
    if (bytes) await this.list(bytes, format, path, depth + 1);
    else if (member.method === 0 || member.method === 8) {
      this.problems.push({ kind: 'corrupt', path, reason: 'its data cannot be inflated' });
    } else this.problems.push({ kind: 'unread', path, format: `zip method ${member.method}` });
  }

  async #listTar(bytes: Buffer, path: string, depth: number): Promise<void> {
    if (!isTar(bytes)) {
      this.problems.push({ kind: 'corrupt', path, reason: 'it is no tar file' });
      return;
    }
    const { members, fault } = await readTar(bytes, this.#budget);
    if (fault !== undefined) this.problems.push({ kind: 'corrupt', path, reason: fault });
    for (const { name, data } of members) await this.#addMember(name, data, path, depth);
  }

  async #listGzip(bytes: Buffer, path: string, depth: number): Promise<void> {
    await this.#budget.countMember();
    let content: Buffer;
    try {
      content = await inflate(bytes, { maxOutputLength: this.#budget.inflatable });
    } catch (error) {
      if (isTooLarge(error)) throw new LimitReached('inflatedBytes');
      this.problems.push({ kind: 'corrupt', path, reason: 'its data cannot be inflated' });
      return;
    }
    this.#budget.countInflated(content.length);
    // What it is unpacked to: the name inside it, or its own without the suffix.
    const outer = path.slice(path.lastIndexOf('/') + 1);
    const name = readGzipName(bytes) ?? outer.replace(/\.gz$/i, '').replace(/\.tgz$/i, '.tar');
    await this.#addMember(name, content, path, depth);
  }

  async #listTnef(bytes: Buffer, path: string, depth: number): Promise<void> {
    const { members, fault } = await readTnef(bytes, this.#budget);
    if (fault !== undefined) this.problems.push({ kind: 'corrupt', path, reason: fault });
    for (const { names, data } of members) {
      const [first = 'attachment', ...others] = new Set(names.filter((name) => name !== ''));
      for (const name of others) {
        await this.#budget.countMember();
        this.#note(name, path, data, false);
      }
      await this.#addMember(first, data, path, depth);
    }
  }

  async #addMember(name: string, data: Buffer, path: string, depth: number): Promise<void> {
    const { path: inner, format } = this.#note(name, path, data, false);
    if (format !== undefined && data.length > 0) await this.list(data, format, inner, depth + 1);
  }

  /** Lists one member, known by its first bytes or all of it. */
  #note(name: string, outer: string, data: Buffer, encrypted: boolean): ArchiveMember {
    const head = data.subarray(0, 512);
    const member = {
      name,
      path: `${outer}/${name}`,
      encrypted,
      head,
      program: programFormat(head),
      format: archiveFormat(data, [name]),
    };
    this.members.push(member);
    return member;
  }
}

/** The original name in a gzip header (RFC 1952 section 2.3). */
function readGzipName(bytes: Buffer): string | undefined {
  const flags = bytes[3] ?? 0;
  if ((flags & 8) === 0) return undefined;
  const start = 10 + ((flags & 4) !== 0 && bytes.length >= 12 ? 2 + bytes.readUInt16LE(10) : 0);
  const end = bytes.indexOf(0, start);
  return end > start ? bytes.toString('latin1', start, end) : undefined;
}
