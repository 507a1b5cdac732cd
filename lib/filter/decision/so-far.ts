/** What the findings of a message come to before its decision, for modules that go by those of others. */
import type { Milter } from '../../index.ts';
import { clientFact, exemptRole, rulingRole, whoRole } from '../facts.ts';
import type { Judgement } from '../findings/judgement.ts';
import type { Roles } from '../roles.ts';
import { decideMessage, decideRecipient, pointsAt, type Rules } from './decide.ts';

/** What the findings come to so far. */
export interface SoFar {
  /** It goes on as far as anybody knows: neither refused nor taken out of the mail flow. */
  readonly passes: boolean;
  /** No finding concerns this recipient; of a message: none of its recipients. */
  readonly exempt: boolean;
  /** What points add up to. */
  readonly points: number;
}

/** What overrules the findings of this message. */
export function rulesFor(milter: Milter, roles: Roles): Rules {
  const ruling = roles.first(rulingRole);
  return {
    ruling: (finding) => ruling?.(finding),
    insteadOfRefusal: clientFact.get(milter).relayed ? roles.first(whoRole)?.relayed : undefined,
  };
}

/** Whether no finding concerns a recipient. */
export async function isExempt(roles: Roles, recipient: string): Promise<boolean> {
  for (const exempt of roles.all(exemptRole)) {
    const answer = exempt(recipient);
    if (typeof answer === 'boolean' ? answer : await answer) return true;
  }
  return false;
}

/** What the findings come to so far: for one recipient before DATA, for the message at its end. */
export async function soFar(
  milter: Milter,
  { findings, recipients }: Judgement,
  roles: Roles,
  recipient: string | undefined,
): Promise<SoFar> {
  const rules = rulesFor(milter, roles);
  if (recipient !== undefined) {
    const exempt = await isExempt(roles, recipient);
    const decision = decideRecipient(findings, rules, recipient, exempt);
    return {
      exempt,
      passes: decision.verdict === 'continue' && decision.out === undefined,
      points: exempt ? 0 : pointsAt(findings, rules, recipient),
    };
  }
  const decision = decideMessage(findings, rules, recipients);
  return {
    exempt: recipients.every(({ exempt }) => exempt),
    passes: decision.verdict === 'continue' && decision.out.length < recipients.length,
    points: decision.points,
  };
}
