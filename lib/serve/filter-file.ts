/** Finds the filter in a file. */

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MilterError, wrongArgument } from '../errors.ts';
import type { Imported } from '../import-file.ts';
import { type Filter, isClass } from '../milter/compose.ts';
import { isMilterClass, type MilterClass } from '../milter/milter.ts';
import { checkValue, text } from '../options.ts';

/**
 * Imports a filter's file, whose `libmilter` is the running copy wherever the file lies, and takes its default export
 * or else its only exported Milter class.
 * @throws MilterError `ERR_MILTER_FILTER`, saying in one line what is wrong and where
 */
export async function loadFilter(file: string): Promise<MilterClass> {
  checkValue('loadFilter: the file', file, text, wrongArgument);
  const path = resolve(file);
  if (!existsSync(path)) throw fault(`there is no filter ${path}`);
  // Only now: what it takes of Node.js is younger than what importing this package may ask for.
  const { importFile } = await import('../import-file.ts');
  return pickFilter(path, exportsOf(path, await importFile(path)));
}

/** What the file of a thread has. */
export interface ThreadFile {
  readonly filter: Filter;
  /** To be awaited when the thread ends. */
  readonly close: (() => unknown) | undefined;
}

/**
 * Imports the file of a thread. Its default export may also be a factory, and it may export a function `close`.
 * @throws MilterError `ERR_MILTER_FILTER`
 */
export async function loadThreadFile(url: string): Promise<ThreadFile> {
  const path = fileURLToPath(url);
  if (!existsSync(path)) throw fault(`there is no filter ${path}`);
  const { importUrl } = await import('../import-file.ts');
  const exports = exportsOf(path, await importUrl(url));
  const { default: made, close } = exports;
  const isFactory = typeof made === 'function' && !isMilterClass(made) && !isClass(made as () => unknown);
  return {
    filter: isFactory ? (made as Filter) : pickFilter(path, exports),
    close: typeof close === 'function' ? (close as () => unknown) : undefined,
  };
}

function exportsOf(path: string, imported: Imported): Readonly<Record<string, unknown>> {
  if ('exports' in imported) return imported.exports;
  if (imported.cause instanceof MilterError) throw imported.cause;
  throw fault(`the filter ${path} cannot be loaded: ${imported.fault}`);
}

function pickFilter(path: string, exports: Readonly<Record<string, unknown>>): MilterClass {
  const { default: preferred } = exports;
  if (isMilterClass(preferred)) return preferred;
  // The same class may be exported under two names: CommonJS modules do that.
  const found = new Set(Object.values(exports).filter(isMilterClass));
  const [only, another] = found;
  if (only === undefined) {
    throw fault(`${path} exports no Milter class; write: export default class MyFilter extends Milter { … }`);
  }
  if (another !== undefined) {
    const names = [...found].map(({ name }) => name).join(', ');
    throw fault(
      `${path} exports several Milter classes (${names}); make one the default export, or compose() them`,
    );
  }
  return only;
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_FILTER', message);
}
