/**
 * From what was learned of tokens to a score: the probabilities of Gary Robinson, combined by Fisher's method both ways. Sums are of
 * logarithms: products of hundreds of probabilities are no numbers any more.
 */

/** Strength of the assumption about an unknown token, in messages, and what is assumed. */
const STRENGTH = 0.1;
const ASSUMED = 0.52;
/** Tokens nearer to 0.5 say nothing. */
const LEAST_DEVIATION = 0.375;
/** From here on the beginning of a text condemns the message, and this is the score that the message has then at least. */
const SEGMENT_SCORE = 0.99;
/** Tokens that must decide it. */
const SEGMENT_TOKENS = 6;
/** As high as the balance of contradicting tokens lifts a score. */
const MOST_LIFTED = 0.9;
/** Weight that the balance of few tokens is held down by. */
const CALM = 5;

/** Messages learned. */
export interface Totals {
  readonly spam: number;
  readonly ham: number;
}

/** How likely a message with a token is spam. */
export function probability({ spam, ham }: Totals, totals: Totals): number {
  const count = spam + ham;
  if (count === 0) return ASSUMED;
  // Of one kind nothing may have been learned yet.
  const inSpam = spam / Math.max(1, totals.spam);
  const inHam = ham / Math.max(1, totals.ham);
  return (STRENGTH * ASSUMED + (count * inSpam) / (inSpam + inHam)) / (STRENGTH + count);
}

/** Whether a token of this probability takes part. */
export function decides(probability: number): boolean {
  return Math.abs(probability - 0.5) >= LEAST_DEVIATION;
}

/** The score of tokens of these probabilities by Fisher's method, from 0, ham, to 1, spam. */
export function fisher(probabilities: readonly number[]): number {
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

/**
 * As {@link fisher}, but where many tokens speak for either side, which by Fisher's method is 0.5 whatever the majority is, more of
 * those for spam lift the score: half way to what their balance says, measured by what it is among tokens that fall either way.
 */
export function combine(probabilities: readonly number[]): number {
  const score = fisher(probabilities);
  if (score >= MOST_LIFTED) return score;
  let sum = 0;
  let squares = CALM ** 2;
  for (const p of probabilities) {
    const weight = Math.log(p / (1 - p));
    sum += weight;
    squares += weight * weight;
  }
  const odds = Math.log(Math.max(score, 1e-12) / (1 - score));
  const lifted = (odds + sum / Math.sqrt(squares)) / 2;
  return lifted <= odds ? score : Math.min(MOST_LIFTED, 1 / (1 + Math.exp(-lifted)));
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

/** Whether the beginning of a text, by itself, is clearly spam. */
function condemns(probabilities: readonly number[]): boolean {
  return probabilities.length >= SEGMENT_TOKENS && fisher(probabilities) >= SEGMENT_SCORE;
}

/** The score of a message, of which all tokens have the score `whole`, and whose texts begin with tokens of these probabilities. */
export function scoreOf(whole: number, segments: readonly (readonly number[])[]): number {
  return whole < SEGMENT_SCORE && segments.some(condemns) ? SEGMENT_SCORE : whole;
}
