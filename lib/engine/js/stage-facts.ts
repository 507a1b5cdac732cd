/** All that a session looks up of a stage, in one place: it does so at every command. */
import { STAGES } from '../../protocol/frames.ts';
import {
  isMacroStage,
  type MacroStage,
  scope,
  stageIndex,
  type VerdictStage,
} from '../../protocol/stages.ts';

/** A stage that an MTA gives a command for. */
export interface StageFacts {
  readonly stage: VerdictStage;
  readonly index: number;
  /** The flag that says that it gets no reply. */
  readonly noReply: number;
  readonly isOfMessage: boolean;
  /** Where it comes among the stages of a message, of which some may be left out, and some come again. */
  readonly place: number;
  readonly comesOnce: boolean;
  /** The stage by which its macros are known, if it has any. */
  readonly macros: MacroStage | undefined;
}

/** The order in which the stages of a message come. */
const order: readonly VerdictStage[] = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'];

function factsOf(stage: VerdictStage): StageFacts {
  return {
    stage,
    index: stageIndex[stage],
    noReply: STAGES[stage].noReply,
    isOfMessage: scope[stage] === 'message',
    place: order.indexOf(stage),
    comesOnce: stage === 'data' || stage === 'eoh',
    macros: isMacroStage(stage) ? stage : undefined,
  };
}

export const facts = {
  connect: factsOf('connect'),
  helo: factsOf('helo'),
  envfrom: factsOf('envfrom'),
  envrcpt: factsOf('envrcpt'),
  data: factsOf('data'),
  unknown: factsOf('unknown'),
  header: factsOf('header'),
  eoh: factsOf('eoh'),
  body: factsOf('body'),
  eom: factsOf('eom'),
} as const satisfies { readonly [stage in VerdictStage]: StageFacts };
