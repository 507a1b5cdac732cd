/** Globs, matched without a regular expression: none takes longer than text times pattern, whatever it is. */

/** Whether a text has a `*` (any text, also none) or `?` (one character) in it. */
export function isGlob(text: string): boolean {
  return text.includes('*') || text.includes('?');
}

/** Whether all of `text` matches. Case counts. */
export function matchesGlob(glob: string, text: string): boolean {
  let g = 0;
  let t = 0;
  // Where the last star is, and up to where of the text it reaches so far: only the last one is ever widened.
  let star = -1;
  let reach = 0;
  while (t < text.length) {
    if (glob[g] === '*') {
      star = g++;
      reach = t;
    } else if (g < glob.length && (glob[g] === '?' || glob[g] === text[t])) {
      g++;
      t++;
    } else if (star >= 0) {
      g = star + 1;
      t = ++reach;
    } else {
      return false;
    }
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}
