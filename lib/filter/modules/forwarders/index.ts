/**
 * The backdoor for forwarders that do not rewrite senders (RRS): an address that a user gives to one forwarder alone. Mail to it is
 * judged by whether it comes from that forwarder, in place of whether the sender's domain sends it.
 */
import { isFailure } from '../../../dns/index.ts';
import { Milter } from '../../../index.ts';
import { checkHost } from '../../../spf/index.ts';
import {
  aliasRole,
  authFact,
  authRole,
  clientFact,
  defineModule,
  forwardedFact,
  isAligned,
  type JudgedClient,
  type Services,
  within,
} from '../../kit.ts';
import { type Alias, Aliases } from './aliases.ts';
import { aliasPartsOf, options } from './options.ts';
import { whyUnfit } from './unfit.ts';

/** Milliseconds for DNS: less than RCPT has, so that its silence is a `temperror` and no failure of the module. */
const TIME = 5_000;
/** Milliseconds for which it is known whether a domain's record is fit, and of how many domains. */
const FIT_KEPT = 3_600_000;
const MAX_FIT = 1_000;

/** What SPF says of a forwarder: it is his relay, it is not, or DNS does not answer. */
type Judged = 'pass' | 'temperror' | 'fail';

export default defineModule({
  name: 'forwarders',
  about: 'Addresses for forwarders that do not rewrite senders',
  once: true,
  options,
  findings: {
    forwarded: {
      about: 'client',
      text: 'it comes from the forwarder for whom the address is',
    },
    mismatch: {
      about: 'client',
      text: 'the address is for a forwarder, and it comes from elsewhere',
      enhanced: '5.7.1',
      reply:
        '%{recipient} takes only what %{forwarder} forwards, and %{client} is none of its servers. Write to the address that you know of old',
      values: ['forwarder'],
    },
    temperror: {
      about: 'client',
      text: 'DNS does not say whether it comes from the forwarder',
      code: 451,
      enhanced: '4.4.3',
      reply: 'DNS does not answer for the SPF record of %{forwarder}, so %{client} cannot be checked now',
      values: ['forwarder'],
    },
    unknown: {
      about: 'recipient',
      text: 'an address for a forwarder that was never given, or was taken back',
      enhanced: '5.1.1',
      reply: 'There is no %{recipient} here',
    },
  },
  check: async ({ domain, files }, resolver) => {
    if (domain === undefined)
      return files === undefined ? [] : ['files is of no use without domain, in which the addresses are'];
    const answers = await Promise.all(
      (['MX', 'A', 'AAAA'] as const).map((type) => resolver.resolve(domain, type)),
    );
    const isNowhere = answers.every((answer) => answer.status !== 'ok' && !isFailure(answer));
    return isNowhere ? [`no mail comes for ${domain}, which has neither MX nor address in DNS`] : [];
  },
  setup: ({ options, services }) => {
    const parts = aliasPartsOf(options, services);
    if (parts === undefined) return undefined;
    const aliases = new Aliases(parts);
    const fitness = new Fitness(services);
    if (!services.observed) {
      services.provide(aliasRole, (recipient) =>
        aliases.isHere(recipient)
          ? aliases.find(recipient).then((alias) => (alias === undefined ? null : alias.to))
          : undefined,
      );
    }

    return class Forwarders extends Milter {
      /** By recipients, in angle brackets. */
      readonly #found = new Map<string, Alias>();
      /** What is not settled before the end of the message: who the client is, or who signed. */
      #unsettled: {
        readonly recipient: string;
        readonly alias: Alias;
        readonly judged: Judged | undefined;
      }[] = [];

      override envfrom(): void {
        this.#found.clear();
        this.#unsettled = [];
      }

      override envrcpt(recipient: string): Promise<void> | undefined {
        return aliases.isHere(recipient) ? this.#meet(recipient) : undefined;
      }

      override eom(): Promise<void> | undefined {
        if (this.#found.size === 0) return undefined;
        this.#rewrite(new Map(this.#found));
        return this.#settle();
      }

      async #meet(recipient: string): Promise<void> {
        const { message } = this;
        const { kind, judged: client } = clientFact.get(this);
        const alias = await aliases.find(recipient);
        if (this.message !== message) return;
        if (alias === undefined) {
          services.found(this, 'unknown', { word: 'reject' }, { recipient });
          return;
        }
        this.#found.set(recipient, alias);
        services.whenSettled(
          this,
          async (fate) => {
            if (fate !== 'refused') await aliases.used(alias);
          },
          recipient,
        );
        // Our own users need no forwarder.
        if (kind !== 'external') return;
        if (client === undefined) {
          this.#unsettled.push({ recipient, alias, judged: undefined });
          return;
        }
        const judged = await this.#judge(alias, client);
        if (this.message !== message) return;
        if (judged !== 'pass' && services.role(authRole) !== undefined) {
          this.#unsettled.push({ recipient, alias, judged });
          this.#spare(recipient, () => isSignedBy(this, alias));
        } else this.#report(recipient, alias, judged);
      }

      async #settle(): Promise<void> {
        const { message } = this;
        const { judged: client } = clientFact.get(this);
        for (const { recipient, alias, judged: before } of this.#unsettled.splice(0)) {
          const judged = before ?? (client === undefined ? 'fail' : await this.#judge(alias, client));
          if (this.message !== message) return;
          if (judged !== 'pass') this.#spare(recipient, () => isSignedBy(this, alias));
          this.#report(recipient, alias, judged, () => isSignedBy(this, alias));
        }
      }

      #report(
        recipient: string,
        { forwarder }: Alias,
        judged: Judged,
        isSigned: () => boolean = () => false,
      ): void {
        const details = { recipient, values: { forwarder }, note: forwarder };
        switch (judged) {
          case 'pass':
            this.#spare(recipient, () => true);
            services.found(this, 'forwarded', { word: 'continue' }, details);
            break;
          case 'temperror':
            // Refused for good it would be lost, although it may be the forwarder's.
            this.#spare(recipient, () => true);
            services.found(this, 'temperror', { word: 'tempfail' }, { ...details, unless: isSigned });
            break;
          case 'fail':
            services.found(this, 'mismatch', options.mismatch, { ...details, unless: isSigned });
        }
      }

      /** What is found of the sender does not concern this recipient, if it is so when it is decided. */
      #spare(recipient: string, isForwarded: () => boolean): void {
        if (!services.observed) forwardedFact.get(this).set(recipient, isForwarded);
      }

      async #judge({ forwarder, made }: Alias, { address: ip, helo }: JudgedClient): Promise<Judged> {
        const { hostname: receiver, resolver } = services;
        const sender = `postmaster@${forwarder}`;
        return await within(services.timeFor(this, TIME), async (signal) => {
          const [{ result }, why] = await Promise.all([
            checkHost({ ip, helo, receiver, resolver, sender, signal }),
            // Of the others it was asked when they were made.
            made === undefined ? fitness.why(forwarder) : undefined,
          ]);
          if (result === 'temperror') return 'temperror';
          return result === 'pass' && why === undefined ? 'pass' : 'fail';
        });
      }

      #rewrite(found: ReadonlyMap<string, Alias>): void {
        services.change(this, (message, left) => {
          const there = new Set(left);
          for (const recipient of left) {
            const alias = found.get(recipient);
            if (alias === undefined) continue;
            message.deleteRcpt(recipient);
            const real = `<${alias.to}>`;
            if (!there.has(real)) message.addRcpt(real);
            there.add(real);
          }
        });
      }
    };
  },
});

/** A signature or the newest seal of the forwarder's domain, or of one above or below it, was verified. */
function isSignedBy(milter: Milter, { forwarder }: Alias): boolean {
  const auth = authFact.get(milter);
  const signers = [...(auth?.dkim ?? []), ...(auth?.sealer === undefined ? [] : [auth.sealer])];
  return signers.some((signer) => isAligned(signer, forwarder));
}

/** Whether domains are fit that a user wrote into a file, where nobody asked. */
class Fitness {
  readonly #services: Pick<Services, 'resolver' | 'now' | 'log'>;
  readonly #known = new Map<string, { readonly until: number; readonly why: Promise<string | undefined> }>();

  constructor(services: Pick<Services, 'resolver' | 'now' | 'log'>) {
    this.#services = services;
  }

  why(forwarder: string): Promise<string | undefined> {
    const { resolver, now, log } = this.#services;
    const known = this.#known.get(forwarder);
    if (known !== undefined && known.until > now()) return known.why;
    this.#known.delete(forwarder);
    if (this.#known.size >= MAX_FIT) this.#known.clear();
    const why = whyUnfit(forwarder, resolver);
    this.#known.set(forwarder, { until: now() + FIT_KEPT, why });
    why.then(
      (fault) => fault === undefined || log.warn({ forwarder }, `the forwarder is not believed: it ${fault}`),
      () => this.#known.delete(forwarder),
    );
    return why;
  }
}
