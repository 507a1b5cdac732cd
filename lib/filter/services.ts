/** What a module is given: everything it may use of its surroundings, and nothing else. */
import type { Logger, Milter } from '../index.ts';
import type { Action } from './findings/action.ts';

/** What a module may use. `Short` are the short names of its findings. */
export interface Services<Short extends string = string> {
  /** Adds the module's name to what it logs. */
  readonly log: Logger;
  /** Reports what was found. The decision says later what comes of it. */
  found(milter: Milter, short: Short, action: Action | { readonly word: string }): void;
}
