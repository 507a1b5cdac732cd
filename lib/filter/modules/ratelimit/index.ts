/** How much mail somebody may send or get in a time. */
import { createHash } from 'node:crypto';
import { Milter } from '../../../index.ts';
import { type About, clientFact, defineModule, messageSize, type WindowLimit, z } from '../../kit.ts';
import { countedOf, countsAttempts, isFor, type Limit, limits } from './limits.ts';

/** Longer names of those who are counted are kept by their digest. */
const MAX_COUNTED = 200;

/** What is added to the windows of one limit, all or none. */
interface Addition {
  readonly limit: Limit;
  readonly counted: string;
  readonly windows: readonly (WindowLimit & { readonly what: What })[];
}

/** What would have been too much. */
interface Excess {
  readonly addition: Addition;
  readonly what: What;
  readonly most: number;
  /** Milliseconds until it fits. */
  readonly wait: number;
}

type What = 'messages' | 'recipients' | 'size';

export default defineModule({
  name: 'ratelimit',
  about: 'How much mail somebody may send or get in a time',
  stage: 'envelope',
  judges: 'count',
  unsparing: true,
  options: z.strictObject({ limits }),
  findings: {
    exceeded: {
      about: 'sender',
      text: 'too much mail in too short a time',
      code: 550,
      enhanced: '5.7.1',
      reply: 'Too much mail: %{counted} may have %{most} in %{per} (limit "%{limit}"); try again in %{wait}',
      values: ['counted', 'most', 'per', 'limit', 'wait'],
    },
  },
  setup: ({ options, services }) => {
    const { store } = services;
    const ofClients = options.limits.filter(countsAttempts);
    const ofAccepted = options.limits.filter((limit) => !countsAttempts(limit));

    /** Adds to each limit whose windows have room. Exact, however many machines count at once. */
    async function admit(additions: readonly Addition[]): Promise<{ added: Addition[]; over: Excess[] }> {
      const left = additions.filter(({ windows }) => windows.length > 0);
      const over: Excess[] = [];
      while (left.length > 0) {
        const owners = left.flatMap((addition) => addition.windows.map((window) => ({ addition, window })));
        const admission = await store.admit(owners.map(({ window }) => window));
        if (admission.admitted) break;
        const owner = owners[admission.index];
        if (owner === undefined) throw new Error('the store refuses what it was not asked');
        const { addition, window } = owner;
        over.push({ addition, what: window.what, most: window.most, wait: admission.wait });
        // Each limit stands for itself: the others count all the same.
        left.splice(left.indexOf(addition), 1);
      }
      return { added: left, over };
    }

    return class Ratelimit extends Milter {
      /** Under way since MAIL. */
      #attempt: Promise<readonly Excess[]> | undefined;
      /** Limits that have counted the message, with whichever recipient. */
      readonly #messages = new Set<Limit>();
      /** Limits of the client that have no room for the message: its recipients do not count. */
      readonly #exceeded = new Set<Limit>();

      override envfrom(): void {
        this.#messages.clear();
        this.#exceeded.clear();
        this.#attempt = undefined;
        // Who is behind a relay is known at the end.
        if (ofClients.length === 0 || clientFact.get(this).relayed) return;
        this.#attempt = this.#countAttempt();
        this.#attempt.catch(() => {});
      }

      override async envrcpt(recipient: string): Promise<void> {
        const attempt = this.#attempt;
        if (attempt !== undefined) {
          const over = await attempt;
          // Once: the next recipient is told by the same findings.
          this.#attempt = undefined;
          this.#report(over);
          for (const { addition } of over) this.#exceeded.add(addition.limit);
        }
        const ofThis = ofClients.filter((limit) => !this.#exceeded.has(limit));
        this.#report((await admit(this.#additions(ofThis, { recipients: 1 }))).over, recipient);
        if (ofAccepted.length === 0 || !(await services.soFar(this, recipient)).passes) return;
        await this.#count(recipient);
      }

      override async eom(): Promise<void> {
        if (clientFact.get(this).relayed) this.#report(await this.#countAttempt());
        if (!options.limits.some(({ size }) => size !== undefined)) return;
        const bytes = messageSize(this.message);
        if (bytes === undefined) {
          services.log.warn(
            { session: this.session.id },
            'a message that is too big is not counted by its size',
          );
          return;
        }
        this.#report((await admit(this.#additions(ofClients, { size: bytes }))).over);
        if (!services.soFar(this).passes) return;
        const { added, over } = await admit(this.#sizes(bytes));
        this.#report(over);
        this.#giveBackIfRefused(added);
      }

      async #countAttempt(): Promise<readonly Excess[]> {
        return (await admit(this.#additions(ofClients, { messages: 1 }))).over;
      }

      /** Counts a recipient, and with the first one the message. */
      async #count(recipient: string): Promise<void> {
        const additions = ofAccepted.flatMap((limit) => {
          const isFirst = limit.key === 'recipient' || !this.#messages.has(limit);
          return this.#additions([limit], { messages: isFirst ? 1 : 0, recipients: 1 }, recipient);
        });
        const { added, over } = await admit(additions);
        this.#report(over, recipient);
        const first = added.map(({ limit }) => limit).filter((limit) => !this.#messages.has(limit));
        for (const limit of first) this.#messages.add(limit);
        this.#giveBackIfRefused(added, recipient, () => {
          for (const limit of first) this.#messages.delete(limit);
        });
      }

      /** The message's size, for each of its recipients where they are counted. */
      #sizes(size: number): readonly Addition[] {
        const recipients = this.message.recipients.map(({ address }) => address);
        return ofAccepted.flatMap((limit) =>
          (limit.key === 'recipient' ? recipients : [undefined]).flatMap((recipient) =>
            this.#additions([limit], { size }, recipient),
          ),
        );
      }

      #additions(
        of: readonly Limit[],
        amounts: Partial<Record<What, number>>,
        recipient?: string,
      ): readonly Addition[] {
        return of.flatMap((limit) => {
          const counted = isFor(limit, this) ? countedOf(limit, this, recipient) : undefined;
          return counted === undefined
            ? []
            : [{ limit, counted, windows: windowsOf(limit, counted, amounts) }];
        });
      }

      #giveBackIfRefused(added: readonly Addition[], recipient?: string, done = (): void => {}): void {
        if (added.length === 0) return;
        services.whenSettled(
          this,
          async (fate) => {
            if (fate !== 'refused') return;
            done();
            await store.giveBack(added.flatMap(({ windows }) => windows));
          },
          recipient,
        );
      }

      #report(over: readonly Excess[], recipient?: string): void {
        for (const { addition, what, most, wait } of over) {
          const { limit, counted } = addition;
          services.found(this, 'exceeded', limit.exceeded, {
            about: aboutOf(limit),
            // What concerns the recipient alone must not keep the others out.
            ...(recipient === undefined ? {} : { recipient }),
            ...(limit.key === 'user' ? {} : { subject: counted }),
            note: `${limit.name}: ${counted}, ${most} ${what} per ${shown(limit.per)}`,
            values: {
              counted,
              most: what === 'size' ? `${most} bytes` : `${most} ${what}`,
              per: shown(limit.per),
              limit: limit.name,
              wait: shown(wait),
            },
          });
        }
      }
    };
  },
});

function windowsOf(
  limit: Limit,
  counted: string,
  amounts: Partial<Record<What, number>>,
): readonly (WindowLimit & { readonly what: What })[] {
  const { name, per } = limit;
  const whose =
    counted.length <= MAX_COUNTED ? counted : createHash('sha256').update(counted).digest('base64url');
  return (['messages', 'recipients', 'size'] as const).flatMap((what) => {
    const { [what]: most } = limit;
    const { [what]: add = 0 } = amounts;
    return most === undefined || add === 0 ? [] : [{ key: `${name}/${what}/${whose}`, add, most, per, what }];
  });
}

function aboutOf({ key }: Limit): About {
  if (key === 'recipient') return 'recipient';
  return key === 'client' || key === 'network' ? 'client' : 'sender';
}

function shown(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1_000);
  const [size, unit] =
    seconds % 86_400 === 0 || seconds > 172_800
      ? [86_400, 'd']
      : seconds % 3_600 === 0 || seconds > 7_200
        ? [3_600, 'h']
        : seconds % 60 === 0 || seconds > 120
          ? [60, 'min']
          : [1, 's'];
  return `${Math.ceil(seconds / Number(size))} ${unit}`;
}
