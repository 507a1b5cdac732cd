/**
 * Plays the stages of one session: reads the records of a ticket into the session's and the message's state, and has
 * the handlers called that are due.
 */
import { knownSender } from '../address.ts';
import { type AnswerParts, BY_PLAN, type Records } from '../engine/engine.ts';
import { MilterError } from '../errors.ts';
import type { Filter } from '../milter/compose.ts';
import { Macros } from '../milter/macros.ts';
import { MessageState, type Recipient } from '../milter/message.ts';
import type { MilterClass } from '../milter/milter.ts';
import type { Negotiated } from '../milter/session.ts';
import { Mode, SMFIP, type Stage, stageIndex, verdictCode } from '../protocol/stages.ts';
import type { Handlers } from './handlers.ts';
import { closed, givenUp, type Life } from './life.ts';
import type { Member } from './member.ts';
import type { Plan } from './plan.ts';
import { type Decision, goOn, type Pausing, type Play } from './play.ts';

/** What playing the stages needs of its surroundings. */
export interface PlayerHost {
  /** False when the ticket was answered already. */
  settle(ticket: number, verdict: number, parts?: AnswerParts): boolean;
  /** What the filter is made of, where factories choose some of it. */
  readonly choices: readonly Filter[] | undefined;
  choose(session: number, classes: readonly MilterClass[]): Plan;
  readonly maxBody: number;
  /** The session is over. */
  ended(session: number): void;
}

export class StagePlayer {
  readonly #host: PlayerHost;
  readonly #life: Life;
  readonly #handlers: Handlers;

  constructor(host: PlayerHost, life: Life, handlers: Handlers) {
    this.#host = host;
    this.#life = life;
    this.#handlers = handlers;
  }

  /**
   * Reads one record into the state and, if `asks`, has its handlers called: there is a decision at once only where none
   * had to be.
   */
  record(stage: Stage, asks: boolean, play: Play): Decision | Pausing<Decision> {
    const { ticket } = play;
    const { records } = ticket;
    const { state } = this.#life;
    if (stage === 'envfrom') {
      // The macros belong to the message that begins here.
      const macros = new Macros(this.#life.plan.macroNames);
      this.#readMacros(records, macros);
      return this.#envfrom(asks, play, macros);
    }
    this.#readMacros(records, state.message?.macros ?? state.macros);
    if ((stage === 'eoh' || stage === 'body' || stage === 'eom') && this.#isShown('header', SMFIP.NOHDRS)) {
      state.message?.endHeaders();
    }
    switch (stage) {
      case 'negotiate':
        state.negotiated = Object.freeze(records.negotiation());
        return goOn;
      case 'connect': {
        const client = Object.freeze(records.client());
        state.client = client;
        return asks ? this.#handlers.ask(stage, play, client) : goOn;
      }
      case 'helo': {
        const name = records.text();
        state.helo = name;
        return asks ? this.#handlers.ask(stage, play, name) : goOn;
      }
      case 'envrcpt':
        return this.#envrcpt(asks, play);
      case 'data':
        return asks ? this.#handlers.ask(stage, play) : goOn;
      case 'unknown': {
        const command = records.text();
        return this.#handlers.ask(stage, play, command);
      }
      case 'header':
        return this.#headers(asks, play);
      case 'eoh':
        return asks ? this.#handlers.ask(stage, play) : goOn;
      case 'body':
        return this.#body(asks, play);
      case 'eom':
        if (ticket.id === 0) this.#life.end();
        if (state.message !== undefined) {
          state.message.received =
            this.#isShown('header', SMFIP.NOHDRS) && this.#isShown('body', SMFIP.NOBODY);
        }
        return asks && ticket.id !== 0 ? this.#handlers.ask(stage, play) : goOn;
      case 'abort':
        return this.#abort(play);
      case 'close':
        return this.#close(play);
    }
  }

  /** Whether what comes at a stage comes to the filter; `off` is the flag that has the MTA leave it out. */
  #isShown(stage: Stage, off: number): boolean {
    const { plan, state } = this.#life;
    return plan.engine.modes[stageIndex[stage]] !== Mode.off && (state.negotiated.steps & off) === 0;
  }

  *#envfrom(asks: boolean, play: Play, macros: Macros): Pausing<Decision> {
    const { address, parameters } = envelopeOf(play);
    const sender = knownSender(address);
    const { negotiated } = this.#life.state;
    this.#life.begin(new MessageState(sender, parameters, negotiated, macros, this.#host.maxBody));
    return asks ? yield* this.#handlers.ask('envfrom', play, sender, parameters) : goOn;
  }

  *#envrcpt(asks: boolean, play: Play): Pausing<Decision> {
    const recipient = envelopeOf(play);
    const { address, parameters } = recipient;
    // Heard of only where SMFIP_RCPT_REJ was wished for; both MTAs mark it so.
    play.refusedByMta =
      this.#life.plan.engine.rejectedRecipients &&
      this.#life.state.message?.macros.get('{rcpt_mailer}') === 'error';
    const decision = asks ? yield* this.#handlers.ask('envrcpt', play, address, parameters) : goOn;
    this.#life.answeredRecipient(recipient, play.refusedByMta, decision);
    return decision;
  }

  *#headers(asks: boolean, play: Play): Pausing<Decision> {
    const batch = play.ticket.records.headers();
    const headers = this.#life.state.message?.headers;
    if (headers === undefined) return goOn;
    const before = asks ? headers.length : 0;
    headers.add(batch);
    for (let i = before; asks && i < headers.length; i++) {
      const header = headers.at(i);
      if (header === undefined) break;
      const decision = yield* this.#handlers.ask('header', play, header);
      if (decision.word !== 'continue') return decision;
    }
    return goOn;
  }

  *#body(asks: boolean, play: Play): Pausing<Decision> {
    const { complete, chunks } = play.ticket.records.body();
    const message = this.#life.state.message;
    if (message === undefined) return goOn;
    for (const chunk of chunks) message.addBody(chunk);
    if (!complete) message.truncateBody();
    const late = this.#life.plan.late.has('body');
    if (!asks || (late && !complete)) return goOn;
    for (const chunk of chunks) {
      const decision = yield* this.#handlers.ask('body', play, chunk);
      if (decision.word === 'skip' && late) return goOn; // All of it is here; nobody wants to hear more.
      if (decision.word !== 'continue') return decision;
    }
    return goOn;
  }

  *#abort(play: Play): Pausing<Decision> {
    const heard = this.#life.state.message !== undefined;
    this.#life.aborted();
    for (const member of this.#life.members) {
      const concerned = heard && !member.connectionAccepted && !member.messageAccepted;
      if (!concerned || !member.plan.handles.has('abort')) continue;
      yield* this.#handlers.call(member, 'abort', play);
    }
    this.#life.end(givenUp);
    return goOn;
  }

  *#close(play: Play): Pausing<Decision> {
    this.#life.end(closed('the connection has ended'));
    for (const member of this.#life.members) {
      if (!member.plan.handles.has('close')) continue;
      if (member.overrun !== undefined) void this.#closeWhenBack(member, member.overrun);
      else yield* this.#handlers.call(member, 'close', play);
    }
    this.#host.ended(this.#life.state.id);
    return goOn;
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

  /** Lets factories choose the filter, and a filter choose its flags. */
  *negotiate(play: Play): Pausing<void> {
    play.ticket.records.macros();
    const offer = Object.freeze(play.ticket.records.negotiation());
    this.#life.state.negotiated = offer;
    const { choices } = this.#host;
    if (choices !== undefined) {
      try {
        this.#life.form(choices, (classes) => this.#host.choose(this.#life.state.id, classes));
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
    for (const member of this.#life.members) {
      if (!member.plan.handles.has('negotiate')) continue;
      const { word, flags } = yield* this.#handlers.call(member, 'negotiate', play, offer);
      if (word === 'tempfail' || word === 'reject') {
        // There is no verdict here: libmilter closes the connection, and the MTA takes its default action.
        this.#host.settle(play.ticket.id, verdictCode.tempfail);
        return;
      }
      if (!member.plan.wishes.observe) wanted = { ...wanted, ...flags };
    }
    const plan = {
      id: this.#life.plan.id,
      actions: wanted.actions ?? offer.actions,
      steps: wanted.steps ?? BY_PLAN,
    };
    this.#host.settle(play.ticket.id, verdictCode.continue, { plan });
  }

  #readMacros(records: Records, into: Macros): void {
    const news = records.macros();
    if (news !== undefined) into.add(news);
  }
}

/** The address and parameters of MAIL or RCPT. None of the members that share them can change them. */
function envelopeOf({ ticket }: Play): Recipient {
  const envelope = ticket.records.envelope();
  Object.freeze(envelope.parameters);
  return Object.freeze(envelope);
}
