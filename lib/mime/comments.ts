/**
 * Comments in structured fields (RFC 822 section 3.3, RFC 5322 section 3.2.2): in brackets, nested, with quoted pairs. They
 * may stand between any two words.
 */

/** The comments of a text: where each bracket that opens one has its partner, and the other way round. */
export interface Comments {
  readonly closes: ReadonlyMap<number, number>;
  readonly opens: ReadonlyMap<number, number>;
}

/** A text without any. */
export const NO_COMMENTS: Comments = { closes: new Map(), opens: new Map() };

/** Pairs the brackets of a text, in one pass. Those in quotes are paired too: whoever is inside quotes does not ask. */
export function pairBrackets(text: string): Comments {
  if (!text.includes('(')) return NO_COMMENTS;
  const closes = new Map<number, number>();
  const opens = new Map<number, number>();
  const open: number[] = [];
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    // A pair counts inside comments alone.
    if (character === '\\' && open.length > 0) i++;
    else if (character === '(') open.push(i);
    else if (character === ')') {
      const start = open.pop();
      if (start === undefined) continue;
      closes.set(start, i);
      opens.set(i, start);
    }
  }
  return { closes, opens };
}

/** The text without its comments; a bracket without partner is text. */
export function withoutComments(text: string, comments: Comments = pairBrackets(text)): string {
  if (comments.closes.size === 0) return text;
  let kept = '';
  let from = 0;
  for (let at = text.indexOf('('); at >= 0; at = text.indexOf('(', at + 1)) {
    const close = comments.closes.get(at);
    if (close === undefined) continue;
    kept += `${text.slice(from, at)} `;
    from = close + 1;
    at = close;
  }
  return kept + text.slice(from);
}
