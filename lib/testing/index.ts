/** `libmilter/testing`: be the MTA in a test. */
import { checkNode } from '../node-version.ts';

export type {
  Action,
  ClientAddress,
  ClientFamily,
  Macros,
  Negotiated,
  Reply,
  StageReply,
  StageVerdict,
} from '../protocol/exchange.ts';
export type { MacroStage, VerdictStage as Stage } from '../protocol/stages.ts';
export type {
  DeliveredMessage,
  EomReply,
  MessageResult,
  MtaConnection,
  RecipientResult,
  SendOptions,
} from './connection.ts';
export { type MessageContent, readEml } from './eml.ts';
export { type FakeOptions, fakeSession } from './fake.ts';
export { type ConnectOptions, connectMta, type WireConnection } from './mta.ts';
export {
  type AskedQuery,
  type MemoryOptions,
  type MemoryRecords,
  MemoryResolver,
  type MemoryZone,
  type ScriptedStatus,
} from './resolver.ts';

checkNode();
