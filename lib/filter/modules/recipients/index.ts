/** Whom mail is for: who exists, who is exempt, how many, and who is meant by them. */
import { Milter, parseAddress } from '../../../index.ts';
import { decodeWords } from '../../../mime/index.ts';
import {
  BackendError,
  clientFact,
  defineModule,
  exemptRole,
  kinds,
  meantBy,
  ourDomainRole,
  ownRecipientRole,
  SmtpTrouble,
  spfFact,
  whoRole,
  z,
} from '../../kit.ts';
import { NextHop } from './next-hop.ts';

const limit = (otherwise: number) => z.int().min(0).max(1_000_000).default(otherwise);

const options = z.strictObject({
  users: kinds.addresses().describe('Of the domains in `complete` only these exist'),
  complete: kinds.addresses().describe('Domains all of whose users are listed'),
  verify: kinds.endpoint('').describe('The next mail server, which is asked whether a recipient exists'),
  verify_concurrency: z.int().min(1).max(1_000).default(10).describe('Questions to it at once'),
  unfiltered: kinds.addresses(['postmaster@', 'abuse@']).describe('Recipients whom no finding concerns'),
  mailer_daemon: kinds.action('reject').describe('Mail to MAILER-DAEMON'),
  limit: limit(0).describe('Recipients a message; 0: any number'),
  bounce_limit: limit(1).describe('Recipients of a message from the null sender; 0: any number'),
  alias: z
    .array(
      z.strictObject({
        from: kinds.addressEntry().describe('The sender'),
        to: kinds.addressEntry().describe('The recipient in whose place'),
        send: z
          .array(kinds.address().pipe(z.string({ error: 'must be an address such as "user@example.com"' })))
          .min(1)
          .max(1_000)
          .describe('these get it'),
      }),
    )
    .max(10_000)
    .default([])
    .describe('Who gets mail in another’s place; for senders whom nobody can make up'),
  no_forwards: kinds.addresses().describe('Recipients who take no forwarded mail (subject "Fwd:")'),
});

export default defineModule({
  name: 'recipients',
  about: 'Whom mail is for',
  once: true,
  stage: 'envelope',
  options,
  findings: {
    users: {
      about: 'recipient',
      text: 'there is no such user',
      enhanced: '5.1.1',
      reply: 'There is no %{recipient} here',
    },
    verify: {
      about: 'recipient',
      text: 'the next mail server does not take it, or could not be asked',
      enhanced: '5.1.1',
      reply: '%{answer}',
      values: ['answer'],
    },
    'mailer-daemon': {
      about: 'recipient',
      text: 'mail to MAILER-DAEMON',
      enhanced: '5.1.1',
      reply: 'MAILER-DAEMON only sends; write to postmaster',
    },
    limit: {
      about: 'recipient',
      text: 'too many recipients',
      code: 452,
      enhanced: '4.5.3',
      reply: 'Too many recipients: at most %{most} a message. Send to the others in another one',
      values: ['most'],
    },
    'bounce-limit': {
      about: 'recipient',
      text: 'a message from the null sender to several recipients',
      code: 452,
      enhanced: '4.5.3',
      reply: 'Too many recipients of a message from <>: at most %{most}',
      values: ['most'],
    },
    'no-forwards': {
      about: 'recipient',
      text: 'a forwarded message for somebody who takes none',
      reply: '%{recipient} takes no forwarded mail: write what you have to say yourself',
    },
  },
  setup: ({ options, services }) => {
    const { users, complete, unfiltered, no_forwards } = options;
    services.provide(exemptRole, (recipient) => unfiltered.has(recipient));
    services.provide(ourDomainRole, (domain) => complete.hasDomain(domain));
    const nextHop =
      options.verify === undefined
        ? undefined
        : new NextHop(options.verify, options.verify_concurrency, services);

    return class Recipients extends Milter {
      override async envrcpt(recipient: string): Promise<void> {
        this.#count(recipient);
        if (services.holders(ownRecipientRole).some((isOwn) => isOwn(this, recipient))) return;
        const meant = await meantBy(services.holders, recipient);
        if (meant === null) return;
        const { local, domain } = parseAddress(meant);
        // Where others' mail goes is not for us to judge.
        const isComplete = complete.hasDomain(domain);
        const staysHere =
          isComplete ||
          (clientFact.get(this).kind === 'external' && meant === recipient) ||
          services.role(whoRole)?.isOurs(meant) === true;
        if (!staysHere || unfiltered.has(meant)) return;
        if (local.toLowerCase() === 'mailer-daemon') {
          services.found(this, 'mailer-daemon', options.mailer_daemon, { recipient });
        } else if (isComplete && !users.has(meant)) {
          services.found(this, 'users', { word: 'reject' }, { recipient });
        } else if (nextHop !== undefined) await this.#verify(nextHop, recipient, meant);
      }

      override async eom(): Promise<void> {
        if (!no_forwards.empty) this.#findForwarded();
        for (const { from, to, send } of options.alias) {
          if (!from.has(this.message.sender)) continue;
          const isMeant = this.message.recipients.some(({ address }) => to.has(address));
          if (!isMeant || !(await isBelieved(this))) continue;
          services.change(this, (message, left) => {
            const replaced = left.filter((address) => to.has(address));
            for (const address of replaced) message.deleteRcpt(address);
            if (replaced.length > 0) for (const address of send) message.addRcpt(address);
          });
        }
      }

      #count(recipient: string): void {
        const { sender, recipients } = this.message;
        for (const [short, most] of [
          ['limit', options.limit],
          ['bounce-limit', sender === '<>' ? options.bounce_limit : 0],
        ] as const) {
          if (most === 0 || recipients.length < most) continue;
          services.found(this, short, { word: 'tempfail' }, { recipient, values: { most: String(most) } });
        }
      }

      async #verify(server: NextHop, recipient: string, meant: string): Promise<void> {
        try {
          const { code, enhanced, text } = await server.ask(meant);
          if (code < 400) return;
          services.found(
            this,
            'verify',
            { word: code < 500 ? 'tempfail' : 'reject' },
            {
              recipient,
              values: { answer: text },
              // 421 and 521 say that the connection ends, which this one does not.
              reply: { code: code % 100 === 21 ? code + 29 : code, enhanced },
              note: `${code} ${enhanced ?? ''} ${text}`,
            },
          );
        } catch (error) {
          if (!(error instanceof SmtpTrouble || error instanceof BackendError)) throw error;
          services.log.warn({ error: error.message }, 'the next mail server could not be asked');
          services.found(
            this,
            'verify',
            { word: 'tempfail' },
            {
              recipient,
              values: { answer: 'We cannot find out now whether that recipient exists; try again later' },
              reply: { code: 451, enhanced: '4.4.1' },
              note: error.message,
            },
          );
        }
      }

      #findForwarded(): void {
        const subject = decodeWords(this.message.headers.get('Subject')?.value ?? '');
        if (!/^\s*(?:re:\s*)*\[?fwd?:/i.test(subject)) return;
        for (const { address: recipient } of this.message.recipients) {
          if (no_forwards.has(recipient)) {
            services.found(this, 'no-forwards', { word: 'reject' }, { recipient });
          }
        }
      }
    };
  },
});

/** Senders whose envelope address nobody has made up. */
async function isBelieved(milter: Milter): Promise<boolean> {
  return clientFact.get(milter).kind !== 'external' || (await spfFact.get(milter))?.result === 'pass';
}
