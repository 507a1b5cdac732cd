/**
 * Files that are there whole or not at all, whatever happens while they are written: a temporary file, fsync, rename,
 * fsync of the folder.
 */
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolders } from '../folders.ts';

/** Whom a file belongs to, and who may read it. */
export interface FileRights {
  /** Permission bits of the file. @default 0o600 */
  readonly mode?: number;
  /** User and group by number; not set where this process may not give files away. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined;
}

/** What a file is made of. */
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/**
 * Writes a new file at `temporary`, and gives it its name when it is on disk; one of that name is replaced. Resolves when
 * the name is on disk too. Where it fails nothing is left behind.
 * @param name asked when all is written: it may be made of what was
 */
export async function writeSafely(
  chunks: Chunks,
  temporary: string,
  name: () => string,
  { mode = 0o600, owner }: FileRights = {},
): Promise<void> {
  const file = await open(temporary, 'wx', mode);
  try {
    try {
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      // Whatever the umask took away.
      await file.chmod(mode);
      await file.writeFile(chunks);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, name());
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(dirname(name()));
}

/** Makes a folder and those above it, where they are missing, so that they stay. */
export async function makeFolder(path: string, mode: number, owner?: FileRights['owner']): Promise<void> {
  const made = await makeFolders(path, mode);
  for (const folder of made.toReversed()) {
    if (owner !== undefined) await ownFolder(folder, owner);
    await syncFolder(dirname(folder));
  }
}

async function ownFolder(path: string, { uid, gid }: NonNullable<FileRights['owner']>): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.chown(uid, gid);
  } finally {
    await folder.close();
  }
}

/** Has the names of a folder on disk. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
