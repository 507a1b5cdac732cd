/** The parts of a message as scanners want them: decoded, each content once. */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { listParts, type MimeMessage, type Part } from '../../../mime/index.ts';
import type { ClamdScan } from '../../../scanners/index.ts';

/** More parts are not scanned one by one. */
const MAX_PARTS = 1_000;
/** Contents of one message that are scanned at once. */
const AT_ONCE = 4;
/** Bytes that are digested before others may work. */
const CHUNK = 2 ** 20;

/** Verdicts by the digest of the content: the virus, or undefined for none. */
export type KnownContents = Map<string, string | undefined>;

/** A part, and the digests of what its readers may get out of it. */
export interface DigestedPart {
  readonly part: Part;
  readonly digests: readonly string[];
}

/** The parts of a message. */
export interface PartsToScan {
  readonly parts: readonly DigestedPart[];
  /** The message has more, or is nested more deeply than can be followed. */
  readonly isIntricate: boolean;
}

/** Reads all parts that have content. */
export async function partsToScan(tree: MimeMessage): Promise<PartsToScan> {
  const all = await listParts(tree, true, MAX_PARTS + 1);
  const parts: DigestedPart[] = [];
  for (const part of all.slice(0, MAX_PARTS)) {
    const contents = await contentsOf(part);
    const digests = await Promise.all(contents.map(digestOf));
    if (digests.length > 0) parts.push({ part, digests });
  }
  const isIntricate = all.length > MAX_PARTS || tree.problems.some(({ kind }) => kind === 'limit');
  return { parts, isIntricate };
}

/** Scans the contents that are not known yet. */
export async function scanParts(
  parts: readonly DigestedPart[],
  known: KnownContents,
  scan: ClamdScan,
): Promise<void> {
  const waiting = newContents(parts, known);
  const work = async (): Promise<void> => {
    for await (const [digest, content] of waiting) known.set(digest, (await scan([content])).virus);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** Whether all contents are known. */
export function areKnown(parts: readonly DigestedPart[], known: KnownContents): boolean {
  return parts.every(({ digests }) => digests.every((digest) => known.has(digest)));
}

/** The virus in a part. */
export function virusIn({ digests }: DigestedPart, known: KnownContents): string | undefined {
  return digests.map((digest) => known.get(digest)).find((virus) => virus !== undefined);
}

async function* newContents(
  parts: readonly DigestedPart[],
  known: KnownContents,
): AsyncGenerator<readonly [digest: string, content: Buffer]> {
  const begun = new Set(known.keys());
  for (const { part, digests } of parts) {
    const contents = await contentsOf(part);
    for (const [index, digest] of digests.entries()) {
      const content = contents[index];
      if (content === undefined || begun.has(digest)) continue;
      begun.add(digest);
      yield [digest, content];
    }
  }
}

/** Decoded, by every encoding that its fields declare; none of what only holds other parts. */
async function contentsOf(part: Part): Promise<readonly Buffer[]> {
  const onlyHolds = !part.isLeaf && part.contentTypes.every((type) => /^(?:multipart|message)\//.test(type));
  if (onlyHolds) return [];
  return [await part.loadContent(), ...part.otherContents()].filter(({ length }) => length > 0);
}

async function digestOf(content: Buffer): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < content.length; at += CHUNK) {
    if (at > 0) await nextTurn();
    hash.update(content.subarray(at, at + CHUNK));
  }
  return hash.digest('base64');
}
