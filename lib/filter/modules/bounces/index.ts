/** Bounces to mail that was never sent: known by the signature that they lack. */
import { Milter, parseAddress } from '../../../index.ts';
import { SrsError } from '../../../srs/index.ts';
import {
  clientFact,
  defineModule,
  directionFact,
  isAnswerOrDelay,
  kinds,
  meantRole,
  type SecretList,
  signingRole,
  whoRole,
  z,
} from '../../kit.ts';
import { BOUNCES, type Counted, isUsedUp } from './ses-uses.ts';
import { type Tagged, Tags } from './tags.ts';

const DAY = 86_400_000;

export default defineModule({
  name: BOUNCES,
  about: 'Whether bounces are of mail that was sent from here',
  once: true,
  options: z.strictObject({
    sign: z
      .enum(['off', 'srs', 'ses', 'batv'])
      .default('off')
      .describe('How our own senders are signed, with the secrets of module srs'),
    domains: kinds.addresses().describe('Senders that are signed'),
    unsigned: kinds.action('score 3').describe('A bounce to one of them that carries no signature'),
  }),
  needs: [
    {
      module: 'srs',
      why: 'whose secrets sign',
      when: ({ sign }) => sign !== 'off',
      lacks: ({ secrets }) =>
        (secrets as SecretList).all.length > 0
          ? undefined
          : 'signs with the secrets of module "srs", which has none: give it secrets = "file:srs-secrets"',
    },
  ],
  findings: {
    unsigned: {
      about: 'recipient',
      text: 'a bounce of mail that was not sent from here',
      enhanced: '5.7.1',
      reply:
        'The message that you return was not sent by us: its sender was forged. Our mail has a signed return address',
    },
    forged: {
      about: 'recipient',
      text: 'a return address with a false signature',
      enhanced: '5.1.1',
      reply: 'No mail was sent from this address: %{why}',
      values: ['why'],
    },
    expired: {
      about: 'recipient',
      text: 'a signed return address that is no longer good',
      enhanced: '5.1.1',
      reply: 'This return address is good no longer: %{why}',
      values: ['why'],
    },
    replayed: {
      about: 'recipient',
      text: 'a signed return address that was used too often',
      enhanced: '5.1.1',
      reply: 'This return address has brought all the bounces that its message can have',
    },
  },
  check: ({ sign, domains }) => [
    ...(sign !== 'off' && domains.empty ? [`sign = "${sign}" signs nobody while domains is empty`] : []),
    ...(sign === 'off' && !domains.empty
      ? ['with sign = "off" nobody is signed, and no bounce is looked at']
      : []),
  ],
  setup: ({ options, services }) => {
    const { sign, domains } = options;
    const tags = new Tags(() => services.role(signingRole), services.now);

    /** The signature of one of our addresses. */
    function read(recipient: string): Tagged | undefined {
      const tagged = tags.read(recipient);
      const isOurs = tagged !== undefined && domains.has(tagged.address === '' ? recipient : tagged.address);
      return isOurs ? tagged : undefined;
    }

    if (!services.observed) {
      services.provide(meantRole, (recipient) => {
        const tagged = read(recipient);
        return tagged === undefined || tagged.fault === undefined ? tagged?.address : null;
      });
    }

    return class Bounces extends Milter {
      override async envrcpt(recipient: string): Promise<void> {
        const tagged = read(recipient);
        if (tagged === undefined) return;
        const { fault, counted } = tagged;
        if (fault !== undefined) {
          const short = fault.fault === 'expired' ? 'expired' : 'forged';
          services.found(this, short, { word: 'reject' }, { recipient, values: { why: fault.message } });
        } else if (counted !== undefined) await this.#count(recipient, counted);
      }

      override async eom(): Promise<void> {
        const isReturned = this.#takeHome();
        if (sign === 'off') return;
        const isBounce = this.message.sender === '<>';
        const isOutside = clientFact.get(this).kind === 'external';
        if (!isBounce && !isOutside) this.#sign(sign);
        if (isBounce && isOutside && !isReturned) await this.#findUnsigned();
      }

      /** A signature that was guessed or found is of no use for long. */
      async #count(recipient: string, counted: Counted): Promise<void> {
        if (await isUsedUp(services.store, counted)) {
          services.found(this, 'replayed', { word: 'reject' }, { recipient });
          return;
        }
        const ttl = ((services.role(signingRole)?.maxAge ?? 0) + 1) * DAY;
        services.whenSettled(
          this,
          async (fate) => {
            if (fate === 'accepted') await services.store.increment(counted.key, 1, { ttl });
          },
          recipient,
        );
      }

      /**
       * Has those get it whose return address this is; whether there are any. Some programs answer to it with a sender of
       * their own: that comes home too.
       */
      #takeHome(): boolean {
        const bare = this.message.recipients.flatMap(({ address }) => {
          const tagged = read(address);
          return tagged !== undefined && tagged.fault === undefined
            ? [[address, tagged.address] as const]
            : [];
        });
        if (bare.length === 0) return false;
        services.change(this, (message, left) => {
          for (const [address, original] of bare) {
            if (!left.includes(address)) continue;
            message.deleteRcpt(address);
            message.addRcpt(`<${original}>`);
          }
        });
        return true;
      }

      async #findUnsigned(): Promise<void> {
        const { recipients } = this.message;
        const subject = recipients
          .map(({ address }) => address)
          .find((address) => domains.has(address) && read(address) === undefined);
        if (subject === undefined || (await isAnswerOrDelay(this.message))) return;
        services.found(this, 'unsigned', options.unsigned, { subject });
      }

      #sign(way: Exclude<typeof sign, 'off'>): void {
        const { sender, recipients } = this.message;
        const isSigned = tags.read(sender) !== undefined || parseAddress(sender).domain === '';
        if (directionFact.get(this) !== 'outgoing' || !domains.has(sender) || isSigned) return;
        services.change(this, (message, left) => {
          const leaves = left.some((address) => services.role(whoRole)?.isOurs(address) !== true);
          if (!leaves) return;
          try {
            message.changeFrom(`<${tags.sign(sender, way, recipients.length)}>`);
          } catch (error) {
            if (!(error instanceof SrsError)) throw error;
            services.log.warn({ sender }, `a sender cannot be signed, and stays: ${error.message}`);
          }
        });
      }
    };
  },
});
