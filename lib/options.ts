/**
 * The one checker of options, for every public entry: an unknown name is refused, with the one that was probably
 * meant, and so is an impossible value. Nothing is coerced. An option that is `undefined` was not given.
 */
import { MilterError } from './errors.ts';

/** What an option may be. */
export interface Kind<T> {
  /** Continues `option "x" must …`. */
  readonly must: string;
  accepts(value: unknown): value is T;
}

/** The kind of each option in `O`. */
export type Kinds<O> = { readonly [K in keyof O]-?: Kind<Exclude<O[K], undefined>> };

/** Makes the error of an entry: `wrongArgument`, or {@link optionFault}. */
export type Fault = (message: string) => Error;

/** For `serve`, `close`, `fakeSession` and the command. */
export function optionFault(message: string): MilterError {
  return new MilterError('ERR_MILTER_OPTION', message);
}

/**
 * Refuses unknown names and impossible values.
 * @param what how errors call one of the options: `option`, or `createResolver option`
 */
export function checkOptions<O extends object>(what: string, given: O, kinds: Kinds<O>, fault: Fault): void {
  if (!anObject.accepts(given)) checkValue(`${what}s`, given, anObject, fault);
  const known: Readonly<Record<string, Partial<Kind<unknown>>>> = kinds;
  // Some entries are called for each message: this is the quickest way over an object.
  for (const name in given) {
    const kind = known[name];
    // Every object inherits things by names such as toString, which accept nothing.
    if (kind?.accepts === undefined) refuseUnknown(what, [name], Object.keys(known), fault);
    else if (given[name] !== undefined && !kind.accepts(given[name]))
      checkValue(`${what} "${name}"`, given[name], kinds[name], fault);
  }
}

/** Refuses an impossible value of what errors call `what`. */
export function checkValue(what: string, value: unknown, kind: Kind<unknown>, fault: Fault): void {
  if (!kind.accepts(value)) throw fault(`${what} must ${kind.must}, got ${show(value)}`);
}

/** Refuses the first name that is not among `names`, and says which one was probably meant, if one is near. */
export function refuseUnknown(
  what: string,
  given: readonly string[],
  names: readonly string[],
  fault: Fault,
): void {
  const unknown = given.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const part = unknown.toLowerCase();
  // `rcpt` for `envrcpt` differs in many letters, and is clear all the same.
  const meant = nearest(unknown, names) ?? names.find((name) => part.length > 2 && name.includes(part));
  throw fault(`unknown ${what} ${show(unknown)}${meant === undefined ? '' : `; did you mean "${meant}"?`}`);
}

/** The largest C int, and what a timer can hold: 24 days. */
export const MAX_INT = 0x7fff_ffff;

export const flag: Kind<boolean> = {
  must: 'be true or false',
  accepts: (value) => typeof value === 'boolean',
};

export const text: Kind<string> = { must: 'be a string', accepts: (value) => typeof value === 'string' };

export const texts: Kind<readonly string[]> = {
  must: 'be an array of strings',
  accepts: (value): value is string[] => Array.isArray(value) && value.every(text.accepts),
};

export function integer(least: number, most: number = MAX_INT): Kind<number> {
  return {
    must: `be an integer from ${least} to ${most}`,
    accepts: (value): value is number =>
      typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most,
  };
}

/** A time for a timer, which may have a fraction. */
export const milliseconds: Kind<number> = {
  must: `be milliseconds above 0, ${MAX_INT} at most`,
  accepts: (value): value is number => typeof value === 'number' && value > 0 && value <= MAX_INT,
};

/** A bound, which may be Infinity. */
export const limit: Kind<number> = {
  must: 'be a number above 0',
  accepts: (value): value is number => typeof value === 'number' && value > 0,
};

export function oneOf<const W extends string>(...words: readonly W[]): Kind<W> {
  return {
    must: `be ${list(words, 'or')}`,
    accepts: (value): value is W => (words as readonly unknown[]).includes(value),
  };
}

/** Any function: what it takes is for the types to say. */
export function callback<F extends (...values: never[]) => unknown>(): Kind<F> {
  return { must: 'be a function', accepts: (value): value is F => typeof value === 'function' };
}

/** Any object: what is in it is checked where it is read. */
export function object<T extends object>(): Kind<T> {
  return {
    must: 'be an object',
    accepts: (value): value is T => typeof value === 'object' && value !== null,
  };
}

/** A list or set of things; a single string is none. */
export function iterable<T>(): Kind<Iterable<T>> {
  return {
    must: 'be a list',
    accepts: (value): value is Iterable<T> => having<Iterable<T>>(Symbol.iterator).accepts(value),
  };
}

export function instance<T>(type: abstract new (...values: never[]) => T): Kind<T> {
  return { must: `be an ${type.name}`, accepts: (value): value is T => value instanceof type };
}

const anObject = object();

/** An object that has these methods. */
export function having<T extends object>(...methods: readonly (keyof T)[]): Kind<T> {
  const quoted = methods.map((name) => `"${String(name)}"`);
  const anObject = object<T>();
  return {
    must: `have a function ${list(quoted, 'and')}`,
    accepts: (value): value is T =>
      anObject.accepts(value) && methods.every((name) => typeof value[name] === 'function'),
  };
}

/** Longer ones are no misspelt names, and would take their time to compare. */
const MAX_WORD = 100;

/**
 * The one of `words` that was probably meant by `word`: letters in which they differ, case aside, are a third at most.
 * Undefined where none is that near.
 */
export function nearest(word: string, words: readonly string[]): string | undefined {
  if (word.length > MAX_WORD) return undefined;
  const ranked = words
    .map((known) => {
      const most = Math.floor(Math.max(word.length, known.length) / 3);
      return { known, letters: distance(word.toLowerCase(), known.toLowerCase(), most) };
    })
    .filter(({ letters }) => letters !== Number.POSITIVE_INFINITY)
    .toSorted((a, b) => a.letters - b.letters);
  return ranked[0]?.known;
}

/** How many letters differ: added, left out, replaced, or swapped with their neighbour. Infinity where it is more than `most`. */
export function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return Number.POSITIVE_INFINITY;
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next.push(
        Math.min(
          at(row, j) + 1,
          at(next, j - 1) + 1,
          at(row, j - 1) + (isSame ? 0 : 1),
          isSwap ? at(before, j - 2) + 1 : Number.POSITIVE_INFINITY,
        ),
      );
    }
    [before, row] = [row, next];
  }
  const letters = at(row, b.length);
  return letters <= most ? letters : Number.POSITIVE_INFINITY;
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY;
}

function list(words: readonly string[], last: 'and' | 'or'): string {
  const head = words.slice(0, -1).join(', ');
  return head === '' ? words.join() : `${head} ${last} ${words.at(-1)}`;
}

/** A value in one short line, whatever it is. */
export function show(value: unknown): string {
  if (typeof value === 'string') {
    const quoted = JSON.stringify(value);
    return quoted.length <= 100 ? quoted : `${quoted.slice(0, 100)}…"`;
  }
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (value instanceof Promise) return 'a promise (is an await missing?)';
  return Array.isArray(value) ? 'an array' : 'an object';
}
