/** Regular expressions of the configuration, which cannot run away. */
import { compileRegExp, type Pattern, RegExpFault } from '../../regexp.ts';
import { BadValue } from './faults.ts';

export type { Pattern };

/** @throws BadValue for what is no regular expression, or needs more than RE2 has */
export function compilePattern(source: string, options: { readonly caseless?: boolean } = {}): Pattern {
  try {
    return compileRegExp(source, options);
  } catch (error) {
    throw error instanceof RegExpFault ? new BadValue(`has ${error.message}`) : error;
  }
}
