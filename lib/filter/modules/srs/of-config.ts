/** How return addresses are rewritten and signed by a configuration, for those who only look into one. */
import type { Config } from '../../config/config.ts';
import type { Signing } from '../../facts.ts';
import { type SrsModuleOptions, signingOf } from './options.ts';

/** Of a configuration with a module `srs`; undefined without one that has secrets. */
export function signingIn({ modules }: Config): Signing | undefined {
  const entry = modules.find(({ definition }) => definition.name === 'srs');
  if (entry === undefined) return undefined;
  const options = entry.options as SrsModuleOptions;
  return options.secrets.all.length === 0 ? undefined : signingOf(options);
}
