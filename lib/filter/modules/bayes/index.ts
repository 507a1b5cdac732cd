/** The built-in statistical filter: what it has learned says what new mail is likely to be. */
import type { Classification } from '../../../bayes/index.ts';
import { Milter, parseAddress } from '../../../index.ts';
import {
  clientFact,
  defineModule,
  directionFact,
  type Fate,
  isAutomatic,
  knownRole,
  learnersRole,
  messageSize,
  ownHeaderRole,
  ownRecipientRole,
  type Ruled,
} from '../../kit.ts';
import { Dictionaries } from './dictionaries.ts';
import { attachedMessages } from './lesson.ts';
import { options } from './options.ts';
import { headerValue, note } from './report.ts';

const HEADER = 'X-Bayes';
/** Different dictionaries that one message is judged with; the other recipients have the shared one's verdict. */
const MAX_DICTIONARIES = 20;
/** Points of other modules from which `auto` takes a message for spam. */
const SURE_OF_SPAM = 10;
/** Messages of one user that `auto` learns as ham in a day: a stolen account must not teach what it likes. */
const AUTO_PER_DAY = 30;
const DAY = 86_400_000;

type Kind = 'spam' | 'ham';

export default defineModule({
  name: 'bayes',
  about: 'What the filter has learned says of it',
  onError: 'continue',
  options,
  findings: {
    spam: {
      about: 'sender',
      text: 'looks like what was learned as spam',
      reply: 'Your message looks like spam',
    },
    unsure: {
      about: 'sender',
      text: 'may be spam or not',
      reply: 'Your message may be spam',
    },
    triage: {
      about: 'sender',
      text: 'its headers look like those of spam',
      reply: 'Your message looks spammy',
    },
    trapped: { about: 'recipient', text: 'the recipient is a trap for spam', reply: 'No such user here' },
    trap: {
      about: 'sender',
      text: 'it was sent to a trap for spam, too',
      reply: 'Your message looks like spam',
    },
    lesson: { about: 'recipient', text: 'a message forwarded to be learned' },
    outsider: {
      about: 'recipient',
      text: 'somebody from outside wants to teach the filter',
      reply: '%{recipient} takes mail of our own users alone',
    },
    'no-lesson': {
      about: 'message',
      text: 'nothing to learn is attached',
      code: 554,
      enhanced: '5.6.0',
      reply: 'Nothing was learned: forward the message as an attachment, to one of the two addresses',
    },
    'lesson-too-big': {
      about: 'message',
      text: 'larger than max_body: nothing was learned',
      code: 552,
      enhanced: '5.3.4',
      reply: 'Nothing was learned: it is too large, forward fewer messages at once',
    },
    'not-learned': {
      about: 'message',
      text: 'what is to be learned could not be',
      reply: 'It could not be learned now, please try again later',
    },
    'too-big': { about: 'sender', text: 'larger than max_size: not judged' },
  },
  check: ({ spam_from, ham_to, learn }) => [
    ...(spam_from <= ham_to
      ? [`spam_from (${spam_from}) is not more than ham_to (${ham_to}): nothing is ever unsure`]
      : []),
    ...(learn.length === 0
      ? ['learn is empty: people can teach it in the quarantine alone, where what it missed never comes']
      : []),
  ],
  setup: async ({ options: settings, services }) => {
    const dictionaries = await Dictionaries.open(settings, services);
    const { bayes } = dictionaries;
    const mayLearn = !services.observed && services.serving;
    const lessonFor = (recipient: string): Kind | undefined => {
      for (const { spam, ham } of settings.learn) {
        if (spam.has(recipient)) return 'spam';
        if (ham.has(recipient)) return 'ham';
      }
      return undefined;
    };

    if (!services.observed) {
      services.provide(ownHeaderRole, HEADER);
      services.provide(ownRecipientRole, (milter, recipient) => {
        const isTrap = settings.traps.has(recipient) && clientFact.get(milter).kind === 'external';
        return isTrap || lessonFor(recipient) !== undefined;
      });
      services.provide(learnersRole, {
        name: services.name,
        learn: async (message, as, owner) => {
          await dictionaries.learn(message, as, owner);
        },
      });
    }

    class Bayes extends Milter {
      #trapped = false;

      override envfrom(): void {
        this.#trapped = false;
      }

      override envrcpt(recipient: string): void {
        const isOurs = clientFact.get(this).kind !== 'external';
        if (lessonFor(recipient) !== undefined) {
          const [short, word] = isOurs ? (['lesson', 'discard'] as const) : (['outsider', 'reject'] as const);
          services.found(this, short, { word }, { recipient });
        } else if (!isOurs && settings.traps.has(recipient)) {
          this.#trapped = true;
          services.found(this, 'trapped', { word: 'discard' }, { recipient });
        }
      }

      override async eom(): Promise<void> {
        const recipients = this.message.recipients.map(({ address }) => address);
        // Outsiders get there where the recipient is exempt, or an entry of access lets them: it is mail like other mail.
        const isOurs = clientFact.get(this).kind !== 'external';
        const lessons = isOurs ? recipients.filter((recipient) => lessonFor(recipient) !== undefined) : [];
        if (lessons.length > 0) {
          await this.#teach(lessons, lessons.length === recipients.length);
          return;
        }
        const canLearn = mayLearn && this.message.bodyComplete;
        if (this.#trapped) {
          services.found(this, 'trap', settings.trap);
          if (canLearn) await this.#learnLater(recipients, () => 'spam');
        }
        const isIncoming = directionFact.get(this) === 'incoming';
        if (settings.auto && canLearn && !this.#trapped) await this.#learnFromOthers(recipients, isIncoming);
        if (isIncoming) await this.#judge(recipients.filter((one) => !settings.exempt.has(one)));
      }

      async #judge(recipients: readonly string[]): Promise<void> {
        const { message } = this;
        if (recipients.length === 0) return;
        if (!message.bodyComplete || (messageSize(message) ?? 0) > settings.max_size) {
          services.found(this, 'too-big', { word: 'continue' });
          return;
        }
        const bytes = await this.#bytes();
        const groups = this.#byDictionary(recipients);
        let worst: Classification | undefined;
        for (const { how, members } of groups) {
          const found = await bayes.classify(bytes, { ...how, envelope: this.#envelope() });
          if (!found.trained) continue;
          if (worst === undefined || found.score > worst.score) worst = found;
          if (groups.length === 1) this.#report(found);
          else for (const recipient of members) this.#report(found, recipient);
        }
        if (worst === undefined) return;
        const value = headerValue(this.#verdictOf(worst) ?? 'ham', worst);
        services.change(this, (changed) => changed.addHeader(HEADER, value));
      }

      /** Who shares a dictionary is judged once. */
      #byDictionary(recipients: readonly string[]) {
        const groups = new Map<string, { readonly how: object; readonly members: string[] }>();
        for (const recipient of recipients) {
          const { key, ...how } = dictionaries.optionsFor(recipient);
          const group = groups.get(key);
          if (group !== undefined) group.members.push(recipient);
          else if (groups.size < MAX_DICTIONARIES) groups.set(key, { how, members: [recipient] });
          else {
            const shared = groups.get('') ?? { how: {}, members: [] };
            shared.members.push(recipient);
            groups.set('', shared);
          }
        }
        return [...groups.values()];
      }

      #verdictOf({ score }: Classification): 'spam' | 'unsure' | 'triage' | undefined {
        if (settings.headers_only) return score >= settings.triage_from ? 'triage' : undefined;
        if (score >= settings.spam_from) return 'spam';
        return score > settings.ham_to ? 'unsure' : undefined;
      }

      #report(found: Classification, recipient?: string): void {
        const short = this.#verdictOf(found);
        if (short === undefined) return;
        const action = short === 'triage' ? { word: 'reject' } : settings[short];
        services.found(this, short, action, {
          note: note(found),
          ...(recipient === undefined ? {} : { recipient }),
        });
      }

      /** What our users forwarded is learned before they are told that it was taken. */
      async #teach(lessons: readonly string[], isAll: boolean): Promise<void> {
        const kinds = new Set(lessons.map(lessonFor));
        const [kind] = kinds;
        if (!this.message.bodyComplete) {
          services.found(this, 'lesson-too-big', { word: isAll ? 'reject' : 'continue' });
          return;
        }
        const attached = attachedMessages(await this.message.mime());
        if (kind === undefined || kinds.size > 1 || attached.length === 0) {
          if (isAll) services.found(this, 'no-lesson', { word: 'reject' });
          else services.log.warn({ session: this.session.id }, 'a lesson has nothing attached');
          return;
        }
        if (!mayLearn) return;
        try {
          // Whoever learns from the quarantine's buttons learns from this too.
          const { sender } = this.message;
          for (const message of attached) await this.#tellAll(message, kind, parseAddress(sender).address);
          services.log.info(
            { session: this.session.id, sender, as: kind, messages: attached.length },
            'forwarded messages were learned',
          );
        } catch (error) {
          services.log.error({ error }, 'forwarded messages could not be learned');
          services.found(this, 'not-learned', { word: 'tempfail' });
        }
      }

      async #tellAll(message: Buffer, kind: Kind, owner: string): Promise<void> {
        for (const learner of services.holders(learnersRole)) await learner.learn(message, kind, owner);
      }

      /** What other modules are sure of. Its own findings and those of one recipient alone say nothing. */
      async #learnFromOthers(recipients: readonly string[], isIncoming: boolean): Promise<void> {
        const { sender } = this.message;
        const known = services.role(knownRole);
        const first = recipients[0] ?? '';
        // Asked now: later the message is gone.
        const isKnown = isIncoming && known !== undefined ? known(this, first) : Promise.resolve(!isIncoming);
        isKnown.catch(() => {});
        const isOrdinary = sender !== '<>' && !isAutomatic(this.message);
        await this.#learnLater(isIncoming ? recipients : [sender], async (fate, ruled) => {
          const others = ruled.filter(({ finding }) => finding.module !== services.name);
          const points = others.reduce(
            (sum, { action }) => sum + (action.word === 'score' && 'points' in action ? action.points : 0),
            0,
          );
          if (isIncoming && fate !== 'accepted' && points >= SURE_OF_SPAM) return 'spam';
          if (fate !== 'accepted' || !isOrdinary || points > 0 || !(await isKnown)) return undefined;
          return (await this.#isWithinDay(sender)) ? 'ham' : undefined;
        });
      }

      async #isWithinDay(sender: string): Promise<boolean> {
        const key = `auto/${parseAddress(sender).address.toLowerCase().slice(0, 320)}`;
        return (await services.store.admit([{ key, add: 1, most: AUTO_PER_DAY, per: DAY }])).admitted;
      }

      /** Learns it when its fate is known, in the dictionaries of these. By then the message itself is gone. */
      async #learnLater(
        whose: readonly string[],
        kindOf: (fate: Fate, ruled: readonly Ruled[]) => Kind | undefined | Promise<Kind | undefined>,
      ): Promise<void> {
        const bytes = await this.#bytes();
        services.whenSettled(this, async (fate, ruled) => {
          const kind = await kindOf(fate, ruled);
          if (kind === undefined) return;
          const owners = new Map(whose.map((one) => [dictionaries.optionsFor(one).key, one]));
          for (const owner of [...owners.values()].slice(0, MAX_DICTIONARIES)) {
            await dictionaries.learn(bytes, kind, owner);
          }
        });
      }

      async #bytes(): Promise<Buffer> {
        return Buffer.concat((await this.message.mime()).pieces());
      }

      #envelope() {
        const { client, helo } = this.session;
        return {
          sender: parseAddress(this.message.sender).address,
          ...(client.address === undefined ? {} : { address: client.address }),
          ...(client.hostname === undefined ? {} : { client: client.hostname }),
          ...(helo === undefined ? {} : { helo }),
        };
      }
    }

    return { Milter: Bayes, dispose: () => dictionaries.close() };
  },
});
