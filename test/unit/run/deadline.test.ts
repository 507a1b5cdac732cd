import { describe, expect, it } from 'vitest';
import { RecordReader } from '../../../lib/engine/libmilter/records.ts';
import { silentLogger } from '../../../lib/logger.ts';
import { Macros } from '../../../lib/milter/macros.ts';
import { Milter } from '../../../lib/milter/milter.ts';
import { nobody, Session } from '../../../lib/milter/session.ts';
import { type Stage, stageIndex, type VerdictStage } from '../../../lib/protocol/stages.ts';
import { timeFor } from '../../../lib/run/deadline.ts';
import { Life, type LiveState } from '../../../lib/run/life.ts';
import { makePlan } from '../../../lib/run/plan.ts';
import type { Play } from '../../../lib/run/play.ts';
import { readOptions } from '../../../lib/serve/options.ts';

/** A member with these handlers, and deadlines of its own in seconds. */
function member(
  stages: readonly VerdictStage[],
  seconds: { readonly [stage in VerdictStage]?: number } = {},
): typeof Milter {
  class Some extends Milter {
    static override readonly deadlines = Object.fromEntries(
      Object.entries(seconds).map(([stage, time]) => [stage, time * 1000]),
    );
  }
  for (const stage of stages) Object.defineProperty(Some.prototype, stage, { value: () => undefined });
  return Some;
}

const EOM = member(['eom']);
const NOT_EOM = member(['envfrom']);

/** A life with these members, where each stage may take so many seconds; the rounding allows for a busy machine. */
function lifeOf(members: readonly (typeof Milter)[], seconds = 1000) {
  const settings = readOptions({
    socket: 'inet:1',
    deadlines: { eom: seconds * 1000, envfrom: seconds * 1000 },
  });
  const plan = makePlan(1, members, settings, false);
  const state: LiveState = {
    id: 1,
    client: nobody,
    helo: '',
    negotiated: { actions: 0, steps: 0 },
    macros: new Macros([]),
    message: undefined,
    lookUp: () => undefined,
  };
  const life = new Life(plan, state, new Session(state), {
    logger: silentLogger,
    logVerdicts: false,
    graceIsOver: () => false,
  });
  /** Whole tens of seconds for the handler of `stage`, called for a ticket of `own`. */
  const time = (index: number, stage: Stage, own: Stage = stage, id = 1): number | undefined => {
    const records = new RecordReader(Buffer.alloc(0), 0, 0, undefined);
    const ticket = { id, session: 1, plan: 1, stage: stageIndex[own], records };
    const begun = performance.now();
    const play: Play = { ticket, answered: false, begun, refusedByMta: false, waiting: undefined };
    const asked = life.members[index];
    if (asked === undefined) throw new Error('no such member');
    const milliseconds = timeFor(asked, stage, play, life);
    return milliseconds === undefined ? undefined : Math.round(milliseconds / 10_000) * 10;
  };
  return { life, time };
}

describe('the time of a handler', () => {
  it('is watched by the libmilter side where there is one member, or nobody waits', () => {
    expect(lifeOf([EOM]).time(0, 'eom')).toBe(undefined);
    expect(lifeOf([EOM, EOM]).time(0, 'eom', 'eom', 0)).toBe(undefined);
    expect(lifeOf([EOM, EOM]).time(0, 'abort')).toBe(undefined);
  });

  it('is an equal part among the members behind that handle the stage', () => {
    const { time } = lifeOf([EOM, NOT_EOM, EOM, NOT_EOM, NOT_EOM, EOM, EOM]);
    expect([time(0, 'eom'), time(2, 'eom'), time(5, 'eom'), time(6, 'eom')]).toEqual([250, 330, 500, 1000]);
  });

  it('leaves nothing to those that take part no longer', () => {
    const { life, time } = lifeOf(Array.from({ length: 5 }, () => EOM));
    const [, accepted, gone, missed] = life.members;
    if (accepted !== undefined) accepted.messageAccepted = true;
    if (gone !== undefined) gone.connectionAccepted = true;
    if (missed !== undefined) missed.missed = true;
    expect(time(0, 'eom')).toBe(500);
    life.members.at(4)?.leaveBehind(Promise.resolve());
    expect(time(0, 'eom')).toBe(1000);
  });

  it('leaves their part to those who have a later stage of the same batch', () => {
    const header = member(['header']);
    const { time } = lifeOf([header, EOM, member(['header', 'body', 'eom']), NOT_EOM]);
    expect([time(0, 'header', 'eom'), time(2, 'header', 'eom'), time(2, 'body', 'eom')]).toEqual([
      330, 500, 500,
    ]);
  });

  it('is its own where it states one, within that of the stage', () => {
    const { time } = lifeOf([member(['eom'], { eom: 100 }), EOM, member(['eom'], { eom: 5000 })]);
    expect([time(0, 'eom'), time(2, 'eom')]).toEqual([100, 1000]);
  });

  it('leaves first what others state, but never less than if all shared', () => {
    const { time } = lifeOf([EOM, EOM, member(['eom'], { eom: 100 })]);
    expect(time(0, 'eom')).toBe(450);
    expect(lifeOf([EOM, member(['eom'], { eom: 900 }), EOM]).time(0, 'eom')).toBe(330);
  });

  it('of a late handler may be its own where there is one member', () => {
    expect(lifeOf([member(['header', 'eom'], { header: 200 })]).time(0, 'header', 'eom')).toBe(200);
  });

  it('keeps a quarter of a second for the answer, less of a short deadline', () => {
    const slackOf = (whole: number): number => {
      const { life } = lifeOf([EOM, EOM], whole / 1000);
      const records = new RecordReader(Buffer.alloc(0), 0, 0, undefined);
      const ticket = { id: 1, session: 1, plan: 1, stage: stageIndex.eom, records };
      // Begun in the future, so that what passes meanwhile does not count.
      const begun = performance.now() + 1e9;
      const play: Play = { ticket, answered: false, begun, refusedByMta: false, waiting: undefined };
      const last = life.members.at(-1);
      if (last === undefined) throw new Error('no member');
      return Math.round(((timeFor(last, 'eom', play, life) ?? 0) - 1e9 - whole) / -10) * 10;
    };
    expect([slackOf(120_000), slackOf(8_000), slackOf(200)]).toEqual([250, 250, 50]);
  });
});

describe('a plan', () => {
  it('of one member has its deadlines, within the server’s; of several the server’s', () => {
    const settings = readOptions({ socket: 'inet:1', deadlines: { eom: 5_000 } });
    const hasty = member(['eom', 'envfrom'], { eom: 1, envfrom: 100 });
    const eomOf = (...filters: readonly (typeof Milter)[]): unknown => {
      const { deadlines } = makePlan(1, filters, settings, false).engine;
      return [deadlines[stageIndex.eom], deadlines[stageIndex.envfrom]];
    };
    expect([eomOf(hasty), eomOf(hasty, EOM)]).toEqual([
      [1_000, 8_000],
      [5_000, 8_000],
    ]);
  });
});
