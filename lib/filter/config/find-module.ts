/** Finds what `use` names: one of our modules, a file, or a package. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { importFile, importPackage } from '../../import-file.ts';
import { nearest, show } from '../../options.ts';
import { type AnyModule, isModule } from '../module.ts';
import { ownModules } from '../modules/index.ts';
import { BadValue } from './faults.ts';

/** Finds a module. The second argument is the configuration's folder. */
export type FindModule = (use: string, directory: string) => Promise<AnyModule>;

/**
 * The module of this name, in this file, or of this package.
 * @throws BadValue where there is none, or it cannot be loaded
 */
export async function findModule(use: string, directory: string): Promise<AnyModule> {
  const own = Object.hasOwn(ownModules, use) ? ownModules[use] : undefined;
  if (own !== undefined) return (await own()).default;
  if (isPath(use)) {
    const path = resolve(directory, use);
    if (!existsSync(path)) throw new BadValue(`there is no file ${show(path)}`);
    return moduleOf(path, await importFile(path));
  }
  const meant = nearest(use, Object.keys(ownModules));
  const advice = meant === undefined ? '' : `; did you mean "${meant}"?`;
  if (!isPackage(use))
    throw new BadValue(`${show(use)} is neither a module, nor a path, nor a package${advice}`);
  const imported = await importPackage(use, directory);
  if ('fault' in imported && isNotFound(imported.cause, use)) {
    throw new BadValue(`there is no module ${show(use)}, and no package of that name${advice}`);
  }
  return moduleOf(use, imported);
}

/** A path begins with a dot or slash, or ends as a program does. */
function isPath(use: string): boolean {
  return /^\.{0,2}\/|\.[cm]?[jt]s$/.test(use);
}

function isPackage(use: string): boolean {
  return use.length <= 214 && /^(?:@[a-z0-9._~-]+\/)?[a-z0-9_~-][a-z0-9._~-]*(?:\/[\w.~-]+)*$/i.test(use);
}

function isNotFound(cause: unknown, use: string): boolean {
  return (
    cause instanceof Error &&
    'code' in cause &&
    cause.code === 'ERR_MODULE_NOT_FOUND' &&
    cause.message.includes(`'${use}'`)
  );
}

function moduleOf(what: string, imported: Awaited<ReturnType<typeof importFile>>): AnyModule {
  if ('fault' in imported) throw new BadValue(`${show(what)} cannot be loaded: ${imported.fault}`);
  const { default: definition } = imported.exports;
  if (!isModule(definition)) {
    throw new BadValue(
      `${show(what)} has no module as its default export; write: export default defineModule({ … })`,
    );
  }
  return definition;
}
