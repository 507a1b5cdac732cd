/**
 * The SMTP client as the MTA tells of it: which certificate it verified, and by which names the client may be called.
 * A name counts only if it was confirmed by asking forward; where the MTA has none, DNS is asked.
 */
import { confirmedNames, isFailure, type Resolver } from '../../dns/index.ts';
import { type Milter, type Session, SMFIF, slot } from '../../index.ts';
import { within } from '../backends/within.ts';
import type { JudgedClient, SeenClient } from '../facts.ts';

/** By which names a machine may be called. */
export type ClientNames =
  /** Forward-confirmed, at least one. In lower case, without the final dot. */
  | { readonly status: 'found'; readonly names: readonly string[] }
  /** There is none. */
  | { readonly status: 'none'; readonly names: readonly [] }
  /** Nobody could say. */
  | { readonly status: 'unknown'; readonly names: readonly [] };

const NONE: ClientNames = { status: 'none', names: [] };
const UNKNOWN: ClientNames = { status: 'unknown', names: [] };

/** Milliseconds that a client's names may take, of the seven seconds that MAIL has. */
const NAMES_TIME = 4_000;
/** Machines whose names are kept in a session; a relay may name another one with each message. */
const MAX_KEPT = 32;

const keptNames = slot<Map<string, Promise<ClientNames>>>('filter.names', 'session', () => new Map());

/** The client of the session, as far as it is known at MAIL. */
export function seenClient({ session }: Milter): SeenClient {
  const { client, helo } = session;
  return {
    address: client.family === 'unix' || client.family === 'unknown' ? undefined : client.address,
    hostname: confirmedName(session),
    helo,
    daemon: session.macro('daemon_name'),
    certSubject: verifiedSubject(session),
  };
}

/**
 * The forward-confirmed names of a machine: the one that the MTA or a relay found, else those that DNS has, asked once a
 * session. Never rejects.
 */
export function namesOf(milter: Milter, machine: JudgedClient, resolver: Resolver): Promise<ClientNames> {
  const { address, hostname } = machine;
  if (hostname !== undefined) return Promise.resolve({ status: 'found', names: [plainName(hostname)] });
  if (address === undefined) return Promise.resolve(NONE);
  const kept = keptNames.get(milter);
  let names = kept.get(address);
  if (names === undefined) {
    if (kept.size >= MAX_KEPT) kept.clear();
    // Postfix says FAIL also where it does not look names up at all (smtpd_peername_lookup), so DNS is asked all the same.
    const wasLate =
      address === milter.session.client.address && milter.session.macro('client_resolve') === 'TEMP';
    names = askNames(address, resolver, wasLate);
    kept.set(address, names);
  }
  return names;
}

/** @param wasLate the MTA's own look-up failed: that there is no name is not said by a second one that finds none */
async function askNames(address: string, resolver: Resolver, wasLate: boolean): Promise<ClientNames> {
  const answer = await within(NAMES_TIME, (signal) => confirmedNames(address, resolver, { signal }));
  if (answer.status === 'ok') return { status: 'found', names: answer.records };
  return wasLate || (isFailure(answer) && answer.status !== 'badname') ? UNKNOWN : NONE;
}

/**
 * The name that came with connect, if it is confirmed. Postfix writes `unknown` or the address in brackets where it is
 * not; Sendmail writes it all the same, and says so in `{client_resolve}` and `{_}`.
 */
function confirmedName(session: Session): string | undefined {
  const { hostname } = session.client;
  if (hostname === '' || hostname === 'unknown' || hostname.startsWith('[')) return undefined;
  const resolved = session.macro('client_resolve');
  const isForged =
    resolved === undefined ? session.macro('_')?.includes('(may be forged)') === true : resolved !== 'OK';
  return isForged ? undefined : hostname;
}

/**
 * The subject of the client's certificate, if the MTA verified it. Sendmail says so in `{verify}`; Postfix has no such
 * macro, and tells the subject of certificates that it trusts only. An MTA that could not be asked for `{verify}` may be a
 * Sendmail that keeps it to itself.
 */
function verifiedSubject(session: Session): string | undefined {
  const verify = session.macro('verify');
  const isVerified =
    verify === undefined ? (session.negotiated.actions & SMFIF.SETSYMLIST) !== 0 : verify === 'OK';
  return (isVerified && session.macro('cert_subject')) || undefined;
}

function plainName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
