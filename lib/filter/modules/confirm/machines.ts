/** Mail that a program wrote without saying so as it should, which would confirm what nobody wants. */
import { type Message, parseAddress } from '../../../index.ts';
import { decodeWords } from '../../../mime/index.ts';
import { readMailboxes } from '../../kit.ts';

/** Of RFC 2142, and what programs call themselves: nobody reads what is written there, or many do. */
const ROLE =
  /^(?:abuse|admin(?:istrator)?|bounces?|daemon|do[-_.]?not[-_.]?reply|hostmaster|list(?:serv|-?master)?|mailer[-_]?daemon|majordomo|news|newsletter|no[-_.]?reply|nobody|noc|notifications?|postmaster|root|security|usenet|webmaster|www(?:-data)?)$/i;
/** How those begin their subjects that return mail, or are away, in the languages that are most about. */
const SUBJECT =
  /^\s*(?:undeliver(?:able|ed)|unzustellbar|non[ -]remis|mail delivery|delivery (?:status|failure|has failed)|failure notice|returned (?:mail|to sender)|mail system error|auto(?:matic|matisch)?[- :]*(?:reply|response|answer|antwort)|automatische antwort|r[ée]ponse automatique|out of (?:the )?office|abwesen)/iu;
const MAX_SUBJECT = 1_000;

/** Whether an envelope sender is no person's. */
export function isRole(sender: string): boolean {
  return ROLE.test(parseAddress(sender).local);
}

/** Whether the From header or the subject says that a program wrote it. */
export function isOfMachine({ headers }: Message): boolean {
  const authors = headers.getAll('From').flatMap(({ value }) => readMailboxes(value));
  const subject = decodeWords(headers.get('Subject')?.value.slice(0, MAX_SUBJECT) ?? '');
  return authors.some(({ address }) => isRole(address)) || SUBJECT.test(subject);
}
