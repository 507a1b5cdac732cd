/**
 * What the main thread and its threads tell each other. A thread may serve several servers at once, which have numbers.
 */
import type { MessagePort } from 'node:worker_threads';
import type { EnginePlan } from '../../engine/engine.ts';
import type { MilterErrorCode } from '../../errors.ts';
import type { LogFields, Logger } from '../../logger.ts';
import type { DispatcherSettings } from '../../run/dispatcher.ts';
import type { PackedAnswer, PackedRecord } from './packed.ts';

/** What a thread is started with. */
export interface ThreadTask {
  /** Its number, from 1 on; the filter may read it in `workerData`. */
  readonly number: number;
  /** The filter's file. */
  readonly url: string;
  /** {@link Cell}: how many messages the thread has done with, and whether its question has an answer. */
  readonly cells: Int32Array<SharedArrayBuffer>;
  /** Where answers to {@link FromThread} `ask` come. */
  readonly answers: MessagePort;
}

/** Places in the memory that a thread shares with the main thread. */
export const Cell = { done: 0, answered: 1 } as const;

/** Milliseconds, the same in all threads: other than `Date.now()` it never jumps, other than `performance.now()` each counts from the same moment. */
export function threadsClock(): number {
  return Number(process.hrtime.bigint() / 1_000_000n);
}

/** What the main thread tells. */
export type ToThread =
  | { readonly word: 'serve'; readonly server: number; readonly settings: DispatcherSettings }
  | {
      readonly word: 'ticket';
      readonly server: number;
      readonly id: number;
      readonly session: number;
      readonly plan: number;
      readonly stage: number;
      readonly records: readonly PackedRecord[];
      /** When its deadline passes, by {@link threadsClock}. */
      readonly due: number;
    }
  /** The server closes: what is not done in `grace` milliseconds is cut off. */
  | { readonly word: 'closing'; readonly server: number; readonly grace: number }
  /** The server has ended. */
  | { readonly word: 'closed'; readonly server: number }
  /** All is over. */
  | { readonly word: 'end' };

/** A question for which a thread stands still. */
export type Question =
  | { readonly about: 'macro'; readonly server: number; readonly ticket: number; readonly name: string }
  | { readonly about: 'settle'; readonly settling: Settling };

/** What a question is answered with. */
export type Reply = string | boolean | undefined;

/** An answer to a ticket. */
export interface Settling {
  readonly server: number;
  readonly ticket: number;
  readonly verdict: number;
  readonly parts: PackedAnswer;
}

/** Why a thread cannot serve. */
export interface ThreadFault {
  readonly code: MilterErrorCode;
  readonly message: string;
}

/** What a thread tells. Plans have numbers of the thread's own. */
export type FromThread =
  | { readonly word: 'ready' }
  | { readonly word: 'fault'; readonly fault: ThreadFault }
  | { readonly word: 'plan'; readonly server: number; readonly plan: EnginePlan }
  | { readonly word: 'remove plan'; readonly server: number; readonly plan: number }
  /** It serves; new connections are to follow this plan. */
  | { readonly word: 'serving'; readonly server: number; readonly plan: number }
  | { readonly word: 'settle'; readonly settling: Settling }
  | { readonly word: 'ask'; readonly question: Question }
  | {
      readonly word: 'failed';
      readonly server: number;
      readonly failures: number;
      readonly deadlines: number;
    }
  | {
      readonly word: 'log';
      readonly server: number;
      readonly level: keyof Logger;
      readonly fields: LogFields;
      readonly message: string;
    };
