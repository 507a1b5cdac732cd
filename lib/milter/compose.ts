/**
 * Several filters made into one.
 */
import { MilterError } from '../errors.ts';
import { checkClass } from './check-class.ts';
import { isMilterClass, Milter, type MilterClass } from './milter.ts';

// Of the global registry: two copies of a package happen, and they must know each other.
const membersOf: unique symbol = Symbol.for('libmilter.members') as never;

/** The classes of which a composed class was made, in order; for any other class just itself. */
export function membersOfClass(filter: MilterClass): readonly MilterClass[] {
  return (filter as { [membersOf]?: readonly MilterClass[] })[membersOf] ?? [filter];
}

/**
 * Makes one filter of several, run in order over the same session and message; their actions add up in that order. Headers
 * are shown as received; in eom the body and the tree of `mime()` are as the members before left them. The first verdict
 * other than continue ends the stage; accept and skip remove that member alone, and the MTA gets them only when all
 * members gave them.
 * @throws MilterError `ERR_MILTER_FILTER` when a member is no Milter class, or one that cannot be served
 */
export function compose(...filters: readonly MilterClass[]): MilterClass {
  for (const [index, filter] of filters.entries()) {
    if (isMilterClass(filter)) continue;
    throw new MilterError('ERR_MILTER_FILTER', `compose: argument ${index + 1} is no Milter class`);
  }
  if (filters.length === 0) throw new MilterError('ERR_MILTER_FILTER', 'compose: no Milter class given');
  const members = filters.flatMap(membersOfClass);
  for (const member of members) checkClass(member);
  // Never run itself: the dispatcher makes an instance of each member.
  class Composed extends Milter {
    static readonly [membersOf]: readonly MilterClass[] = members;
  }
  Object.defineProperty(Composed, 'name', {
    value: `compose(${members.map((member) => member.name).join(', ')})`,
  });
  return Composed;
}
