/**
 * One session at work: reads what the libmilter side gathered, calls the members' handlers one after another, and
 * settles tickets with what they answer.
 *
 * The life of a ticket: `take` queues it while a handler of this session runs; `#play` reads its records, keeps
 * the session's and message's state and yields the promise of each handler that is not done at once; `#finish`
 * settles it. A ticket whose deadline passes is answered by the libmilter side, and its play is abandoned.
 */
import { MilterError } from '../errors.ts';
import { Notice } from '../native.ts';
import { decodeText } from '../text.ts';
import { BY_PLAN, packAnswer } from './answers.ts';
import { Macros, ofRecipient } from './macros.ts';
import { Member } from './member.ts';
import { type Fault, MessageState } from './message.ts';
import type { Milter, MilterClass } from './milter.ts';
import { failureReply, type Plan } from './plan.ts';
import type { RecordReader, Ticket } from './records.ts';
import { type Negotiated, nobody, Session, type SessionState } from './session.ts';
import {
  allowedVerdicts,
  Mode,
  SMFIP,
  type Stage,
  stages,
  type VerdictStage,
  type VerdictWord,
  verdictCode,
} from './stages.ts';
import { isReply, type Reject, type Tempfail } from './verdicts.ts';

/** What a runner needs of its surroundings. */
export interface RunnerHost {
  /** False when the ticket was answered already. */
  settle(ticket: number, verdict: number, packed?: Buffer): boolean;
  lookup(ticket: number, name: string): Buffer | undefined;
  plan(id: number): Plan;
  planFor(filter: MilterClass): Plan;
  readonly factory: (() => Milter) | undefined;
  readonly maxBody: number;
  /** Logs and counts a failure. */
  failed(failure: Failure): void;
  warn(fields: Readonly<Record<string, unknown>>, message: string): void;
  /** The session is over. */
  ended(session: number): void;
}

/** A handler that did not answer as it should. */
export interface Failure {
  readonly stage: Stage;
  readonly session: number;
  readonly queueId: string | undefined;
  readonly filter: string;
  readonly error: MilterError;
}

/** What came of a stage. */
interface Decision {
  readonly word: VerdictWord;
  readonly reply?: Reject | Tempfail | undefined;
  /** Who ended it. */
  readonly by?: Member;
}

type Outcome = { readonly value: unknown } | { readonly error: unknown };
/** Yields the promises of handlers that are not done at once. */
type Steps<T> = Generator<Promise<unknown>, T, Outcome>;

/** A ticket being played. */
interface Play {
  readonly ticket: Ticket;
  readonly steps: Steps<void>;
  /** When it began, by performance.now(). */
  readonly begun: number;
  /** The handler for which the play is suspended. */
  waiting:
    | {
        readonly member: Member;
        readonly stage: Stage;
        readonly handler: Promise<unknown>;
        readonly mark: number;
      }
    | undefined;
}

const goOn: Decision = { word: 'continue' };
/** In place of a handler's answer, when its time was up first. */
const late = Symbol('late');
/** Answers to eom after which the message goes on as the member edited it. */
const keepingEdits: ReadonlySet<unknown> = new Set([undefined, 'continue', 'accept']);
const connectionStages: ReadonlySet<Stage> = new Set(['connect', 'helo']);
const batchStages: ReadonlySet<Stage> = new Set(['eoh', 'body', 'eom']);

export class SessionRunner {
  readonly #host: RunnerHost;
  readonly #state: SessionState;
  readonly #session: Session;
  #plan: Plan;
  #members: readonly Member[];
  #queue: Ticket[] = [];
  #play: Play | undefined;
  /** A message has begun since connect or helo. */
  #hadMessage = false;
  /** Tickets that were answered while they waited in the queue. */
  readonly #answered = new Set<number>();

  constructor(host: RunnerHost, id: number, plan: Plan) {
    this.#host = host;
    this.#plan = plan;
    this.#state = {
      id,
      client: nobody,
      helo: '',
      negotiated: { actions: 0, steps: 0 },
      macros: new Macros(plan.macroNames),
      message: undefined,
      lookUp: (name) => this.#lookUp(name),
    };
    this.#session = new Session(this.#state);
    this.#members = this.#makeMembers(plan);
  }

  /** Takes the session's next ticket, or news about one. */
  take(ticket: Ticket): void {
    if (ticket.stage >= Notice.expired) this.#notice(ticket);
    else if (this.#play !== undefined) this.#queue.push(ticket);
    else this.#start(ticket);
  }

  #start(first: Ticket | undefined): void {
    for (let ticket = first; ticket !== undefined; ticket = this.#queue.shift()) {
      this.#play = { ticket, steps: this.#run(ticket), begun: performance.now(), waiting: undefined };
      if (!this.#advance(this.#play, undefined)) return;
    }
  }

  /** Goes on until a handler has to be waited for. Returns whether the play is over. */
  #advance(play: Play, outcome: Outcome | undefined): boolean {
    try {
      const step = outcome === undefined ? play.steps.next() : play.steps.next(outcome);
      if (step.done !== true) {
        const resume = (next: Outcome): void => {
          if (this.#play === play && this.#advance(play, next)) this.#start(this.#queue.shift());
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
      this.#report(undefined, stages[play.ticket.stage] ?? 'eom', error);
      if (play.ticket.id !== 0) this.#host.settle(play.ticket.id, verdictCode.tempfail);
    }
    this.#play = undefined;
    return true;
  }

  *#run(ticket: Ticket): Steps<void> {
    if (ticket.plan !== this.#plan.id) this.#usePlan(this.#host.plan(ticket.plan));
    const own = stages[ticket.stage];
    const { records } = ticket;
    let decision = goOn;
    while (!records.done && decision.word === 'continue') {
      const stage = stages[records.stage()];
      if (stage === undefined) throw new Error('a record of an unknown stage');
      if (stage === 'negotiate' && own === 'negotiate') {
        yield* this.#negotiate(ticket);
        return;
      }
      const asks = stage === own || (own !== undefined && batchStages.has(own) && this.#plan.late.has(stage));
      decision = yield* this.#record(stage, asks, ticket);
    }
    if (ticket.id !== 0) yield* this.#finish(own ?? 'eom', ticket, decision);
  }

  /** Reads one record into the state and, if `asks`, has its handlers called. */
  *#record(stage: Stage, asks: boolean, ticket: Ticket): Steps<Decision> {
    const { records } = ticket;
    const state = this.#state;
    if (stage === 'envfrom') {
      // The macros belong to the message that begins here.
      const macros = new Macros(this.#plan.macroNames);
      this.#readMacros(records, stage, macros);
      return yield* this.#envfrom(asks, ticket, macros);
    }
    this.#readMacros(records, stage, state.message?.macros ?? state.macros);
    switch (stage) {
      case 'negotiate':
        state.negotiated = records.negotiation();
        return goOn;
      case 'connect': {
        const client = records.client();
        state.client = client;
        return asks ? yield* this.#ask(stage, ticket, (filter) => filter.connect(client)) : goOn;
      }
      case 'helo': {
        const name = records.text();
        state.helo = name;
        this.#hadMessage = false;
        return asks ? yield* this.#ask(stage, ticket, (filter) => filter.helo(name)) : goOn;
      }
      case 'envrcpt':
        return yield* this.#envrcpt(asks, ticket);
      case 'data':
        return asks ? yield* this.#ask(stage, ticket, (filter) => filter.data()) : goOn;
      case 'unknown': {
        const command = records.text();
        return yield* this.#ask(stage, ticket, (filter) => filter.unknown(command));
      }
      case 'header':
        return yield* this.#headers(asks, ticket);
      case 'eoh':
        return asks ? yield* this.#ask(stage, ticket, (filter) => filter.eoh()) : goOn;
      case 'body':
        return yield* this.#body(asks, ticket);
      case 'eom':
        if (ticket.id === 0) this.#endMessage();
        if (state.message !== undefined) {
          const leftOut = (state.negotiated.steps & (SMFIP.NOHDRS | SMFIP.NOBODY)) !== 0;
          const bodyOff = this.#plan.native.modes[stages.indexOf('body')] === Mode.off;
          state.message.received = !leftOut && !bodyOff;
        }
        return asks && ticket.id !== 0 ? yield* this.#ask(stage, ticket, (filter) => filter.eom()) : goOn;
      case 'abort':
        yield* this.#abort(ticket);
        return goOn;
      case 'close':
        yield* this.#close(ticket);
        return goOn;
    }
  }

  *#envfrom(asks: boolean, ticket: Ticket, macros: Macros): Steps<Decision> {
    this.#endMessage(ended('the client began another message'));
    const { address, parameters } = ticket.records.envelope();
    const message = new MessageState(address, parameters, this.#state.negotiated, macros, this.#host.maxBody);
    this.#state.message = message;
    this.#hadMessage = true;
    for (const member of this.#members) member.beginMessage(message);
    return asks ? yield* this.#ask('envfrom', ticket, (filter) => filter.envfrom(address, parameters)) : goOn;
  }

  *#envrcpt(asks: boolean, ticket: Ticket): Steps<Decision> {
    const recipient = ticket.records.envelope();
    const { address, parameters } = recipient;
    // Heard of only where SMFIP_RCPT_REJ was wished for; both MTAs mark it so.
    const refusedByMta =
      this.#plan.native.rejectedRecipients && this.#state.message?.macros.get('{rcpt_mailer}') === 'error';
    const decision = asks
      ? yield* this.#ask(
          'envrcpt',
          ticket,
          (filter) => filter.envrcpt(address, parameters),
          (member) => !refusedByMta || member.plan.rejectedRecipients,
        )
      : goOn;
    const refused = decision.word === 'reject' || decision.word === 'tempfail';
    if (!refused && !refusedByMta) this.#state.message?.recipients.push(recipient);
    return decision;
  }

  *#headers(asks: boolean, ticket: Ticket): Steps<Decision> {
    const { packed, count } = ticket.records.headers();
    const headers = this.#state.message?.headers;
    if (headers === undefined) return goOn;
    const before = asks ? headers.length : 0;
    headers.add(packed, count);
    for (let i = before; asks && i < headers.length; i++) {
      const header = headers.at(i);
      if (header === undefined) break;
      const decision = yield* this.#ask('header', ticket, (filter) => filter.header(header));
      if (decision.word !== 'continue') return decision;
    }
    return goOn;
  }

  *#body(asks: boolean, ticket: Ticket): Steps<Decision> {
    const { complete, bytes, chunkLengths } = ticket.records.body();
    const message = this.#state.message;
    if (message === undefined) return goOn;
    message.addBody(bytes);
    if (!complete) message.truncateBody();
    if (!asks) return goOn;
    const late = this.#plan.late.has('body');
    let at = 0;
    for (const length of late ? chunkLengths : [bytes.length]) {
      const chunk = bytes.subarray(at, at + length);
      at += length;
      const decision = yield* this.#ask('body', ticket, (filter) => filter.body(chunk));
      if (decision.word === 'skip' && late) return goOn; // All of it is here; nobody wants to hear more.
      if (decision.word !== 'continue') return decision;
    }
    return goOn;
  }

  /** Asks the members one after another. `concerns` leaves out those that did not ask for this. */
  *#ask(
    stage: VerdictStage,
    ticket: Ticket,
    call: (filter: Milter) => unknown,
    concerns: (member: Member) => boolean = () => true,
  ): Steps<Decision> {
    const ofConnection = connectionStages.has(stage) || stage === 'unknown';
    let allAccept = true;
    let allSkip = stage === 'body';
    for (const member of this.#members) {
      if (member.connectionAccepted || (!ofConnection && member.messageAccepted)) continue;
      if (stage === 'body' && member.bodySkipped) {
        allAccept = false;
        continue;
      }
      const decision =
        member.plan.handles.has(stage) && concerns(member)
          ? yield* this.#call(member, stage, ticket, call)
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
  *#call(member: Member, stage: Stage, ticket: Ticket, call: (filter: Milter) => unknown): Steps<Decision> {
    const connection = connectionStages.has(stage) || stage === 'unknown' || stage === 'close';
    const unable = member.overrun !== undefined || (member.missed && !connection);
    if (unable || this.#answered.has(ticket.id)) return this.#policy(member, stage);
    const mark = this.#state.message?.actions.mark() ?? 0;
    let outcome: Outcome;
    // What outlives its message goes on reading it; what comes after it, like helo or close, must not.
    member.handling = stage === 'abort' || member.message?.ended === false;
    try {
      const value = call(member.instance());
      outcome = { value };
      if (value instanceof Promise || isThenable(value)) {
        const handler = Promise.resolve(value);
        const play = this.#play;
        if (play === undefined) throw new Error('a handler is called outside a play');
        play.waiting = { member, stage, handler, mark };
        outcome = yield this.#inTime(handler, member, stage, play);
        play.waiting = undefined;
        if ('value' in outcome && outcome.value === late) return this.#overran(member, stage, handler, mark);
      }
      if (stage === 'eom' && 'value' in outcome && keepingEdits.has(outcome.value)) {
        member.message?.recordEdits();
      }
    } catch (error) {
      outcome = { error };
    }
    member.handling = false;
    if ('error' in outcome) return this.#failed(member, stage, mark, outcome.error);
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
    const watchedThere = this.#members.length === 1 && this.#state.message?.actions.changed !== true;
    if (watchedThere || ticket.id === 0 || stage === 'abort') return handler;
    const deadline = begun + 0.9 * (this.#plan.native.deadlines[ticket.stage] ?? 0);
    const share = (deadline - performance.now()) / (this.#members.length - member.owner);
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
    return this.#failed(member, stage, mark, error);
  }

  #failed(member: Member, stage: Stage, mark: number, cause: unknown): Decision {
    this.#state.message?.actions.rollBack(member.owner, mark);
    const error =
      cause instanceof MilterError && cause.code === 'ERR_MILTER_HANDLER'
        ? cause
        : new MilterError('ERR_MILTER_HANDLER', `the ${stage} handler failed`, { cause });
    this.#report(member, stage, error);
    return this.#policy(member, stage);
  }

  #overran(member: Member, stage: Stage, handler: Promise<unknown>, mark: number): Decision {
    this.#state.message?.actions.rollBack(member.owner, mark);
    const error = overdue(stage);
    member.overran(handler, () => error);
    this.#report(member, stage, error);
    return this.#policy(member, stage);
  }

  #policy(member: Member, stage: Stage): Decision {
    const { onError } = member.plan;
    if (onError === 'accept' && stage === 'unknown') return goOn;
    return { word: onError, reply: failureReply(onError) };
  }

  #report(member: Member | undefined, stage: Stage, error: MilterError): void {
    this.#host.failed({
      stage,
      session: this.#state.id,
      queueId: this.#state.message?.macros.get('i'),
      filter: (member ?? this.#members[0])?.plan.filter.name ?? '',
      error,
    });
  }

  /** Settles the ticket, and ends the message where the verdict does. */
  *#finish(own: Stage, ticket: Ticket, decision: Decision): Steps<void> {
    const { word, reply, by } = decision;
    const message = this.#state.message;
    const refusedRecipient = own === 'envrcpt' && (word === 'reject' || word === 'tempfail');
    const ends = word !== 'continue' && word !== 'skip' && !refusedRecipient;
    const keepsActions = !ends || word === 'accept';
    if (this.#answered.delete(ticket.id)) {
      this.#host.settle(ticket.id, verdictCode.tempfail);
    } else {
      const actions = keepsActions ? message?.actions.takeChanges() : undefined;
      if (!this.#host.settle(ticket.id, verdictCode[word], packAnswer({ reply, actions }))) {
        this.#settledTooLate(own);
        return;
      }
    }
    if (word === 'skip') message?.truncateBody();
    if (message === undefined || connectionStages.has(own) || own === 'unknown') return;
    if (own === 'eom' && keepsActions) {
      this.#endMessage();
    } else if (ends) {
      this.#endMessage(ended(`the filter answered ${own} with ${word}`));
      for (const member of this.#members) {
        if (by === undefined || member === by || !member.plan.handles.has('abort')) continue;
        if (member.connectionAccepted || member.messageAccepted) continue;
        yield* this.#call(member, 'abort', ticket, (filter) => filter.abort());
      }
    }
  }

  /** The answer came in the moment in which the deadline passed. */
  #settledTooLate(stage: Stage): void {
    const error = overdue(stage);
    this.#report(undefined, stage, error);
    this.#applyExpiry(stage, () => error);
  }

  /** What the libmilter side answered in our place has its consequences here too. */
  #applyExpiry(stage: Stage, error: Fault): void {
    const answered = this.#plan.native.onError.verdict;
    const ofConnection = connectionStages.has(stage) || stage === 'unknown' || stage === 'negotiate';
    const refusal = answered === verdictCode.reject || answered === verdictCode.tempfail;
    if (ofConnection || answered === verdictCode.continue) {
      if (stage === 'eom') this.#endMessage(error);
    } else if (!(stage === 'envrcpt' && refusal)) {
      this.#endMessage(error);
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
      for (const member of this.#members) member.message?.fire(gone);
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
      this.#overran(member, stage, handler, mark);
      this.#applyExpiry(stages[play.ticket.stage] ?? 'eom', () => overdue(stage));
    } else {
      const closing = closed('the server is shutting down');
      member.overran(handler, closing);
      this.#endMessage(closing);
    }
    for (const other of this.#members) if (other.owner > member.owner) other.missed = true;
  }

  *#abort(ticket: Ticket): Steps<void> {
    const heard = this.#state.message !== undefined;
    const fault = ended('the MTA gave the message up');
    for (const member of this.#members) member.message?.end(fault);
    for (const member of this.#members) {
      const concerned = heard && !member.connectionAccepted && !member.messageAccepted;
      if (!concerned || !member.plan.handles.has('abort')) continue;
      yield* this.#call(member, 'abort', ticket, (filter) => filter.abort());
    }
    this.#endMessage(fault);
  }

  *#close(ticket: Ticket): Steps<void> {
    this.#endMessage(closed('the connection has ended'));
    for (const member of this.#members) {
      if (!member.plan.handles.has('close')) continue;
      if (member.overrun !== undefined) void this.#closeWhenBack(member, member.overrun);
      else yield* this.#call(member, 'close', ticket, (filter) => filter.close());
    }
    this.#host.ended(this.#state.id);
  }

  /** A handler that overran still owns the instance: its clean-up comes when it has come back. */
  async #closeWhenBack(member: Member, overrun: Promise<void>): Promise<void> {
    await overrun;
    try {
      await member.instance().close();
    } catch (error) {
      this.#failed(member, 'close', 0, error);
    }
  }

  /** The message is over for everybody. Without `fault` it went well. */
  #endMessage(fault?: Fault): void {
    if (this.#state.message === undefined) return;
    for (const member of this.#members) member.message?.end(fault);
    this.#state.message = undefined;
  }

  /** Lets a factory choose the filter, and a filter choose its flags. */
  *#negotiate(ticket: Ticket): Steps<void> {
    ticket.records.macros(() => {});
    const offer = ticket.records.negotiation();
    this.#state.negotiated = offer;
    const { factory } = this.#host;
    if (factory !== undefined) {
      try {
        this.#instantiate(factory);
      } catch (cause) {
        this.#report(
          undefined,
          'negotiate',
          new MilterError('ERR_MILTER_HANDLER', 'the factory failed', { cause }),
        );
        this.#host.settle(ticket.id, verdictCode.tempfail);
        return;
      }
    }
    let wanted: Partial<Negotiated> = {};
    for (const member of this.#members) {
      if (!member.plan.handles.has('negotiate')) continue;
      const { word } = yield* this.#call(member, 'negotiate', ticket, (filter) =>
        keep(filter.negotiate(offer)),
      );
      if (word === 'tempfail' || word === 'reject') {
        // There is no verdict here: libmilter closes the connection, and the MTA takes its default action.
        this.#host.settle(ticket.id, verdictCode.tempfail);
        return;
      }
    }
    const plan = {
      id: this.#plan.id,
      actions: wanted.actions ?? offer.actions,
      steps: wanted.steps ?? BY_PLAN,
    };
    this.#host.settle(ticket.id, verdictCode.continue, packAnswer({ plan }));

    function keep(answer: unknown): unknown {
      if (isThenable(answer)) return Promise.resolve(answer).then(keep);
      if (answer !== undefined) wanted = { ...wanted, ...(answer as Partial<Negotiated>) };
      return undefined;
    }
  }

  #instantiate(factory: () => Milter): void {
    const [first] = this.#members;
    if (first === undefined) return;
    const filter = first.instance(factory).constructor as MilterClass;
    const plan = this.#host.planFor(filter);
    const [only] = plan.members;
    this.#plan = plan;
    this.#state.macros = new Macros(plan.macroNames);
    if (plan.members.length === 1 && only !== undefined) first.plan = only;
    else this.#members = this.#makeMembers(plan);
  }

  #usePlan(plan: Plan): void {
    this.#plan = plan;
    this.#members = this.#makeMembers(plan);
  }

  #makeMembers(plan: Plan): readonly Member[] {
    return plan.members.map((member, owner) => new Member(member, owner, this.#session));
  }

  #readMacros(records: RecordReader, stage: Stage, into: Macros): void {
    const index = stages.indexOf(stage);
    records.macros((bytes, start, end) => into.add(index, bytes, start, end));
  }

  #lookUp(name: string): string | undefined {
    // libmilter goes on showing those of the recipient before, and after a message those of that message.
    const stale = ofRecipient.has(name) || (this.#hadMessage && this.#state.message === undefined);
    const id = stale ? 0 : (this.#play?.ticket.id ?? 0);
    const value = id === 0 ? undefined : this.#host.lookup(id, name);
    return value === undefined ? undefined : decodeText(value);
  }
}

function ended(why: string): Fault {
  return () => new MilterError('ERR_MILTER_MESSAGE_ENDED', why);
}

function closed(why: string): Fault {
  return () => new MilterError('ERR_MILTER_CLOSED', why);
}

function overdue(stage: Stage): MilterError {
  return new MilterError('ERR_MILTER_DEADLINE', `the ${stage} handler did not answer within its deadline`);
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'
  );
}
