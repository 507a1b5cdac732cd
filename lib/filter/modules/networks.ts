/** Who is internal, what is ours, and whose word about others is taken. */
import { Milter, parseAddress } from '../../index.ts';
import type { CheckResult } from '../../spf/index.ts';
import {
  type Action,
  authFact,
  clientFact,
  defineModule,
  forwardedFact,
  isAligned,
  isPreamble,
  type JudgedClient,
  kinds,
  type NetworkList,
  namesOf,
  readMailboxes,
  readReceived,
  type SeenClient,
  seenClient,
  spfKnownFact,
  type Who,
  whoRole,
  z,
} from '../kit.ts';

/** How many Received lines are read for the client behind our relays. */
const MAX_RECEIVED = 20;

export default defineModule({
  name: 'networks',
  once: true,
  options: z.strictObject({
    internal: kinds.networks(['127.0.0.0/8', '::1']).describe('May send out'),
    originating: z
      .array(z.string())
      .default(['ORIGINATING', 'MSA'])
      .describe('The {daemon_name}s whose clients count as internal'),
    domains: kinds.addresses().describe('Ours'),
    relays: kinds
      .networks()
      .describe('Trusted: the client that they name in Received is judged in their place'),
    relayed: kinds.action('quarantine').describe('What reject and tempfail become for mail from a relay'),
    null_senders: kinds.networks().describe('Internal machines that may send <>; empty: all may'),
    private: kinds.addresses().describe('Recipients to whom only internal and authenticated users may write'),
    internal_as_other: kinds
      .action('reject')
      .describe('An internal machine, without login, with a sender that is not ours'),
    authenticated_as_other: kinds.action('reject').describe('The same for users who logged in'),
    external_as_ours: kinds.action('reject').describe('An outsider’s envelope sender is ours'),
    from_as_ours: kinds.action('tag').describe('The same for the From header'),
  }),
  wants: [
    {
      module: 'auth',
      why: 'by whose signatures from_as_ours knows mail of ours that comes back, from a list for example',
      when: ({ domains, from_as_ours: { word } }) =>
        !domains.empty && ['reject', 'tempfail', 'discard', 'hold', 'quarantine'].includes(word),
    },
  ],
  findings: {
    'internal-as-other': {
      about: 'sender',
      text: 'an internal machine sends with an address that is not ours',
      reply:
        'This machine may not send as %{sender}: the address is not ours. Log in, or use an address of ours',
    },
    'authenticated-as-other': {
      about: 'sender',
      text: 'a user sends with an address that is not ours',
      reply: 'You may not send as %{sender}: the address is not ours',
    },
    'external-as-ours': {
      about: 'sender',
      text: "an outsider's envelope sender is ours",
      reply: '%{sender} is an address of ours, and you are not one of our mail servers. Log in to send',
    },
    'from-as-ours': { about: 'from', text: "an outsider's From address is ours" },
    'null-senders': {
      about: 'client',
      text: 'an internal machine that may not send bounces sends one',
      reply: 'This machine may not send with the null sender',
    },
    private: {
      about: 'recipient',
      text: 'an outsider writes to a private address',
      code: 550,
      enhanced: '5.7.1',
      reply: '%{recipient} takes mail from our own users only',
    },
  },
  check: ({ internal }) => {
    // Documentation networks, which nobody has (RFC 5737).
    const strangers = ['192.0.2.1', '198.51.100.1', '203.0.113.1'];
    const isAll = strangers.every((address) => internal.has({ address, names: async () => [] }) === true);
    return isAll ? ['internal has the whole internet: everybody may send out through this machine'] : [];
  },
  setup: ({ options, services }) => {
    const { domains, internal, relays, null_senders } = options;
    const isOurs = (address: string): boolean =>
      address.includes('@') ? domains.has(address) : domains.hasDomain(address);
    const has = (list: NetworkList, milter: Milter, client: JudgedClient | SeenClient) =>
      list.has({ ...client, names: async () => (await namesOf(milter, client, services.resolver)).names });
    const who: Who = {
      isOurs,
      hasDomains: !domains.empty,
      relayed: options.relayed,
      isInternal: (milter, client) =>
        isLocal(client, milter) ||
        (client.daemon !== undefined && options.originating.includes(client.daemon)) ||
        has(internal, milter, client),
      isRelay: (milter, client) => has(relays, milter, client),
      behindRelay: async (milter) => {
        const lines = milter.message.headers.getAll('Received').slice(0, MAX_RECEIVED);
        for (const { value } of lines) {
          if (isPreamble(value)) continue;
          const named = readReceived(value);
          const isInside =
            named !== undefined &&
            ((await has(internal, milter, named)) || (await has(relays, milter, named)));
          if (!isInside) return named;
        }
        return undefined;
      },
    };
    services.provide(whoRole, who);

    return class Networks extends Milter {
      override envfrom(sender: string): Promise<void> | undefined {
        const { kind, relayed } = clientFact.get(this);
        if (kind === 'external') {
          if (!relayed) this.#checkOutsider();
        } else if (sender !== '<>') {
          // A sender without a domain is a user of this machine.
          if (domains.empty || isOurs(sender) || parseAddress(sender).domain === '') return undefined;
          if (kind === 'internal') services.found(this, 'internal-as-other', options.internal_as_other);
          else services.found(this, 'authenticated-as-other', options.authenticated_as_other);
        } else if (kind === 'internal' && !null_senders.empty) return this.#checkNullSender();
        return undefined;
      }

      async #checkNullSender(): Promise<void> {
        if (!(await has(null_senders, this, seenClient(this))))
          services.found(this, 'null-senders', { word: 'reject' });
      }

      override envrcpt(recipient: string): void {
        if (clientFact.get(this).kind !== 'external' || !options.private.has(recipient)) return;
        services.found(this, 'private', { word: 'reject' }, { recipient });
      }

      override eom(): void {
        const { kind, relayed } = clientFact.get(this);
        if (kind !== 'external') return;
        if (relayed) this.#checkOutsider();
        this.#checkFrom();
      }

      #checkOutsider(): void {
        if (!isOurs(this.message.sender)) return;
        this.#forged(
          'external-as-ours',
          options.external_as_ours,
          this.message.sender,
          ({ result }) => result === 'pass',
        );
      }

      #checkFrom(): void {
        const from = this.message.headers
          .getAll('From')
          .flatMap(({ value }) => readMailboxes(value))
          .find(({ address }) => isOurs(address))?.address;
        if (from === undefined) return;
        const { domain } = parseAddress(from);
        this.#forged(
          'from-as-ours',
          options.from_as_ours,
          from,
          (check) => check.result === 'pass' && isAligned(check.domain, domain),
          () => authFact.get(this)?.aligned === true,
        );
      }

      /** An address of ours, unless SPF or what else is known by then vouches for it. */
      #forged(
        short: 'external-as-ours' | 'from-as-ours',
        action: Action,
        subject: string,
        passes: (check: CheckResult) => boolean,
        isVouchedFor = (): boolean => false,
      ): void {
        const spf = spfKnownFact.get(this);
        const forwarded = forwardedFact.get(this);
        const spares = (recipient: string): boolean => forwarded.get(recipient)?.() === true;
        const isGood = (): boolean =>
          isVouchedFor() || spf.forwarder !== undefined || (spf.check !== undefined && passes(spf.check));
        const isUnsure = (): boolean => spf.check?.result === 'temperror';
        const isRefusal = action.word === 'reject';
        services.found(this, short, action, {
          subject,
          spares,
          unless: () => isGood() || (isRefusal && isUnsure()),
        });
        // A DNS that does not answer is no reason to refuse for good.
        if (isRefusal)
          services.found(
            this,
            short,
            { word: 'tempfail' },
            { subject, spares, unless: () => isGood() || !isUnsure() },
          );
      }
    };
  },
});

/** Sent by a program on this machine, which no address says. */
function isLocal({ address }: SeenClient, { session }: Milter): boolean {
  return address === undefined && session.client.hostname === 'localhost';
}
