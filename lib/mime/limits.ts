/**
 * Bounds on what one message may cost, and the values that tell when one was reached.
 */
import { wrongArgument } from '../errors.ts';
import { checkOptions, type Kind, type Kinds, limit } from '../options.ts';

/** How much structure {@link parseMessage} follows. What lies beyond stays in the tree as bytes of the last part. */
export interface ParseLimits {
  /** Parts of all levels. @default 50_000 */
  readonly parts: number;
  /** Levels of nesting, the message itself being level 0. @default 1_024 */
  readonly depth: number;
  /** Bytes of one header section. @default 1_048_576 */
  readonly headerBytes: number;
  /**
   * Levels of bodies that must be read a second time, each within another: encoded messages and multiparts, multiparts
   * whose declared boundary does not occur or is not the only one, attached `.eml` files. All in all four times as many
   * bytes are read again as the message is long for each level. @default 8
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

/** What is wrong with a message. Offsets are those in the bytes that were being parsed: the message, or the decoded content of an encoded part. */
export type ParseProblem =
  /** A bound that the message reached: which one, its value, and the first offset that was not followed. */
  | {
      readonly kind: 'limit';
      readonly limit: keyof ParseLimits;
      readonly value: number;
      readonly offset: number;
    }
  /**
   * Fields of the part at this offset contradict each other, so that readers differ in what they see: several Content-Type or
   * Content-Transfer-Encoding fields, or several boundaries. The part was looked at by every reading.
   */
  | {
      readonly kind: 'ambiguous';
      readonly what: 'content-type' | 'boundary' | 'content-transfer-encoding';
      readonly offset: number;
    };

/**
 * The defaults with the caller's wishes over them.
 * @throws TypeError for an unknown limit, or one that is no number above 0
 */
export function withLimits<L extends { readonly [K in keyof L]: number }>(
  defaults: L,
  wishes?: Partial<L>,
): L {
  if (wishes === undefined) return defaults;
  const kinds: Record<string, Kind<number>> = {};
  for (const name of Object.keys(defaults)) kinds[name] = limit;
  checkOptions('limit', wishes, kinds as Kinds<Partial<L>>, wrongArgument);
  return { ...defaults, ...wishes };
}
