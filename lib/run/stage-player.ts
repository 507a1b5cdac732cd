/**
 * Plays the stages of one session: reads the records of a ticket into the session's and the message's state, and has
 * the handlers called that are due.
 */
import { MilterError } from '../errors.ts';
import { Macros } from '../milter/macros.ts';
import { type Fault, MessageState } from '../milter/message.ts';
import type { Milter, MilterClass } from '../milter/milter.ts';
import type { Negotiated, SessionState } from '../milter/session.ts';
import { Mode, SMFIP, type Stage, stageIndex, verdictCode } from '../protocol/stages.ts';
import { BY_PLAN, packAnswer } from './answers.ts';
import type { Handlers } from './handlers.ts';
import type { Member } from './member.ts';
import type { Plan } from './plan.ts';
import { closed, type Decision, ended, goOn, isThenable, type Play, type Steps } from './play.ts';
import type { RecordReader } from './records.ts';

/** What playing the stages needs of its surroundings. */
export interface PlayerHost {
  /** False when the ticket was answered already. */
  settle(ticket: number, verdict: number, packed?: Buffer): boolean;
  planFor(filter: MilterClass): Plan;
  readonly factory: (() => Milter) | undefined;
  readonly maxBody: number;
  /** The session is over. */
  ended(session: number): void;
}

export class StagePlayer {
  readonly #host: PlayerHost;
  readonly #state: SessionState;
  readonly #handlers: Handlers;
  /** A message has begun since connect or helo. */
  #hadMessage = false;

  constructor(host: PlayerHost, state: SessionState, handlers: Handlers) {
    this.#host = host;
    this.#state = state;
    this.#handlers = handlers;
  }

  /** Whether the last message has ended, and with it what libmilter still shows of it. */
  get betweenMessages(): boolean {
    return this.#hadMessage && this.#state.message === undefined;
  }

  /** Reads one record into the state and, if `asks`, has its handlers called. */
  *record(stage: Stage, asks: boolean, play: Play): Steps<Decision> {
    const { ticket } = play;
    const { records } = ticket;
    const state = this.#state;
    if (stage === 'envfrom') {
      // The macros belong to the message that begins here.
      const macros = new Macros(this.#handlers.plan.macroNames);
      this.#readMacros(records, stage, macros);
      return yield* this.#envfrom(asks, play, macros);
    }
    this.#readMacros(records, stage, state.message?.macros ?? state.macros);
    switch (stage) {
      case 'negotiate':
        state.negotiated = records.negotiation();
        return goOn;
      case 'connect': {
        const client = records.client();
        state.client = client;
        return asks ? yield* this.#handlers.ask(stage, play, (filter) => filter.connect(client)) : goOn;
      }
      case 'helo': {
        const name = records.text();
        state.helo = name;
        this.#hadMessage = false;
        return asks ? yield* this.#handlers.ask(stage, play, (filter) => filter.helo(name)) : goOn;
      }
      case 'envrcpt':
        return yield* this.#envrcpt(asks, play);
      case 'data':
        return asks ? yield* this.#handlers.ask(stage, play, (filter) => filter.data()) : goOn;
      case 'unknown': {
        const command = records.text();
        return yield* this.#handlers.ask(stage, play, (filter) => filter.unknown(command));
      }
      case 'header':
        return yield* this.#headers(asks, play);
      case 'eoh':
        return asks ? yield* this.#handlers.ask(stage, play, (filter) => filter.eoh()) : goOn;
      case 'body':
        return yield* this.#body(asks, play);
      case 'eom':
        if (ticket.id === 0) this.endMessage();
        if (state.message !== undefined) {
          const leftOut = (state.negotiated.steps & (SMFIP.NOHDRS | SMFIP.NOBODY)) !== 0;
          const bodyOff = this.#handlers.plan.native.modes[stageIndex.body] === Mode.off;
          state.message.received = !leftOut && !bodyOff;
        }
        return asks && ticket.id !== 0
          ? yield* this.#handlers.ask(stage, play, (filter) => filter.eom())
          : goOn;
      case 'abort':
        yield* this.#abort(play);
        return goOn;
      case 'close':
        yield* this.#close(play);
        return goOn;
    }
  }

  *#envfrom(asks: boolean, play: Play, macros: Macros): Steps<Decision> {
    this.endMessage(ended('the client began another message'));
    const { address, parameters } = play.ticket.records.envelope();
    const message = new MessageState(address, parameters, this.#state.negotiated, macros, this.#host.maxBody);
    this.#state.message = message;
    this.#hadMessage = true;
    for (const member of this.#handlers.members) member.beginMessage(message);
    return asks
      ? yield* this.#handlers.ask('envfrom', play, (filter) => filter.envfrom(address, parameters))
      : goOn;
  }

  *#envrcpt(asks: boolean, play: Play): Steps<Decision> {
    const recipient = play.ticket.records.envelope();
    const { address, parameters } = recipient;
    // Heard of only where SMFIP_RCPT_REJ was wished for; both MTAs mark it so.
    const refusedByMta =
      this.#handlers.plan.native.rejectedRecipients &&
      this.#state.message?.macros.get('{rcpt_mailer}') === 'error';
    const decision = asks
      ? yield* this.#handlers.ask(
          'envrcpt',
          play,
          (filter) => filter.envrcpt(address, parameters),
          (member) => !refusedByMta || member.plan.wishes.rejectedRecipients,
        )
      : goOn;
    const refused = decision.word === 'reject' || decision.word === 'tempfail';
    if (!refused && !refusedByMta) this.#state.message?.recipients.push(recipient);
    return decision;
  }

  *#headers(asks: boolean, play: Play): Steps<Decision> {
    const { packed, count } = play.ticket.records.headers();
    const headers = this.#state.message?.headers;
    if (headers === undefined) return goOn;
    const before = asks ? headers.length : 0;
    headers.add(packed, count);
    for (let i = before; asks && i < headers.length; i++) {
      const header = headers.at(i);
      if (header === undefined) break;
      const decision = yield* this.#handlers.ask('header', play, (filter) => filter.header(header));
      if (decision.word !== 'continue') return decision;
    }
    return goOn;
  }

  *#body(asks: boolean, play: Play): Steps<Decision> {
    const { complete, bytes, chunkLengths } = play.ticket.records.body();
    const message = this.#state.message;
    if (message === undefined) return goOn;
    message.addBody(bytes);
    if (!complete) message.truncateBody();
    if (!asks) return goOn;
    const late = this.#handlers.plan.late.has('body');
    let at = 0;
    for (const length of late ? chunkLengths : [bytes.length]) {
      const chunk = bytes.subarray(at, at + length);
      at += length;
      const decision = yield* this.#handlers.ask('body', play, (filter) => filter.body(chunk));
      if (decision.word === 'skip' && late) return goOn; // All of it is here; nobody wants to hear more.
      if (decision.word !== 'continue') return decision;
    }
    return goOn;
  }

  *#abort(play: Play): Steps<void> {
    const heard = this.#state.message !== undefined;
    const fault = ended('the MTA gave the message up');
    for (const member of this.#handlers.members) member.message?.end(fault);
    for (const member of this.#handlers.members) {
      const concerned = heard && !member.connectionAccepted && !member.messageAccepted;
      if (!concerned || !member.plan.handles.has('abort')) continue;
      yield* this.#handlers.call(member, 'abort', play, (filter) => filter.abort());
    }
    this.endMessage(fault);
  }

  *#close(play: Play): Steps<void> {
    this.endMessage(closed('the connection has ended'));
    for (const member of this.#handlers.members) {
      if (!member.plan.handles.has('close')) continue;
      if (member.overrun !== undefined) void this.#closeWhenBack(member, member.overrun);
      else yield* this.#handlers.call(member, 'close', play, (filter) => filter.close());
    }
    this.#host.ended(this.#state.id);
  }

  /** A handler that overran still owns the instance: its clean-up comes when it has come back. */
  async #closeWhenBack(member: Member, overrun: Promise<void>): Promise<void> {
    await overrun;
    try {
      await member.instance().close();
    } catch (error) {
      this.#handlers.failed(member, 'close', 0, error);
    }
  }

  /** The message is over for everybody. Without `fault` it went well. */
  endMessage(fault?: Fault): void {
    if (this.#state.message === undefined) return;
    for (const member of this.#handlers.members) member.message?.end(fault);
    this.#state.message = undefined;
  }

  /** Lets a factory choose the filter, and a filter choose its flags. */
  *negotiate(play: Play): Steps<void> {
    play.ticket.records.macros(() => {});
    const offer = play.ticket.records.negotiation();
    this.#state.negotiated = offer;
    const { factory } = this.#host;
    if (factory !== undefined) {
      try {
        this.#instantiate(factory);
      } catch (cause) {
        this.#handlers.report(
          undefined,
          'negotiate',
          new MilterError('ERR_MILTER_HANDLER', 'the factory failed', { cause }),
        );
        this.#host.settle(play.ticket.id, verdictCode.tempfail);
        return;
      }
    }
    let wanted: Partial<Negotiated> = {};
    for (const member of this.#handlers.members) {
      if (!member.plan.handles.has('negotiate')) continue;
      const { word } = yield* this.#handlers.call(member, 'negotiate', play, (filter) =>
        keep(filter.negotiate(offer)),
      );
      if (word === 'tempfail' || word === 'reject') {
        // There is no verdict here: libmilter closes the connection, and the MTA takes its default action.
        this.#host.settle(play.ticket.id, verdictCode.tempfail);
        return;
      }
    }
    const plan = {
      id: this.#handlers.plan.id,
      actions: wanted.actions ?? offer.actions,
      steps: wanted.steps ?? BY_PLAN,
    };
    this.#host.settle(play.ticket.id, verdictCode.continue, packAnswer({ plan }));

    function keep(answer: unknown): unknown {
      if (isThenable(answer)) return Promise.resolve(answer).then(keep);
      if (answer !== undefined) wanted = { ...wanted, ...(answer as Partial<Negotiated>) };
      return undefined;
    }
  }

  #instantiate(factory: () => Milter): void {
    const [first] = this.#handlers.members;
    if (first === undefined) return;
    const filter = first.instance(factory).constructor as MilterClass;
    const plan = this.#host.planFor(filter);
    const [only] = plan.members;
    this.#handlers.plan = plan;
    this.#state.macros = new Macros(plan.macroNames);
    if (plan.members.length === 1 && only !== undefined) first.plan = only;
    else this.#handlers.use(plan);
  }

  #readMacros(records: RecordReader, stage: Stage, into: Macros): void {
    records.macros((bytes, start, end) => into.add(stageIndex[stage], bytes, start, end));
  }
}
