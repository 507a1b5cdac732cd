/**
 * Typed places in a session or message, by which filters that share it tell each other what they found.
 */
import { wrongArgument } from '../errors.ts';

/** What lies in the places of one session or message. */
export type Places = Map<string, unknown>;

/**
 * Where sessions and messages keep their places. Of the global registry: the filter, the server and the slot may come
 * from different copies of this package.
 */
export const placesKey: unique symbol = Symbol.for('libmilter.places') as never;

/** A session or a message. */
export interface PlacesOwner {
  /** @internal */
  readonly [placesKey]: Places;
}

/** Every Milter is one. */
export interface SlotHolder {
  /** The session, whose places last from connect to close. */
  readonly session: PlacesOwner;
  /** The message, whose places last from MAIL to its end. */
  readonly message: PlacesOwner;
}

/** A typed place in every session, or in every message. Made by {@link slot}. */
export interface Slot<T> {
  /**
   * What lies there; the first time, what the initialiser makes.
   * @param filter the Milter instance: `spfResult.get(this)`
   * @throws MilterError `ERR_MILTER_NO_MESSAGE` for a slot of messages where there is none; and what the initialiser
   *   throws, which is then asked again the next time
   */
  get(filter: SlotHolder): T;
  /**
   * Puts a value there, for all members of a composed filter.
   * @param filter the Milter instance: `spfResult.set(this, value)`
   * @throws MilterError `ERR_MILTER_NO_MESSAGE` for a slot of messages where there is none
   */
  set(filter: SlotHolder, value: T): void;
}

/**
 * Declares a place that the members of a composed filter share: `const spfResult = slot<CheckResult>('spf', 'message')`.
 * Its value is gone with the session or message. A handler that outlives its message goes on seeing that one's. What a
 * member has put there stays when that member fails.
 * @param name two slots of the same name and owner are the same place, also where a module was loaded twice
 * @param owner what the value belongs to
 * @param initial makes the value when it is first read; without it that is undefined
 * @throws TypeError for an empty name or another owner
 */
export function slot<T>(name: string, owner: 'session' | 'message', initial: () => T): Slot<T>;
export function slot<T>(name: string, owner: 'session' | 'message'): Slot<T | undefined>;
export function slot<T>(name: string, owner: 'session' | 'message', initial?: () => T): Slot<T | undefined> {
  if (typeof name !== 'string' || name === '') throw wrongArgument('slot: the name must be text');
  if (owner !== 'session' && owner !== 'message') {
    throw wrongArgument(`slot "${name}": the owner is 'session' or 'message', got ${JSON.stringify(owner)}`);
  }
  if (initial !== undefined && typeof initial !== 'function') {
    throw wrongArgument(`slot "${name}": the initialiser must be a function that makes the value`);
  }
  const placesOf = (filter: SlotHolder): Places => {
    const places = filter[owner]?.[placesKey];
    if (places === undefined) throw wrongArgument(`slot "${name}" needs the filter, as in get(this)`);
    return places;
  };
  return {
    get(filter) {
      const places = placesOf(filter);
      if (!places.has(name)) places.set(name, initial?.());
      return places.get(name) as T | undefined;
    },
    set(filter, value) {
      placesOf(filter).set(name, value);
    },
  };
}
