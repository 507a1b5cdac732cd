/** What lists in DNS say of the client, the sender's domain, and the domains that the message links. */
import { isIP } from 'node:net';
import { DnsList, type DnsListKind } from '../../../dns/index.ts';
import { parseAddress } from '../../../index.ts';
import { linkedHosts } from '../../../mime/index.ts';
import {
  type Action,
  BadValue,
  ClientJudge,
  type Details,
  defineModule,
  type JudgedClient,
  kinds,
  type Template,
  whoRole,
  z,
} from '../../kit.ts';
import { type Listing, RETRY_EVERY, TEST_EVERY, Zone } from './zone.ts';

/** Domains of a message that are asked about, and names for them: a host's own, and those above it. */
const MAX_HOSTS = 30;
const MAX_NAMES = 60;
/** Parts that are looked through. */
const MAX_PARTS = 30;
/** Of the names above a host only those with so many labels are asked. */
const MAX_LABELS = 4;

const VALUES = ['zone', 'listed', 'reason'];

const lists = z.array(
  z
    .strictObject({
      zone: kinds.domain().describe('The zone of the list'),
      codes: z
        .array(z.string())
        .optional()
        .describe('The answers that count. Default: 127.0.0.2 to 127.0.0.255'),
      action: kinds.action().describe('What follows where it lists'),
      text: kinds.template(undefined, VALUES).optional().describe('The reply text'),
    })
    .transform(({ zone, codes, action, text }, context) => {
      try {
        if (zone === undefined) throw new BadValue('zone must be the domain of a list');
        return { list: new DnsList(zone, codes === undefined ? {} : { codes }), action, text };
      } catch (error) {
        const message =
          error instanceof Error ? error.message.replace(/^DnsList: /, 'codes: ') : String(error);
        context.issues.push({ code: 'custom', message, input: zone });
        return z.NEVER;
      }
    }),
);

export default defineModule({
  name: 'dnsbl',
  about: 'What lists in DNS say of the client, the sender’s domain, and the domains that the message links',
  when: ['external'],
  onError: 'continue',
  options: z.strictObject({
    client: lists.prefault([]).describe('Lists of addresses, asked about the client'),
    sender: lists.prefault([]).describe('Lists of domains, asked about the sender’s'),
    links: lists.prefault([]).describe('Lists of domains, asked about those in text and HTML'),
  }),
  findings: {
    client: {
      about: 'client',
      text: 'a DNS list has the client',
      reply: 'Your mail server %{listed} is listed by %{zone}%{reason}',
      values: VALUES,
    },
    sender: {
      about: 'sender',
      text: 'a DNS list has the sender’s domain',
      reply: "The sender's domain %{listed} is listed by %{zone}%{reason}",
      values: VALUES,
    },
    links: {
      about: 'message',
      text: 'a DNS list has a domain that the message links',
      reply: 'Your message has a link to %{listed}, which is listed by %{zone}%{reason}',
      values: VALUES,
    },
  },
  check: async ({ client, sender, links }, resolver) => {
    const asked = [
      ...client.map(({ list }) => ({ list, kind: 'ipv4' as const })),
      ...[...sender, ...links].map(({ list }) => ({ list, kind: 'domain' as const })),
    ];
    const problems = await Promise.all(
      asked.map(async ({ list, kind }) => {
        const problem = await list.test(kind, resolver);
        return problem === undefined ? [] : [`DNS list ${list.zone}: ${problem}`];
      }),
    );
    return problems.flat();
  },
  setup: ({ options, services }) => {
    const zones: Zone[] = [];
    const open = (kind: DnsListKind, { list, action, text }: (typeof options.client)[number]): Asked => {
      const zone = new Zone(list, kind, services.resolver, services);
      zones.push(zone);
      return { name: list.zone, zone, action, text };
    };
    const clients = {
      4: options.client.map((list) => open('ipv4', list)),
      6: options.client.map((list) => open('ipv6', list)),
    };
    const senders = options.sender.map((list) => open('domain', list));
    const links = options.links.map((list) => open('domain', list));
    services.every(TEST_EVERY, () => testAll(zones));
    services.every(RETRY_EVERY, () => testAll(zones.filter(({ isGood }) => isGood === false)));

    return class Dnsbl extends ClientJudge {
      /** What was begun at MAIL: reports at the first recipient. */
      #sender: Promise<() => void> | undefined;

      override envfrom(): void {
        super.envfrom();
        const { domain } = parseAddress(this.message.sender);
        this.#sender =
          domain === '' || senders.length === 0
            ? undefined
            : this.#ask('sender', senders, namesOver([domain]));
        this.#sender?.catch(() => {});
      }

      override judge({ address }: JudgedClient): void | Promise<() => void> {
        const family = isIP(address ?? '');
        if (address === undefined || (family !== 4 && family !== 6) || clients[family].length === 0) return;
        return this.#ask('client', clients[family], [address]);
      }

      override async envrcpt(recipient: string): Promise<void> {
        await super.envrcpt(recipient);
        const asking = this.#sender;
        const report = await asking;
        if (this.#sender !== asking) return;
        this.#sender = undefined;
        report?.();
      }

      override async eom(): Promise<void> {
        await super.eom();
        if (links.length === 0 || !this.message.bodyComplete) return;
        const hosts = await this.#hosts();
        (await this.#ask('links', links, namesOver(hosts)))();
      }

      async #hosts(): Promise<readonly string[]> {
        const hosts = new Set<string>();
        let parts = 0;
        const { root } = await this.message.mime();
        for (const part of root.walk()) {
          if (!/^text\/(?:plain|html)$|^application\/xhtml\+xml$/.test(part.contentType)) continue;
          if (++parts > MAX_PARTS || hosts.size >= MAX_HOSTS) break;
          for (const host of await linkedHosts(part, MAX_HOSTS)) {
            if (services.role(whoRole)?.isOurs(host) !== true) hosts.add(host);
          }
        }
        return [...hosts].slice(0, MAX_HOSTS);
      }

      /** Asks all lists about all subjects at once. */
      async #ask(
        short: 'client' | 'sender' | 'links',
        asked: readonly Asked[],
        subjects: readonly string[],
      ): Promise<() => void> {
        const found = await Promise.all(
          asked.map(async (list) => {
            const listings = await Promise.all(
              subjects.map(async (subject) => ({ subject, listing: await list.zone.ask(subject) })),
            );
            const hit = listings.find(({ listing }) => listing !== undefined);
            return hit === undefined ? [] : [{ list, subject: hit.subject, listing: hit.listing }];
          }),
        );
        return () => {
          for (const { list, subject, listing } of found.flat()) {
            services.found(this, short, list.action, detailsOf(short, list, subject, listing));
          }
        };
      }
    };
  },
});

/** A list, and what follows from it. */
interface Asked {
  readonly name: string;
  readonly zone: Zone;
  readonly action: Action;
  readonly text: Template | undefined;
}

function detailsOf(
  short: string,
  { name, text }: Asked,
  listed: string,
  listing: Listing | undefined,
): Details {
  const { codes = [], reason = '' } = listing ?? {};
  return {
    // Of a sender the whole address may be in the access map.
    ...(short === 'sender' ? {} : { subject: listed }),
    note: `${listed} in ${name}: ${codes.slice(0, 5).join(' ')}`,
    values: { zone: name, listed, reason: reason === '' ? '' : `: ${reason}` },
    ...(text === undefined ? {} : { reply: { text: text.source } }),
  };
}

async function testAll(zones: readonly Zone[]): Promise<void> {
  await Promise.all(zones.map((zone) => zone.test()));
}

/**
 * Hosts and the domains above them, down to two labels. Which of these is the one that somebody registered is not asked here: a
 * list has it, or has none of them.
 */
function namesOver(hosts: readonly string[]): readonly string[] {
  const names = new Set<string>();
  for (const host of hosts) {
    names.add(host);
    if (isIP(host) !== 0) continue;
    const labels = host.split('.');
    for (let count = Math.min(MAX_LABELS, labels.length - 1); count >= 2; count--)
      names.add(labels.slice(-count).join('.'));
  }
  return [...names].slice(0, MAX_NAMES);
}
