/**
 * The words that the parts of a session's work share: a play, which is a ticket being worked on, its steps, and what
 * comes of a stage.
 */
import { MilterError } from '../errors.ts';
import type { Fault } from '../milter/message.ts';
import type { Reject, Tempfail } from '../milter/verdicts.ts';
import type { Stage, VerdictWord } from '../protocol/stages.ts';
import type { Member } from './member.ts';
import type { Ticket } from './records.ts';

/** What came of a stage. */
export interface Decision {
  readonly word: VerdictWord;
  readonly reply?: Reject | Tempfail | undefined;
  /** Who ended it. */
  readonly by?: Member;
}

export const goOn: Decision = { word: 'continue' };

/** What came of a handler. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** Yields the promises of handlers that are not done at once. */
export type Steps<T> = Generator<Promise<unknown>, T, Outcome>;

/** A ticket being played. */
export interface Play {
  readonly ticket: Ticket;
  /** It was answered while it waited behind another: its records are read, but no handler is called. */
  readonly answered: boolean;
  /** When it began, by performance.now(). */
  readonly begun: number;
  /** The handler for which the play is suspended. */
  waiting: Waiting | undefined;
}

/** A handler that is not done at once. */
export interface Waiting {
  readonly member: Member;
  readonly stage: Stage;
  readonly handler: Promise<unknown>;
  /** Where the message's actions stood before the call. */
  readonly mark: number;
}

/** Stages about the connection rather than a message. */
export const connectionStages: ReadonlySet<Stage> = new Set(['connect', 'helo']);

export function ended(why: string): Fault {
  return () => new MilterError('ERR_MILTER_MESSAGE_ENDED', why);
}

export function closed(why: string): Fault {
  return () => new MilterError('ERR_MILTER_CLOSED', why);
}

export function overdue(stage: Stage): MilterError {
  return new MilterError('ERR_MILTER_DEADLINE', `the ${stage} handler did not answer within its deadline`);
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
