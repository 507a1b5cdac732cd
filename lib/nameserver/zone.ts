/** What the server answers from: one zone with its list. A new version takes the place of the old one as a whole. */
import { wrongArgument } from '../errors.ts';
import { isName, toWire } from './name.ts';
import type { PatternList } from './pattern-list.ts';

/** Says whether a signature of a sender's address is ours, and has not been used up. */
export type SesCheck = (local: string, domain: string) => Promise<boolean>;

/** A zone as it is described. */
export interface ZoneOptions {
  /** Its name, such as `rhs.example.org`. */
  readonly name: string;
  readonly list: PatternList;
  /** Seconds for which answers may be kept, those that something is not listed too. */
  readonly ttl: number;
  /** The serial number of the SOA record: it grows with each version. */
  readonly serial: number;
  /** The hosts in its NS records; the first is the SOA record's. None of them is in the zone. */
  readonly nameServers: readonly string[];
  /** Whose mailbox looks after the zone, `postmaster@example.org`. */
  readonly mailbox: string;
  /** Without it no signatures are checked. */
  readonly ses?: SesCheck | undefined;
}

/** Seconds: for secondary servers, of which there are none. */
const REFRESH = 3_600;
const RETRY = 600;
const EXPIRE = 604_800;

/** A zone, ready to answer from. */
export class Zone {
  readonly name: string;
  readonly list: PatternList;
  readonly ttl: number;
  readonly ses: SesCheck | undefined;
  /** The name on the wire, without its final zero. */
  readonly wire: Buffer;
  readonly labels: number;
  /** The data of the SOA and NS records. */
  readonly soa: Buffer;
  readonly ns: readonly Buffer[];

  /** @throws TypeError for names that are none, and for a name server within the zone: it would need an address there */
  constructor({ name, list, ttl, serial, nameServers, mailbox, ses }: ZoneOptions) {
    const [first] = nameServers;
    if (first === undefined) throw wrongArgument('the zone needs a name server');
    for (const one of [name, ...nameServers]) {
      if (!isName(one)) throw wrongArgument(`${JSON.stringify(one)} is no name of a host or zone`);
    }
    const inside = nameServers.find((one) => `.${one}`.endsWith(`.${name}`));
    if (inside !== undefined)
      throw wrongArgument(`the name server ${inside} is within the zone ${name}, which holds no addresses`);
    this.name = name;
    this.list = list;
    this.ttl = ttl;
    this.ses = ses;
    this.wire = toWire(name);
    this.labels = name.split('.').length;
    this.ns = nameServers.map(withRoot);
    const numbers = Buffer.alloc(20);
    for (const [i, value] of [serial >>> 0, REFRESH, RETRY, EXPIRE, ttl].entries())
      numbers.writeUInt32BE(value, 4 * i);
    this.soa = Buffer.concat([withRoot(first), mailboxWire(mailbox), numbers]);
  }
}

function withRoot(name: string): Buffer {
  return Buffer.concat([toWire(name), Buffer.alloc(1)]);
}

/** The mailbox of an SOA record: the local part is its first label, whatever dots it has. */
function mailboxWire(mailbox: string): Buffer {
  const at = mailbox.lastIndexOf('@');
  const [local, domain] = [mailbox.slice(0, at), mailbox.slice(at + 1)];
  if (at < 1 || local.length > 63 || !isName(domain))
    throw wrongArgument(`${JSON.stringify(mailbox)} is no mailbox for a zone`);
  return Buffer.concat([Buffer.from([local.length]), Buffer.from(local, 'latin1'), withRoot(domain)]);
}
