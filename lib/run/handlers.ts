/**
 * Calls the handlers of a session's members, one after another, and makes a verdict of whatever comes of each: an
 * answer, a failure, or no answer in time.
 */
import { setAlarm, stopAlarm } from '../alarm.ts';
import { MilterError } from '../errors.ts';
import type { Logger } from '../logger.ts';
import type { Milter } from '../milter/milter.ts';
import { describe } from '../milter/replay.ts';
import type { Negotiated } from '../milter/session.ts';
import { isReply } from '../milter/verdicts.ts';
import { show } from '../options.ts';
import { allowedVerdicts, type Stage, scope, type VerdictStage } from '../protocol/stages.ts';
import { timeFor } from './deadline.ts';
import { fateOf, type Life } from './life.ts';
import type { Member } from './member.ts';
import { replyText } from './outcome.ts';
import { failureReply } from './plan.ts';
import {
  type Decision,
  goOn,
  isThenable,
  type Outcome,
  overdue,
  type Pausing,
  type Play,
  type Waiting,
} from './play.ts';

/** A handler that did not answer as it should. */
export interface Failure {
  readonly stage: Stage;
  readonly session: number;
  readonly queueId: string | undefined;
  /** The class whose handler it was; undefined where it was nobody's. */
  readonly filter: string | undefined;
  readonly error: MilterError;
}

/** Where handlers report. */
export interface HandlersHost {
  /** Logs and counts a failure. */
  failed(failure: Failure): void;
  readonly logger: Logger;
}

/** In place of a handler's answer, when its time was up first. */
const late = Symbol('late');
/** Answers to eom after which the message goes on as the member edited it. */
const keepingEdits: ReadonlySet<unknown> = new Set([undefined, 'continue', 'accept']);

/** What the handler of a stage is called with. */
type Arguments<S extends Stage> = Parameters<Milter[S]>;

/** A handler that is not done at once. */
class Called implements Waiting {
  readonly member: Member;
  readonly stage: Stage;
  readonly handler: Promise<unknown>;
  readonly mark: number;
  /** The handler, or `late` when its time is up first. */
  readonly done: Promise<unknown>;

  constructor(member: Member, stage: Stage, handler: Promise<unknown>, mark: number, done: Promise<unknown>) {
    this.member = member;
    this.stage = stage;
    this.handler = handler;
    this.mark = mark;
    this.done = done;
  }
}

export class Handlers {
  readonly #life: Life;
  readonly #host: HandlersHost;

  constructor(life: Life, host: HandlersHost) {
    this.#life = life;
    this.#host = host;
  }

  /** Asks the members one after another. */
  *ask<S extends VerdictStage>(stage: S, play: Play, ...values: Arguments<S>): Pausing<Decision> {
    const ofConnection = scope[stage] === 'connection';
    let allAccept = this.#life.plan.decides;
    let allSkip = stage === 'body' && allAccept;
    for (const member of this.#life.members) {
      if (member.connectionAccepted || (!ofConnection && member.messageAccepted)) continue;
      const counts = !member.plan.wishes.observe;
      if (stage === 'body' && member.bodySkipped) {
        if (counts) allAccept = false;
        continue;
      }
      let decision = goOn;
      if (concerns(stage, member, play)) {
        const called = this.#begin(member, stage, play, values);
        decision = called instanceof Called ? this.#end(called, play, yield called.done) : called;
      }
      if (decision.word === 'accept') {
        this.#life.accepted(member, stage);
        if (counts) allSkip = false;
      } else if (decision.word === 'skip') {
        member.bodySkipped = true;
        if (counts) allAccept = false;
      } else if (decision.word === 'continue') {
        if (counts) allAccept = allSkip = false;
      } else {
        return { ...decision, by: member };
      }
    }
    if (allAccept) return { word: 'accept' };
    return allSkip ? { word: 'skip' } : goOn;
  }

  /** Calls one handler and makes a verdict of whatever comes of it. */
  *call<S extends Stage>(member: Member, stage: S, play: Play, ...values: Arguments<S>): Pausing<Decision> {
    const called = this.#begin(member, stage, play, values);
    return called instanceof Called ? this.#end(called, play, yield called.done) : called;
  }

  /** Calls one handler. What it decided, where it is done at once. */
  #begin<S extends Stage>(member: Member, stage: S, play: Play, values: Arguments<S>): Decision | Called {
    const unable = member.overrun !== undefined || (member.missed && scope[stage] === 'message');
    if (play.answered && scope[stage] === 'message') member.missed = true;
    if (unable || play.answered) return this.#policy(member, stage);
    const mark = this.#life.state.message?.actions.mark() ?? 0;
    // What outlives its message goes on reading it; what comes after it, like helo or close, must not.
    member.handling = stage === 'abort' || member.message?.ended === false;
    let value: unknown;
    try {
      const filter = member.instance();
      value = Reflect.apply(filter[stage], filter, values);
      if (value instanceof Promise || isThenable(value)) {
        const handler = Promise.resolve(value);
        const called = new Called(member, stage, handler, mark, this.#inTime(handler, member, stage, play));
        play.waiting = called;
        return called;
      }
    } catch (error) {
      return this.#judge(member, stage, mark, { error });
    }
    return this.#judge(member, stage, mark, { value });
  }

  /** What came of a handler that was waited for. */
  #end({ member, stage, handler, mark }: Called, play: Play, outcome: Outcome): Decision {
    play.waiting = undefined;
    const isLate = 'value' in outcome && outcome.value === late;
    return isLate ? this.overran(member, stage, handler, mark) : this.#judge(member, stage, mark, outcome);
  }

  /** A handler's answer as a decision; the edits of its eom become actions. */
  #judge(member: Member, stage: Stage, mark: number, outcome: Outcome): Decision {
    let failure = 'error' in outcome ? outcome : undefined;
    if (stage === 'eom' && 'value' in outcome && keepingEdits.has(outcome.value)) {
      try {
        this.#life.state.message?.commit(member.owner);
      } catch (error) {
        failure = { error };
      }
    }
    member.handling = false;
    if (failure !== undefined) return this.failed(member, stage, mark, failure.error);
    const decision = this.#meant(member, stage, mark, 'value' in outcome ? outcome.value : undefined);
    return member.plan.wishes.observe ? this.#noted(member, stage, mark, decision) : decision;
  }

  /** What an observed member would have done. Where that ended its part, it ends, and for nobody else. */
  #noted(member: Member, stage: Stage, mark: number, { word, reply }: Decision): Decision {
    const { id, message } = this.#life.state;
    const actions = message?.actions.since(member.owner, mark).map(describe) ?? [];
    message?.forgetTree(member.owner);
    if (word !== 'continue' || actions.length > 0) {
      const queueId = message?.macros.get('i');
      const filter = member.plan.filter.name;
      this.#host.logger.info(
        { stage, session: id, queueId, filter, verdict: word, reply: replyText(reply), actions },
        'observed, and not done',
      );
    }
    if (word === 'continue' || word === 'skip') return { word };
    const ends = fateOf(stage, word) === 'over' || scope[stage] === 'connection';
    return ends && stage !== 'unknown' ? { word: 'accept' } : goOn;
  }

  /** The handler, or `late` when its time is up first. */
  #inTime(handler: Promise<unknown>, member: Member, stage: Stage, play: Play): Promise<unknown> {
    const time = timeFor(member, stage, play, this.#life);
    if (time === undefined) return handler;
    return new Promise((resolve, reject) => {
      const alarm = setAlarm(time, () => resolve(late));
      handler.then(
        (value) => {
          stopAlarm(alarm);
          resolve(value);
        },
        (error: unknown) => {
          stopAlarm(alarm);
          reject(error);
        },
      );
    });
  }

  /** What a handler's answer means. */
  #meant(member: Member, stage: Stage, mark: number, value: unknown): Decision {
    if (value === undefined) return goOn;
    if (stage === 'negotiate') return { word: 'continue', flags: value as Partial<Negotiated> };
    if (stage === 'abort' || stage === 'close') return goOn;
    const allowed = allowedVerdicts[stage];
    const word = allowed.find((candidate) => candidate === value);
    if (word !== undefined) return { word };
    if (isReply(value)) return { word: value.verdict, reply: value };
    const isObject = typeof value === 'object' || typeof value === 'function';
    const shown = isObject && value !== null ? Object.prototype.toString.call(value) : show(value);
    const error = new MilterError(
      'ERR_MILTER_HANDLER',
      `${stage} answered with ${shown}; it may answer with nothing, ${allowed.join(', ')}, or a reply of reject() or tempfail()`,
    );
    return this.failed(member, stage, mark, error);
  }

  failed(member: Member, stage: Stage, mark: number, cause: unknown): Decision {
    this.#life.state.message?.rollBack(member.owner, mark);
    const error =
      cause instanceof MilterError && cause.code === 'ERR_MILTER_HANDLER'
        ? cause
        : new MilterError('ERR_MILTER_HANDLER', `the ${stage} handler failed`, { cause });
    this.report(member, stage, error);
    return this.#policy(member, stage);
  }

  overran(member: Member, stage: Stage, handler: Promise<unknown>, mark: number): Decision {
    this.#life.state.message?.rollBack(member.owner, mark);
    const error = overdue(stage);
    this.#life.overran(member, handler, () => error);
    this.report(member, stage, error);
    return this.#policy(member, stage);
  }

  #policy(member: Member, stage: Stage): Decision {
    const { onError } = member.plan;
    if (onError === 'accept' && stage === 'unknown') return goOn;
    return { word: onError, reply: failureReply(onError) };
  }

  report(member: Member | undefined, stage: Stage, error: MilterError): void {
    this.#host.failed({
      stage,
      session: this.#life.state.id,
      queueId: this.#life.state.message?.macros.get('i'),
      filter: member?.plan.filter.name,
      error,
    });
  }
}

/** Whether this stage is to be heard by this member. */
function concerns(stage: Stage, { plan }: Member, { refusedByMta }: Play): boolean {
  return plan.handles.has(stage) && !(stage === 'envrcpt' && refusedByMta && !plan.wishes.rejectedRecipients);
}
