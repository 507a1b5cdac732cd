/**
 * Every way to change and to delete headers of one name, together in one message: a name for each combination of how many
 * headers of it there are and what is done to the first three occurrences. Many more edits of one message Postfix refuses.
 */
import { Milter } from '../../lib/index.ts';

const OCCURRENCES = 3;
const MOST_RECEIVED = 2;

interface Edited {
  readonly name: string;
  readonly received: readonly string[];
  /** What is done to each occurrence: a new value, null to delete it, or nothing. */
  readonly edits: readonly (string | null | undefined)[];
  readonly expected: readonly string[];
}

function edited(received: number, number: number): Edited {
  const values = Array.from({ length: received }, (_, i) => `as sent ${i + 1}`);
  const edits = Array.from({ length: OCCURRENCES }, (_, i) => {
    const choice = Math.floor(number / 3 ** i) % 3;
    return choice === 0 ? undefined : choice === 1 ? null : `changed ${i + 1}`;
  });
  const expected = edits.flatMap((edit, i) => (edit === undefined ? (values[i] ?? []) : (edit ?? [])));
  return { name: `X-${received}-${number}`, received: values, edits, expected };
}

const cases = Array.from({ length: MOST_RECEIVED + 1 }, (_, received) =>
  Array.from({ length: 3 ** OCCURRENCES }, (_, number) => edited(received, number)),
).flat();

/** The header lines to be sent. */
export const editedHeaders: readonly string[] = cases.flatMap(({ name, received }) =>
  received.map((value) => `${name}: ${value}`),
);

/** The values of each name that are to be delivered, in their order. */
export const expectedValues: ReadonlyMap<string, readonly string[]> = new Map(
  cases.map(({ name, expected }) => [name, expected]),
);

/** Deletes when the message begins and changes at its end, so that neither knows of the other. */
export class EditingAll extends Milter {
  override envfrom(): void {
    for (const { name, edits } of cases) {
      for (const [i, edit] of edits.entries())
        if (edit === null) this.message.changeHeader(name, i + 1, null);
    }
  }

  override eom(): void {
    for (const { name, edits } of cases) {
      for (const [i, edit] of edits.entries()) {
        if (typeof edit === 'string') this.message.changeHeader(name, i + 1, edit);
      }
    }
  }
}
