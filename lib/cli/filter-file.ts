/** Finds the Milter class in a file. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { tmpdir } from 'node:os';
import { extname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compileFunction } from 'node:vm';
import { MilterError } from '../errors.ts';
import { isMilterClass, type MilterClass } from '../index.ts';
import { packageJson } from './package.ts';

/**
 * Imports a filter's file, whose `libmilter` is the running copy wherever the file lies, and takes its default export
 * or else its only exported Milter class.
 * @throws MilterError `ERR_MILTER_FILTER`, saying in one line what is wrong and where
 */
export async function loadFilter(file: string): Promise<MilterClass> {
  const path = resolve(file);
  if (!existsSync(path)) throw fault(`there is no filter ${path}`);
  const modules = new Set<string>();
  registerHooks({
    resolve: (specifier, context, next) => {
      const url = ownModules.get(specifier);
      if (url !== undefined) return { url, shortCircuit: true };
      const result = next(specifier, context);
      const format = ownFormat(result.url) ?? result.format;
      if (format?.startsWith('module') === true) modules.add(result.url);
      return { ...result, format };
    },
  });
  try {
    return pickFilter(path, (await import(pathToFileURL(path).href)) as Record<string, unknown>);
  } catch (error) {
    if (error instanceof MilterError) throw error;
    throw loadFault(path, error, modules);
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

/**
 * What a user's file is whatever the package.json above it says, which is often the `"type": "commonjs"` that `npm init`
 * writes: TypeScript is a module, and so is JavaScript that cannot be CommonJS. Undefined where Node shall decide.
 */
function ownFormat(url: string): 'module' | 'module-typescript' | undefined {
  if (!url.startsWith('file:') || url.includes('/node_modules/')) return undefined;
  const path = fileURLToPath(url);
  const extension = extname(path);
  if (extension === '.ts') return 'module-typescript';
  return extension === '.js' && existsSync(path) && !isCommonJs(path) ? 'module' : undefined;
}

/** By its syntax, as Node itself decides where no package.json says. */
function isCommonJs(path: string): boolean {
  try {
    compileFunction(readFileSync(path, 'utf8').replace(/^#!.*/, ''), [
      'exports',
      'require',
      'module',
      '__filename',
      '__dirname',
    ]);
    return true;
  } catch {
    return false;
  }
}

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

function loadFault(path: string, error: unknown, modules: ReadonlySet<string>): MilterError {
  const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  const where = error instanceof Error ? place(error, modules) : undefined;
  return fault(`the filter ${path} cannot be loaded: ${what}${where === undefined ? '' : `, at ${where}`}`);
}

/** Where a module fails: `file:line`, as exactly as Node tells. */
function place(error: Error, modules: ReadonlySet<string>): string | undefined {
  const stack = error.stack ?? '';
  const headed = headedPlace(stack);
  if (headed !== undefined) return headed;
  if (error instanceof SyntaxError) {
    for (const url of modules) {
      const line = url.startsWith('file:') ? wrongLine(fileURLToPath(url)) : undefined;
      if (line !== undefined) return line;
    }
  }
  const frames = [...stack.matchAll(/^ +at (?:.*\()?(file:.*:\d+):\d+\)?$/gm)].map(([, at = '']) => at);
  // An import that fails has no frame of the filter; Node's message then says where.
  return frames.find((at) => !at.startsWith(ownFolder))?.replace('file://', '');
}

/**
 * Where the file of a module does not parse, as `file:line`. Node tells that only to a process that dies of it, and
 * takes a copy for a module by its name alone.
 */
function wrongLine(path: string): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'milter-check-'));
  try {
    const copy = join(folder, `copy${extname(path).replace(/^\.(?=[jt]s$)/, '.m')}`);
    copyFileSync(path, copy);
    const { status, stderr } = spawnSync(process.execPath, ['--check', copy], { encoding: 'utf8' });
    return status === 0 ? undefined : headedPlace(stderr)?.replace(copy, path);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function headedPlace(stack: string): string | undefined {
  return /^(?:file:\/\/)?(\/.*:\d+)$/m.exec(stack)?.[1];
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_FILTER', message);
}
