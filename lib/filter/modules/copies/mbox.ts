/**
 * A message at the end of an mbox, whole or not at all. Before it is appended it is written to a file beside, `FILE.undo`;
 * whoever comes next and finds that file takes away what was written of it. The end of the mbox is never touched but where
 * it is the beginning of just that message.
 */
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Chunks, makeFolder, syncFolder, writeSafely } from '../../kit.ts';
import { withLock } from './lock.ts';
import { folderRights, type PlaceRights, staysBelow } from './place.ts';

/** Bytes that are compared or copied at once. */
const CHUNK = 256 * 1024;

/** What the file beside begins with: where the mbox ended, as so many digits and LF. */
const OFFSET_DIGITS = 16;

/**
 * Appends an entry. Resolves when it is safe on disk; what was written is taken away where it fails.
 * @param base the folder that the mbox must not leave by a symbolic link
 */
export async function appendToMbox(
  mbox: string,
  base: string,
  entry: Chunks,
  rights: PlaceRights,
): Promise<void> {
  const folder = dirname(mbox);
  await makeFolder(folder, folderRights(rights), rights.owner);
  await staysBelow(base, folder);
  await withLock(mbox, async () => {
    const { file, isNew } = await openMbox(mbox, rights);
    try {
      if (isNew) await syncFolder(folder);
      await undo(file, mbox);
      await append(file, mbox, entry);
    } finally {
      await file.close();
    }
  });
}

async function append(file: FileHandle, mbox: string, entry: Chunks): Promise<void> {
  const { size } = await file.stat();
  const beside = undoFile(mbox);
  const head = Buffer.from(`${String(size).padStart(OFFSET_DIGITS, '0')}\n`);
  await writeSafely(
    prepended(head, entry),
    join(dirname(mbox), `.${basename(mbox)}.${randomUUID()}.undo`),
    () => beside,
  );
  try {
    await copy(beside, head.length, file, size);
    await file.sync();
  } catch (error) {
    await file.truncate(size);
    await rm(beside, { force: true });
    throw error;
  }
  await rm(beside);
  // If it came back after a power failure, it would undo a message that was acknowledged.
  await syncFolder(dirname(mbox));
}

/** Takes away what an append that was cut off has left. */
async function undo(file: FileHandle, mbox: string): Promise<void> {
  const beside = undoFile(mbox);
  let intended: Buffer;
  try {
    intended = await readFile(beside);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return;
    throw error;
  }
  const offset = Number(intended.toString('latin1', 0, OFFSET_DIGITS));
  const entry = intended.subarray(OFFSET_DIGITS + 1);
  const { size } = await file.stat();
  if (Number.isSafeInteger(offset) && size > offset && (await isBeginning(file, offset, size, entry))) {
    await file.truncate(offset);
    await file.sync();
  }
  await rm(beside);
}

/** Whether the rest of the file is what the entry begins with: then nobody else has written there. */
async function isBeginning(file: FileHandle, offset: number, size: number, entry: Buffer): Promise<boolean> {
  if (size - offset > entry.length) return false;
  const chunk = Buffer.allocUnsafe(CHUNK);
  for (let at = offset; at < size; ) {
    const { bytesRead } = await file.read(chunk, 0, Math.min(CHUNK, size - at), at);
    const expected = entry.subarray(at - offset, at - offset + bytesRead);
    if (bytesRead === 0 || !chunk.subarray(0, bytesRead).equals(expected)) return false;
    at += bytesRead;
  }
  return true;
}

async function copy(from: string, start: number, file: FileHandle, at: number): Promise<void> {
  const source = await open(from, 'r');
  try {
    let place = at;
    for await (const chunk of source.createReadStream({ start, autoClose: false, highWaterMark: CHUNK })) {
      const bytes = chunk as Buffer;
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, done, bytes.length - done, place);
        done += bytesWritten;
        place += bytesWritten;
      }
    }
  } finally {
    await source.close();
  }
}

async function openMbox(
  mbox: string,
  { mode, owner }: PlaceRights,
): Promise<{ readonly file: FileHandle; readonly isNew: boolean }> {
  const { O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    return { file: await open(mbox, O_RDWR | O_NOFOLLOW), isNew: false };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  const file = await open(mbox, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
  try {
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
    await file.chmod(mode);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { file, isNew: true };
}

async function* prepended(head: Buffer, chunks: Chunks): AsyncGenerator<Uint8Array> {
  yield head;
  yield* chunks;
}

function undoFile(mbox: string): string {
  return `${mbox}.undo`;
}
