/** The postmaster's own exceptions, in the words of an access map. */
import { parseAddress } from '../../../index.ts';
import {
  authFact,
  ClientJudge,
  calloutRole,
  defineModule,
  exemptRole,
  type Finding,
  type JudgedClient,
  kinds,
  type Ruling,
  rulingRole,
  spfKnownFact,
  z,
} from '../../kit.ts';
import { type AccessEntry, ENVELOPE_TAGS, type EnvelopeTag } from './entry.ts';
import { AccessMap, find, keysOf, type Maps } from './map.ts';
import { StoredAccess } from './stored.ts';

/** How often the store is asked whether its entries have changed, in milliseconds. */
const REFRESH = 3_000;
/** How often they are read anyway: some expire. */
const REREAD = 60_000;

const DENIED = { enhanced: '5.7.1', reply: 'Access denied' } as const;

export default defineModule({
  name: 'access',
  about: 'The postmaster’s own exceptions, in the words of an access map',
  once: true,
  options: z.strictObject({
    map: kinds
      .entriesFile('an access map, as "file:access"', makeMap, '')
      .describe('The map, in Sendmail’s form, as "file:access"'),
  }),
  findings: {
    connect: { about: 'client', text: 'an entry Connect: of the access map', ...DENIED },
    helo: { about: 'helo', text: 'an entry HELO: of the access map', ...DENIED },
    from: { about: 'sender', text: 'an entry From: of the access map', ...DENIED },
    to: { about: 'recipient', text: 'an entry To: of the access map', ...DENIED },
    auth: { about: 'sender', text: 'an entry Auth: of the access map', ...DENIED },
  },
  setup: async ({ options, services }) => {
    const stored = new StoredAccess(services.store);
    const inStore: { entries: AccessMap; version: string | undefined; read: number; fault: unknown } = {
      entries: new AccessMap(),
      version: undefined,
      read: 0,
      fault: undefined,
    };
    const maps: Maps = [inStore, options.map];

    async function refresh(): Promise<void> {
      const version = await stored.version();
      // Or the clock was set back.
      const age = services.now() - inStore.read;
      if (version === inStore.version && age >= 0 && age < REREAD) return;
      inStore.entries = await stored.read((text, error) =>
        services.log.error(
          { entry: text },
          `an entry of the access map in the store cannot be used: ${error.message}`,
        ),
      );
      Object.assign(inStore, { version, read: services.now(), fault: undefined });
    }
    // Where the store is away at start, nobody knows what is to be refused: mail waits until it has been read once.
    await refresh().catch((error: unknown) => {
      inStore.fault = error;
    });
    services.every(REFRESH, refresh);

    const known = new Set([...services.findings].map((name) => name.toLowerCase()));
    for (const tag of new Set(maps.flatMap((map) => [...(map?.entries.tags() ?? [])]))) {
      const isAbout = tag === '' || ENVELOPE_TAGS.some((envelope) => envelope === tag) || known.has(tag);
      if (!isAbout)
        services.log.warn({ tag }, 'the access map has entries for a finding that no module here knows');
    }

    function lookUp(tag: EnvelopeTag, keys: readonly string[]): AccessEntry | undefined {
      // As Sendmail does: entries without a tag are about clients and senders.
      return find(maps, tag === 'connect' || tag === 'from' ? [tag, ''] : [tag], keys);
    }

    /** What the map says of a finding: by its name and what it is about, or by its name alone. */
    function rule(finding: Finding): Ruling | undefined {
      if (finding.module === services.name) return undefined;
      const keys = finding.about === 'message' ? [] : keysOf(finding.subject);
      const entry = find(maps, [finding.name.toLowerCase()], [...keys, '']);
      if (entry !== undefined) return rulingOf(entry);
      // A HELO is easily said: what is good about one makes good only what was found about it.
      const helo = finding.about === 'helo' ? lookUp('helo', keys) : undefined;
      return helo?.value.word === 'ok' ? { action: { word: 'continue' }, by: helo.text } : undefined;
    }

    function rulingOf({ value, text }: AccessEntry): Ruling | undefined {
      if (value.word !== 'act') return { action: { word: 'continue' }, by: text };
      const { action, reply } = value;
      // Without somebody to ask, what the finding's own module says holds: nothing passes unasked.
      if (action.word === 'callout' && services.role(calloutRole) === undefined) return undefined;
      return { action, by: text, ...(reply === undefined ? {} : { reply }) };
    }

    if (!services.observed) {
      services.provide(rulingRole, rule);
      services.provide(exemptRole, (recipient) => lookUp('to', keysOf(recipient))?.value.word === 'ok');
    }

    return class Access extends ClientJudge {
      override envfrom(): void {
        if (inStore.version === undefined)
          throw new Error('its entries in the store cannot be read', { cause: inStore.fault });
        super.envfrom();
        const { sender } = this.message;
        this.#found('from', lookUp('from', keysOf(sender)), () => !this.#isSenders());
        const user = this.session.macro('auth_authen') ?? '';
        if (user !== '') this.#found('auth', lookUp('auth', [user.toLowerCase(), ...keysOf(user)]));
      }

      override judge({ address, hostname, helo }: JudgedClient): void {
        const keys = [...keysOf(hostname ?? ''), ...keysOf(address ?? '')];
        this.#found('connect', lookUp('connect', keys));
        const said = lookUp('helo', keysOf(helo.replace(/^\[(?:ipv6:)?(.*)\]$/i, '$1')));
        if (said?.value.word !== 'ok') this.#found('helo', said);
      }

      override async envrcpt(recipient: string): Promise<void> {
        await super.envrcpt(recipient);
        const entry = lookUp('to', keysOf(recipient));
        if (entry?.value.word !== 'ok') this.#found('to', entry, undefined, recipient);
      }

      /** Whether the sender's own domain vouches for the message: an address in MAIL FROM is easily written. */
      #isSenders(): boolean {
        if (spfKnownFact.get(this).check?.result === 'pass') return true;
        const { domain } = parseAddress(this.message.sender);
        const signers = authFact.get(this)?.dkim ?? [];
        return signers.some((signer) => domain === signer || domain.endsWith(`.${signer}`));
      }

      #found(
        short: EnvelopeTag,
        entry: AccessEntry | undefined,
        isFalse?: () => boolean,
        recipient?: string,
      ): void {
        if (entry === undefined) return;
        const { value, text } = entry;
        const common = { note: text, ...(recipient === undefined ? {} : { recipient }) };
        if (value.word !== 'act') {
          const unless = isFalse === undefined ? {} : { unless: isFalse };
          services.found(this, short, { word: 'accept' }, { ...common, ...unless });
          return;
        }
        const { action, reply } = value;
        // The map's text is as it stands; %{…} in it means nothing.
        const own =
          reply === undefined ? {} : { reply: { ...reply, text: reply.text.replaceAll('%{', '%%{') } };
        services.found(this, short, action, { ...common, ...own });
      }
    };
  },
});

function makeMap(): AccessMap {
  return new AccessMap();
}
