/** Whom nobody knows is asked to come again: mail servers do, most senders of spam do not. */
import { Milter } from '../../../index.ts';
import {
  clientFact,
  defineModule,
  kinds,
  knownRole,
  networkOf,
  pairKey,
  parseIp,
  type SoFar,
  spfFact,
  z,
} from '../../kit.ts';
import { spares } from './spare.ts';
import { attempt, keepFor, read, type Times, waitOf, write } from './states.ts';

/** How often a triple is noted anew when others change it at the same moment. */
const MAX_TRIES = 10;

export default defineModule({
  name: 'greylist',
  about: 'Lets those wait whom nobody knows',
  when: ['external'],
  stage: 'envelope',
  onError: 'continue',
  judges: 'delay',
  options: z
    .strictObject({
      delay: kinds.duration('5m').describe('How long a new sender waits'),
      expire: kinds.duration('4h').describe('Who comes later than this waits anew'),
      retain: kinds.duration('36d').describe('For how long who was let through is remembered'),
      v4_prefix: z.int().min(8).max(32).default(24).describe('Bits by which IPv4 clients are the same'),
      v6_prefix: z.int().min(16).max(128).default(64).describe('Bits by which IPv6 clients are the same'),
      spare: spares,
      after: z
        .int()
        .min(0)
        .max(1_000_000)
        .default(5)
        .describe('Deliveries after which a network need not wait any more; 0: never'),
    })
    .refine(({ delay, expire }) => expire > delay + 60_000, {
      path: ['expire'],
      error: 'must be at least a minute more than delay: nobody could come in time',
    }),
  findings: {
    delay: {
      about: 'sender',
      text: 'nobody here knows the sender yet, who has to come again',
      code: 451,
      enhanced: '4.7.1',
      reply: 'We have not met: please try again in %{wait}, as mail servers do by themselves',
      values: ['wait'],
    },
  },
  setup: ({ options, services }) => {
    const { store } = services;
    const { spare, after } = options;
    const times: Times = options;

    return class Greylist extends Milter {
      /** The network has been counted for this message. */
      #counted = false;

      override envfrom(): void {
        this.#counted = false;
      }

      override async envrcpt(recipient: string): Promise<void> {
        // Some servers check an address with the null sender before they send: that is no mail yet.
        if (this.message.sender !== '<>') {
          await this.#look(recipient, await services.soFar(this, recipient));
        }
      }

      override async eom(): Promise<void> {
        if (this.message.sender !== '<>') return;
        const soFar = services.soFar(this);
        await Promise.all(this.message.recipients.map(({ address }) => this.#look(address, soFar)));
      }

      async #look(recipient: string, soFar: SoFar): Promise<void> {
        const { relayed, judged } = clientFact.get(this);
        const address = parseIp(judged?.address ?? '');
        // A relay of ours would have to come again in place of the client.
        if (relayed || address === undefined) return;
        if (!soFar.passes || soFar.exempt || (await this.#isSpared(recipient, soFar))) return;
        const check = await spfFact.get(this);
        const origin =
          check?.result === 'pass' ? check.domain : networkOf(address, options.v4_prefix, options.v6_prefix);
        const networkKey = `network/${origin}`;
        const tripleKey = `triple/${origin}/${pairKey(this.message.sender, recipient)}`;
        const [deliveries, seen] = await store.batch([
          { call: 'get', key: networkKey },
          { call: 'get', key: tripleKey },
        ]);
        const isTrusted = after > 0 && Number(deliveries ?? 0) >= after;
        if (!isTrusted) {
          const wait = await this.#wait(tripleKey, seen);
          if (wait > 0) {
            services.found(this, 'delay', { word: 'tempfail' }, { recipient, values: { wait: shown(wait) } });
            return;
          }
        }
        this.#count(networkKey, isTrusted);
      }

      async #isSpared(recipient: string, { points }: SoFar): Promise<boolean> {
        for (const one of spare) {
          if (one.word === 'score' && points <= one.most) return true;
          if (one.word === 'spf-pass' && (await spfFact.get(this))?.result === 'pass') return true;
          if (one.word === 'known' && (await services.role(knownRole)?.(this, recipient))) return true;
        }
        return false;
      }

      /** Milliseconds that the triple has to wait. Exact, however many machines ask at once. */
      async #wait(key: string, found: string | undefined): Promise<number> {
        let stored = found;
        for (let i = 0; i < MAX_TRIES; i++) {
          const now = services.now();
          const next = attempt(read(stored), now, times);
          const ttl = keepFor(next, now, times);
          if (await store.compareAndSet(key, stored, write(next), { ttl })) {
            return next.count > 0 ? 0 : waitOf(next, now, times);
          }
          stored = await store.get(key);
          // Another attempt has just been noted. Who has to wait after that need not be noted in turn; who is let through
          // is, for the count, but does not wait for its sake.
          const noted = read(stored);
          if (noted === undefined) continue;
          if (noted.count > 0 && i === MAX_TRIES - 1) return 0;
          const wait = waitOf(noted, now, times);
          if (noted.count === 0 && wait > 0) return wait;
        }
        throw new Error('too many others change the same triple');
      }

      /** A network counts by its messages that are delivered in the end. */
      #count(key: string, isTrusted: boolean): void {
        if (this.#counted || after === 0) return;
        this.#counted = true;
        services.whenSettled(this, async (fate) => {
          if (fate !== 'accepted') return;
          const keep = { ttl: options.retain };
          // What is trusted stays so for as long as it sends.
          if (isTrusted) await store.set(key, String(after), keep);
          else await store.increment(key, 1, keep);
        });
      }
    };
  },
});

function shown(milliseconds: number): string {
  const seconds = Math.ceil(milliseconds / 1000);
  if (seconds < 120) return `${seconds} seconds`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 120 ? `${minutes} minutes` : `${Math.ceil(minutes / 60)} hours`;
}
