/** Whom a recipient stands for. */
import { aliasRole, meantRole, type Role } from '../facts.ts';

/** Of {@link Services} and of a configuration's roles. */
type Holders = <T>(role: Role<T>) => readonly T[];

/**
 * The recipient whom this one stands for, or itself, in angle brackets; null where it is made up, forged or expired, as the module
 * whose address it is finds too.
 */
export async function meantBy(holders: Holders, recipient: string): Promise<string | null> {
  for (const meaning of [...holders(meantRole), ...holders(aliasRole)]) {
    const meant = await meaning(recipient);
    if (meant !== undefined) return meant === null ? null : `<${meant}>`;
  }
  return recipient;
}
