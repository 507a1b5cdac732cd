/**
 * Sendmail's libmilter for Node.js: mail filters for Postfix and Sendmail.
 */
export { MilterError, type MilterErrorCode } from './errors.ts';
export type { Header } from './headers.ts';
export type { Filter } from './milter/dispatcher.ts';
export type { Headers } from './milter/header-list.ts';
export type { LogFields, Logger } from './milter/logger.ts';
export type { MacroWishes } from './milter/macros.ts';
export type { Message, Recipient } from './milter/message.ts';
export { compose, Milter, type MilterClass, type OnError } from './milter/milter.ts';
export type { ServeOptions } from './milter/options.ts';
export type { Deadlines } from './milter/plan.ts';
export { type Counter, type Server, type ServerStats, serve } from './milter/serve.ts';
export type { Client, Negotiated, Session } from './milter/session.ts';
export { SMFIF, SMFIP } from './milter/stages.ts';
export {
  type Answer,
  type BodyVerdict,
  type ConnectionVerdict,
  type MessageVerdict,
  type Reject,
  reject,
  safeText,
  type Tempfail,
  tempfail,
  type UnknownVerdict,
} from './milter/verdicts.ts';
export { libmilterInfo } from './native.ts';
