/**
 * Regular expressions that cannot run away: RE2's, which take time in proportion to the text whatever the expression
 * is. They know no lookaround and no references within the expression. The only file that knows re2js.
 */
import { createRequire } from 'node:module';
import type { RE2JS } from 're2js';

/** A regular expression that cannot run away. */
export interface Pattern {
  /** As it was written. */
  readonly source: string;
  /** Whether any part of the text matches. */
  test(text: string): boolean;
  /** Whether the whole text matches. */
  testWhole(text: string): boolean;
  /** The text with each match replaced; `$1` and `${name}` stand for groups, `$0` for the match. */
  replace(text: string, by: string): string;
}

/** Thrown for what is no regular expression. The message continues "it has". */
export class RegExpFault extends Error {}

/** Longer expressions make larger automata, not better filters. */
const MAX_LENGTH = 1_000;

/** @throws RegExpFault for what is no regular expression, or needs more than RE2 has */
export function compileRegExp(source: string, { caseless = false } = {}): Pattern {
  if (source.length > MAX_LENGTH)
    throw new RegExpFault(`a regular expression of more than ${MAX_LENGTH} characters`);
  const engine = loadEngine();
  const compiled = compile(engine, source, caseless ? engine.CASE_INSENSITIVE : 0);
  return {
    source,
    test: (text) => compiled.test(text),
    testWhole: (text) => compiled.testExact(text),
    replace: (text, by) => compiled.matcher(text).replaceAll(by),
  };
}

function compile(engine: typeof RE2JS, source: string, flags: number): RE2JS {
  try {
    return engine.compile(source, flags);
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    throw new RegExpFault(`a regular expression that cannot be used: ${why}`);
  }
}

/** Loaded with the first expression: most configurations have none. */
function loadEngine(): typeof RE2JS {
  const module = createRequire(import.meta.url)('re2js') as { readonly RE2JS: typeof RE2JS };
  return module.RE2JS;
}
