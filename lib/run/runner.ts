/**
 * The life of a session's tickets. `take` queues a ticket while a handler of this session runs; its play reads its
 * records (stage-player.ts), calls handlers (handlers.ts), and is suspended at each that is not done at once; `#finish`
 * settles it. A ticket whose deadline passes is answered by the engine, and its play is abandoned.
 */
import { Notice, type Ticket } from '../engine/engine.ts';
import { MilterError } from '../errors.ts';
import { Macros } from '../milter/macros.ts';
import { nobody, Session } from '../milter/session.ts';
import { SMFIP, type Stage, stages, verdictCode } from '../protocol/stages.ts';
import { batchStages } from './deadline.ts';
import { Handlers, type HandlersHost } from './handlers.ts';
import { closed, fateOf, Life, type LiveState } from './life.ts';
import type { OutcomeHost } from './outcome.ts';
import type { Plan } from './plan.ts';
import { type Decision, goOn, type Outcome, overdue, type Pausing, type Play } from './play.ts';
import { type PlayerHost, StagePlayer } from './stage-player.ts';

/** What a runner needs of its surroundings. */
export interface RunnerHost extends PlayerHost, HandlersHost, OutcomeHost {
  lookup(ticket: number, name: string): string | undefined;
  plan(id: number): Plan;
}

export class SessionRunner {
  readonly #host: RunnerHost;
  readonly #life: Life;
  readonly #handlers: Handlers;
  readonly #stages: StagePlayer;
  #queue: Ticket[] = [];
  #play: Play | undefined;
  /** Tickets that were answered while they waited in the queue. */
  readonly #answered = new Set<number>();

  constructor(host: RunnerHost, id: number, plan: Plan) {
    this.#host = host;
    const state: LiveState = {
      id,
      client: nobody,
      helo: '',
      negotiated: { actions: 0, steps: 0 },
      macros: new Macros(plan.macroNames),
      message: undefined,
      lookUp: (name) => this.#lookUp(name),
    };
    this.#life = new Life(plan, state, new Session(state), host);
    this.#handlers = new Handlers(this.#life, host);
    this.#stages = new StagePlayer(host, this.#life, this.#handlers);
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
      const play: Play = {
        ticket,
        answered,
        begun: performance.now(),
        refusedByMta: false,
        waiting: undefined,
      };
      this.#play = play;
      if (!this.#advance(play, this.#run(play), undefined)) return;
    }
  }

  /** Goes on until a handler has to be waited for. Returns whether the play is over. */
  #advance(play: Play, steps: Pausing<void>, outcome: Outcome | undefined): boolean {
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

  *#run(play: Play): Pausing<void> {
    const { ticket } = play;
    if (ticket.plan !== this.#life.plan.id) this.#life.use(this.#host.plan(ticket.plan));
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
        stage === own || (own !== undefined && batchStages.has(own) && this.#life.plan.late.has(stage));
      const played = this.#stages.record(stage, asks, play);
      decision = 'word' in played ? played : yield* played;
    }
    if (ticket.id === 0 || !this.#finish(own ?? 'eom', play, decision)) return;
    const { by } = decision;
    for (const member of this.#life.members) {
      if (member === by || !member.plan.handles.has('abort')) continue;
      if (member.connectionAccepted || member.messageAccepted) continue;
      yield* this.#handlers.call(member, 'abort', play);
    }
  }

  /** Settles the ticket, and ends the message where the verdict does. Whether one member has so ended it for the others. */
  #finish(own: Stage, play: Play, decision: Decision): boolean {
    const { word, reply, by } = decision;
    const { message, negotiated } = this.#life.state;
    if (!play.answered) {
      const keepsActions = fateOf(own, word) !== 'over' || word === 'accept';
      const actions = keepsActions ? message?.takeActions() : undefined;
      if (!this.#host.settle(play.ticket.id, verdictCode[word], { reply, actions })) {
        // What goes on goes on with what was recorded, the next time that something is answered.
        message?.actions.giveBack();
        this.#settledTooLate(own);
        return false;
      }
    }
    // Where the MTA did not grant it, the rest of the body comes all the same.
    if (word === 'skip' && (negotiated.steps & SMFIP.SKIP) !== 0) message?.truncateBody();
    return this.#life.answered(own, decision) === 'over' && message !== undefined && by !== undefined;
  }

  /** The answer came in the moment in which the deadline passed. */
  #settledTooLate(stage: Stage): void {
    const error = overdue(stage);
    this.#handlers.report(undefined, stage, error);
    this.#life.expired(stage, () => error);
  }

  #notice({ stage, id }: Ticket): void {
    switch (stage) {
      case Notice.replayFailed:
        this.#host.logger.warn(
          { session: this.#life.state.id },
          'an action could not be sent to the MTA; it will retry',
        );
        this.#life.lost(closed('the MTA is gone: an action could not be sent'));
        return;
      case Notice.hangup:
        this.#life.lost(closed('the MTA closed the connection'));
        return;
      default:
        this.#answeredForUs(id, stage === Notice.expired);
    }
  }

  /** A ticket was answered by the engine: its deadline passed, or the server is closing. */
  #answeredForUs(ticket: number, expired: boolean): void {
    const playing = this.#play;
    if (playing === undefined) return;
    if (playing.ticket.id !== ticket) {
      // It waited behind a handler of this session, which is thus the one that took too long.
      if (!this.#queue.some((queued) => queued.id === ticket)) return;
      this.#answered.add(ticket);
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
      this.#life.expired(stages[play.ticket.stage] ?? 'eom', () => overdue(stage));
    } else {
      const closing = closed('the server is shutting down');
      this.#life.overran(member, handler, closing);
      this.#life.end(closing);
    }
    for (const other of this.#life.members) if (other.owner > member.owner) other.missed = true;
  }

  #lookUp(name: string): string | undefined {
    const id = this.#play?.ticket.id ?? 0;
    return id === 0 ? undefined : this.#host.lookup(id, name);
  }
}
