/**
 * From what was learned of tokens to a score: the probabilities of Gary Robinson, combined by Fisher's method both ways. Sums are of
 * logarithms: products of hundreds of probabilities are no numbers any more.
 */

/** Strength of the assumption about an unknown token, in messages, and what is assumed. */
const STRENGTH = 0.1;
const ASSUMED = 0.52;
/** Tokens nearer to 0.5 say nothing. */
const LEAST_DEVIATION = 0.375;
/** From here on the beginning of a text condemns the message. */
const SEGMENT_SCORE = 0.99;
/** Tokens that must decide it. */
const SEGMENT_TOKENS = 8;

/** Messages learned. */
export interface Totals {
  readonly spam: number;
  readonly ham: number;
}

/** A token with what was learned of it. */
export interface Evidence {
  readonly token: string;
  /** Messages with it; need not be whole where dictionaries are blended. */
  readonly spam: number;
  readonly ham: number;
}

/** How likely a message with a token is spam. */
export function probability({ spam, ham }: Totals, totals: Totals): number {
  const count = spam + ham;
  if (count === 0) return ASSUMED;
  const inSpam = spam / totals.spam;
  const inHam = ham / totals.ham;
  return (STRENGTH * ASSUMED + (count * inSpam) / (inSpam + inHam)) / (STRENGTH + count);
}

/** Whether a token of this probability takes part. */
export function decides(probability: number): boolean {
  return Math.abs(probability - 0.5) >= LEAST_DEVIATION;
}

/** The score of tokens of these probabilities, from 0, ham, to 1, spam. */
export function combine(probabilities: readonly number[]): number {
  if (probabilities.length === 0) return 0.5;
  let spam = 0;
  let ham = 0;
  for (const p of probabilities) {
    spam -= Math.log(1 - p);
    ham -= Math.log(p);
  }
  const { length } = probabilities;
  return (1 + Math.exp(logChiSquared(ham, length)) - Math.exp(logChiSquared(spam, length))) / 2;
}

/** The logarithm of the chance that chi-squared with 2n degrees of freedom is above 2m: of exp(-m) * sum of m^i / i! for i < n. */
export function logChiSquared(m: number, n: number): number {
  if (m <= 0) return 0;
  const logM = Math.log(m);
  let term = 0;
  let scale = 0;
  let sum = 1;
  for (let i = 1; i < n; i++) {
    term += logM - Math.log(i);
    if (term - scale > 30) {
      sum = sum * Math.exp(scale - term) + 1;
      scale = term;
    } else sum += Math.exp(term - scale);
  }
  return Math.min(0, Math.log(sum) + scale - m);
}

/** The score of a message: that of all of it, or that of the beginning of one of its texts where that alone is clearly spam. */
export function scoreOf(whole: readonly number[], segments: readonly (readonly number[])[]): number {
  let score = combine(whole);
  for (const segment of segments) {
    if (segment.length < SEGMENT_TOKENS) continue;
    const alone = combine(segment);
    if (alone >= SEGMENT_SCORE && alone > score) score = alone;
  }
  return score;
}
