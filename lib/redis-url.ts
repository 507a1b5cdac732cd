/** Where a Redis is, as a URL says it: a server, one of a cluster, or the sentinels that know which server is the master. */

/** One program to connect to. */
export interface RedisServer {
  readonly host: string;
  readonly port: number;
}

/** What a URL says. */
export interface RedisPlace {
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  /** The number of the database. */
  readonly database: number;
  /** The server, or the sentinels. */
  readonly servers: readonly RedisServer[];
  /** By which name the sentinels know the master; undefined where no sentinels are asked. */
  readonly master: string | undefined;
}

/** How such URLs look, for messages: `rediss` in place of `redis` is TLS. */
export const REDIS_FORMS =
  '"redis://HOST:PORT/NUMBER", "redis+sentinel://HOST:PORT,HOST:PORT/NAME/NUMBER" (with TLS: "rediss…")';

const SERVER_PORT = 6_379;
const SENTINEL_PORT = 26_379;
/** Sentinels that one URL may name. */
const MAX_SENTINELS = 20;

/**
 * Reads `redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]`, or
 * `redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]/NAME[/NUMBER]`; with `rediss`, over TLS.
 * @throws TypeError with what it must be, without what it is: there may be a password in it
 */
export function parseRedisUrl(url: string): RedisPlace {
  const [, scheme, sentinels, login = '', hosts = '', path = ''] =
    /^(rediss?)(\+sentinel)?:\/\/(?:([^/]*)@)?([^/?#]*)(?:\/([^?#]*))?$/.exec(url) ?? [];
  if (scheme === undefined) throw new TypeError(`must be ${REDIS_FORMS}`);
  if (path.includes('@')) throw new TypeError('has a "/" in its password: write "%2F" for it');
  const names = path === '' ? [] : path.split('/').map(decoded);
  const master = sentinels === undefined ? undefined : names.shift();
  if (master === '' || (sentinels !== undefined && master === undefined)) {
    throw new TypeError(
      'must name the master as its sentinels do: "redis+sentinel://HOST:PORT,HOST:PORT/NAME/NUMBER"',
    );
  }
  const [number = '0', ...more] = names;
  if (more.length > 0 || !/^(\d{1,5})?$/.test(number)) {
    throw new TypeError(`must end with the number of a database, as in ${REDIS_FORMS}`);
  }
  const [, username, password] = /^([^:]*)(?::(.*))?$/s.exec(login) ?? [];
  return {
    tls: scheme === 'rediss',
    username: username === '' || username === undefined ? undefined : decoded(username),
    password: password === undefined ? undefined : decoded(password),
    database: Number(number),
    servers: serversOf(hosts, master === undefined ? 1 : MAX_SENTINELS),
    master,
  };
}

/** What is wrong with a URL, as {@link parseRedisUrl} says it; undefined for nothing. */
export function redisUrlFault(url: string): string | undefined {
  try {
    parseRedisUrl(url);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** How messages call it: without user, password and database. */
export function redisName(url: string): string {
  const { tls, servers, master } = parseRedisUrl(url);
  const hosts = servers.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`);
  const [how, path] = master === undefined ? ['', ''] : ['+sentinel', `/${encodeURIComponent(master)}`];
  return `redis${tls ? 's' : ''}${how}://${hosts.join(',')}${path}`;
}

function serversOf(hosts: string, most: number): readonly RedisServer[] {
  const texts = hosts.split(',');
  if (texts.length > most) {
    throw new TypeError(
      most === 1 ? 'names several servers, but no sentinels' : `names more than ${most} sentinels`,
    );
  }
  return texts.map((text) => {
    const url = URL.canParse(`redis://${text}`) ? new URL(`redis://${text}`) : undefined;
    if (url === undefined || url.hostname === '' || url.port === '0') {
      throw new TypeError(`must be ${REDIS_FORMS}`);
    }
    const port = url.port === '' ? (most === 1 ? SERVER_PORT : SENTINEL_PORT) : Number(url.port);
    return { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port };
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new TypeError('has a "%" that begins no character: write "%25" for it');
  }
}
