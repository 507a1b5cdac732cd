/**
 * Several filters made into one.
 */

import { MilterError } from '../errors.ts';
import { show } from '../options.ts';
import { checkClass } from './check-class.ts';
import { isMilterClass, Milter, type MilterClass } from './milter.ts';

// Of the global registry: two copies of a package happen, and they must know each other.
const membersOf: unique symbol = Symbol.for('libmilter.members') as never;

/** What to run: a class, or a function that makes the instance for each connection. */
export type Filter = MilterClass | (() => Milter);

/** What a composed class was made of, in order; for any other filter just itself. */
export function membersOfFilter(filter: Filter): readonly Filter[] {
  return (filter as { [membersOf]?: readonly Filter[] })[membersOf] ?? [filter];
}

/**
 * Makes one filter of several, run in order over the same session and message; their actions add up in that order. Headers
 * are shown as received; in eom the body and the tree of `mime()` are as the members before left them. The first verdict
 * other than continue ends the stage; accept and skip remove that member alone, and the MTA gets them only when all
 * members gave them.
 * @param filters classes, and factories: functions that make an instance for each connection
 * @throws MilterError `ERR_MILTER_FILTER` when a member is neither, or a class that cannot be served
 */
export function compose(...filters: readonly Filter[]): MilterClass {
  for (const [index, filter] of filters.entries()) {
    if (typeof filter === 'function' && (isMilterClass(filter) || !isClass(filter))) continue;
    throw new MilterError('ERR_MILTER_FILTER', `compose: argument ${index + 1} is no Milter class`);
  }
  if (filters.length === 0) throw new MilterError('ERR_MILTER_FILTER', 'compose: no Milter class given');
  const members = filters.flatMap(membersOfFilter);
  for (const member of members) if (isMilterClass(member)) checkClass(member);
  // Never run itself: each session makes an instance of each member.
  class Composed extends Milter {
    static readonly [membersOf]: readonly Filter[] = members;
  }
  Object.defineProperty(Composed, 'name', {
    value: `compose(${members.map((member) => member.name || 'factory').join(', ')})`,
  });
  return Composed;
}

/** Refuses what is neither a Milter class nor can be a factory; `needs` says what errors say is needed. */
export function checkFilter(who: string, filter: Filter, needs: string): void {
  if (typeof filter !== 'function')
    throw new MilterError('ERR_MILTER_FILTER', `${who} needs ${needs}, got ${show(filter)}`);
  if (!isMilterClass(filter) && isClass(filter))
    throw new MilterError('ERR_MILTER_FILTER', `class ${filter.name} does not extend Milter`);
}

/** Whether a function can only be called with `new`. */
export function isClass(value: (...values: never) => unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(value));
}
