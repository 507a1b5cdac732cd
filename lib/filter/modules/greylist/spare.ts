/** Who need not wait, as the configuration says it. */
import { BadValue, textKind, wrongWord, z } from '../../kit.ts';

/** One reason not to wait. */
export type Spare =
  | { readonly word: 'known' }
  | { readonly word: 'spf-pass' }
  | { readonly word: 'score'; readonly most: number };

const expected = '"known", "spf-pass" or "score <= N"';

const spare = textKind<Spare, undefined>(
  expected,
  (text) => {
    if (text === 'known' || text === 'spf-pass') return { word: text };
    const [, number] = /^score\s*<=\s*([+-]?\d{1,6}(?:\.\d{1,6})?)$/.exec(text) ?? [];
    if (number !== undefined) return { word: 'score', most: Number(number) };
    throw new BadValue(wrongWord(expected, text, ['known', 'spf-pass']));
  },
  undefined,
  { anyOf: [{ enum: ['known', 'spf-pass'] }, { pattern: '^score *<= *[+-]?\\d{1,6}(\\.\\d{1,6})?$' }] },
);

/** The kind of the option. */
export const spares = z
  .array(spare)
  .max(20)
  .prefault(['known', 'spf-pass', 'score <= -1'])
  .describe('Who need not wait: "known", "spf-pass", "score <= N"');
