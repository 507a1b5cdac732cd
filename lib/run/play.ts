/**
 * The words that the parts of a session's work share: a play, which is a ticket being worked on, the pauses in it, and
 * what comes of a stage.
 */
import type { Ticket } from '../engine/engine.ts';
import { MilterError } from '../errors.ts';
import type { Negotiated } from '../milter/session.ts';
import type { Reject, Tempfail } from '../milter/verdicts.ts';
import type { Stage, VerdictWord } from '../protocol/stages.ts';
import type { Member } from './member.ts';

/** What came of a stage. */
export interface Decision {
  readonly word: VerdictWord;
  readonly reply?: Reject | Tempfail | undefined;
  /** Of negotiate: the flags that the handler wants. */
  readonly flags?: Partial<Negotiated>;
  /** Who ended it. */
  readonly by?: Member;
}

export const goOn: Decision = { word: 'continue' };

/** What came of a handler. */
export type Outcome = { readonly value: unknown } | { readonly error: unknown };

/** Work that pauses at each handler that is not done at once, yielding that handler's promise. */
export type Pausing<T> = Generator<Promise<unknown>, T, Outcome>;

/** A ticket being played. */
export interface Play {
  readonly ticket: Ticket;
  /** It was answered while it waited behind another: its records are read, but no handler is called. */
  readonly answered: boolean;
  /** When it began, by performance.now(). */
  readonly begun: number;
  /** The recipient asked about is one that the MTA itself refused. */
  refusedByMta: boolean;
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

export function overdue(stage: Stage): MilterError {
  return new MilterError('ERR_MILTER_DEADLINE', `the ${stage} handler did not answer within its deadline`);
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
