/**
 * Making folders, with those above them. Node's own `recursive` tries for ever where the system will not have one, as below
 * /proc.
 */
import { mkdirSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Makes what is missing; resolves to what was made, the topmost first. @throws Error of the system, naming the folder */
export async function makeFolders(path: string, mode: number): Promise<readonly string[]> {
  try {
    await mkdir(path, { mode });
    return [path];
  } catch (error) {
    if (isFolder(path)) return [];
    if (!isWithoutParent(error, path)) throw error;
    const above = await makeFolders(dirname(path), mode);
    // Another process may have been first meanwhile.
    await mkdir(path, { mode }).catch((fault: unknown) => {
      if (!isFolder(path)) throw fault;
    });
    return [...above, path];
  }
}

/** The same at once. */
export function makeFoldersSync(path: string, mode: number): readonly string[] {
  try {
    mkdirSync(path, { mode });
    return [path];
  } catch (error) {
    if (isFolder(path)) return [];
    if (!isWithoutParent(error, path)) throw error;
    const above = makeFoldersSync(dirname(path), mode);
    try {
      mkdirSync(path, { mode });
    } catch (fault) {
      if (!isFolder(path)) throw fault;
    }
    return [...above, path];
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

function isWithoutParent(error: unknown, path: string): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT' && dirname(path) !== path;
}
