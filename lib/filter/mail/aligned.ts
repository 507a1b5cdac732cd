/** Whether two domains are of one owner, as far as can be told without knowing where strangers may register names. */

/** One of them is the other, or above it. */
export function isAligned(one: string, other: string): boolean {
  return one === other || one.endsWith(`.${other}`) || other.endsWith(`.${one}`);
}
