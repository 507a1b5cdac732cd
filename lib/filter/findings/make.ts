/** Makes a finding of what a module reports and of what it declared. */
import { type Milter, parseAddress } from '../../index.ts';
import type { ConfiguredModule } from '../config/config.ts';
import { Template } from '../config/template.ts';
import { clientFact, directionFact } from '../facts.ts';
import { concerns } from '../judging/guard.ts';
import { readMailboxes } from '../mail/mailboxes.ts';
import type { Details } from '../services.ts';
import type { Action } from './action.ts';
import type { About, Finding } from './finding.ts';
import type { Judgement } from './judgement.ts';

/** What a module declared of one of its findings, with the reply that the configuration may have changed. */
export interface Declaration {
  readonly name: string;
  readonly about: About;
  readonly code: number;
  readonly enhanced: string;
  readonly reply: Template;
  /** Variables of the reply besides those that are always there. */
  readonly values: readonly string[];
}

/** All findings of a module, by their short names. */
export type Declared = ReadonlyMap<string, Declaration>;

/** Reads what a module declares. */
export function readDeclared({ name, texts, definition }: ConfiguredModule): Declared {
  const read = Object.entries(definition.findings).map(([short, declaration]): [string, Declaration] => {
    const whole =
      typeof declaration === 'string' ? { about: 'message' as const, text: declaration } : declaration;
    const { about, text, code = 550, enhanced = '5.7.1', reply = text, values = [] } = whole;
    const template = texts.get(short) ?? new Template(reply, values);
    return [short, { name: `${name}-${short}`, about, code, enhanced, reply: template, values }];
  });
  return new Map(read);
}

/** Makes the finding. */
export function makeFinding(
  milter: Milter,
  judgement: Judgement,
  entry: ConfiguredModule,
  declaration: Declaration,
  action: Action | { readonly word: string },
  details: Details,
  { hostname, now }: { readonly hostname: string; readonly now: () => number },
): Finding {
  const { name, values } = declaration;
  const { about = declaration.about } = details;
  const { text, code = declaration.code, enhanced = declaration.enhanced } = details.reply ?? {};
  const template = text === undefined ? declaration.reply : new Template(text, values);
  return {
    name,
    module: entry.name,
    about,
    subject: details.subject ?? subjectOf(milter, about, details),
    action,
    observed: entry.mode === 'observe',
    when: judgement.phase === 'envelope' ? 'envelope' : 'message',
    recipient: details.recipient,
    unsparing: entry.definition.unsparing === true,
    concernsExempt: entry.definition.concernsExempt === true,
    mark: entry.mark,
    note: details.note,
    unless: details.unless,
    spares: details.spares,
    reply: {
      code,
      enhanced,
      text: fillTemplate(template, { milter, finding: name, ref: judgement.ref, hostname, now, ...details }),
    },
    concerns: (recipient) => concerns(entry, recipient),
  };
}

function subjectOf(milter: Milter, about: About, { recipient }: Details): string {
  const judged = clientFact.get(milter).judged;
  switch (about) {
    case 'client':
      return judged?.address ?? '';
    case 'helo':
      return judged?.helo ?? milter.session.helo;
    case 'sender':
      return milter.message.sender;
    case 'recipient':
      return recipient ?? '';
    case 'from':
      return readMailboxes(milter.message.headers.get('From')?.value ?? '')[0]?.address ?? '';
    case 'dkim':
    case 'message':
      return '';
  }
}

/** Where a template stands, and what may be in its places. */
export interface TemplatePlace {
  readonly milter: Milter;
  readonly finding: string;
  readonly ref: string;
  readonly hostname: string;
  readonly now: () => number;
  readonly recipient?: string;
  /** Besides those that are always there, or in place of them. */
  readonly values?: Readonly<Record<string, string>>;
}

/** A template with its values, which come from mail: nothing is escaped here. */
export function fillTemplate(template: Template, place: TemplatePlace): string {
  const { values = {} } = place;
  return template.fill((variable) =>
    Object.hasOwn(values, variable) ? values[variable] : templateValue(variable, place),
  );
}

function templateValue(
  variable: string,
  { milter, finding, ref, recipient, hostname, now }: TemplatePlace,
): string | undefined {
  const { session, message } = milter;
  switch (variable) {
    case 'user':
      return parseAddress(message.sender).local;
    case 'domain':
      return parseAddress(message.sender).domain;
    case 'sender':
      return message.sender.slice(1, -1);
    case 'recipient':
      return recipient?.slice(1, -1);
    case 'client':
      return clientFact.get(milter).judged?.address ?? session.client.address;
    case 'helo':
      return clientFact.get(milter).judged?.helo ?? session.helo;
    case 'hostname':
      return hostname;
    case 'queue':
      return message.queueId;
    case 'date':
      return new Date(now()).toUTCString();
    case 'finding':
      return finding;
    case 'ref':
      return ref;
    case 'direction':
      return directionFact.get(milter);
    default:
      return undefined;
  }
}
