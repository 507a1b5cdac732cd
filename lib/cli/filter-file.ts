/** Finds the Milter class in a file. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { extname, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MilterError } from '../errors.ts';
import { isMilterClass, type MilterClass } from '../milter/milter.ts';
import { packageJson } from './package.ts';

/**
 * Imports a filter's file, whose `libmilter` is the running copy wherever the file lies, and takes its default export
 * or else its only exported Milter class.
 * @throws MilterError `ERR_MILTER_FILTER`, saying in one line what is wrong and where
 */
export async function loadFilter(file: string): Promise<MilterClass> {
  const path = resolve(file);
  if (!existsSync(path)) throw fault(`there is no filter ${path}`);
  const resolved = new Set<string>();
  registerHooks({
    resolve: (specifier, context, next) => {
      const url = ownModules.get(specifier);
      if (url !== undefined) return { url, shortCircuit: true };
      const result = next(specifier, context);
      resolved.add(result.url);
      return result;
    },
  });
  try {
    return pickFilter(path, (await import(pathToFileURL(path).href)) as Record<string, unknown>);
  } catch (error) {
    if (error instanceof MilterError) throw error;
    throw loadFault(path, error, resolved);
  }
}

const ownFolder = new URL('..', import.meta.url).href;

/** What may be imported of this package, and where the running copy has it: in `dist/*.js`, or in `lib/*.ts`. */
const ownModules: ReadonlyMap<string, string> = new Map(
  Object.entries(packageJson.exports).map(([name, target]) => {
    const file = (typeof target === 'string' ? target : target.default)
      .replace('./', '../../')
      .replace(/^\.\.\/\.\.\/dist\/(.*)\.js$/, `../$1${extname(import.meta.url)}`);
    return [name.replace('.', packageJson.name), new URL(file, import.meta.url).href];
  }),
);

function pickFilter(path: string, exports: Record<string, unknown>): MilterClass {
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

function loadFault(path: string, error: unknown, resolved: ReadonlySet<string>): MilterError {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const where = error instanceof Error ? place(error, resolved) : undefined;
  return fault(`the filter ${path} cannot be loaded: ${what}${where === undefined ? '' : `, at ${where}`}`);
}

/** Where a module fails: `file:line`, as exactly as Node tells. */
function place(error: Error, resolved: ReadonlySet<string>): string | undefined {
  const stack = error.stack ?? '';
  const headed = headedPlace(stack);
  if (headed !== undefined) return headed;
  if (error instanceof SyntaxError) {
    // Node tells the line of a syntax error in an ES module only to who dies of it.
    for (const url of resolved) {
      if (!url.startsWith('file:')) continue;
      const checked = spawnSync(process.execPath, ['--check', fileURLToPath(url)], { encoding: 'utf8' });
      if (checked.status !== 0) return headedPlace(checked.stderr);
    }
  }
  const frames = [...stack.matchAll(/^ +at (?:.*\()?(file:.*:\d+):\d+\)?$/gm)].map(([, at = '']) => at);
  // An import that fails has no frame of the filter; Node's message then says where.
  return frames.find((at) => !at.startsWith(ownFolder))?.replace('file://', '');
}

function headedPlace(stack: string): string | undefined {
  return /^(?:file:\/\/)?(\/.*:\d+)$/m.exec(stack)?.[1];
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_FILTER', message);
}
