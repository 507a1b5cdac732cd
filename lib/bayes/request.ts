/** What goes between `openBayes` and its thread. */
import type { Classification, MessageOptions, Training, Untraining } from './learner.ts';
import type { DictionarySize, Kind, Retention, Sweep } from './store/store.ts';

/** Where the dictionaries are. */
export type BayesUrl =
  | { readonly kind: 'memory' }
  | { readonly kind: 'sqlite'; readonly path: string }
  | { readonly kind: 'redis'; readonly url: string };

/** What the thread is started with. */
export interface ThreadData {
  readonly url: BayesUrl;
  readonly minTrained: number;
  readonly retention: Retention;
}

/** What it is asked. */
export type Request =
  | { readonly call: 'open' }
  | { readonly call: 'classify'; readonly message: Uint8Array; readonly options: MessageOptions }
  | {
      readonly call: 'train';
      readonly message: Uint8Array;
      readonly kind: Kind;
      readonly options: MessageOptions;
      readonly now: number;
    }
  | {
      readonly call: 'untrain';
      readonly message: Uint8Array;
      readonly options: MessageOptions;
      readonly now: number;
    }
  | { readonly call: 'statistics' }
  | { readonly call: 'sweep'; readonly now: number }
  | {
      readonly call: 'import';
      readonly lines: readonly string[];
      readonly user: string | undefined;
      readonly now: number;
    }
  | { readonly call: 'close' };

/** What it answers to each. */
export interface Answers {
  readonly open: undefined;
  readonly classify: Classification;
  readonly train: Training;
  readonly untrain: Untraining;
  readonly statistics: readonly DictionarySize[];
  readonly sweep: Sweep;
  readonly import: number;
  readonly close: undefined;
}

/** A request with its number. */
export interface ToThread {
  readonly id: number;
  readonly request: Request;
}

/** The answer with the number of its request. */
export type FromThread =
  | { readonly id: number; readonly answer: Answers[keyof Answers] }
  | { readonly id: number; readonly error: string; readonly isRefused: boolean };
