/** What the findings of a message come to before its decision, for modules that go by those of others. */
import type { Milter } from '../../index.ts';
import { clientFact, exemptRole, rulingRole, whoRole } from '../facts.ts';
import { type Finding, falls } from '../findings/finding.ts';
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
export function isExempt(roles: Roles, recipient: string): boolean | Promise<boolean> {
  return anyFrom(0, roles.all(exemptRole), recipient);
}

function anyFrom(
  first: number,
  exempts: readonly ((recipient: string) => boolean | Promise<boolean>)[],
  recipient: string,
): boolean | Promise<boolean> {
  for (const [index, exempt] of exempts.slice(first).entries()) {
    const answer = exempt(recipient);
    if (answer === true) return true;
    if (answer !== false) return answer.then((is) => is || anyFrom(first + index + 1, exempts, recipient));
  }
  return false;
}

/** What the findings come to so far, before DATA, for one recipient. */
export async function soFarAt(
  milter: Milter,
  { findings }: Judgement,
  roles: Roles,
  recipient: string,
): Promise<SoFar> {
  const rules = rulesFor(milter, roles);
  const exempt = await isExempt(roles, recipient);
  const decision = decideRecipient(findings, rules, recipient, exempt);
  return {
    exempt,
    passes: decision.verdict === 'continue' && decision.out === undefined,
    points: exempt ? 0 : pointsAt(findings, rules, recipient),
  };
}

/** What the findings come to so far, at the end of the message. */
export function soFar(milter: Milter, { findings, recipients }: Judgement, roles: Roles): SoFar {
  const decision = decideMessage(findings, rulesFor(milter, roles), recipients);
  return {
    exempt: recipients.every(({ exempt }) => exempt !== false),
    passes: decision.verdict === 'continue' && decision.out.length < recipients.length,
    points: decision.points,
  };
}

/** The findings so far, at the end of the message, whose action in force is a module's own word. */
export function asking(
  milter: Milter,
  { findings, recipients }: Judgement,
  roles: Roles,
  word: string,
): readonly Finding[] {
  return decideMessage(findings, rulesFor(milter, roles), recipients)
    .ruled.filter(({ action }) => action.word === word)
    .map(({ finding }) => finding)
    .filter((finding) => recipients.some((recipient) => falls(finding, recipient)));
}
