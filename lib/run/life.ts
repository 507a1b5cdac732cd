/**
 * The members of a session and the message that they share: where a message begins, and every way in which it ends, for
 * one of them or for all.
 */
import { MilterError } from '../errors.ts';
import { type Filter, membersOfFilter } from '../milter/compose.ts';
import { Macros } from '../milter/macros.ts';
import type { Fault, MessageState, Recipient } from '../milter/message.ts';
import { isMilterClass, type MilterClass } from '../milter/milter.ts';
import type { Client, Negotiated, Session, SessionState } from '../milter/session.ts';
import { type Stage, scope, type VerdictWord } from '../protocol/stages.ts';
import { Member } from './member.ts';
import { logConnectionRefused, MessageOutcome, type OutcomeHost } from './outcome.ts';
import { failureReply, type Plan } from './plan.ts';
import type { Decision } from './play.ts';

/** What changes during a session. */
export interface LiveState extends SessionState {
  client: Client;
  helo: string;
  negotiated: Negotiated;
  macros: Macros;
  message: MessageState | undefined;
}

/** What a verdict does to its message: nothing, a good end, or another one. */
export type Fate = 'goes on' | 'done' | 'over';

export function fateOf(stage: Stage, word: VerdictWord): Fate {
  if (scope[stage] === 'connection' || word === 'skip') return 'goes on';
  if (stage === 'eom') return word === 'continue' || word === 'accept' ? 'done' : 'over';
  // A refusal of a recipient is about that one alone.
  if (stage === 'envrcpt' && (word === 'reject' || word === 'tempfail')) return 'goes on';
  return word === 'continue' ? 'goes on' : 'over';
}

export class Life {
  plan: Plan;
  members: readonly Member[];
  readonly state: LiveState;
  readonly #session: Session;
  readonly #host: OutcomeHost;
  #outcome: MessageOutcome | undefined;

  constructor(plan: Plan, state: LiveState, session: Session, host: OutcomeHost) {
    this.state = state;
    this.#host = host;
    this.#session = session;
    this.plan = plan;
    this.members = this.#makeMembers(plan);
  }

  /** From now on these are the classes at work. */
  use(plan: Plan): void {
    this.plan = plan;
    this.members = this.#makeMembers(plan);
  }

  /** Has factories make their instances, and follows the plan that `choose` makes of their classes. */
  form(filters: readonly Filter[], choose: (classes: readonly MilterClass[]) => Plan): void {
    const made = filters.flatMap((filter) => this.#expand(filter));
    this.plan = choose(made.map(({ chosen }) => chosen));
    this.state.macros = new Macros(this.plan.macroNames);
    this.members = this.plan.members.map((plan, owner) => {
      const member = made[owner]?.member ?? new Member(plan, owner, this.#session, this.#host.logger);
      member.plan = plan;
      member.owner = owner;
      return member;
    });
  }

  /** The classes that come of a filter, and the instances that a factory made already. */
  #expand(filter: Filter): { readonly chosen: MilterClass; readonly member?: Member }[] {
    if (isMilterClass(filter)) return this.#flatten(filter);
    // Under the plan of the class that stands for all factories, until it has its own.
    const [standIn] = this.plan.members;
    if (standIn === undefined) throw new Error('a plan without members');
    const member = new Member(standIn, 0, this.#session, this.#host.logger);
    return this.#flatten(member.instance(filter).constructor as MilterClass, member);
  }

  #flatten(
    chosen: MilterClass,
    member?: Member,
  ): { readonly chosen: MilterClass; readonly member?: Member }[] {
    const members = membersOfFilter(chosen);
    if (members[0] === chosen) return [{ chosen, ...(member && { member }) }];
    return members.flatMap((one) => this.#expand(one));
  }

  /** MAIL: a message begins, and one that is still under way ends. */
  begin(message: MessageState): void {
    this.end(ended('the client began another message'));
    this.state.message = message;
    this.#outcome = new MessageOutcome(this.#host, this.state.id);
    for (const member of this.members) member.beginMessage(message);
  }

  /** The message is over for everybody. Without `fault` it went well. */
  end(fault?: Fault): void {
    const { message } = this.state;
    if (message === undefined) return;
    for (const member of this.members) member.message?.end(fault);
    this.state.message = undefined;
    this.#outcome?.ended(message, fault);
  }

  /** A verdict on one recipient: of those refused the log is told. */
  answeredRecipient(recipient: Recipient, refusedByMta: boolean, decision: Decision): void {
    if (decision.word === 'reject' || decision.word === 'tempfail') {
      this.#outcome?.refused(recipient.address, decision);
    } else if (!refusedByMta) {
      this.state.message?.addRecipient(recipient);
    }
  }

  /** Our verdict was given: the message ends where that ends it. */
  answered(stage: Stage, decision: Decision): Fate {
    const { word } = decision;
    const fate = fateOf(stage, word);
    if (fate === 'goes on') {
      if (scope[stage] === 'connection' && stage !== 'unknown') {
        logConnectionRefused(this.#host, this.state.id, stage, decision);
      }
      return fate;
    }
    this.#outcome?.answered(stage, decision);
    if (fate === 'done') this.end();
    else if (fate === 'over') this.end(ended(`the filter answered ${stage} with ${word}`));
    return fate;
  }

  /** The engine gave the policy's verdict in our place. */
  expired(stage: Stage, fault: Fault): void {
    const word = this.plan.onError;
    if (fateOf(stage, word) === 'goes on') return;
    this.#outcome?.answered(stage, { word, reply: failureReply(word) });
    this.end(fault);
  }

  /** The MTA gave the message up: it takes no more actions, but its abort handlers may still read it. */
  aborted(): void {
    for (const member of this.members) member.message?.end(givenUp);
  }

  /** One member takes part no longer: in the message, or with `stage` connect or helo in the connection. */
  accepted(member: Member, stage: Stage): void {
    if (scope[stage] === 'connection') {
      member.connectionAccepted = true;
      return;
    }
    member.messageAccepted = true;
    if (stage !== 'eom') member.message?.end(ended('the filter accepted the message'));
  }

  /** One member's handler was not waited for any longer: until it comes back, and for this message, that is called no more. */
  overran(member: Member, handler: Promise<unknown>, fault: Fault): void {
    member.message?.end(fault);
    member.leaveBehind(handler);
  }

  /** The MTA is gone: signals fire, and what is under way goes on to its end. */
  lost(fault: Fault): void {
    for (const member of this.members) member.message?.fire(fault);
  }

  #makeMembers(plan: Plan): readonly Member[] {
    return plan.members.map((member, owner) => new Member(member, owner, this.#session, this.#host.logger));
  }
}

/** The MTA aborted the message. */
export const givenUp: Fault = ended('the MTA gave the message up');

function ended(why: string): Fault {
  return () => new MilterError('ERR_MILTER_MESSAGE_ENDED', why);
}

export function closed(why: string): Fault {
  return () => new MilterError('ERR_MILTER_CLOSED', why);
}
