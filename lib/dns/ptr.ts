/** The names of a client: which are confirmed, and which look like those of a dial-up line. */
import { wrongArgument } from '../errors.ts';
import { type Ip, parseIp, reverseName } from '../ip.ts';
import { checkValue, having } from '../options.ts';
import { type Answer, type Failed, isFailure, type ResolveOptions, type Resolver } from './answer.ts';
import { queryName } from './name.ts';

/** Names that are looked at (RFC 7208 section 5.5): the owner of an address may give it as many as he likes. */
const MAX_NAMES = 10;

/**
 * The names that an address's PTR records claim, without asking whether they lead back to it.
 * @throws TypeError (the promise rejects) for what is no IP address
 */
export async function pointers(
  address: string,
  resolver: Resolver,
  options?: ResolveOptions,
): Promise<Answer<'PTR'>> {
  const name = reverseName(readAddress('pointers', address));
  checkValue('pointers: the resolver', resolver, having<Resolver>('resolve'), wrongArgument);
  return await resolver.resolve(name, 'PTR', options);
}

/**
 * The forward-confirmed names of an address: those of its PTR records, ten at most, that have the address in their turn.
 * In lower case, without the final dot, in the order of the reply.
 *
 * `nodata` and `nxdomain` mean that there is none. A failure means that nobody could say: it comes only where no name is
 * confirmed and a query failed.
 * @throws TypeError (the promise rejects) for what is no IP address
 */
export async function confirmedNames(
  address: string,
  resolver: Resolver,
  options?: ResolveOptions,
): Promise<Answer<'PTR'>> {
  const client = readAddress('confirmedNames', address);
  checkValue('confirmedNames: the resolver', resolver, having<Resolver>('resolve'), wrongArgument);
  const given = await resolver.resolve(reverseName(client), 'PTR', options);
  if (given.status !== 'ok') return given;
  // As many as those that can be asked: whatever else is there is no name of a host.
  const names = new Set(given.records.slice(0, MAX_NAMES).flatMap((name) => queryName(name) ?? []));
  const type = client.family === 4 ? 'A' : 'AAAA';
  const answers = await Promise.all(
    [...names].map(async (name) => ({ name, answer: await resolver.resolve(name, type, options) })),
  );
  const confirmed: string[] = [];
  let { ttl } = given;
  let failure: Failed | undefined;
  for (const { name, answer } of answers) {
    if (answer.status === 'ok') {
      if (!answer.records.some((text) => isSame(client, text))) continue;
      confirmed.push(name);
      ttl = Math.min(ttl, answer.ttl);
    } else if (isFailure(answer)) failure ??= answer;
  }
  if (confirmed.length > 0) return { status: 'ok', records: confirmed, ttl };
  return failure ?? { status: 'nodata', ttl };
}

/** Words of access networks, as a part of a label that ends at a digit, a hyphen or a dot. */
const ACCESS =
  /(?:^|[-.\d])(?:[avx]?dsl|dial(?:up|in)?|ppp(?:oe|oa)?|dhcp|dyn(?:amic)?(?:ip)?|dip|pool|cable|catv|cpe|modem|broadband|wimax|gprs|roadrunner)(?=[-.\d]|$)/;
/** Hosts that are called after their work, on however plain a line. */
const SERVER = /^(?:e?mail|smtp|mx|mta|post|relay|out(?:bound|going)?|ns|www)[\d-]*\./;

/**
 * Whether a client's name looks like one that a provider gives to dial-up and home lines: it is made of the address, or of
 * a number and a word such as `adsl`. No name at all looks so too, nor does an address in brackets name anything.
 *
 * It is a guess: fit for points or for greylisting, not for a refusal by itself. Of a client on IPv6 only the address
 * itself is recognised.
 * @throws TypeError for what is no IP address
 */
export function isDynamicName(name: string | undefined, address: string): boolean {
  const client = readAddress('isDynamicName', address);
  if (name === undefined || name === '' || name === '.' || name.startsWith('[')) return true;
  const host = name.toLowerCase().replace(/\.$/, '');
  if (host.includes(client.text)) return true;
  if (client.family === 6) return false;
  return holdsOctets(host, client.bits) || isOfAccessNetwork(host);
}

/** Whether a name has the octets in it: apart, run together, or as a hexadecimal number. */
function holdsOctets(host: string, bits: number): boolean {
  if (host.includes((bits >>> 0).toString(16).padStart(8, '0'))) return true;
  const octets = [bits >>> 24, (bits >>> 16) & 255, (bits >>> 8) & 255, bits & 255];
  // It is in every form below.
  if (!host.includes(String(octets[2]))) return false;
  const runs = [octets.slice(0, 3), octets.slice(1), octets.slice(2)].flatMap((run) => [
    run,
    run.toReversed(),
  ]);
  const isApart = (run: readonly number[]): boolean =>
    new RegExp(`(?<!\\d)${run.map((octet) => `0*${octet}`).join('[-._x]')}(?!\\d)`).test(host);
  if (runs.some(isApart)) return true;
  const together = runs
    .filter(({ length }) => length === 3)
    .flatMap((run) => [run.join(''), run.map((octet) => String(octet).padStart(3, '0')).join('')]);
  // Fewer digits would be found in many a name.
  return together.some((digits) => digits.length >= 6 && host.includes(digits));
}

/** Whether a name has a number, and a word for such lines that is not the provider's own name. */
function isOfAccessNetwork(host: string): boolean {
  const labels = host.split('.');
  const own = labels.slice(0, -2).join('.');
  return /\d/.test(labels[0] ?? '') && !SERVER.test(host) && ACCESS.test(own);
}

function isSame(address: Ip, text: string): boolean {
  const other = parseIp(text);
  if (address.family === 4) return other?.family === 4 && other.bits === address.bits;
  return other?.family === 6 && other.words.every((word, i) => word === address.words[i]);
}

function readAddress(what: string, text: string): Ip {
  const address = typeof text === 'string' ? parseIp(text) : undefined;
  if (address === undefined) throw wrongArgument(`${what}: ${JSON.stringify(text)} is no IP address`);
  return address;
}
