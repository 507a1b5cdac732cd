/** `libmilter/filter`: the mail filter that is assembled from modules in a configuration file, and what modules are made with. */
export type { Config, ConfiguredModule, Match } from './config/config.ts';
export { type ConfigFault, FilterConfigError } from './config/faults.ts';
export * as kinds from './config/kinds.ts';
export type { AddressList } from './config/lists/addresses.ts';
export type { ListedClient, NetworkList } from './config/lists/networks.ts';
export type { GlobList, WordList } from './config/lists/words.ts';
export { loadConfig, parseConfig, type ReadConfigOptions } from './config/load.ts';
export { Template } from './config/template.ts';
export { z } from './config/zod.ts';
export type { Action, ActionWord } from './findings/action.ts';
export type { About } from './findings/finding.ts';
export {
  type AnyModule,
  defineModule,
  type FindingDeclaration,
  type Made,
  type ModuleDefinition,
  type Need,
  type OnErrorWord,
  type OptionsSchema,
  type When,
} from './module.ts';
