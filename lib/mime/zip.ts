/**
 * Reading zip files: which members a reader might see, and their bytes (PKWARE APPNOTE 6.3.10).
 *
 * Readers differ in what they trust, the central directory or the headers in front of the data, and attackers live on the
 * difference. So both are read, and members of which only one knows are members too.
 */
import { isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { constants, inflateRaw, inflateRawSync } from 'node:zlib';
import { type Budget, LimitReached } from './archive-budget.ts';

const inflate = promisify(inflateRaw);

const LOCAL = Buffer.from('PK\x03\x04', 'latin1');
const CENTRAL = 0x02014b50;
const END = Buffer.from('PK\x05\x06', 'latin1');
const END64_LOCATOR = 0x07064b50;
const END64 = 0x06064b50;
const STORED = 0;
const DEFLATED = 8;
const SMALL = 16_384;
const MEBIBYTE = 1 << 20;
/** How much room zlib is given at a time: its own 16 KiB are much to ask for for each little member. */
const CHUNK = 2_048;

/** One member as some reader sees it. */
export interface ZipMember {
  readonly name: string;
  /** The declared size. */
  readonly size: number;
  readonly encrypted: boolean;
  /** Compression method; only stored and deflated members can be opened. */
  readonly method: number;
  /** Compressed bytes; cut short if the file is. */
  readonly data: Buffer;
}

/** What is in a zip file, and what is wrong with it. */
export interface ZipContents {
  readonly members: readonly ZipMember[];
  readonly fault: string | undefined;
}

/** Lists a zip file. Never throws but for a limit. */
export async function readZip(bytes: Buffer, budget: Budget): Promise<ZipContents> {
  const members: ZipMember[] = [];
  const ranges: [number, number][] = [];
  const directory = findDirectory(bytes);
  let fault = directory ? undefined : 'it has no end record';
  let position = directory?.start ?? 0;
  for (let i = 0; directory && i < directory.entries; i++) {
    if (position + 46 > bytes.length || bytes.readUInt32LE(position) !== CENTRAL) {
      fault = `entry ${i + 1} of ${directory.entries} in its directory is missing`;
      break;
    }
    await budget.countMember();
    const nameLength = bytes.readUInt16LE(position + 28);
    const extraLength = bytes.readUInt16LE(position + 30);
    const extra = bytes.subarray(position + 46 + nameLength, position + 46 + nameLength + extraLength);
    const name = decodeName(bytes.subarray(position + 46, position + 46 + nameLength));
    const sizes = readSizes(bytes, position, extra);
    const local = readLocal(bytes, directory.shift + sizes.offset, sizes.compressed);
    const flags = bytes.readUInt16LE(position + 8);
    const member = {
      name,
      size: sizes.size,
      encrypted: (flags & 1) === 1 || local?.encrypted === true,
      method: bytes.readUInt16LE(position + 10),
      data: local?.data ?? Buffer.alloc(0),
    };
    members.push(member);
    const unicodeName = readUnicodeName(extra);
    for (const other of new Set([unicodeName, local?.name])) {
      if (other !== undefined && other !== name) members.push({ ...member, name: other });
    }
    if (local) ranges.push([local.start, local.end]);
    else fault ??= `member ${name} is not where its directory says`;
    position += 46 + nameLength + extraLength + bytes.readUInt16LE(position + 32);
  }
  for (const local of await findUnlisted(bytes, ranges, budget)) members.push(local);
  return { members, fault };
}

/** The bytes of a member, or undefined if they cannot be had. */
export async function openMember(
  { data, method, encrypted, size }: Omit<ZipMember, 'name'>,
  budget: Budget,
): Promise<Buffer | undefined> {
  if (encrypted) return undefined;
  if (method === STORED) return data;
  if (method !== DEFLATED) return undefined;
  // A trip to the thread pool costs more than inflating little.
  const isSmall = data.length <= SMALL && size <= MEBIBYTE;
  try {
    const inflated = isSmall
      ? inflateRawSync(data, {
          maxOutputLength: Math.min(MEBIBYTE, budget.inflatable),
          chunkSize: Math.max(CHUNK, Math.min(size + 1, 16_384)),
        })
      : await inflate(data, { maxOutputLength: budget.inflatable });
    budget.countInflated(inflated.length);
    return inflated;
  } catch (error) {
    if (error instanceof LimitReached) throw error;
    if (!isTooLarge(error)) return undefined;
    // It said that it was small and is not.
    if (!isSmall || budget.inflatable <= MEBIBYTE) throw new LimitReached('inflatedBytes');
    return await openMember({ data, method, encrypted, size: Number.POSITIVE_INFINITY }, budget);
  }
}

/** The first bytes of a member, as far as a little of its data gives them. */
export function peekMember({ data, method, encrypted }: ZipMember, budget: Budget): Buffer {
  if (encrypted || (method !== STORED && method !== DEFLATED)) return Buffer.alloc(0);
  const start = data.subarray(0, 512);
  if (method === STORED) return start;
  try {
    const inflated = inflateRawSync(start, { finishFlush: constants.Z_SYNC_FLUSH, chunkSize: CHUNK });
    budget.countInflated(inflated.length);
    return inflated.subarray(0, 512);
  } catch (error) {
    if (error instanceof LimitReached) throw error;
    return Buffer.alloc(0);
  }
}

/** Whether zlib refused to make more than it was allowed to. */
export function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

interface Directory {
  readonly start: number;
  readonly entries: number;
  /** Bytes put in front of the archive, by which all its offsets are off. */
  readonly shift: number;
}

function findDirectory(bytes: Buffer): Directory | undefined {
  // The end record has 22 bytes and a comment of up to 65 535.
  for (
    let end = bytes.lastIndexOf(END);
    end >= Math.max(0, bytes.length - 65_557);
    end = bytes.lastIndexOf(END, end - 1)
  ) {
    const found = end + 22 <= bytes.length ? readEnd(bytes, end) : undefined;
    if (found) return found;
    if (end === 0) break;
  }
  return undefined;
}

function readEnd(bytes: Buffer, end: number): Directory | undefined {
  let entries = bytes.readUInt16LE(end + 10);
  let size = bytes.readUInt32LE(end + 12);
  let start = bytes.readUInt32LE(end + 16);
  let directoryEnd = end;
  const locator = end - 20;
  if (locator >= 0 && bytes.readUInt32LE(locator) === END64_LOCATOR) {
    const end64 = Number(bytes.readBigUInt64LE(locator + 8));
    if (end64 + 56 <= bytes.length && bytes.readUInt32LE(end64) === END64) {
      entries = Number(bytes.readBigUInt64LE(end64 + 32));
      size = Number(bytes.readBigUInt64LE(end64 + 40));
      start = Number(bytes.readBigUInt64LE(end64 + 48));
      directoryEnd = end64;
    }
  }
  const shift = directoryEnd - size - start;
  return shift >= 0 ? { start: start + shift, entries, shift } : undefined;
}

function readSizes(
  bytes: Buffer,
  entry: number,
  extra: Buffer,
): { size: number; compressed: number; offset: number } {
  let compressed = bytes.readUInt32LE(entry + 20);
  let size = bytes.readUInt32LE(entry + 24);
  let offset = bytes.readUInt32LE(entry + 42);
  const wide = findExtra(extra, 0x0001);
  let at = 0;
  const next = (present: number) => {
    if (present !== 0xffffffff || !wide || at + 8 > wide.length) return present;
    at += 8;
    return Number(wide.readBigUInt64LE(at - 8));
  };
  size = next(size);
  compressed = next(compressed);
  offset = next(offset);
  return { size, compressed, offset };
}

interface LocalMember {
  readonly name: string;
  readonly encrypted: boolean;
  readonly method: number;
  readonly data: Buffer;
  readonly start: number;
  readonly end: number;
}

function readLocal(bytes: Buffer, start: number, compressed?: number): LocalMember | undefined {
  if (!(start >= 0) || start + 30 > bytes.length || !bytes.subarray(start, start + 4).equals(LOCAL))
    return undefined;
  const nameLength = bytes.readUInt16LE(start + 26);
  const dataStart = start + 30 + nameLength + bytes.readUInt16LE(start + 28);
  const end = dataStart + (compressed ?? bytes.readUInt32LE(start + 18));
  return {
    name: decodeName(bytes.subarray(start + 30, start + 30 + nameLength)),
    encrypted: (bytes.readUInt16LE(start + 6) & 1) === 1,
    method: bytes.readUInt16LE(start + 8),
    data: bytes.subarray(dataStart, end),
    start,
    end: Math.max(end, dataStart),
  };
}

/** Members that no directory lists, between those it does. */
async function findUnlisted(
  bytes: Buffer,
  ranges: [number, number][],
  budget: Budget,
): Promise<readonly ZipMember[]> {
  const members: ZipMember[] = [];
  const known = ranges.toSorted(([a], [b]) => a - b);
  let next = 0;
  for (let at = bytes.indexOf(LOCAL); at >= 0; ) {
    let behind = at + 4;
    while ((known[next]?.[1] ?? Number.POSITIVE_INFINITY) <= at) next++;
    const [start = Number.POSITIVE_INFINITY, end = 0] = known[next] ?? [];
    if (start <= at) behind = Math.max(end, behind);
    else {
      await budget.countMember();
      const local = readLocal(bytes, at);
      if (local) members.push({ ...local, size: local.data.length });
    }
    at = bytes.indexOf(LOCAL, behind);
  }
  return members;
}

function findExtra(extra: Buffer, id: number): Buffer | undefined {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) === id) return extra.subarray(at + 4, at + 4 + extra.readUInt16LE(at + 2));
  }
  return undefined;
}

/** The name of the Info-ZIP Unicode Path field, which some readers prefer. */
function readUnicodeName(extra: Buffer): string | undefined {
  const field = findExtra(extra, 0x7075);
  return field && field.length > 5 ? decodeName(field.subarray(5)) : undefined;
}

/** Names are UTF-8 or of an unknown code page, whose ASCII is ASCII. */
function decodeName(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
}
