/** What is written of a classification. */
import type { Classification, Clue } from '../../../bayes/index.ts';

/** Tokens that are named. */
const NAMED = 10;
const MAX_TOKEN = 40;

/** For the log and `milter why`. */
export function note({ score, clues }: Classification): string {
  return `${shown(score)} (${clues.slice(0, NAMED).map(named).join(' ')})`;
}

/** The header's value: the verdict, the score, and the tokens that weighed most, a line each five. */
export function headerValue(word: string, { score, clues }: Classification): string {
  const tokens = clues.slice(0, NAMED).map(named);
  const lines = [tokens.slice(0, 5), tokens.slice(5)].filter((line) => line.length > 0);
  return [`${word} ${shown(score)}`, ...lines.map((line) => line.join(' '))].join('\n\t');
}

/** A score of 0.9999 must not look like 1. */
function shown(score: number): string {
  return score.toFixed(4);
}

/** Tokens come from mail: what is not plain ASCII is written as in a URL. */
function named({ token, probability }: Clue): string {
  const plain = token
    .slice(0, MAX_TOKEN)
    .toWellFormed()
    .replace(/[^!-$&-<>-~]/gu, (character) => encodeURIComponent(character));
  return `${plain}=${probability.toFixed(2)}`;
}
