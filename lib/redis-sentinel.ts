/** Redis with sentinels: who is the master, and a link to it that ends when it is so no more. */
import { setTimeout as pause } from 'node:timers/promises';
import { isReply, openServer, type RedisLink, reasonOf } from './redis-client.ts';
import type { RedisPlace, RedisServer } from './redis-url.ts';

/** Milliseconds in which a sentinel answers. */
const SENTINEL_TIME = 2_000;
/** Milliseconds that the others have when the first has answered. */
const GRACE = 200;
/** Milliseconds in which a replica has what was written, else there is none for the time being. */
const COPY_TIME = 500;
/** How often it is looked who is the master, and who follows it, in milliseconds. */
const LOOK_EVERY = 3_000;

/** What is told of replicas. */
export interface FollowerEvents {
  /** Whether a replica gets what is written; told again and again. */
  followed(isFollowed: boolean): void;
}

/**
 * Connects to the master that the sentinels name.
 * @param within milliseconds for the connection
 * @throws Error where none of them knows it, or it cannot be reached
 */
export async function openMaster(
  sentinels: Sentinels,
  within: number,
  events: FollowerEvents,
): Promise<RedisLink> {
  const server = await sentinels.findMaster();
  const link = new MasterLink(sentinels, server, await openServer(sentinels.place, server, within), events);
  try {
    await link.look();
    return link;
  } catch (error) {
    link.end();
    throw error;
  }
}

/** Those who watch a master, and know which server that is. */
export class Sentinels {
  readonly place: RedisPlace;
  /** Whether they want a login: that of the servers. */
  #wantLogin = false;

  constructor(place: RedisPlace) {
    this.place = place;
  }

  /**
   * Asks them all, each of which may be down, or not know yet what the others agreed on: the one that knows of the latest failover is
   * right.
   */
  async findMaster(): Promise<RedisServer> {
    const { servers, master } = this.place;
    const asked = servers.map(async (sentinel) => masterOf(await this.#ask(sentinel)));
    await Promise.any(asked).catch(() => {});
    const late = pause(GRACE, undefined, { ref: false }).then(() => Promise.reject(new Error('late')));
    const answers = await Promise.allSettled(asked.map((answer) => Promise.race([answer, late])));
    const known = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
    // Only one of them knows of it before it is over. By then the replica may be its own master already.
    if (known.some(({ isFailingOver }) => isFailingOver)) throw new Error('a failover is under way');
    const [latest] = known.sort((a, b) => b.epoch - a.epoch);
    if (latest !== undefined) return latest.server;
    const why = answers.flatMap((answer) => (answer.status === 'rejected' ? [reasonOf(answer.reason)] : []));
    throw new Error(`no sentinel knows the master "${master}": ${[...new Set(why)].join(', ')}`);
  }

  async #ask(sentinel: RedisServer): Promise<unknown> {
    try {
      return await this.#askOnce(sentinel);
    } catch (error) {
      if (this.#wantLogin || this.place.password === undefined) throw error;
      if (!isReply(error) || !error.message.startsWith('NOAUTH')) throw error;
    }
    this.#wantLogin = true;
    return await this.#askOnce(sentinel);
  }

  async #askOnce(sentinel: RedisServer): Promise<unknown> {
    const login = this.#wantLogin ? {} : { username: undefined, password: undefined };
    const link = await openServer({ ...this.place, ...login, database: 0 }, sentinel, SENTINEL_TIME);
    const late = setTimeout(link.end, SENTINEL_TIME);
    try {
      return await link.send('', ['SENTINEL', 'MASTER', this.place.master ?? '']);
    } finally {
      clearTimeout(late);
      link.end();
    }
  }
}

function masterOf(answer: unknown) {
  const said = answer as Readonly<Record<string, unknown>>;
  const [host, port, epoch] = [String(said['ip'] ?? ''), Number(said['port']), Number(said['config-epoch'])];
  if (host === '' || !(port > 0)) throw new Error('a sentinel does not say where the master is');
  return {
    server: { host, port },
    epoch,
    isFailingOver: String(said['flags']).includes('failover_in_progress'),
  };
}

/**
 * Replicas get what the master was told after it has answered. So an answer is given on only when one of them has it too:
 * what was acknowledged is still there after a failover. Where no replica follows there is nothing to wait for.
 */
class MasterLink implements RedisLink {
  readonly lost: Promise<unknown>;
  readonly #sentinels: Sentinels;
  readonly #server: RedisServer;
  readonly #link: RedisLink;
  readonly #events: FollowerEvents;
  readonly #lose: (why: unknown) => void;
  readonly #timer: NodeJS.Timeout;
  #isFollowed = true;
  #copied: Promise<void> | undefined;

  constructor(sentinels: Sentinels, server: RedisServer, link: RedisLink, events: FollowerEvents) {
    this.#sentinels = sentinels;
    this.#server = server;
    this.#link = link;
    this.#events = events;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.lost = promise;
    this.#lose = resolve;
    void link.lost.then(resolve);
    // As long as the sentinels cannot be asked nobody else is made the master.
    this.#timer = setInterval(() => void this.look().catch(() => {}), LOOK_EVERY).unref();
  }

  async send(key: string, command: readonly (string | Buffer)[]): Promise<unknown> {
    try {
      const [answer] = await Promise.all([this.#link.send(key, command), this.#copy()]);
      return answer;
    } catch (error) {
      if (isReply(error) && error.message.startsWith('READONLY')) this.#lose(error);
      throw error;
    }
  }

  end(): void {
    clearInterval(this.#timer);
    this.#link.end();
  }

  /**
   * Sees who follows, and whether this is the master still.
   * @throws Error where it is not, and then the link is lost; or cannot be known
   */
  async look(): Promise<void> {
    const [role, , replicas] = (await this.#link.send('', ['ROLE'])) as readonly unknown[];
    if (role !== 'master') throw this.#isNoMaster();
    // Asked after it, for a replica that follows no more may have become the master.
    const { host, port } = await this.#sentinels.findMaster();
    if (host !== this.#server.host || port !== this.#server.port) throw this.#isNoMaster();
    this.#follow(Array.isArray(replicas) && replicas.length > 0);
  }

  #isNoMaster(): Error {
    const error = new Error(`${this.#server.host}:${this.#server.port} is the master no more`);
    this.#lose(error);
    return error;
  }

  /** One question for all that is written in one turn of the event loop. */
  #copy(): Promise<void> {
    if (!this.#isFollowed) return Promise.resolve();
    this.#copied ??= new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
      this.#copied = undefined;
      if (Number(await this.#link.send('', ['WAIT', '1', String(COPY_TIME)])) > 0) return;
      // Either the replica is gone, or we are, together with one that is the master no more.
      await this.look();
      this.#follow(false);
    });
    return this.#copied;
  }

  #follow(isFollowed: boolean): void {
    this.#isFollowed = isFollowed;
    this.#events.followed(isFollowed);
  }
}
