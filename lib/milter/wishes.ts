/**
 * The static wishes of a Milter class, checked: a misspelt one would otherwise silently be none.
 */
import { MilterError } from '../errors.ts';
import {
  checkValue,
  distance,
  type Fault,
  flag,
  integer,
  nearest,
  object,
  oneOf,
  refuseUnknown,
  texts,
} from '../options.ts';
import { allowedVerdicts, macroStages, type VerdictStage } from '../protocol/stages.ts';
import { knownMacros, type MacroWishes, macroName } from './macros.ts';
import { classesOf, type EarlyStage, type MilterClass, type OnError } from './milter.ts';

/** What a class wishes, with the defaults filled in. */
export interface Wishes {
  readonly early: readonly EarlyStage[];
  readonly macros: MacroWishes;
  readonly rejectedRecipients: boolean;
  readonly body: 'keep' | 'none';
  readonly observe: boolean;
  /** Undefined: as the server does. */
  readonly onError: OnError | undefined;
  /** Milliseconds. Stages left out: as the server does. */
  readonly deadlines: { readonly [stage in VerdictStage]?: number };
}

const names: readonly (keyof Wishes)[] = [
  'early',
  'macros',
  'rejectedRecipients',
  'body',
  'observe',
  'onError',
  'deadlines',
];
const earlyStages: readonly EarlyStage[] = ['header', 'eoh', 'body'];
const policies: readonly OnError[] = ['tempfail', 'reject', 'accept', 'continue'];
const verdictStages = Object.keys(allowedVerdicts);

/**
 * Reads the static wishes of a class.
 * @throws MilterError `ERR_MILTER_FILTER` for an impossible one, and for a static that looks like a misspelt one
 */
export function readWishes(filter: MilterClass): Wishes {
  const fault = faultOf(filter);
  refuseMisspelt(filter, fault);
  const {
    early = [],
    macros = {},
    rejectedRecipients = false,
    body = 'keep',
    observe = false,
    onError,
    deadlines = {},
  } = filter;
  checkValue('static early', early, texts, fault);
  refuseUnknown('stage in static early', early, earlyStages, fault);
  checkMacros(macros, fault);
  checkValue('static rejectedRecipients', rejectedRecipients, flag, fault);
  checkWord('static body', body, ['keep', 'none'], fault);
  checkValue('static observe', observe, flag, fault);
  if (onError !== undefined) checkWord('static onError', onError, policies, fault);
  checkDeadlines(deadlines, fault);
  return { early, macros, rejectedRecipients, body, observe, onError, deadlines };
}

/** Whether a static of this name is a wish. */
export function isWish(name: string): boolean {
  return (names as readonly string[]).includes(name);
}

/** Makes the errors about a class. */
export function faultOf(filter: MilterClass): (message: string) => MilterError {
  const name = filter.name || 'a class without a name';
  return (message) => new MilterError('ERR_MILTER_FILTER', `${name}: ${message}`);
}

/**
 * The word that a name was meant to be: the same but for case and underscores, or one that is near, about as long, and
 * begins alike (`known` is no misspelt `unknown`, nor `reader` a header). Undefined for a name that is one of the words,
 * and for one like none of them.
 */
export function mistakenFor(name: string, words: readonly string[]): string | undefined {
  if (words.includes(name)) return undefined;
  const bare = name.replaceAll('_', '');
  const word = nearest(bare, words);
  if (word === undefined || Math.abs(word.length - bare.length) > Math.max(1, word.length / 6))
    return undefined;
  const start = word[0]?.toLowerCase();
  return bare
    .slice(0, 2)
    .toLowerCase()
    .includes(start ?? '')
    ? word
    : undefined;
}

function refuseMisspelt(filter: MilterClass, fault: Fault): void {
  for (const name of classesOf(filter).flatMap((owner) => Object.getOwnPropertyNames(owner))) {
    const meant = mistakenFor(name, names);
    if (meant !== undefined) throw fault(`static ${name} is no wish; did you mean "${meant}"?`);
  }
}

function checkWord(what: string, value: unknown, words: readonly string[], fault: Fault): void {
  const meant = typeof value === 'string' ? nearest(value, words) : undefined;
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`;
  checkValue(what, value, oneOf(...words), (message) => fault(message + hint));
}

function checkMacros(macros: MacroWishes, fault: Fault): void {
  checkValue('static macros', macros, object(), fault);
  refuseUnknown('stage in static macros', Object.keys(macros), macroStages, fault);
  for (const stage of macroStages) {
    const { [stage]: wished = [] } = macros;
    checkValue(`static macros.${stage}`, wished, texts, fault);
    for (const name of wished) checkMacro(`static macros.${stage}`, name, fault);
  }
}

/** Any name may be some MTA's own, so only one that is a letter beside a known one is taken for misspelt. */
function checkMacro(what: string, name: string, fault: Fault): void {
  if (!/^(?:\{[!-+--z|~]+\}|[!-+--z|~]+)$/.test(name)) {
    throw fault(`${what} must be names such as i or {client_addr}, got ${JSON.stringify(name)}`);
  }
  const proper = macroName(name);
  if (proper.length === 1 || knownMacros.has(proper)) return;
  const meant = [...knownMacros].find((known) => distance(proper.toLowerCase(), known.toLowerCase(), 1) <= 1);
  if (meant !== undefined) throw fault(`${what} has "${name}", which no MTA sends; did you mean "${meant}"?`);
}

function checkDeadlines(deadlines: Wishes['deadlines'], fault: Fault): void {
  checkValue('static deadlines', deadlines, object(), fault);
  refuseUnknown('stage in static deadlines', Object.keys(deadlines), verdictStages, fault);
  for (const [stage, time] of Object.entries(deadlines)) {
    if (time !== undefined) checkValue(`static deadlines.${stage}`, time, integer(1), fault);
  }
}
