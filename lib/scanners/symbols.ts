/** What a judge of spam found: its rules. */

/** One rule that fits a message. */
export interface ScannedRule {
  /** Letters, digits and a few signs. */
  readonly name: string;
  readonly points: number;
}

/** More are not looked at. */
export const MAX_RULES = 500;

/** Whether something is the name of a rule, which may stand in a header. */
export function isRuleName(name: string): boolean {
  return /^[\w.:()+-]{1,100}$/.test(name);
}
