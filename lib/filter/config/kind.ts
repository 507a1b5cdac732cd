/** How kinds of values are made: a schema for what stands in the file, and a function that reads it. */
import { show } from '../../options.ts';
import { BadValue } from './faults.ts';
import { z } from './zod.ts';

/** A kind of value: `In` stands in the file, `Out` is what a module gets. */
export type Kind<Out, In> = z.ZodType<Out, In>;

/** A kind whose key may be left out if the kind was made with a default. */
export type WithDefault<Out, In, D> = D extends undefined ? Kind<Out, In> : z.ZodPrefault<Kind<Out, In>>;

/**
 * A kind that is written as a string.
 * @param expected continues "must be"
 * @param read undefined means that it is none of this kind; BadValue says more
 * @param shown what editors show or check: description, examples, pattern
 */
export function textKind<Out, D extends string | undefined>(
  expected: string,
  read: (text: string) => Out | undefined,
  otherwise: D,
  shown: z.core.GlobalMeta = {},
): WithDefault<Out, string, D> {
  const schema = z.string({ error: mustBe(expected) }).meta(shown);
  const whole = schema.transform((text, context) =>
    reporting(context, () => {
      const value = read(text);
      if (value === undefined) throw new BadValue(`must be ${expected}, got ${show(text)}`);
      return value;
    }),
  );
  return withDefault(whole, otherwise);
}

/** The same, where the empty text stands for none: undefined. */
export function textOrNone<Out, D extends string | undefined>(
  expected: string,
  read: (text: string) => Out | undefined,
  otherwise: D,
  shown: z.core.GlobalMeta = {},
): WithDefault<Out | undefined, string, D> {
  const some = textKind(expected, (text) => (text === '' ? none : read(text)), undefined, shown);
  return withDefault(
    some.transform((value) => (value === none ? undefined : (value as Out))),
    otherwise,
  );
}

const none = Symbol('none');

/** Where the key is not given, what stands there is read in its place. */
export function withDefault<Out, In, D extends In | undefined>(
  schema: Kind<Out, In>,
  otherwise: D,
): WithDefault<Out, In, D> {
  // zod's own types say the same, but not for an `In` that is not known yet.
  const whole: unknown = otherwise === undefined ? schema : schema.prefault(otherwise as never);
  return whole as WithDefault<Out, In, D>;
}

/** What zod says for a value of another type. */
export function mustBe(expected: string): (issue: { readonly input?: unknown }) => string {
  return ({ input }) =>
    input === undefined ? `is missing; it must be ${expected}` : `must be ${expected}, got ${show(input)}`;
}

/** Runs what may throw BadValue, and hands that to zod. */
export function reporting<Out>(
  context: { readonly value: unknown; readonly issues: z.core.$ZodRawIssue[] },
  read: () => Out,
  path: PropertyKey[] = [],
): Out {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof BadValue)) throw error;
    const { message, inFile } = error;
    context.issues.push({ code: 'custom', message, input: context.value, path, params: { inFile } });
    return z.NEVER;
  }
}
