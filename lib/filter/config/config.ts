/** A configuration that was read: every value checked and made. */
import type { AnyModule, OnErrorWord, When } from '../module.ts';
import type { AddressList } from './lists/addresses.ts';
import type { ListFiles } from './lists/files.ts';
import type { NetworkList } from './lists/networks.ts';
import type { Ours } from './reading.ts';
import type { Settings } from './schema.ts';
import type { Template } from './template.ts';
import type { TomlText } from './toml.ts';

/** Which mail a module works for; what is undefined does not matter. */
export interface Match {
  readonly from?: AddressList | undefined;
  readonly to?: AddressList | undefined;
  readonly client?: NetworkList | undefined;
  readonly not_from?: AddressList | undefined;
  readonly not_to?: AddressList | undefined;
}

/** A `[[module]]`, checked. */
export interface ConfiguredModule {
  readonly definition: AnyModule;
  /** In this configuration: in logs, headers, findings and keys of the store. */
  readonly name: string;
  readonly mode: 'enforce' | 'observe' | 'off';
  /** Any of these; none: all mail. */
  readonly when: readonly When[];
  readonly match: Match;
  /** In observe mode always `continue`. */
  readonly onError: OnErrorWord;
  /** Milliseconds; undefined: the stage's end. */
  readonly deadline: number | undefined;
  readonly mark: string;
  /** Reply texts by the short names of findings. */
  readonly texts: ReadonlyMap<string, Template>;
  /** What its definition's schema made of its options. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Its place among the modules of the file, from 0. */
  readonly index: number;
}

/** A configuration that can be used. */
export interface Config {
  /** As faults call it. */
  readonly file: string;
  /** Where relative paths begin. */
  readonly directory: string;
  readonly settings: Settings;
  /** In the order of the file, those that are off among them. */
  readonly modules: readonly ConfiguredModule[];
  /** The files of its lists: to be refreshed every few seconds. */
  readonly files: ListFiles;
  /** To be told which domains are ours. */
  readonly ours: Ours;
  /** Where its dictionaries are, which a trial reads too: the URL of a store. */
  readonly dictionaries: string;
  /** The text, for those who ask where a value comes from. */
  readonly text: TomlText;
}
