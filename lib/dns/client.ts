/** The package's own DNS client: which server to ask, how often, and what its reply means. */

import { RCODE } from '../rcode.ts';
import {
  type Absent,
  type Answer,
  checkQuestion,
  type Failed,
  type Found,
  type RecordOf,
  type RecordType,
  type ResolveOptions,
  type Resolver,
} from './answer.ts';
import { queryName } from './name.ts';
import type { Reply } from './reply.ts';
import { type Server, ServerOrder } from './servers.ts';
import type { Limit } from './transport.ts';
import { askTcp, askUdp } from './transport.ts';

/** Aliases that are followed, in one reply and by further queries together. */
const MAX_ALIASES = 10;

/** Whom to ask, and how long; times are in milliseconds. */
export interface ClientSettings {
  /** Asked in this order, which is the same object as long as nothing changes. */
  readonly servers: readonly Server[];
  /** Whether each question begins with another server. */
  readonly rotate: boolean;
  /** For the first try at each server; each further round takes twice as long. */
  readonly timeout: number;
  /** How often the list of servers is gone through. */
  readonly tries: number;
  /** For the answer, all tries and aliases together. */
  readonly deadline: number;
}

/** Loaded with the first question: who brings a resolver of his own needs no dns2. */
let packets: Promise<typeof import('./packet.ts')> | undefined;

/** Asks recursive name servers, over UDP and where needed TCP. */
export class DnsClient implements Resolver {
  readonly #settings: () => ClientSettings;
  readonly #order: ServerOrder;
  /** Servers that choked on EDNS. */
  readonly #withoutEdns = new WeakSet<Server>();

  /**
   * @param settings asked for the settings of each question
   * @param now the clock by which silent servers are remembered, in milliseconds
   */
  constructor(settings: () => ClientSettings, now: () => number = () => performance.now()) {
    this.#settings = settings;
    this.#order = new ServerOrder(now);
  }

  resolve<T extends RecordType>(
    name: string,
    type: T,
    options?: ResolveOptions,
  ): Answer<T> | Promise<Answer<T>> {
    checkQuestion(type, options);
    const asked = queryName(name);
    if (asked === undefined) return { status: 'badname', reason: `"${name}" cannot be asked` };
    return this.#follow(asked, type, options?.signal);
  }

  /** Asks, and asks again where a reply ends in an alias. */
  async #follow<T extends RecordType>(name: string, type: T, signal?: AbortSignal): Promise<Answer<T>> {
    const settings = this.#settings();
    const until = performance.now() + settings.deadline;
    const visited = new Set<string>();
    let ttl = Number.POSITIVE_INFINITY;
    for (let owner = name; ; ) {
      const reply = await this.#ask(owner, type, settings, until, signal);
      if ('status' in reply) return reply;
      const end = readAnswer(reply, owner, type, visited);
      if (end.status !== 'alias') return end.status === 'ok' ? { ...end, ttl: Math.min(end.ttl, ttl) } : end;
      ttl = Math.min(end.ttl, ttl);
      owner = end.target;
    }
  }

  /**
   * The first conclusive reply. A server that did not answer is asked again in the next round; one that failed or
   * refused is not.
   */
  async #ask(
    name: string,
    type: RecordType,
    { servers, rotate, timeout, tries }: ClientSettings,
    until: number,
    signal?: AbortSignal,
  ): Promise<Reply | Failed> {
    let failure: Failed = { status: 'timeout', reason: 'no time was left to ask' };
    let candidates = this.#order.next(servers, rotate);
    const isStopped = (): boolean => signal?.aborted === true;
    for (let round = 0; round < tries; round++) {
      const silent: Server[] = [];
      for (const server of candidates) {
        if (isStopped()) return { status: 'timeout', reason: 'the query was stopped' };
        const patience = timeout * 2 ** round;
        const milliseconds = Math.min(patience, until - performance.now());
        if (milliseconds < 1) return failure;
        this.#order.asking(server);
        const outcome = await this.#askServer(server, name, type, { milliseconds, signal });
        const wasSilent = 'status' in outcome && outcome.status === 'timeout';
        if (wasSilent) silent.push(server);
        if (!wasSilent) this.#order.heard(server);
        // One whose time was cut short has not shown anything.
        else if (milliseconds === patience && !isStopped()) this.#order.silent(server);
        if (!('status' in outcome)) return outcome;
        failure = outcome;
      }
      candidates = silent;
    }
    return failure;
  }

  async #askServer(server: Server, name: string, type: RecordType, limit: Limit): Promise<Reply | Failed> {
    const edns = !this.#withoutEdns.has(server);
    packets ??= import('./packet.ts');
    const { encodeQuery } = await packets;
    const query = encodeQuery(name, type, edns);
    let reply = await askUdp(server, query, limit);
    if (!('status' in reply) && reply.truncated) reply = await askTcp(server, query, limit);
    if ('status' in reply) return reply;
    switch (reply.rcode) {
      case RCODE.ok:
      case RCODE.nxdomain:
        return reply;
      case RCODE.formerr:
      case RCODE.notimp:
      case RCODE.badvers:
        if (!edns) break;
        // RFC 6891 section 7: a server from before EDNS.
        this.#withoutEdns.add(server);
        return await this.#askServer(server, name, type, limit);
    }
    const status = reply.rcode === RCODE.refused ? 'refused' : 'servfail';
    return { status, reason: `${server.address} port ${server.port}: rcode ${reply.rcode}` };
  }
}

/** A reply that leads to another name and says nothing about it. */
interface Alias {
  readonly status: 'alias';
  readonly target: string;
  readonly ttl: number;
}

/** What a reply says about `name`: only records that the aliases of the question lead to count. */
function readAnswer<T extends RecordType>(
  { rcode, answers, absenceTtl }: Reply,
  name: string,
  type: T,
  visited: Set<string>,
): Found<T> | Absent | Failed | Alias {
  let owner = name;
  let ttl = Number.POSITIVE_INFINITY;
  for (;;) {
    const records: RecordOf[RecordType][] = [];
    let target: string | undefined;
    for (const record of answers) {
      if (record.owner !== owner) continue;
      if (record.type === type) records.push(record.data);
      else if (record.type === 'CNAME') target = record.data;
      else continue;
      ttl = Math.min(ttl, record.ttl);
    }
    // Only records of type T are in the list.
    if (records.length > 0) return { status: 'ok', records: records as RecordOf[T][], ttl };
    if (target === undefined) break;
    visited.add(owner);
    const next = queryName(target);
    if (next === undefined) return { status: 'badname', reason: `the alias "${target}" cannot be asked` };
    if (visited.has(next) || visited.size > MAX_ALIASES) {
      return {
        status: 'servfail',
        reason: `the aliases of ${name} run in a circle or are more than ${MAX_ALIASES}`,
      };
    }
    owner = next;
  }
  const lasting = absenceTtl === undefined ? {} : { ttl: Math.min(absenceTtl, ttl) };
  if (rcode === RCODE.nxdomain) return { status: 'nxdomain', ...lasting };
  // With an SOA the server has followed the alias and found nothing; without, it has stopped there.
  if (owner !== name && absenceTtl === undefined) return { status: 'alias', target: owner, ttl };
  return { status: 'nodata', ...lasting };
}
