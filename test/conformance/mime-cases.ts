/**
 * Mails from the tests of other projects, read where they are present and never copied.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../../shared/cases/mime');

/** Whether the mails are there. Says so on the console if not. */
export const haveMimeCases: boolean = existsSync(root);
if (!haveMimeCases) console.warn(`skipped: no mails of other projects at ${root}`);

/** The name and bytes of every file below a folder whose name passes. */
export function mimeCases(accepts: (name: string) => boolean): readonly { name: string; bytes: Buffer }[] {
  if (!haveMimeCases) return [];
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(accepts)
    .toSorted()
    .map((path) => ({ name: path.slice(root.length + 1), bytes: readFileSync(path) }));
}

/** Every mail: all files but pages for the HTML tools and statements of expected structure. */
export function mails(): readonly { name: string; bytes: Buffer }[] {
  return mimeCases((path) => !/\.(?:xml|out|x?html)$/.test(path));
}
