/** Finds the Milter class in a file. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { MilterError } from '../errors.ts';
import { importFile } from '../import-file.ts';
import { isMilterClass, type MilterClass } from '../index.ts';

/**
 * Imports a filter's file, whose `libmilter` is the running copy wherever the file lies, and takes its default export
 * or else its only exported Milter class.
 * @throws MilterError `ERR_MILTER_FILTER`, saying in one line what is wrong and where
 */
export async function loadFilter(file: string): Promise<MilterClass> {
  const path = resolve(file);
  if (!existsSync(path)) throw fault(`there is no filter ${path}`);
  const imported = await importFile(path);
  if ('exports' in imported) return pickFilter(path, imported.exports);
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
