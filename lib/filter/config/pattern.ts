/**
 * Regular expressions that cannot run away: RE2's, which take time in proportion to the text whatever the expression
 * is. They know no lookaround and no references within the expression.
 */
import { createRequire } from 'node:module';
import type { RE2JS } from 're2js';
import { BadValue } from './faults.ts';

/** A regular expression of the configuration. */
export interface Pattern {
  /** As it stands in the configuration. */
  readonly source: string;
  /** Whether any part of the text matches. */
  test(text: string): boolean;
  /** The text with each match replaced; `$1` and `${name}` stand for groups, `$0` for the match. */
  replace(text: string, by: string): string;
}

/** Longer expressions make larger automata, not better filters. */
const MAX_LENGTH = 1_000;

/** @throws BadValue for what is no regular expression, or needs more than RE2 has */
export function compilePattern(source: string, { caseless = false } = {}): Pattern {
  if (source.length > MAX_LENGTH)
    throw new BadValue(`has a regular expression of more than ${MAX_LENGTH} characters`);
  const engine = loadEngine();
  const compiled = compile(engine, source, caseless ? engine.CASE_INSENSITIVE : 0);
  return {
    source,
    test: (text) => compiled.matcher(text).find(),
    replace: (text, by) => compiled.matcher(text).replaceAll(by),
  };
}

function compile(engine: typeof RE2JS, source: string, flags: number): RE2JS {
  try {
    return engine.compile(source, flags);
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error);
    throw new BadValue(`has a regular expression that cannot be used: ${why}`);
  }
}

/** Loaded with the first expression: most configurations have none. */
function loadEngine(): typeof RE2JS {
  const module = createRequire(import.meta.url)('re2js') as { readonly RE2JS: typeof RE2JS };
  return module.RE2JS;
}
