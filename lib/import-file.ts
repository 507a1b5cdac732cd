/**
 * Imports what a user wrote: a filter, or a module of one. Its `libmilter` is the running copy wherever the file lies.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { compileFunction } from 'node:vm';
import { packageJson } from './package.ts';

/** What an import ended with: what the file exports, or one line that says what is wrong and where. */
export type Imported =
  | { readonly exports: Readonly<Record<string, unknown>> }
  | { readonly fault: string; readonly cause: unknown };

/** Imports a file. */
export function importFile(path: string): Promise<Imported> {
  return importUrl(pathToFileURL(path).href);
}

/** Imports what a file URL names. */
export function importUrl(url: string): Promise<Imported> {
  return importing(url);
}

/** Imports a package as a file in `folder` would. */
export function importPackage(name: string, folder: string): Promise<Imported> {
  return importing(name, pathToFileURL(join(folder, 'milter')).href);
}

async function importing(specifier: string, parent?: string): Promise<Imported> {
  hook();
  if (parent !== undefined) parents.set(specifier, parent);
  try {
    return { exports: (await import(specifier)) as Record<string, unknown> };
  } catch (error) {
    const what = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    const where = error instanceof Error ? place(error) : undefined;
    return { fault: `${what}${where === undefined ? '' : `, at ${where}`}`, cause: error };
  }
}

/** From where a package is to be looked for that this file imports. */
const parents = new Map<string, string>();

/** What was imported as an ES module. */
const modules = new Set<string>();

let hooked = false;

function hook(): void {
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve: (specifier, context, next) => {
      const url = ownModules.get(specifier);
      if (url !== undefined) return { url, shortCircuit: true };
      const parent = context.parentURL === import.meta.url ? parents.get(specifier) : undefined;
      const result = next(specifier, parent === undefined ? context : { ...context, parentURL: parent });
      const format = ownFormat(result.url) ?? result.format;
      if (format?.startsWith('module') === true) modules.add(result.url);
      return { ...result, format };
    },
  });
}

const ownFolder = new URL('.', import.meta.url).href;

/** What may be imported of this package, and where the running copy has it: in `dist/*.js`, or in `lib/*.ts`. */
const ownModules: ReadonlyMap<string, string> = new Map(
  Object.entries(packageJson.exports).map(([name, target]) => {
    const file = (typeof target === 'string' ? target : target.default)
      .replace('./', '../')
      .replace(/^\.\.\/dist\/(.*)\.js$/, `./$1${extname(import.meta.url)}`);
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

/** Where a module fails: `file:line`, as exactly as Node tells. */
function place(error: Error): string | undefined {
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
