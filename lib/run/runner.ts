/**
 * The life of a session's tickets. `take` queues a ticket while a handler of this session runs; its play reads its
 * records (stage-player.ts), calls handlers (handlers.ts), and is suspended at each that is not done at once; `#finish`
 * settles it. A ticket whose deadline passes is answered by the libmilter side, and its play is abandoned.
 */
import { MilterError } from '../errors.ts';
import { Macros, ofRecipient } from '../milter/macros.ts';
import type { Fault } from '../milter/message.ts';
import { nobody, Session, type SessionState } from '../milter/session.ts';
import { SMFIP, type Stage, stages, verdictCode } from '../protocol/stages.ts';
import { decodeText } from '../text.ts';
import { packAnswer } from './answers.ts';
import { type Failure, Handlers } from './handlers.ts';
import { Notice } from './native.ts';
import type { Plan } from './plan.ts';
import {
  closed,
  connectionStages,
  type Decision,
  ended,
  goOn,
  type Outcome,
  overdue,
  type Play,
  type Steps,
} from './play.ts';
import type { Ticket } from './records.ts';
import { type PlayerHost, StagePlayer } from './stage-player.ts';

/** What a runner needs of its surroundings. */
export interface RunnerHost extends PlayerHost {
  lookup(ticket: number, name: string): Buffer | undefined;
  plan(id: number): Plan;
  /** Logs and counts a failure. */
  failed(failure: Failure): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
}

const batchStages: ReadonlySet<Stage> = new Set(['eoh', 'body', 'eom']);

export class SessionRunner {
  readonly #host: RunnerHost;
  readonly #state: SessionState;
  readonly #handlers: Handlers;
  readonly #stages: StagePlayer;
  #queue: Ticket[] = [];
  #play: Play | undefined;
  /** Tickets that were answered while they waited in the queue. */
  readonly #answered = new Set<number>();

  constructor(host: RunnerHost, id: number, plan: Plan) {
    this.#host = host;
    this.#state = {
      id,
      client: nobody,
      helo: '',
      negotiated: { actions: 0, steps: 0 },
      macros: new Macros(plan.macroNames),
      message: undefined,
      lookUp: (name) => this.#lookUp(name),
    };
    const session = new Session(this.#state);
    this.#handlers = new Handlers(plan, this.#state, session, (failure) => host.failed(failure));
    this.#stages = new StagePlayer(host, this.#state, this.#handlers);
  }

  /** Takes the session's next ticket, or news about one. */
  take(ticket: Ticket): void {
    if (ticket.stage >= Notice.expired) this.#notice(ticket);
    else if (this.#play !== undefined) this.#queue.push(ticket);
    else this.#start(ticket);
  }

  #start(first: Ticket | undefined): void {
    for (let ticket = first; ticket !== undefined; ticket = this.#queue.shift()) {
      const answered = this.#answered.delete(ticket.id);
      const play: Play = { ticket, answered, begun: performance.now(), waiting: undefined };
      this.#play = play;
      if (!this.#advance(play, this.#run(play), undefined)) return;
    }
  }

  /** Goes on until a handler has to be waited for. Returns whether the play is over. */
  #advance(play: Play, steps: Steps<void>, outcome: Outcome | undefined): boolean {
    try {
      const step = outcome === undefined ? steps.next() : steps.next(outcome);
      if (step.done !== true) {
        const resume = (next: Outcome): void => {
          if (this.#play === play && this.#advance(play, steps, next)) this.#start(this.#queue.shift());
        };
        step.value.then(
          (value) => resume({ value }),
          (error: unknown) => resume({ error }),
        );
        return false;
      }
    } catch (cause) {
      // A fault of ours. The sender retries.
      const error = new MilterError('ERR_MILTER_HANDLER', 'internal error while a stage was handled', {
        cause,
      });
      this.#handlers.report(undefined, stages[play.ticket.stage] ?? 'eom', error);
      if (play.ticket.id !== 0) this.#host.settle(play.ticket.id, verdictCode.tempfail);
    }
    this.#play = undefined;
    return true;
  }

  *#run(play: Play): Steps<void> {
    const { ticket } = play;
    if (ticket.plan !== this.#handlers.plan.id) this.#handlers.use(this.#host.plan(ticket.plan));
    const own = stages[ticket.stage];
    const { records } = ticket;
    let decision = goOn;
    while (!records.done && decision.word === 'continue') {
      const stage = stages[records.stage()];
      if (stage === undefined) throw new Error('a record of an unknown stage');
      if (stage === 'negotiate' && own === 'negotiate') {
        yield* this.#stages.negotiate(play);
        return;
      }
      const asks =
        stage === own || (own !== undefined && batchStages.has(own) && this.#handlers.plan.late.has(stage));
      decision = yield* this.#stages.record(stage, asks, play);
    }
    if (ticket.id !== 0) yield* this.#finish(own ?? 'eom', play, decision);
  }

  /** Settles the ticket, and ends the message where the verdict does. */
  *#finish(own: Stage, play: Play, decision: Decision): Steps<void> {
    const { id } = play.ticket;
    const { word, reply, by } = decision;
    const message = this.#state.message;
    const refusedRecipient = own === 'envrcpt' && (word === 'reject' || word === 'tempfail');
    const ends = word !== 'continue' && word !== 'skip' && !refusedRecipient;
    const keepsActions = !ends || word === 'accept';
    if (play.answered) {
      this.#host.settle(id, verdictCode.tempfail);
    } else {
      const actions = keepsActions ? message?.actions.takeChanges() : undefined;
      if (!this.#host.settle(id, verdictCode[word], packAnswer({ reply, actions }))) {
        this.#settledTooLate(own);
        return;
      }
    }
    // Where the MTA did not grant it, the rest of the body comes all the same.
    if (word === 'skip' && (this.#state.negotiated.steps & SMFIP.SKIP) !== 0) message?.truncateBody();
    if (message === undefined || connectionStages.has(own) || own === 'unknown') return;
    if (own === 'eom' && keepsActions) {
      this.#stages.endMessage();
    } else if (ends) {
      this.#stages.endMessage(ended(`the filter answered ${own} with ${word}`));
      for (const member of this.#handlers.members) {
        if (by === undefined || member === by || !member.plan.handles.has('abort')) continue;
        if (member.connectionAccepted || member.messageAccepted) continue;
        yield* this.#handlers.call(member, 'abort', play, (filter) => filter.abort());
      }
    }
  }

  /** The answer came in the moment in which the deadline passed. */
  #settledTooLate(stage: Stage): void {
    const error = overdue(stage);
    this.#handlers.report(undefined, stage, error);
    this.#applyExpiry(stage, () => error);
  }

  /** What the libmilter side answered in our place has its consequences here too. */
  #applyExpiry(stage: Stage, error: Fault): void {
    const answered = this.#handlers.plan.native.onError.verdict;
    const ofConnection = connectionStages.has(stage) || stage === 'unknown' || stage === 'negotiate';
    const refusal = answered === verdictCode.reject || answered === verdictCode.tempfail;
    if (ofConnection || answered === verdictCode.continue) {
      if (stage === 'eom') this.#stages.endMessage(error);
    } else if (!(stage === 'envrcpt' && refusal)) {
      this.#stages.endMessage(error);
    }
  }

  #notice(ticket: Ticket): void {
    if (ticket.stage === Notice.replayFailed) {
      this.#host.warn(
        { session: this.#state.id },
        'libmilter could not send an action to the MTA; it will retry',
      );
      return;
    }
    if (ticket.stage === Notice.hangup) {
      const gone = closed('the MTA closed the connection');
      for (const member of this.#handlers.members) member.message?.fire(gone);
      return;
    }
    const expired = ticket.stage === Notice.expired;
    const playing = this.#play;
    if (playing === undefined) return;
    if (playing.ticket.id !== ticket.id) {
      // It waited behind a handler of this session, which is thus the one that took too long.
      if (!this.#queue.some((queued) => queued.id === ticket.id)) return;
      this.#answered.add(ticket.id);
    } else {
      this.#host.settle(ticket.id, verdictCode.tempfail);
    }
    this.#abandon(playing, expired);
    this.#start(this.#queue.shift());
  }

  /** Leaves the handler alone for which the play waits; its ticket has been answered. */
  #abandon(play: Play, expired: boolean): void {
    const { waiting } = play;
    this.#play = undefined;
    if (waiting === undefined) return;
    const { member, stage, handler, mark } = waiting;
    if (expired) {
      this.#handlers.overran(member, stage, handler, mark);
      this.#applyExpiry(stages[play.ticket.stage] ?? 'eom', () => overdue(stage));
    } else {
      const closing = closed('the server is shutting down');
      member.overran(handler, closing);
      this.#stages.endMessage(closing);
    }
    for (const other of this.#handlers.members) if (other.owner > member.owner) other.missed = true;
  }

  #lookUp(name: string): string | undefined {
    // libmilter goes on showing those of the recipient before, and after a message those of that message.
    const stale = ofRecipient.has(name) || this.#stages.betweenMessages;
    const id = stale ? 0 : (this.#play?.ticket.id ?? 0);
    const value = id === 0 ? undefined : this.#host.lookup(id, name);
    return value === undefined ? undefined : decodeText(value);
  }
}
