/** The mail servers of a domain (RFC 5321 section 5.1), as far as a stranger's DNS may send us anywhere. */
import { BlockList } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isFailure, type Resolver } from '../../../dns/index.ts';
import { isDomain, parseIp } from '../../kit.ts';

/** One mail server. */
export interface MailServer {
  readonly name: string;
  /** At least one; none is private or this machine's. */
  readonly addresses: readonly string[];
}

/** Where mail of a domain goes. */
export type Servers =
  | { readonly status: 'found'; readonly servers: readonly MailServer[] }
  /**
   * `null-mx`: it takes no mail (RFC 7505). `no-mail`: it has no mail server that can be reached from here. `own`: this machine is
   * its mail server. `unknown`: DNS fails.
   */
  | { readonly status: 'null-mx' | 'no-mail' | 'own' | 'unknown'; readonly why: string };

/** More are not tried. */
const MAX_SERVERS = 5;
const MAX_ADDRESSES = 4;

/** Networks that nobody reaches from outside, or that are nobody's mail servers (RFC 6890). */
const NOWHERE = { 4: new BlockList(), 6: new BlockList() };
for (const network of [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12'],
  ...['192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/3'],
]) {
  const [address = '', prefix] = network.split('/');
  NOWHERE[4].addSubnet(address, Number(prefix), 'ipv4');
}
// Besides what is no global unicast at all: 6to4 and Teredo, which lead to any IPv4 address.
for (const network of ['::/3', '4000::/2', '8000::/1', '2001::/32', '2002::/16']) {
  const [address = '', prefix] = network.split('/');
  NOWHERE[6].addSubnet(address, Number(prefix), 'ipv6');
}

/** Whether a stranger's DNS may have us connect to this address, or why not. */
export function addressKind(text: string): 'public' | 'private' | 'own' {
  const ip = parseIp(text);
  if (ip === undefined || NOWHERE[ip.family].check(ip.text, `ipv${ip.family}`)) return 'private';
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some(({ address }) => parseIp(address)?.text === ip.text) ? 'own' : 'public';
}

/** Finds them, in the order in which they are to be tried. */
export async function serversOf(domain: string, resolver: Resolver, signal: AbortSignal): Promise<Servers> {
  if (!isDomain(domain)) return { status: 'no-mail', why: 'it is no domain' };
  const mx = await resolver.resolve(domain, 'MX', { signal });
  if (isFailure(mx)) return { status: 'unknown', why: `DNS does not answer: ${mx.status}` };
  if (mx.status === 'nxdomain') return { status: 'no-mail', why: 'the domain does not exist' };
  const records = mx.status === 'ok' ? mx.records : [{ preference: 0, exchange: domain }];
  const isNull = records.every(({ exchange }) => exchange === '' || exchange === '.');
  if (isNull) return { status: 'null-mx', why: 'it says that it takes no mail (null MX)' };
  const names = records
    .toSorted((a, b) => a.preference - b.preference)
    .map(({ exchange }) => exchange.toLowerCase())
    .filter((name, i, all) => isDomain(name) && all.indexOf(name) === i)
    .slice(0, MAX_SERVERS);
  const found = await Promise.all(names.map((name) => addressesOf(name, resolver, signal)));
  const all = names.map((name, i) => ({ name, ...(found[i] ?? { addresses: [], failed: false }) }));
  const servers = all
    .map(({ name, addresses }) => ({
      name,
      addresses: addresses.filter((address) => addressKind(address) === 'public').slice(0, MAX_ADDRESSES),
    }))
    .filter(({ addresses }) => addresses.length > 0);
  if (servers.length > 0) return { status: 'found', servers };
  if (all.some(({ failed }) => failed))
    return { status: 'unknown', why: 'DNS does not answer for its mail servers' };
  const kinds = all.flatMap(({ addresses }) => addresses.map(addressKind));
  if (kinds.includes('own')) return { status: 'own', why: 'this machine is its mail server' };
  return kinds.length > 0
    ? { status: 'no-mail', why: 'its mail servers are at private addresses' }
    : { status: 'no-mail', why: 'it has no mail server' };
}

async function addressesOf(
  name: string,
  resolver: Resolver,
  signal: AbortSignal,
): Promise<{ readonly addresses: readonly string[]; readonly failed: boolean }> {
  const answers = await Promise.all([
    resolver.resolve(name, 'AAAA', { signal }),
    resolver.resolve(name, 'A', { signal }),
  ]);
  return {
    addresses: answers.flatMap((answer) => (answer.status === 'ok' ? answer.records : [])),
    failed: answers.some(isFailure),
  };
}
