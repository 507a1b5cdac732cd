/** `libmilter/testing`: be the MTA in a test. */
export type {
  Action,
  ClientAddress,
  ClientFamily,
  DeliveredMessage,
  EomReply,
  MacroStage,
  Macros,
  MessageResult,
  MtaConnection,
  Negotiated,
  RecipientResult,
  Reply,
  SendOptions,
  Stage,
  StageReply,
  StageVerdict,
} from './connection.ts';
export { type FakeOptions, fakeSession } from './fake.ts';
export { type ConnectOptions, connectMta, type WireConnection } from './mta.ts';
export {
  type AskedQuery,
  type MemoryRecords,
  MemoryResolver,
  type MemoryZone,
  type ScriptedStatus,
} from './resolver.ts';
