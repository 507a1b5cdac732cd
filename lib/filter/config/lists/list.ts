/** What lists of all kinds have in common: entries in the configuration, and in files that it names. */
import { resolve } from 'node:path';
import { show } from '../../../options.ts';
import { BadValue } from '../faults.ts';
import { type Kind, mustBe, reporting, textOrNone, type WithDefault, withDefault } from '../kind.ts';
import { reading } from '../reading.ts';
import { z } from '../zod.ts';
import type { Entries, ListFile } from './files.ts';

/** The sets that a list consists of: first that of the configuration, then one of each file. */
export type Parts<E extends Entries> = readonly Pick<ListFile<E>, 'entries'>[];

/** The kind of a list; `unwrap()` is the one whose key must be given. */
export type ListKind<List> = WithDefault<List, readonly string[], readonly string[]>;

const MAX_ENTRIES = 100_000;

/**
 * A list whose entries may be `file:PATH`.
 * @param expected continues "must be"
 * @param kind tells this kind of list from others, for files that hold both
 * @param make makes an empty set
 * @param finish makes of the sets, whose `entries` change with their files, what modules get
 */
export function listKind<E extends Entries, List>(
  expected: string,
  kind: object,
  make: () => E,
  finish: (parts: Parts<E>) => List,
  description: string,
  otherwise: readonly string[],
): ListKind<List> {
  const entry = z.string({ error: mustBe('a string') });
  const schema = z
    .array(entry, {
      error: ({ code, input }) => (code === 'invalid_type' ? mustBe(expected)({ input }) : undefined),
    })
    .max(MAX_ENTRIES, { error: `has more than ${MAX_ENTRIES} entries; put them into a file, as "file:PATH"` })
    .meta({ description });
  const whole = schema.transform((texts, context) => {
    const inline = make();
    const parts: { readonly entries: E }[] = [{ entries: inline }];
    for (const [i, text] of texts.entries()) {
      reporting(context, () => {
        if (text.startsWith('file:')) parts.push(openFile(text.slice(5), kind, make));
        else if (text.trim() === '') throw badEntry(text, 'is empty: an empty list is []');
        else inline.add(text, 0);
      }, [i]);
    }
    return finish(parts);
  });
  return withDefault(whole as Kind<List, readonly string[]>, otherwise);
}

/** Reads a file of entries that is read anew when it changes; its path is relative to the configuration. */
export function openFile<E extends Entries>(name: string, kind: object, make: () => E): ListFile<E> {
  if (name === '') throw new BadValue('lacks the path after "file:"');
  const { directory, files } = reading();
  return files.open(resolve(directory, name), kind, make);
}

/**
 * One file of entries, `"file:PATH"`, which is read anew when it changes; empty for none.
 * @param expected continues "must be"
 * @param make makes an empty set; it tells this kind of file from others, too
 */
export function entriesFile<E extends Entries, D extends string | undefined = undefined>(
  expected: string,
  make: () => E,
  otherwise?: D,
): WithDefault<ListFile<E> | undefined, string, D> {
  return textOrNone(
    expected,
    (text) => (text.startsWith('file:') ? openFile(text.slice(5), make, make) : undefined),
    otherwise as D,
  );
}

/** What a list says of an entry that is none. */
export function badEntry(entry: string, what: string): BadValue {
  return new BadValue(`${show(entry)} ${what}`);
}
