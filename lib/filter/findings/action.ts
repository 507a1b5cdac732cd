/** What follows from a finding: the same words everywhere. */

/** A word of an action. */
export type ActionWord =
  | 'continue'
  | 'reject'
  | 'tempfail'
  | 'discard'
  | 'hold'
  | 'quarantine'
  | 'tag'
  | 'score'
  | 'accept';

/** What follows from a finding. */
export type Action =
  | { readonly word: Exclude<ActionWord, 'score'> }
  /** Points, which may be negative; what they add up to is judged by the module `score`. */
  | { readonly word: 'score'; readonly points: number };
