/**
 * Sendmail's libmilter for Node.js: mail filters for Postfix and Sendmail.
 */
import { checkNode } from './node-version.ts';

export { type Address, parseAddress } from './address.ts';
export type { Counter } from './engine/engine.ts';
export { type LibmilterInfo, libmilterInfo } from './engine/libmilter/addon.ts';
export { MilterError, type MilterErrorCode } from './errors.ts';
export type { Header } from './headers.ts';
export type { LogFields, Logger } from './logger.ts';
export { compose, type Filter } from './milter/compose.ts';
export type { Headers } from './milter/header-list.ts';
export type { MacroWishes } from './milter/macros.ts';
export type { Message, Recipient } from './milter/message.ts';
export { isMilterClass, Milter, type MilterClass, type OnError } from './milter/milter.ts';
export type { Client, Negotiated, Session } from './milter/session.ts';
export { type PlacesOwner, type Slot, type SlotHolder, slot } from './milter/slots.ts';
export {
  type Answer,
  type BodyVerdict,
  type ConnectionVerdict,
  type EnhancedCode,
  type MessageVerdict,
  type Reject,
  type ReplyCode,
  reject,
  safeText,
  type Tempfail,
  tempfail,
  type UnknownVerdict,
} from './milter/verdicts.ts';
export { parseSocket, type Socket } from './protocol/socket.ts';
export { SMFIF, SMFIP } from './protocol/stages.ts';
export type { Deadlines } from './run/plan.ts';
export { loadFilter } from './serve/filter-file.ts';
export type { EngineName, ServeOptions } from './serve/options.ts';
export { type CloseOptions, type Server, type ServerStats, serve } from './serve/serve.ts';
export { FilterThreads, type ThreadStats } from './serve/threads/threads.ts';

checkNode();
