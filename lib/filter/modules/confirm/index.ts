/**
 * First contacts (TMDA): what comes from a stranger to somebody who asked for it is held, and the stranger is asked once whether he
 * has written it. Whose sender nobody vouches for is held and not asked: he may be forged.
 */
import { Milter, parseAddress } from '../../../index.ts';
import { decodeWords } from '../../../mime/index.ts';
import {
  aliasRole,
  confirmationRole,
  defineModule,
  isAutomatic,
  isSenderProved,
  kinds,
  knownRole,
  meantBy,
  whoRole,
  z,
} from '../../kit.ts';
import { Contacts, type Pending } from './contacts.ts';
import { isOfMachine, isRole } from './machines.ts';
import { readAddress } from './tokens.ts';

const DAY = 86_400_000;
/** Points from which on nobody is asked: what looks like spam is not to be answered. */
const SPAM = 5;
const MAX_SUBJECT = 200;
/** More recipients who want it are not written to in one question. */
const MAX_OWNERS = 20;

export default defineModule({
  name: 'confirm',
  about: 'First messages of strangers wait until they confirm',
  once: true,
  when: ['external'],
  judges: 'delay',
  options: z.strictObject({
    recipients: kinds.addresses().describe('Who wants it'),
    expire: kinds
      .duration('14d')
      .refine((milliseconds) => milliseconds >= DAY, { error: 'must be 1d at least' })
      .describe('For how long a sender can confirm; after that the owner can release it still'),
    unproved: kinds
      .action('quarantine')
      .describe('From a sender for whom neither SPF nor DKIM vouches, who is not asked'),
    automatic: kinds
      .action('continue')
      .describe('Mail of programs, lists and role accounts, which cannot confirm'),
  }),
  wants: [
    { module: 'known', why: 'so that those to whom our users wrote need not confirm' },
    { module: 'spf', why: 'which vouches for senders: others are not asked' },
  ],
  sends: ({ recipients }) => !recipients.empty,
  findings: {
    unknown: {
      about: 'sender',
      text: 'the sender’s first message, which waits until it is confirmed',
      reply: '%{recipient} takes no mail of people who have not met',
    },
    unproved: {
      about: 'sender',
      text: 'the first message of a sender for whom nobody vouches',
      reply: '%{recipient} takes the first message of a sender only if SPF or DKIM of %{domain} passes',
    },
    automatic: {
      about: 'sender',
      text: 'the first message of a sender that cannot confirm',
      reply: '%{recipient} takes no mail of programs and lists from which nothing was asked',
    },
    confirmed: { about: 'sender', text: 'the sender has confirmed', reply: 'Thank you' },
    used: { about: 'recipient', text: 'a confirmation of what was confirmed before' },
    forged: {
      about: 'recipient',
      text: 'a confirmation of what nobody was asked',
      enhanced: '5.1.1',
      reply: 'Nobody was asked to write to %{recipient}',
    },
    expired: {
      about: 'recipient',
      text: 'a confirmation that comes too late',
      enhanced: '5.7.1',
      reply: 'It is too late to confirm: please write your message again',
    },
    machine: {
      about: 'recipient',
      text: 'a confirmation that a program wrote',
      enhanced: '5.7.1',
      reply: 'What a program answers does not confirm anything',
    },
    foreign: {
      about: 'recipient',
      text: 'a confirmation from elsewhere, or from nobody knows where',
      enhanced: '5.7.1',
      reply:
        'Please confirm from the domain that you first wrote from, by a server of its own (SPF or DKIM must pass)',
    },
  },
  setup: ({ options, services, name }) => {
    const { recipients: wanting, expire } = options;
    const contacts = new Contacts(services, expire);
    const finding = `${name}-unknown`;
    if (!services.observed) {
      services.provide(aliasRole, (recipient) => {
        const read = readAddress(recipient);
        return read === undefined || !wanting.has(read.owner)
          ? undefined
          : contacts.tokens
              .read(read.token, read.owner)
              .then((token) => (token === undefined ? null : read.owner));
      });
      services.provide(confirmationRole, {
        find: (token) => contacts.find(token),
        confirm: async (token) => {
          const pending = await contacts.find(token);
          if (pending !== undefined) await contacts.confirm(pending.id, pending, finding, 'a link');
          return pending !== undefined;
        },
      });
      services.every(60_000, () => contacts.askAgain());
    }

    return class Confirm extends Milter {
      /** What recipients say that they confirm. */
      readonly #answers = new Map<string, string>();

      override envfrom(): void {
        this.#answers.clear();
      }

      override envrcpt(recipient: string): Promise<void> | undefined {
        const read = readAddress(recipient);
        return read !== undefined && wanting.has(read.owner)
          ? this.#readAnswer(recipient, read.token, read.owner)
          : undefined;
      }

      override async eom(): Promise<void> {
        for (const [recipient, id] of this.#answers) await this.#answer(recipient, id);
        if (!wanting.empty) await this.#meet();
      }

      async #readAnswer(recipient: string, text: string, owner: string): Promise<void> {
        const { message } = this;
        const token = await contacts.tokens.read(text, owner);
        if (this.message !== message) return;
        if (token === undefined) services.found(this, 'forged', { word: 'reject' }, { recipient });
        else if (token.isExpired) services.found(this, 'expired', { word: 'reject' }, { recipient });
        else this.#answers.set(recipient, token.id);
      }

      /** Takes the answer out of the mail: it was for us. */
      async #answer(recipient: string, id: string): Promise<void> {
        const { sender, recipients } = this.message;
        // What cannot be refused for this recipient alone is dropped for him.
        const refusal = { word: recipients.length === 1 ? 'reject' : 'discard' };
        const pending = await contacts.pending(id);
        if (pending === undefined) {
          services.found(this, 'used', { word: 'discard' }, { recipient });
        } else if (isAutomatic(this.message) || isOfMachine(this.message)) {
          services.found(this, 'machine', refusal, { recipient });
        } else if (
          parseAddress(sender).domain !== parseAddress(pending.sender).domain ||
          !(await isSenderProved(this))
        ) {
          services.found(this, 'foreign', refusal, { recipient });
        } else if (services.soFar(this).passes) {
          // Before it is answered: whoever confirms is told to come again if it cannot be remembered.
          if (!services.observed) await contacts.confirm(id, pending, finding, 'mail');
          services.found(this, 'confirmed', { word: 'discard' }, { recipient });
        }
      }

      async #meet(): Promise<void> {
        const { sender, recipients } = this.message;
        if (sender === '<>' || !services.soFar(this).passes) return;
        const strangers: { readonly recipient: string; readonly owner: string }[] = [];
        const isProved = await isSenderProved(this);
        // Whoever is of ours is no stranger.
        if (isProved && services.role(whoRole)?.isOurs(sender) === true) return;
        for (const { address: recipient } of recipients) {
          if (this.#answers.has(recipient)) continue;
          const owner = parseAddress((await meantBy(services.holders, recipient)) ?? recipient).address;
          if (!wanting.has(owner)) continue;
          const { exempt, passes } = await services.soFar(this, recipient);
          if (!exempt && passes && !(isProved && (await this.#isKnown(recipient, owner))))
            strangers.push({ recipient, owner });
        }
        if (strangers.length === 0) return;
        const isCapable = !isAutomatic(this.message) && !isOfMachine(this.message) && !isRole(sender);
        for (const { recipient } of strangers) {
          if (!isCapable) services.found(this, 'automatic', options.automatic, { recipient });
          else if (!isProved) services.found(this, 'unproved', options.unproved, { recipient });
          else services.found(this, 'unknown', { word: 'quarantine' }, { recipient });
        }
        const mayAsk = isCapable && isProved && services.serving && !services.observed;
        if (mayAsk && services.soFar(this).points < SPAM) this.#ask(strangers);
      }

      async #isKnown(recipient: string, owner: string): Promise<boolean> {
        const { sender } = this.message;
        if (await contacts.hasMet(owner, sender)) {
          services.whenSettled(
            this,
            async (fate) => {
              if (fate === 'accepted') await contacts.meet(owner, sender);
            },
            recipient,
          );
          return true;
        }
        return (await services.role(knownRole)?.(this, `<${owner}>`)) === true;
      }

      /** Asks once for all of them, when the message is held for them. */
      #ask(strangers: readonly { readonly recipient: string; readonly owner: string }[]): void {
        const { sender, headers } = this.message;
        const id = headers.get('Message-ID')?.value.trim() ?? '';
        const subject = decodeWords(headers.get('Subject')?.value.slice(0, 10 * MAX_SUBJECT) ?? '');
        const held: Omit<Pending, 'owners'> = {
          sender: parseAddress(sender).address,
          subject: subject.slice(0, MAX_SUBJECT).toWellFormed(),
          messageId: /^<[\x21-\x3b\x3d\x3f-\x7e]{3,200}>$/.test(id) ? id : undefined,
        };
        const owners: string[] = [];
        let left = strangers.length;
        for (const { recipient, owner } of strangers) {
          services.whenSettled(
            this,
            async (fate) => {
              if (fate === 'dropped' && owners.length < MAX_OWNERS) owners.push(owner);
              // All are told in one go; the last one knows of all.
              if (--left === 0 && owners.length > 0) await contacts.ask({ ...held, owners });
            },
            recipient,
          );
        }
      }
    };
  },
});
