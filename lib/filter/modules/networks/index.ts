/** Who is internal, what is ours, and whose word about others is taken. */
import { Milter } from '../../../index.ts';
import {
  authFact,
  clientFact,
  defineModule,
  kinds,
  readMailboxes,
  type SeenClient,
  spfFact,
  type Who,
  whoRole,
  z,
} from '../../kit.ts';
import { readReceived } from './received.ts';

/** How many Received lines are read for the client behind our relays. */
const MAX_RECEIVED = 20;

export default defineModule({
  name: 'networks',
  once: true,
  options: z.strictObject({
    internal: kinds.networks(['127.0.0.0/8', '::1']),
    originating: z.array(z.string()).default(['ORIGINATING', 'MSA']),
    domains: kinds.addresses(),
    relays: kinds.networks(),
    relayed: kinds.action('quarantine'),
    null_senders: kinds.networks(),
    private: kinds.addresses(),
    internal_as_other: kinds.action('reject'),
    authenticated_as_other: kinds.action('reject'),
    external_as_ours: kinds.action('reject'),
    from_as_ours: kinds.action('tag'),
  }),
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
    'null-sender': {
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
  setup: ({ options, services }) => {
    const { domains, internal, relays } = options;
    const isOurs = (address: string): boolean =>
      address.includes('@') ? domains.has(address) : domains.hasDomain(address);
    const who: Who = {
      isOurs,
      relayed: options.relayed,
      isInternal: (client) =>
        isLocal(client) ||
        (client.daemon !== undefined && options.originating.includes(client.daemon)) ||
        internal.has(listed(client)),
      isRelay: (client) => relays.has(listed(client)),
      behindRelay: async (headers) => {
        let read = 0;
        for (const { name, value } of headers) {
          if (name.toLowerCase() !== 'received') continue;
          if (++read > MAX_RECEIVED) return undefined;
          const named = readReceived(value);
          if (named === undefined) return undefined;
          const inside = { ...named, daemon: undefined, certSubject: undefined };
          if (!(await internal.has(listed(inside))) && !(await relays.has(listed(inside)))) return named;
        }
        return undefined;
      },
    };
    services.provide(whoRole, who);

    return class Networks extends Milter {
      override envfrom(sender: string): void {
        const { kind } = clientFact.get(this);
        if (kind === 'external' || domains.empty) return;
        if (sender === '<>' || isOurs(sender)) return;
        if (kind === 'internal') services.found(this, 'internal-as-other', options.internal_as_other);
        else services.found(this, 'authenticated-as-other', options.authenticated_as_other);
      }

      override async envrcpt(recipient: string): Promise<void> {
        const { kind, relayed } = clientFact.get(this);
        if (kind !== 'external') {
          if (kind === 'internal') await this.#checkNullSender();
          return;
        }
        if (options.private.has(recipient))
          services.found(this, 'private', { word: 'reject' }, { recipient });
        if (relayed || this.#checkedSender === this.message) return;
        this.#checkedSender = this.message;
        await this.#checkOurs();
      }

      override async eom(): Promise<void> {
        const { kind, relayed } = clientFact.get(this);
        if (kind !== 'external') return;
        if (relayed) await this.#checkOurs();
        this.#checkFrom();
      }

      /** The message whose sender has been looked at. */
      #checkedSender: unknown;

      async #checkOurs(): Promise<void> {
        const { sender } = this.message;
        if (sender === '<>' || !isOurs(sender)) return;
        const spf = await spfFact.get(this);
        if (spf?.result !== 'pass') services.found(this, 'external-as-ours', options.external_as_ours);
      }

      async #checkNullSender(): Promise<void> {
        if (
          this.message.sender !== '<>' ||
          options.null_senders.empty ||
          this.#checkedSender === this.message
        )
          return;
        this.#checkedSender = this.message;
        const { judged } = clientFact.get(this);
        const may =
          judged !== undefined &&
          (await options.null_senders.has(listed({ ...judged, certSubject: undefined })));
        if (!may) services.found(this, 'null-sender', { word: 'reject' });
      }

      #checkFrom(): void {
        const from = readMailboxes(this.message.headers.get('From')?.value ?? '')
          .map(({ address }) => address)
          .find(isOurs);
        if (from === undefined) return;
        services.found(this, 'from-as-ours', options.from_as_ours, {
          subject: from,
          unless: () => authFact.get(this)?.aligned === true,
        });
      }
    };
  },
});

/** Sent by a program on this machine, which no address says. */
function isLocal({ address, hostname }: Pick<SeenClient, 'address' | 'hostname'>): boolean {
  return address === undefined && hostname === 'localhost';
}

function listed({
  address,
  hostname,
  certSubject,
}: Pick<SeenClient, 'address' | 'hostname' | 'certSubject'>): {
  readonly address?: string;
  readonly names: () => Promise<readonly string[]>;
  readonly certSubject?: string;
} {
  return {
    ...(address === undefined ? {} : { address }),
    ...(certSubject === undefined ? {} : { certSubject }),
    // The MTA's own look-up: Postfix and Sendmail confirm the name by asking forward.
    names: () => Promise.resolve(hostname === undefined ? [] : [hostname]),
  };
}
