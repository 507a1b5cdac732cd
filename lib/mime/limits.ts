/**
 * Bounds on what one message may cost, and the values that tell when one was reached.
 */
import { MilterError, wrongArgument } from '../errors.ts';

/** How much structure {@link parseMessage} follows. What lies beyond stays in the tree as bytes of the last part. */
export interface ParseLimits {
  /** Parts of all levels. @default 50_000 */
  readonly parts: number;
  /** Levels of nesting, the message itself being level 0. @default 1_024 */
  readonly depth: number;
  /** Bytes of one header section. @default 1_048_576 */
  readonly headerBytes: number;
  /**
   * Levels of bodies that must be read a second time, each within another: encoded messages and multiparts, and
   * multiparts whose declared boundary does not occur. @default 8
   */
  readonly rescans: number;
}

/** The limits of {@link parseMessage} unless told otherwise. */
export const defaultParseLimits: ParseLimits = {
  parts: 50_000,
  depth: 1_024,
  headerBytes: 1_048_576,
  rescans: 8,
};

/** A bound that a message reached: which one, its value, and the first offset that was not followed. */
export interface ParseProblem {
  readonly limit: keyof ParseLimits;
  readonly value: number;
  /** Offset in the bytes that were being parsed: the message, or the decoded content of an encoded part. */
  readonly offset: number;
}

/**
 * The defaults with the caller's wishes over them.
 * @throws TypeError for a limit that is no number above 0; MilterError ERR_MILTER_OPTION for an unknown one.
 */
export function withLimits<L extends object>(defaults: L, wishes: Partial<L> | undefined): L {
  for (const [name, value] of Object.entries(wishes ?? {})) {
    if (!Object.hasOwn(defaults, name)) {
      throw new MilterError(
        'ERR_MILTER_OPTION',
        `unknown limit "${name}"; there are ${Object.keys(defaults).join(', ')}`,
      );
    }
    if (typeof value !== 'number' || !(value > 0)) {
      throw wrongArgument(`limit "${name}" must be a number above 0, got ${String(value)}`);
    }
  }
  return { ...defaults, ...wishes };
}
