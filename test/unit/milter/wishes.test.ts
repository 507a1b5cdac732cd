import { describe, expect, it } from 'vitest';
import { Milter, type MilterClass } from '../../../lib/index.ts';
import { readWishes } from '../../../lib/milter/wishes.ts';

/** A class with these statics. */
function wishing(statics: object): MilterClass {
  class Gate extends Milter {
    override eom() {}
  }
  return Object.assign(Gate, statics);
}

const refused = (filter: MilterClass): unknown => {
  try {
    readWishes(filter);
    return undefined;
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_MILTER_FILTER' });
    return (error as Error).message;
  }
};

describe('readWishes', () => {
  it('fills in the defaults', () => {
    expect(readWishes(wishing({}))).toEqual({
      early: [],
      macros: {},
      rejectedRecipients: false,
      body: 'keep',
      observe: false,
      onError: undefined,
      deadlines: {},
    });
  });

  it('reads all, inherited ones too', () => {
    const wishes = {
      early: ['header', 'eoh', 'body'],
      macros: { connect: ['{client_port}', 'j'], envfrom: ['my_own', '{myOwn}'], eom: undefined },
      rejectedRecipients: true,
      body: 'none',
      observe: true,
      onError: 'reject',
      deadlines: { eom: 60_000, helo: 1 },
    };
    class Child extends wishing(wishes) {}
    expect(readWishes(Child)).toEqual(wishes);
  });

  it.each<readonly [object, string]>([
    [
      { onError: 'rejct' },
      'static onError must be tempfail, reject, accept or continue, got "rejct"; did you mean "reject"?',
    ],
    [{ onError: 'discard' }, 'static onError must be tempfail, reject, accept or continue, got "discard"'],
    [{ onError: 4 }, 'static onError must be tempfail, reject, accept or continue, got 4'],
    [{ onError: null }, 'static onError must be tempfail, reject, accept or continue, got null'],
    [{ early: 'body' }, 'static early must be an array of strings, got "body"'],
    [{ early: ['boddy'] }, 'unknown stage in static early "boddy"; did you mean "body"?'],
    [{ early: ['envfrom'] }, 'unknown stage in static early "envfrom"'],
    [{ body: 'non' }, 'static body must be keep or none, got "non"; did you mean "none"?'],
    [{ body: false }, 'static body must be keep or none, got false'],
    [{ rejectedRecipients: 'yes' }, 'static rejectedRecipients must be true or false, got "yes"'],
    [{ macros: 'i' }, 'static macros must be an object, got "i"'],
    [{ macros: ['i'] }, 'unknown stage in static macros "0"'],
    [{ macros: { envrpct: ['i'] } }, 'unknown stage in static macros "envrpct"; did you mean "envrcpt"?'],
    [{ macros: { body: ['i'] } }, 'unknown stage in static macros "body"'],
    [{ macros: { eom: 'i' } }, 'static macros.eom must be an array of strings, got "i"'],
    [{ macros: { eom: [5] } }, 'static macros.eom must be an array of strings, got an array'],
    [
      { macros: { connect: ['{client_adr}'] } },
      'static macros.connect has "{client_adr}", which no MTA sends; did you mean "{client_addr}"?',
    ],
    [
      { macros: { connect: ['Client_Addr'] } },
      'static macros.connect has "Client_Addr", which no MTA sends; did you mean "{client_addr}"?',
    ],
    [
      { macros: { eom: ['i {j}'] } },
      'static macros.eom must be names such as i or {client_addr}, got "i {j}"',
    ],
    [{ macros: { eom: ['i,j'] } }, 'static macros.eom must be names such as i or {client_addr}, got "i,j"'],
    [{ macros: { eom: ['{i'] } }, 'static macros.eom must be names such as i or {client_addr}, got "{i"'],
    [{ macros: { eom: [''] } }, 'static macros.eom must be names such as i or {client_addr}, got ""'],
    [{ deadlines: 5 }, 'static deadlines must be an object, got 5'],
    [{ deadlines: { emo: 5 } }, 'unknown stage in static deadlines "emo"; did you mean "eom"?'],
    [{ deadlines: { close: 5 } }, 'unknown stage in static deadlines "close"'],
    [{ deadlines: { eom: 0 } }, 'static deadlines.eom must be an integer from 1 to 2147483647, got 0'],
    [
      { deadlines: { eom: '5 s' } },
      'static deadlines.eom must be an integer from 1 to 2147483647, got "5 s"',
    ],
    [
      { deadlines: { eom: Number.NaN } },
      'static deadlines.eom must be an integer from 1 to 2147483647, got NaN',
    ],
  ])('refuses %j', (statics, message) => {
    expect(refused(wishing(statics))).toBe(`Gate: ${message}`);
  });

  it.each([
    ['onEror', 'onError'],
    ['on_error', 'onError'],
    ['onerror', 'onError'],
    ['earley', 'early'],
    ['macro', 'macros'],
    ['rejectedRecipient', 'rejectedRecipients'],
    ['rejectRecipients', 'rejectedRecipients'],
    ['deadline', 'deadlines'],
    ['boby', 'body'],
  ])('takes a static %s for a misspelt wish, in a parent too', (name, meant) => {
    class Child extends wishing({ [name]: 'reject' }) {}
    expect(refused(Child)).toBe(`Child: static ${name} is no wish; did you mean "${meant}"?`);
  });

  it.each(['known', 'error', 'limit', 'maxBody', 'instances', 'create', 'bodyLimit', 'VERSION'])(
    "leaves a static %s of the filter's own alone",
    (name) => {
      expect(refused(wishing({ [name]: 'reject' }))).toBe(undefined);
    },
  );
});
