/** What DNS says of a client and the sender that it claims: all that the rules of module `spf` need, in one bounded time. */
import type { Resolver } from '../../../dns/index.ts';
import { isDynamicName } from '../../../dns/index.ts';
import { bestGuess, type CheckOptions, type CheckResult, checkHost } from '../../../spf/index.ts';
import { type ClientNames, within } from '../../kit.ts';

/** Milliseconds for everything: less than RCPT has, so that a silent DNS is a `temperror` and no failure of the module. */
const TIME = 5_000;

/** Who claims what. */
export interface Claim {
  readonly ip: string | undefined;
  /** In angle brackets. */
  readonly sender: string;
  readonly helo: string;
  readonly receiver: string;
}

/** How far to look. */
export interface Depth {
  readonly resolver: Resolver;
  /** Where records are for those who publish none. */
  readonly delegate: string | undefined;
  readonly guesses: boolean;
  /** Whose relays may forward anything. */
  readonly forwarders: readonly string[];
  /** The client's names. */
  readonly names: () => Promise<ClientNames>;
}

/** What was found. */
export interface Outcome {
  /** Of the sender; of the HELO name where the sender is null. */
  readonly check: CheckResult;
  /** Of the HELO name. */
  readonly helo: CheckResult;
  /** There is no record, but a usual one would have let it pass. */
  readonly guessed: boolean;
  /** The client is a relay of this domain. */
  readonly forwarder: string | undefined;
  readonly names: ClientNames;
  /** Neither the client's name, nor its HELO, nor SPF says anything good of it. */
  readonly outAfterThree: boolean;
}

/** Looks. Never rejects but for a claim that is none. */
export async function look(claim: Claim, depth: Depth): Promise<Outcome> {
  return await within(TIME, (signal) => lookWithin(claim, depth, signal));
}

async function lookWithin(claim: Claim, depth: Depth, signal: AbortSignal): Promise<Outcome> {
  const { resolver, delegate } = depth;
  const asking = { ...claim, resolver, signal, ...(delegate === undefined ? {} : { delegate }) };
  const [check, ownHelo, names] = await Promise.all([
    checkHost(asking),
    claim.sender === '<>' ? undefined : checkHost({ ...claim, sender: '<>', resolver, signal }),
    depth.names(),
  ]);
  const helo = ownHelo ?? check;
  if (check.result === 'pass') {
    return { check, helo, guessed: false, forwarder: undefined, names, outAfterThree: false };
  }
  const hasGoodName = isGoodName(names, claim);
  const [guessed, forwarder, hasGoodHelo] = await Promise.all([
    depth.guesses && check.result === 'none' && guess(asking, hasGoodName),
    findForwarder(asking, depth.forwarders),
    hasGoodName || isGoodHelo(asking, helo),
  ]);
  // What nobody could say counts for the client.
  const isUnsure = check.result === 'temperror' || names.status === 'unknown';
  const outAfterThree = !guessed && !hasGoodName && !hasGoodHelo && !isUnsure && forwarder === undefined;
  return { check, helo, guessed, forwarder, names, outAfterThree };
}

function isGoodName({ names }: ClientNames, { ip = '' }: Claim): boolean {
  return names.some((name) => !isDynamicName(name, ip));
}

/** A dial-up line's name says that it has one, not whose it is: `ptr` would let all of its provider's lines pass. */
async function guess(asking: CheckOptions, hasGoodName: boolean): Promise<boolean> {
  const record = hasGoodName ? 'v=spf1 a/24 mx/24 ptr' : 'v=spf1 a/24 mx/24';
  return (await bestGuess(asking, record)).result === 'pass';
}

/** The HELO name's own record lets the client pass; or it has none, and is a name of the client, or of its mail servers. */
async function isGoodHelo(asking: CheckOptions, helo: CheckResult): Promise<boolean> {
  if (helo.result === 'pass' || helo.result === 'temperror') return true;
  const { ip, helo: name = '', delegate: _, ...rest } = asking;
  if (helo.result !== 'none' || ip === undefined || isDynamicName(name, ip)) return false;
  const supposed = await checkHost({ ...rest, ip, helo: name, sender: '<>', record: 'v=spf1 a mx' });
  return supposed.result === 'pass' || supposed.result === 'temperror';
}

async function findForwarder(
  { ip, helo, receiver, resolver, signal }: CheckOptions,
  forwarders: readonly string[],
): Promise<string | undefined> {
  const relays = await Promise.all(
    forwarders.map(async (domain) => {
      const sender = `postmaster@${domain}`;
      const { result } = await checkHost({ ip, helo, receiver, resolver, signal, sender });
      return result === 'pass' ? [domain] : [];
    }),
  );
  return relays.flat()[0];
}
