/**
 * What becomes of one message, for the log: the verdict that it was not passed with, the recipients that were refused,
 * and whether the end of the server cut it off.
 */
import type { LogFields, Logger } from '../logger.ts';
import type { Fault, MessageState } from '../milter/message.ts';
import type { Stage, VerdictWord } from '../protocol/stages.ts';
import type { Decision } from './play.ts';

/** Where and how outcomes are logged. */
export interface OutcomeHost {
  readonly logger: Logger;
  /** Whether to log messages that were not just passed. */
  readonly logVerdicts: boolean;
  /** Whether the server is closing, and what is still running is being cut off. */
  graceIsOver(): boolean;
}

const sentences: { readonly [word in VerdictWord]?: string } = {
  reject: 'rejected',
  tempfail: 'told to try later',
  discard: 'discarded',
};

/** Gathers what is to be said of one message, and says it when that ends. */
export class MessageOutcome {
  readonly #host: OutcomeHost;
  readonly #session: number;
  #verdict: { readonly sentence: string; readonly fields: LogFields } | undefined;
  #accepted = false;
  readonly #refused: string[] = [];

  constructor(host: OutcomeHost, session: number) {
    this.#host = host;
    this.#session = session;
  }

  /** A verdict was given that ends the message. */
  answered(stage: Stage, decision: Decision): void {
    const sentence = sentences[decision.word];
    this.#accepted = decision.word === 'accept';
    if (sentence === undefined) return;
    this.#verdict = { sentence: `message ${sentence}`, fields: verdictFields(stage, decision) };
  }

  /** A verdict was given on one recipient that refuses it. */
  refused(recipient: string, { word, reply }: Decision): void {
    this.#refused.push([recipient, word, replyText(reply)].filter((text) => text !== undefined).join(' '));
  }

  /** The message has ended, badly where there is a `fault`. */
  ended(message: MessageState, fault: Fault | undefined): void {
    const { logger, logVerdicts } = this.#host;
    const isCutOff = this.#verdict === undefined && fault !== undefined && this.#host.graceIsOver();
    if (!logVerdicts && !isCutOff) return;
    const passed = fault === undefined || this.#accepted;
    const reason = passed ? message.actions.quarantineReason : undefined;
    const fields = {
      session: this.#session,
      queueId: message.macros.get('i'),
      sender: message.sender,
      ...this.#verdict?.fields,
      refused: this.#refused.length > 0 ? this.#refused : undefined,
    };
    if (isCutOff) {
      logger.warn(fields, 'message cut off by the end of the grace time; its sender will try again');
    } else if (this.#verdict !== undefined) {
      logger.info(fields, this.#verdict.sentence);
    } else if (reason !== undefined) {
      logger.info({ ...fields, reason }, 'message quarantined');
    } else if (this.#refused.length > 0) {
      logger.info(fields, 'recipients refused');
    }
  }
}

/** A connection was refused before there was a message. */
export function logConnectionRefused(
  host: OutcomeHost,
  session: number,
  stage: Stage,
  decision: Decision,
): void {
  const sentence = sentences[decision.word];
  if (!host.logVerdicts || sentence === undefined) return;
  host.logger.info({ session, ...verdictFields(stage, decision) }, `connection ${sentence}`);
}

function verdictFields(stage: Stage, { word, reply, by }: Decision): LogFields {
  return { stage, verdict: word, reply: replyText(reply), filter: by?.plan.filter.name };
}

export function replyText(reply: Decision['reply']): string | undefined {
  return reply && [reply.code, reply.enhanced ?? [], reply.lines.join(' / ')].flat().join(' ');
}
