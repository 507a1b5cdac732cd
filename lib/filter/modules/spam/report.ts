/** What judges found, for people: as a header, and as a note. */
import type { ScannedRule } from '../../../scanners/index.ts';
import type { Judge, Opinion } from './judges.ts';

/** Rules that are told, those with most weight first. */
const MAX_IN_HEADER = 60;
const MAX_IN_NOTE = 10;
/** Characters of a line. */
const WIDTH = 76;

/** A judge, and what it thinks. */
export type Judged = readonly [judge: Judge['name'], opinion: Opinion];

/** A header field that tells of all judges: a line for each, and its rules on lines of their own. */
export function reportHeader(judged: readonly Judged[]): string {
  const lines = judged.flatMap(([judge, opinion]) => [
    `${judge} ${summary(opinion)}`,
    ...wrap(weighty(opinion.rules, MAX_IN_HEADER)),
  ]);
  return lines.join('\n\t');
}

/** One judge on one line. */
export function reportNote(opinion: Opinion): string {
  const rules = weighty(opinion.rules, MAX_IN_NOTE);
  return [summary(opinion), ...(rules.length === 0 ? [] : [rules.join(' ')])].join('; ');
}

/** With two decimals, as judges reckon. */
export function rounded(points: number): number {
  return Math.round(points * 100) / 100 + 0;
}

function summary({ points, limit, word }: Opinion): string {
  return `${rounded(points)} of ${rounded(limit)}, ${word}`;
}

/** Those that count for anything. */
function weighty(rules: readonly ScannedRule[], most: number): readonly string[] {
  return rules
    .filter(({ points }) => rounded(points) !== 0)
    .toSorted((a, b) => Math.abs(b.points) - Math.abs(a.points))
    .slice(0, most)
    .map(({ name, points }) => `${name}=${rounded(points)}`);
}

function wrap(words: readonly string[]): readonly string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
