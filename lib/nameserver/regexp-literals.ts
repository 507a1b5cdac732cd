/** What stands in every name that a regular expression matches: found by reading it, roughly but never wrongly. */
import { NAME_END, NAME_START } from './name.ts';

/** A part of an expression: group or class as a whole, escape, or character. */
const PART = /\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|./gs;
const REPEATED = /^(?:[*+?]|\{\d+(?:,\d*)?\})\??/;

/**
 * Pieces of text that must be in a whole name that matches, {@link NAME_START} and {@link NAME_END} for its ends; none
 * where that is not plain. The expression is known to be one.
 */
export function requiredLiterals(source: string): readonly string[] {
  const literals: string[] = [];
  let literal = String.fromCharCode(NAME_START);
  const pause = (): void => {
    literals.push(literal);
    literal = '';
  };
  let depth = 0;
  const parts = [...source.matchAll(PART)];
  for (let i = 0; i < parts.length; i++) {
    const [part = ''] = parts[i] ?? [];
    if (part === '(') depth++;
    else if (part === ')') depth--;
    if (depth > 0) {
      if (part === '(' && depth === 1) pause();
      // \Q begins a quotation, within which parentheses are letters.
      if (/^\\[A-Za-z0-9]/.test(part) && !/^\\[dDwWsS]/.test(part)) return [];
      continue;
    }
    if (part === '|') return [];
    const behind = source.slice(
      (parts[i]?.index ?? 0) + part.length,
      (parts[i]?.index ?? 0) + part.length + 12,
    );
    const [repeat = ''] = REPEATED.exec(behind) ?? [];
    // A repetition is as many parts as it has characters.
    i += repeat.length;
    if (part === ')' || part === '.' || part.startsWith('[') || /^\\[dDwWsS]/.test(part)) {
      pause();
    } else if ((part === '^' && i === 0) || (part === '$' && i === parts.length - 1)) {
    } else if (/^\\?[!-/:-@[-`{-~]$|^[a-z0-9]$/i.test(part) && !/^[*+?{}^$]$/.test(part)) {
      const letter = part.slice(-1).toLowerCase();
      if (repeat === '' || repeat.startsWith('+')) literal += letter;
      if (repeat !== '') pause();
    } else {
      return [];
    }
  }
  literal += String.fromCharCode(NAME_END);
  pause();
  return literals;
}
