/**
 * One filter class at work in one session. A plain filter has one member, a composed one several.
 */
import { MilterError } from '../errors.ts';
import { type Logger, withFields } from '../logger.ts';
import { refuseFields } from '../milter/check-class.ts';
import { Message, type MessageState } from '../milter/message.ts';
import { isMilterClass, type Link, type Milter, makeInstance } from '../milter/milter.ts';
import type { Session } from '../milter/session.ts';
import type { MemberPlan } from './plan.ts';

/** An instance, its view of the message, and whether it still takes part. */
export class Member {
  plan: MemberPlan;
  /** Its place among the members; its actions bear this number. */
  owner: number;
  /** It accepted the connection, and hears of it no more. */
  connectionAccepted = false;
  /** It accepted the message, skipped the body of it, or missed a stage of it. */
  messageAccepted = false;
  bodySkipped = false;
  missed = false;
  /** The handler that overran its deadline, until it comes back. Never rejects. */
  overrun: Promise<void> | undefined;
  /** A handler is running that may read the message even when that has ended. */
  handling = false;
  #instance: Milter | undefined;
  #message: Message | undefined;
  readonly #link: Link;

  constructor(plan: MemberPlan, owner: number, session: Session, logger: Logger) {
    this.plan = plan;
    this.owner = owner;
    const log = withFields(logger, () => ({ session: session.id, queueId: this.#readable?.queueId }));
    this.#link = {
      session,
      message: () => {
        const message = this.#readable;
        if (message !== undefined) return message;
        throw new MilterError('ERR_MILTER_NO_MESSAGE', 'no message is under way in this session');
      },
      log,
    };
  }

  /** The message of which the handler that runs may know. */
  get #readable(): Message | undefined {
    const message = this.#message;
    return message !== undefined && (!message.ended || this.handling) ? message : undefined;
  }

  /** The member's view of the message under way, if it takes part in it. */
  get message(): Message | undefined {
    return this.#message;
  }

  /** The instance, made when it is first needed. Throws what the class's constructor throws. */
  instance(make: () => Milter = () => new this.plan.filter()): Milter {
    if (this.#instance !== undefined) return this.#instance;
    const instance = makeInstance(this.#link, make);
    const made: unknown = Object(instance).constructor;
    if (!isMilterClass(made)) {
      throw new MilterError('ERR_MILTER_FILTER', 'the factory made something that is no Milter');
    }
    refuseFields(made, instance);
    this.#instance = instance;
    return instance;
  }

  /** A message begins. A handler left over from an earlier one keeps seeing that one. */
  beginMessage(state: MessageState): void {
    this.messageAccepted = false;
    this.bodySkipped = false;
    this.missed = this.overrun !== undefined;
    if (this.plan.wishes.observe) state.actions.observe(this.owner);
    if (!this.missed) this.#message = new Message(state, this.owner);
  }

  /** Its handler is not waited for: until it comes back, and for this message, it is called no more. */
  leaveBehind(handler: Promise<unknown>): void {
    this.missed = true;
    const back = (): void => {
      this.overrun = undefined;
      this.handling = false;
    };
    this.overrun = handler.then(back, back);
  }
}
