/** Where dictionaries are kept. What is asked together happens at one moment, whoever else uses the store. */
import type { Secret } from '../hash.ts';
import type { Totals } from '../score.ts';

/** What a message teaches, or taught. */
export type Kind = 'spam' | 'ham';

/** What is known of the tokens asked for. */
export interface Reading {
  readonly totals: Totals;
  /** For each key, two counts: spam, ham. */
  readonly counts: Uint32Array;
}

/** A message as it is learned. */
export interface Lesson {
  /** 16 bytes by which the message is known. */
  readonly digest: Buffer;
  /** Keys of the header and the envelope, which other copies of the message may not have. */
  readonly header: readonly number[];
  /** Keys of the body, which all copies have; some may be in `header` too. */
  readonly body: readonly number[];
}

/** What is to be done with a lesson. */
export type Task =
  /** Learns it, once; or notes that it taught nothing, and that its tokens are of use. */
  { readonly call: 'learn' | 'note'; readonly kind: Kind } | { readonly call: 'unlearn' };

/** Whether it is spam that is learned or noted. */
export function isOfSpam(task: Task): boolean {
  return task.call !== 'unlearn' && task.kind === 'spam';
}

/** What came of a lesson. */
export type Outcome =
  /** It was learned. */
  | 'learned'
  /** It had been learned as the other kind: that was unlearned. */
  | 'moved'
  /** It was learned before. */
  | 'known'
  /** It was unlearned. */
  | 'unlearned'
  /** It is noted that there was nothing to learn from it, or nothing had been learned from it. */
  | 'noted'
  /** There is no record of it. */
  | 'unknown'
  /** It was learned by a release that reads bodies in another way. */
  | 'other-release';

/** What is kept of a message that was trained. */
export interface LearnedRecord {
  readonly kind: Kind;
  /** False: there was nothing to learn. */
  readonly isLearned: boolean;
}

/** Numbers of a dictionary. */
export interface DictionarySize extends Totals {
  /** Name of the dictionary. */
  readonly name: string;
  readonly tokens: number;
}

/** How long things are kept, in days, and how many. */
export interface Retention {
  /** Days for which it is known what a message taught. */
  readonly records: number;
  /** Days without use: of tokens learned from one message, from two or three, that say nothing, and of all. */
  readonly once: number;
  readonly rare: number;
  readonly neutral: number;
  readonly all: number;
  /** Tokens of the shared dictionary, and of each user's. */
  readonly sharedTokens: number;
  readonly userTokens: number;
}

/** A token to be added as it is, by an import. */
export interface Import {
  readonly key: number;
  readonly spam: number;
  readonly ham: number;
  readonly day: number;
}

/** What one slice of expiry came to. */
export interface Sweep {
  /** Tokens and records that went. */
  readonly dropped: number;
  /** Whether it came round: everything was looked at since it last was. */
  readonly isDone: boolean;
}

/** A place for dictionaries. Dictionaries are made by learning; what was never learned is empty. */
export interface DictionaryStore {
  /** The installation's own. */
  secret(): Promise<Secret>;
  read(dictionary: string, keys: readonly number[]): Promise<Reading>;
  record(dictionary: string, digest: Buffer, now: number): Promise<LearnedRecord | undefined>;
  perform(dictionary: string, task: Task, lesson: Lesson, now: number): Promise<Outcome>;
  import(dictionary: string, tokens: readonly Import[], totals: Totals): Promise<void>;
  sizes(): Promise<readonly DictionarySize[]>;
  /** Lets go of some of what is no longer of use. */
  sweep(now: number): Promise<Sweep>;
  close(): Promise<void>;
}

/** The dictionary that is everybody's. */
export const SHARED = '';

/** Tokens that a dictionary may have. */
export function capOf(dictionary: string, retention: Retention): number {
  return !dictionary.includes('@') ? retention.sharedTokens : retention.userTokens;
}

/** By what tokenising gives: where that changes, bodies learned before cannot be unlearned. */
export const TOKENS_VERSION = 1;

/** A number that the keys of a body agree in. */
export function checkOf(keys: readonly number[]): number {
  let sum = 0;
  for (const key of keys) sum = (sum + key) % 2 ** 48;
  return sum;
}
