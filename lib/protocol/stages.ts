/**
 * The stages of a milter session, libmilter's flags, and what may be answered where. Plain tables.
 */

/** Every stage, in the order of the numbers that cross the border (native/core/stage.h). */
export const stages = [
  'negotiate',
  'connect',
  'helo',
  'envfrom',
  'envrcpt',
  'data',
  'unknown',
  'header',
  'eoh',
  'body',
  'eom',
  'abort',
  'close',
] as const;

/** One of libmilter's callbacks, without its `xxfi_`. */
export type Stage = (typeof stages)[number];

/** The stages that may be overridden and answered with a verdict. */
export type VerdictStage = Exclude<Stage, 'negotiate' | 'abort' | 'close'>;

/**
 * What a stage belongs to. An accepted message hears no more stages of its own, and a stage of the connection ends no
 * message.
 */
export const scope: Readonly<Record<Stage, 'connection' | 'message'>> = {
  negotiate: 'connection',
  connect: 'connection',
  helo: 'connection',
  envfrom: 'message',
  envrcpt: 'message',
  data: 'message',
  unknown: 'connection',
  header: 'message',
  eoh: 'message',
  body: 'message',
  eom: 'message',
  abort: 'message',
  close: 'connection',
};

/** The stages with which an MTA sends macros. */
export type MacroStage = 'connect' | 'helo' | 'envfrom' | 'envrcpt' | 'data' | 'eoh' | 'eom';

/** The places of SMFIM_ numbers: which stage a list of requested macros is for. */
export const smfim: readonly MacroStage[] = ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'eom', 'eoh'];

/** The number of a stage at the border. */
export const stageIndex: Readonly<Record<Stage, number>> = Object.fromEntries(
  stages.map((stage, index) => [stage, index]),
) as Record<Stage, number>;

/** What a plan wants of a stage (native/core/stage.h). */
export const Mode = { off: 0, record: 1, wait: 2 } as const;
export type Mode = (typeof Mode)[keyof typeof Mode];

/** What a handler may answer with, as a word. */
export type VerdictWord = 'continue' | 'accept' | 'reject' | 'discard' | 'tempfail' | 'skip';

/** libmilter's SMFIS_* numbers. */
export const verdictCode: Readonly<Record<VerdictWord, number>> = {
  continue: 0,
  reject: 1,
  discard: 2,
  accept: 3,
  tempfail: 4,
  skip: 8,
};

const onConnection: readonly VerdictWord[] = ['continue', 'accept', 'reject', 'tempfail'];
const onMessage: readonly VerdictWord[] = [...onConnection, 'discard'];

/** Which verdicts a stage allows. */
export const allowedVerdicts: Readonly<Record<VerdictStage, readonly VerdictWord[]>> = {
  connect: onConnection,
  helo: onConnection,
  envfrom: onMessage,
  envrcpt: onMessage,
  data: onMessage,
  unknown: ['continue', 'reject', 'tempfail'],
  header: onMessage,
  eoh: onMessage,
  body: [...onMessage, 'skip'],
  eom: onMessage,
};

/** Which changes the MTA lets a filter make: libmilter's SMFIF_* bits. */
export const SMFIF = {
  ADDHDRS: 0x1,
  CHGBODY: 0x2,
  ADDRCPT: 0x4,
  DELRCPT: 0x8,
  CHGHDRS: 0x10,
  QUARANTINE: 0x20,
  CHGFROM: 0x40,
  ADDRCPT_PAR: 0x80,
  SETSYMLIST: 0x100,
} as const;

/** Which stages are left out or get no reply, and other habits: libmilter's SMFIP_* bits. */
export const SMFIP = {
  NOCONNECT: 0x1,
  NOHELO: 0x2,
  NOMAIL: 0x4,
  NORCPT: 0x8,
  NOBODY: 0x10,
  NOHDRS: 0x20,
  NOEOH: 0x40,
  NR_HDR: 0x80,
  NOUNKNOWN: 0x100,
  NODATA: 0x200,
  SKIP: 0x400,
  RCPT_REJ: 0x800,
  NR_CONN: 0x1000,
  NR_HELO: 0x2000,
  NR_MAIL: 0x4000,
  NR_RCPT: 0x8000,
  NR_DATA: 0x10000,
  NR_UNKN: 0x20000,
  NR_EOH: 0x40000,
  NR_BODY: 0x80000,
  HDR_LEADSPC: 0x100000,
} as const;

/** Every flag that says a stage gets no reply. libmilter knows them all, whatever the MTA offers: it can reply itself. */
export const noReplyOfAll: number =
  SMFIP.NR_HDR |
  SMFIP.NR_CONN |
  SMFIP.NR_HELO |
  SMFIP.NR_MAIL |
  SMFIP.NR_RCPT |
  SMFIP.NR_DATA |
  SMFIP.NR_UNKN |
  SMFIP.NR_EOH |
  SMFIP.NR_BODY;

/** The stages with which an MTA sends macros. */
export const macroStages: readonly MacroStage[] = [
  'connect',
  'helo',
  'envfrom',
  'envrcpt',
  'data',
  'eoh',
  'eom',
];

/** Whether an MTA sends macros with this stage. */
export function isMacroStage(stage: Stage): stage is MacroStage {
  return (macroStages as readonly Stage[]).includes(stage);
}
