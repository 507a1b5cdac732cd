/**
 * Calls the handlers of a session's members, one after another, and makes a verdict of whatever comes of each: an
 * answer, a failure, or no answer in time.
 */
import { MilterError } from '../errors.ts';
import type { Milter } from '../milter/milter.ts';
import type { Session, SessionState } from '../milter/session.ts';
import { isReply } from '../milter/verdicts.ts';
import { allowedVerdicts, type Stage, type VerdictStage } from '../protocol/stages.ts';
import { Member } from './member.ts';
import { failureReply, type Plan } from './plan.ts';
import {
  connectionStages,
  type Decision,
  ended,
  goOn,
  isThenable,
  type Outcome,
  overdue,
  type Play,
  type Steps,
} from './play.ts';

/** A handler that did not answer as it should. */
export interface Failure {
  readonly stage: Stage;
  readonly session: number;
  readonly queueId: string | undefined;
  readonly filter: string;
  readonly error: MilterError;
}

/** In place of a handler's answer, when its time was up first. */
const late = Symbol('late');
/** Answers to eom after which the message goes on as the member edited it. */
const keepingEdits: ReadonlySet<unknown> = new Set([undefined, 'continue', 'accept']);

export class Handlers {
  plan: Plan;
  members: readonly Member[];
  readonly #state: SessionState;
  readonly #session: Session;
  readonly #report: (failure: Failure) => void;

  constructor(plan: Plan, state: SessionState, session: Session, report: (failure: Failure) => void) {
    this.#state = state;
    this.#session = session;
    this.#report = report;
    this.plan = plan;
    this.members = this.#makeMembers(plan);
  }

  /** From now on these are the classes at work. */
  use(plan: Plan): void {
    this.plan = plan;
    this.members = this.#makeMembers(plan);
  }

  /** Asks the members one after another. `concerns` leaves out those that did not ask for this. */
  *ask(
    stage: VerdictStage,
    play: Play,
    call: (filter: Milter) => unknown,
    concerns: (member: Member) => boolean = () => true,
  ): Steps<Decision> {
    const ofConnection = connectionStages.has(stage) || stage === 'unknown';
    let allAccept = true;
    let allSkip = stage === 'body';
    for (const member of this.members) {
      if (member.connectionAccepted || (!ofConnection && member.messageAccepted)) continue;
      if (stage === 'body' && member.bodySkipped) {
        allAccept = false;
        continue;
      }
      const decision =
        member.plan.handles.has(stage) && concerns(member)
          ? yield* this.call(member, stage, play, call)
          : goOn;
      if (decision.word === 'accept') {
        this.#accepted(member, stage);
        allSkip = false;
      } else if (decision.word === 'skip') {
        member.bodySkipped = true;
        allAccept = false;
      } else if (decision.word === 'continue') {
        allAccept = false;
        allSkip = false;
      } else {
        return { ...decision, by: member };
      }
    }
    if (allAccept) return { word: 'accept' };
    return allSkip ? { word: 'skip' } : goOn;
  }

  #accepted(member: Member, stage: Stage): void {
    if (connectionStages.has(stage)) {
      member.connectionAccepted = true;
    } else {
      member.messageAccepted = true;
      if (stage !== 'eom') {
        member.message?.end(ended('the filter accepted the message'));
      }
    }
  }

  /** Calls one handler and makes a verdict of whatever comes of it. */
  *call(member: Member, stage: Stage, play: Play, call: (filter: Milter) => unknown): Steps<Decision> {
    const connection = connectionStages.has(stage) || stage === 'unknown' || stage === 'close';
    const unable = member.overrun !== undefined || (member.missed && !connection);
    if (unable || play.answered) return this.#policy(member, stage);
    const mark = this.#state.message?.actions.mark() ?? 0;
    let outcome: Outcome;
    // What outlives its message goes on reading it; what comes after it, like helo or close, must not.
    member.handling = stage === 'abort' || member.message?.ended === false;
    try {
      const value = call(member.instance());
      outcome = { value };
      if (value instanceof Promise || isThenable(value)) {
        const handler = Promise.resolve(value);
        play.waiting = { member, stage, handler, mark };
        outcome = yield this.#inTime(handler, member, stage, play);
        play.waiting = undefined;
        if ('value' in outcome && outcome.value === late) return this.overran(member, stage, handler, mark);
      }
      if (stage === 'eom' && 'value' in outcome && keepingEdits.has(outcome.value)) {
        member.message?.recordEdits();
      }
    } catch (error) {
      outcome = { error };
    }
    member.handling = false;
    if ('error' in outcome) return this.failed(member, stage, mark, outcome.error);
    return this.#judge(member, stage, mark, outcome.value);
  }

  /**
   * The handler, or `late`. The libmilter side watches the deadline, but its answer is one for all members, and
   * without the actions that it has not been given yet. Where either matters, time is up here, a little earlier:
   * each member gets an equal part of what is left, so that those behind a hanging one are still asked.
   */
  #inTime(
    handler: Promise<unknown>,
    member: Member,
    stage: Stage,
    { ticket, begun }: Play,
  ): Promise<unknown> {
    const watchedThere = this.members.length === 1 && this.#state.message?.actions.changed !== true;
    if (watchedThere || ticket.id === 0 || stage === 'abort') return handler;
    const deadline = begun + 0.9 * (this.plan.native.deadlines[ticket.stage] ?? 0);
    const share = (deadline - performance.now()) / (this.members.length - member.owner);
    const { promise, resolve } = Promise.withResolvers<unknown>();
    const timer = setTimeout(() => resolve(late), share);
    return Promise.race([handler, promise]).finally(() => clearTimeout(timer));
  }

  /** What a handler's answer means. */
  #judge(member: Member, stage: Stage, mark: number, value: unknown): Decision {
    if (value === undefined) return goOn;
    if (stage === 'abort' || stage === 'close' || stage === 'negotiate') return goOn;
    const allowed = allowedVerdicts[stage];
    const word = allowed.find((candidate) => candidate === value);
    if (word !== undefined) return { word };
    if (isReply(value)) return { word: value.verdict, reply: value };
    const shown = typeof value === 'string' ? JSON.stringify(value) : Object.prototype.toString.call(value);
    const error = new MilterError(
      'ERR_MILTER_HANDLER',
      `${stage} answered with ${shown}; it may answer with nothing, ${allowed.join(', ')}, or a reply`,
    );
    return this.failed(member, stage, mark, error);
  }

  failed(member: Member, stage: Stage, mark: number, cause: unknown): Decision {
    this.#state.message?.actions.rollBack(member.owner, mark);
    const error =
      cause instanceof MilterError && cause.code === 'ERR_MILTER_HANDLER'
        ? cause
        : new MilterError('ERR_MILTER_HANDLER', `the ${stage} handler failed`, { cause });
    this.report(member, stage, error);
    return this.#policy(member, stage);
  }

  overran(member: Member, stage: Stage, handler: Promise<unknown>, mark: number): Decision {
    this.#state.message?.actions.rollBack(member.owner, mark);
    const error = overdue(stage);
    member.overran(handler, () => error);
    this.report(member, stage, error);
    return this.#policy(member, stage);
  }

  #policy(member: Member, stage: Stage): Decision {
    const { onError } = member.plan;
    if (onError === 'accept' && stage === 'unknown') return goOn;
    return { word: onError, reply: failureReply(onError) };
  }

  report(member: Member | undefined, stage: Stage, error: MilterError): void {
    this.#report({
      stage,
      session: this.#state.id,
      queueId: this.#state.message?.macros.get('i'),
      filter: (member ?? this.members[0])?.plan.filter.name ?? '',
      error,
    });
  }

  #makeMembers(plan: Plan): readonly Member[] {
    return plan.members.map((member, owner) => new Member(member, owner, this.#session));
  }
}
