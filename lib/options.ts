/**
 * The one checker of options, for every public entry: an unknown name is refused, with the name that was probably meant.
 */
import { MilterError } from './errors.ts';

/** Refuses the first name that is not among `names`, and says which one was probably meant. */
export function refuseUnknown(what: string, given: readonly string[], names: readonly string[]): void {
  const unknown = given.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const [nearest] = names.toSorted((a, b) => distance(unknown, a) - distance(unknown, b));
  throw new MilterError(
    'ERR_MILTER_OPTION',
    `unknown ${what} "${unknown}"${nearest === undefined ? '' : `; did you mean "${nearest}"?`}`,
  );
}

/** Levenshtein's: how many letters differ. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (row[j - 1] ?? 0) + (a[i - 1]?.toLowerCase() === b[j - 1]?.toLowerCase() ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substituted));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
