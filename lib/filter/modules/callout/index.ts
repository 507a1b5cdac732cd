/** Asks the mail server of a sender whom another module doubts, or has it take a message that explains the doubt. */
import { randomUUID } from 'node:crypto';
import { Milter, parseAddress, type Recipient } from '../../../index.ts';
import {
  calloutRole,
  clientFact,
  defineModule,
  type Finding,
  isAnswerOrDelay,
  isAutomatic,
  kinds,
  readable,
  signingRole,
  spfKnownFact,
  whoRole,
  z,
} from '../../kit.ts';
import { Callouts, type Outcome } from './callouts.ts';
import { writeReport } from './explain.ts';
import { SignedIds } from './signed-ids.ts';
import { explanations, namesFor } from './templates.ts';

/** Milliseconds for all of it: the MTA waits longer. */
const TIME = 60_000;
/** Of what a stranger says, so much stands in a reply, and leaves room for why. */
const MAX_QUOTED = 120;

const DOUBT = 'We doubt that %{sender} sent this';
const WHY = '. Why we doubt: %{reason}';

/** Addresses that another site has made of one, or that take no mail but bounces. */
const TAGGED = /^(?:SRS[01][-+=]|SES=|prvs=|btv1=)/i;

const asked = z.enum(['off', 'asked']).default('off');

export default defineModule({
  name: 'callout',
  about: 'Asks the sender’s mail server, or tells it, where another module’s action is "callout"',
  once: true,
  onError: 'continue',
  judges: 'delay',
  options: z.strictObject({
    verify: asked.describe('"asked": asks whether the sender exists, where an action is "callout"'),
    dsn: asked.describe('"asked": sends the sender what explains the doubt, and accepts if it is accepted'),
    cache_good: kinds.duration('30d').describe('For how long a sender who was accepted is'),
    cache_bad: kinds.duration('3d').describe('For how long one who was refused is'),
    templates: explanations.describe('A folder of texts that explain, such as softfail.txt; "": built in'),
    rate: z
      .strictObject({
        messages: z.int().min(1).max(1_000_000).describe('So many are asked or told'),
        per: kinds.duration().describe('in so long a time'),
      })
      .refine(({ per }) => per >= 1_000, { path: ['per'], error: 'must be a second or more' })
      .prefault({ messages: 60, per: '1h' })
      .describe('How many senders are asked or told'),
    from: kinds.address('').describe('Whom the explanation is from; "": postmaster at this machine’s name'),
    failed: kinds.action('reject').describe('The sender’s mail server refuses'),
    no_mail: kinds.action('reject').describe('The sender’s domain takes no mail'),
    unknown: kinds.action('tempfail').describe('It cannot be told now: 4xx, no connection, too many asked'),
    bounced: kinds.action('discard').describe('An explanation comes back'),
  }),
  wants: [
    {
      module: 'srs',
      why: 'by whose secrets bounces of explanations are known',
      when: ({ dsn }) => dsn === 'asked',
    },
  ],
  findings: {
    passed: { about: 'sender', text: 'the mail server of the sender accepts' },
    'not-asked': { about: 'sender', text: 'a sender whom nobody may ask' },
    failed: {
      about: 'sender',
      text: 'the sender’s mail server refuses',
      enhanced: '5.1.8',
      reply: `${DOUBT}, and their mail server refuses to hear of it: %{answer}${WHY}`,
      values: ['reason', 'answer'],
    },
    'no-mail': {
      about: 'sender',
      text: 'the sender’s domain takes no mail',
      enhanced: '5.1.8',
      reply: `${DOUBT}, and can tell nobody: %{answer}${WHY}`,
      values: ['reason', 'answer'],
    },
    unknown: {
      about: 'sender',
      text: 'the sender’s mail server does not say',
      code: 451,
      enhanced: '4.1.8',
      reply: `${DOUBT}, and their mail server does not say now: %{answer}${WHY}`,
      values: ['reason', 'answer'],
    },
    unreachable: {
      about: 'sender',
      text: 'the sender’s mail servers cannot be reached',
      code: 451,
      enhanced: '4.4.1',
      reply: `${DOUBT}, and could not ask their mail server: %{answer}${WHY}`,
      values: ['reason', 'answer'],
    },
    limit: {
      about: 'sender',
      text: 'too many senders were asked',
      code: 451,
      enhanced: '4.3.2',
      reply: `${DOUBT}, and cannot ask their mail server now: we ask too many${WHY}`,
      values: ['reason', 'answer'],
    },
    bounced: { about: 'sender', text: 'an explanation of ours comes back', enhanced: '5.7.1' },
  },
  check: ({ verify, dsn, rate, cache_good, cache_bad }) => [
    ...(verify === 'off' && dsn === 'off' ? ['with verify and dsn "off" it asks nobody'] : []),
    ...(dsn === 'asked'
      ? [
          'dsn = "asked" writes to people whose address was forged: one spam trap among them has this server blacklisted',
        ]
      : []),
    ...(rate.messages > rate.per / 10_000
      ? ['rate allows more than six a minute: lists of those who call out too much will name this server']
      : []),
    ...(cache_good < 86_400_000
      ? ['cache_good is less than a day: the same senders are asked again and again']
      : []),
    ...(cache_bad > cache_good
      ? ['cache_bad is longer than cache_good: a mistake lasts longer than a success']
      : []),
  ],
  setup: ({ options, services }) => {
    const { verify, dsn, templates } = options;
    if (verify === 'off' && dsn === 'off') return undefined;
    const known = [...services.findings].flatMap((finding) =>
      [...finding.matchAll(/-/g)].flatMap(({ index }) => namesFor(finding, finding.slice(0, index))),
    );
    for (const name of templates.names) {
      if (name !== 'default' && !known.includes(name))
        services.log.warn(
          { template: `${name}.txt` },
          'a template has the name of no finding: it is never used',
        );
    }
    if (!services.observed) services.provide(calloutRole, true);
    const callouts = new Callouts(options, services);
    const ids = new SignedIds(() => services.role(signingRole), services);

    return class Callout extends Milter {
      override async eom(): Promise<void> {
        await this.#recognize();
        const doubts = services.asking(this, 'callout');
        const [doubt] = doubts;
        const { passes, exempt } = services.soFar(this);
        if (doubt === undefined || !passes || exempt) return;
        const spared = this.#whyNot();
        if (spared !== undefined) {
          services.found(this, 'not-asked', { word: 'continue' }, { note: spared });
          return;
        }
        const tellable = this.message.recipients.filter(mayBeTold);
        const isTelling = dsn === 'asked' && tellable.length > 0;
        const message = isTelling ? this.#write(doubt, tellable) : undefined;
        const time = services.timeFor(this, TIME);
        this.#report(await callouts.ask(this.#sender, message, time), doubt);
      }

      /** In angle brackets and as RFC 5321 has it, however the client wrote it. */
      get #sender(): string {
        return `<${parseAddress(this.message.sender).address}>`;
      }

      /** Why nobody is asked; undefined where somebody is. */
      #whyNot(): string | undefined {
        const { sender } = this.message;
        const { local, domain } = parseAddress(sender);
        if (domain === '' || domain.startsWith('[')) return 'no domain that can be asked';
        if (isAutomatic(this.message)) return 'mail of a list or a program';
        if (TAGGED.test(local)) return 'a return address of another site';
        if (services.role(whoRole)?.isOurs(sender) === true || domain === services.hostname)
          return 'an address of ours';
        if (clientFact.get(this).kind !== 'external') return 'a client of ours';
        return services.observed || !services.serving
          ? 'nobody is asked by a module that only watches'
          : undefined;
      }

      #write(finding: Finding, recipients: readonly Recipient[]): Buffer {
        const { message } = this;
        const { check } = spfKnownFact.get(this);
        const values = {
          subject: plain(readable(message.headers.get('Subject')?.value ?? '')),
          recipients: recipients
            .map(({ address }) => address.slice(1, -1))
            .join(', ')
            .slice(0, 1_000),
          recipient: recipients[0]?.address.slice(1, -1) ?? '',
          reason: finding.reply.text,
          checked: check?.domain ?? parseAddress(message.sender).domain,
          spf: check?.result ?? '',
          finding: finding.name,
        };
        const { subject, body } = templates.of(finding.name, finding.module);
        const fill = (template: typeof body): string => services.fill(this, template, undefined, values);
        return writeReport({
          sender: this.#sender,
          message,
          recipients,
          subject: fill(subject),
          text: plainLines(fill(body)),
          from: options.from ?? `postmaster@${services.hostname}`,
          messageId: ids.make(this.#sender) ?? `<${randomUUID()}@${services.hostname}>`,
          hostname: services.hostname,
          enhanced: finding.reply.enhanced,
          diagnosis: `${finding.name} ${finding.reply.text}`,
          now: services.now(),
        });
      }

      #report({ verdict, why }: Outcome, doubt: Finding): void {
        const note = `${doubt.name}: ${why}`;
        const values = { answer: why.slice(0, MAX_QUOTED), reason: doubt.reply.text };
        const details = { note, values };
        switch (verdict) {
          case 'good':
            services.found(this, 'passed', { word: 'continue' }, { note });
            break;
          case 'own':
            services.found(this, 'not-asked', { word: 'continue' }, { note });
            break;
          case 'bad':
            services.found(this, 'failed', options.failed, details);
            break;
          case 'null-mx':
            services.found(this, 'no-mail', options.no_mail, { ...details, reply: { enhanced: '5.7.27' } });
            break;
          case 'no-mail':
            services.found(this, 'no-mail', options.no_mail, details);
            break;
          default:
            services.found(this, verdict, options.unknown, details);
        }
      }

      /** A bounce of what we wrote: its sender did not get it after all. */
      async #recognize(): Promise<void> {
        if (dsn === 'off') return;
        const sender = ids.find(this.message);
        if (sender === undefined || (await isAnswerOrDelay(this.message))) return;
        services.found(this, 'bounced', options.bounced, { note: sender });
        if (services.serving) await callouts.returned(sender);
      }
    };
  },
});

/** Who asked for notices at all must have asked for those of delays (RFC 3461 section 4.1). */
function mayBeTold({ parameters }: Recipient): boolean {
  const notify = parameters.find((parameter) => /^NOTIFY=/i.test(parameter));
  return notify === undefined || /[=,]DELAY(?:,|$)/i.test(notify);
}

function plain(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim()
    .slice(0, 500);
}

function plainLines(text: string): string {
  return text.replace(/(?!\n)[\p{Cc}\p{Zl}\p{Zp}]/gu, ' ');
}
