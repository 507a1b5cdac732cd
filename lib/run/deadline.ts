/**
 * How long a handler is waited for. The engine watches the deadline of a stage, but its answer is one for all
 * members, and without the actions that it has not been given yet. Where either matters time is up here, a little
 * earlier, so that members behind a hanging one are still asked and the answer can still be given.
 */
import { type Stage, scope, stageIndex, stages } from '../protocol/stages.ts';
import type { Life } from './life.ts';
import type { Member } from './member.ts';
import type { Play } from './play.ts';

/** Kept for the answer, in milliseconds: a quarter of a second, or of a shorter deadline. */
const SLACK = 250;

/** Stages whose tickets bring late handlers along. */
export const batchStages: ReadonlySet<Stage> = new Set(['eoh', 'body', 'eom']);

/** Milliseconds from now until the handler's time is up; undefined where the engine watches it alone. */
export function timeFor(
  member: Member,
  stage: Stage,
  { ticket, begun }: Play,
  life: Life,
): number | undefined {
  if (ticket.id === 0 || stage === 'abort') return undefined; // Nobody waits.
  const { members, plan, state } = life;
  const own = ownDeadline(member, stage);
  const isOfTicket = stageIndex[stage] === ticket.stage;
  if (members.length === 1 && state.message?.actions.changed !== true && (own === undefined || isOfTicket)) {
    return undefined;
  }
  const whole = plan.engine.deadlines[ticket.stage] ?? 0;
  const left = Math.max(begun + whole - Math.min(SLACK, whole / 4) - performance.now(), 0);
  return own === undefined ? fairShare(left, member, stage, ticket.stage, life) : Math.min(own, left);
}

/**
 * An equal part of what is left, among those who are still to be asked for this ticket. Members with deadlines of their
 * own have theirs first, but never so much that others have less than if all parts were equal.
 */
function fairShare(left: number, member: Member, stage: Stage, ticketStage: number, life: Life): number {
  let claimed = 0;
  let claiming = 0;
  let sharing = 1;
  for (const other of life.members) {
    let shares = false;
    for (const next of stagesToCome(stage, ticketStage, life)) {
      const isBehind = next !== stage || other.owner > member.owner;
      if (!isBehind || !isToBeAsked(other, next)) continue;
      const own = ownDeadline(other, next);
      if (own === undefined) {
        shares = other !== member;
      } else {
        claimed += own;
        claiming++;
      }
    }
    if (shares) sharing++;
  }
  return Math.max((left - claimed) / sharing, left / (sharing + claiming));
}

/** The stage, and those that are played after it with the same ticket. */
function stagesToCome(stage: Stage, ticketStage: number, { plan }: Life): readonly Stage[] {
  const last = stages[ticketStage];
  if (stage === last || last === undefined || !batchStages.has(last)) return [stage];
  const between = stages.slice(stageIndex[stage] + 1, ticketStage).filter((next) => plan.late.has(next));
  return [stage, ...between, last];
}

function isToBeAsked(member: Member, stage: Stage): boolean {
  if (!member.plan.handles.has(stage) || member.connectionAccepted || member.overrun !== undefined)
    return false;
  if (stage === 'body' && member.bodySkipped) return false;
  return scope[stage] === 'connection' || !(member.messageAccepted || member.missed);
}

function ownDeadline(member: Member, stage: Stage): number | undefined {
  if (stage === 'negotiate' || stage === 'abort' || stage === 'close') return undefined;
  return member.plan.wishes.deadlines[stage];
}
