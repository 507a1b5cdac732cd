/** What is asked of a store's backend: the store's methods as data, which can be sent to another thread. */
import type { Admission, Keep, StoreCall, WindowLimit } from './store.ts';

/** One question, answered whole or not at all. */
export type StoreRequest =
  | StoreCall
  | {
      readonly call: 'compareAndSet';
      readonly key: string;
      readonly expected: string | undefined;
      readonly value: string;
      readonly keep?: Keep | undefined;
      readonly along?: readonly StoreCall[] | undefined;
    }
  | { readonly call: 'batch'; readonly calls: readonly StoreCall[] }
  /** Listed keys that begin with `prefix` and come behind `after`: of `most` that are looked at, those whose values hold a text. */
  | {
      readonly call: 'page';
      readonly prefix: string;
      readonly after: string;
      readonly most: number;
      readonly holding?: string | undefined;
    }
  | { readonly call: 'admit'; readonly limits: readonly WindowLimit[] }
  | { readonly call: 'giveBack'; readonly limits: readonly WindowLimit[] };

/** A page of keys with their values. */
export interface Page {
  readonly entries: readonly (readonly [key: string, value: string])[];
  /** What the next page comes behind; undefined: this was the last. */
  readonly next: string | undefined;
}

/** What the backend answers to each. */
export interface StoreAnswers {
  readonly get: string | undefined;
  readonly set: undefined;
  readonly increment: number;
  readonly delete: undefined;
  readonly compareAndSet: boolean;
  readonly batch: readonly (string | number | undefined)[];
  readonly page: Page;
  readonly admit: Admission;
  readonly giveBack: undefined;
}

/** Any of them. */
export type StoreAnswer = StoreAnswers[keyof StoreAnswers];

/** Where the store really is. */
export interface Backend {
  /** Rejects with StoreError where the store is away. */
  ask(request: StoreRequest): Promise<StoreAnswer>;
  /** Waits for what was asked before. */
  close(): Promise<void>;
}

/** Whether it changes the store. */
export function writes(request: StoreRequest): boolean {
  if (request.call === 'batch') return request.calls.some(writes);
  return request.call !== 'get' && request.call !== 'page';
}
