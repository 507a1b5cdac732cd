/** Whether the change that a finding leads to is made. */
import type { Milter } from '../../index.ts';
import { type Finding, falls, holds } from '../findings/finding.ts';
import type { Judgement } from '../findings/judgement.ts';
import type { Roles } from '../roles.ts';
import { rulesFor } from './so-far.ts';

/**
 * Whether the change that a finding leads to is made of a message that goes on to these recipients. Another finding's `accept`
 * does not keep it from that: changes go on.
 */
export function isMade(
  milter: Milter,
  finding: Finding,
  judgement: Judgement,
  roles: Roles,
  recipients: readonly string[],
): boolean {
  if (!holds(finding)) return false;
  const ruling = rulesFor(milter, roles).ruling(finding);
  if (ruling !== undefined && ruling.action.word !== finding.action.word) return false;
  return judgement.recipients.some(
    (recipient) =>
      falls(finding, recipient) &&
      recipients.includes(recipient.address) &&
      finding.concerns(recipient.address),
  );
}
