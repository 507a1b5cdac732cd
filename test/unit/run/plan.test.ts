import { describe, expect, it } from 'vitest';
import { compose, membersOfFilter } from '../../../lib/milter/compose.ts';
import { Macros, macroName, namesAt } from '../../../lib/milter/macros.ts';
import { isMilterClass, Milter, type MilterClass, overrides } from '../../../lib/milter/milter.ts';
import { Mode, type Stage, stageIndex, stages } from '../../../lib/protocol/stages.ts';
import { makePlan } from '../../../lib/run/plan.ts';
import { readOptions } from '../../../lib/serve/options.ts';

const settings = readOptions({ socket: 'inet:1' });
const planOf = (filter: MilterClass) =>
  makePlan(1, membersOfFilter(filter).filter(isMilterClass), settings, false);

/** A class that overrides exactly these methods. */
function overriding(...names: readonly Stage[]): typeof Milter {
  class Some extends Milter {}
  for (const name of names) Object.defineProperty(Some.prototype, name, { value: () => undefined });
  return Some;
}

/** The stages that a plan wants in this mode. */
function inMode(filter: MilterClass, mode: Mode): Stage[] {
  const { modes } = planOf(filter).engine;
  return stages.filter((stage) => modes[stageIndex[stage]] === mode);
}

describe('a plan', () => {
  it.each<readonly [Stage[], Stage[], Stage[]]>([
    [[], [], ['eom']],
    [['connect'], ['connect'], ['eom']],
    [['envfrom'], ['envfrom'], ['connect', 'helo', 'eom']],
    [['envrcpt'], ['envrcpt'], ['connect', 'helo', 'envfrom', 'eom']],
    [['unknown'], ['unknown'], ['connect', 'helo', 'eom']],
    [['eom'], ['eom'], ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body']],
    [['header'], ['eom'], ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body']],
    [['abort'], ['abort'], ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'eom']],
    [['close'], ['close'], ['connect', 'helo', 'envfrom', 'envrcpt', 'data', 'abort', 'eom']],
  ])('for a class that overrides %j waits for %j and records %j', (overridden, waits, records) => {
    const filter = overriding(...overridden);
    expect(inMode(filter, Mode.wait).toSorted()).toEqual(waits.toSorted());
    // What becomes of abort and close where nobody hears them does not matter: they have no reply.
    const recorded = inMode(filter, Mode.record).filter((stage) => stage !== 'abort' && stage !== 'close');
    expect(recorded.toSorted()).toEqual(records.filter((stage) => stage !== 'abort').toSorted());
  });

  it('gives a failure its reply', () => {
    for (const [onError, text] of [
      ['tempfail', '4.3.0'],
      ['reject', '5.3.0'],
    ] as const) {
      const { reply } = makePlan(1, [Milter], { ...settings, onError }, false).engine.onError;
      expect(reply?.enhanced).toBe(text);
    }
    for (const onError of ['accept', 'continue'] as const) {
      expect(makePlan(1, [Milter], { ...settings, onError }, false).engine.onError.reply).toBe(undefined);
    }
  });

  it('has room for 255 macros', () => {
    const wishes = (count: number) => ({ envfrom: Array.from({ length: count }, (_, i) => `wish${i}`) });
    class Modest extends Milter {
      static override readonly macros = wishes(200);
    }
    class Greedy extends Milter {
      static override readonly macros = wishes(300);
    }
    expect(planOf(Modest).macroNames.length).toBeLessThanOrEqual(255);
    expect(() => planOf(Greedy)).toThrow(expect.objectContaining({ code: 'ERR_MILTER_FILTER' }));
    expect(() => planOf(Greedy)).toThrow('Greedy: more than 255 macros are wished for');
  });

  it('waits for no end on behalf of a body handler that gets no body', () => {
    class Bodiless extends Milter {
      static override readonly body = 'none';
      override body() {}
    }
    const { late, engine } = planOf(Bodiless);
    expect([late.size, engine.bodyChunks]).toEqual([0, false]);
    expect(engine.modes[stageIndex.body]).toBe(Mode.off);
    expect(engine.modes[stageIndex.eom]).toBe(Mode.record);
  });

  it('asks for rejected recipients when any member does', () => {
    class Asking extends Milter {
      static override readonly rejectedRecipients = true;
      override envrcpt() {}
    }
    const other = overriding('eom');
    expect(planOf(compose(other, Asking)).engine.rejectedRecipients).toBe(true);
    expect(planOf(compose(other, other)).engine.rejectedRecipients).toBe(false);
  });
});

describe('a Milter class', () => {
  it('is known by its brand', () => {
    class Mine extends Milter {
      override eom() {}
    }
    expect([Milter, Mine, compose(Mine)].map(isMilterClass)).toEqual([true, true, true]);
    expect([class {}, () => undefined, {}, null, undefined, 'Milter'].map(isMilterClass)).toEqual(
      Array.from({ length: 6 }, () => false),
    );
  });

  it('overrides what it or a class between has written', () => {
    class Parent extends Milter {
      override eom() {}
    }
    class Child extends Parent {}
    expect(stages.filter((stage) => overrides(Child, stage))).toEqual(['eom']);
    expect(stages.filter((stage) => overrides(Milter, stage))).toEqual([]);
  });
});

describe('macro names', () => {
  it.each([
    ['i', 'i'],
    ['{i}', 'i'],
    ['_', '_'],
    ['auth_authen', '{auth_authen}'],
    ['{auth_authen}', '{auth_authen}'],
    ['{}', '{}'],
  ])('%s is %s to libmilter', (name, proper) => {
    expect(macroName(name)).toBe(proper);
  });

  it('are fetched once each, wishes with the well-known ones', () => {
    const names = namesAt('envfrom', { envfrom: ['i', '{i}', 'auth_authen', 'wish'] });
    expect(names).toContain('{wish}');
    expect(new Set(names).size).toBe(names.length);
  });
});

describe('Macros', () => {
  /** Packed as the libmilter side does. */
  it('show the latest value, and none that is gone', () => {
    const macros = new Macros(['i', '{rcpt_addr}', '{rcpt_host}']);
    const add = (...pairs: (readonly [number, string | undefined])[]) => {
      macros.add({
        read(names, values) {
          for (const [index, value] of pairs) {
            const name = names[index] ?? '';
            if (value === undefined) values.delete(name);
            else values.set(name, value);
          }
        },
      });
    };
    add([0, 'Q1']);
    add([1, 'a'], [2, 'h']);
    expect([macros.get('i'), macros.get('{rcpt_addr}'), macros.get('{rcpt_host}')]).toEqual(['Q1', 'a', 'h']);
    add([1, 'b'], [2, undefined]);
    expect([macros.get('i'), macros.get('{rcpt_addr}'), macros.get('{rcpt_host}')]).toEqual([
      'Q1',
      'b',
      undefined,
    ]);
    add([1, undefined]);
    expect(macros.get('{rcpt_addr}')).toBe(undefined);
    add([0, 'Q2']);
    expect(macros.get('i')).toBe('Q2');
  });
});
