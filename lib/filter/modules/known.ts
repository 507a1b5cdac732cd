/** Who wrote to whom before: those to whom our users wrote are known to them. */
import { Milter, slot } from '../../index.ts';
import {
  acquaintRole,
  clientFact,
  defineModule,
  isAutomatic,
  isSenderSigned,
  kinds,
  knownRole,
  pairKey,
  spfFact,
  spfKnownFact,
  whoRole,
  z,
} from '../kit.ts';

/** More recipients are a list of addresses, not people one knows. */
const MAX_LEARNED = 100;

/** Which recipients of this message wrote to its sender before. */
const rememberedFact = slot<Map<string, Promise<boolean>>>('filter.known', 'message', () => new Map());

export default defineModule({
  name: 'known',
  about: 'Who wrote to whom before',
  once: true,
  stage: 'envelope',
  onError: 'continue',
  options: z.strictObject({
    remember: kinds.duration('60d').describe('For how long after our user’s last message'),
    known: kinds.action('score -3'),
  }),
  findings: {
    known: {
      about: 'sender',
      text: 'a recipient wrote to the sender before',
      reply: '%{sender} is known here',
    },
  },
  setup: ({ options, services }) => {
    const { store } = services;

    function isRemembered(milter: Milter, recipient: string): Promise<boolean> {
      const { sender } = milter.message;
      if (sender === '<>') return Promise.resolve(false);
      const asked = rememberedFact.get(milter);
      const remembered =
        asked.get(recipient) ?? store.get(pairKey(recipient, sender)).then((value) => value !== undefined);
      asked.set(recipient, remembered);
      return remembered;
    }

    async function remember(owner: string, others: readonly string[]): Promise<void> {
      await store.batch(
        others.map((other) => ({
          call: 'set',
          key: pairKey(owner, other),
          value: '1',
          keep: { ttl: options.remember },
        })),
      );
    }

    if (!services.observed) {
      services.provide(acquaintRole, async (owner, sender) => await remember(owner, [sender]));
      services.provide(knownRole, async (milter, recipient) => {
        // In this order: a slot is read while the message is surely still there.
        const spf = spfFact.get(milter);
        const remembered = isRemembered(milter, recipient);
        return (await remembered) && ((await spf)?.result === 'pass' || isSenderSigned(milter));
      });
    }

    return class Known extends Milter {
      #found = false;

      override envfrom(): void {
        this.#found = false;
      }

      override async envrcpt(recipient: string): Promise<void> {
        if (this.#found || clientFact.get(this).kind !== 'external') return;
        if (!(await isRemembered(this, recipient))) return;
        // Before the points are asked for at this recipient.
        await spfFact.get(this);
        const spf = spfKnownFact.get(this);
        this.#found = true;
        services.found(this, 'known', options.known, {
          note: recipient,
          unless: () => spf.check?.result !== 'pass' && !isSenderSigned(this),
        });
      }

      override eom(): void {
        if (clientFact.get(this).kind === 'external' || isAutomatic(this.message)) return;
        const { sender, recipients } = this.message;
        const others = recipients
          .map(({ address }) => address)
          .filter((address) => services.role(whoRole)?.isOurs(address) !== true);
        if (others.length === 0 || others.length > MAX_LEARNED) return;
        services.whenSettled(this, async (fate) => {
          if (fate !== 'accepted') return;
          await remember(sender, others);
        });
      }
    };
  },
});
