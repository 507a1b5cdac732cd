/** Node's own resolver (c-ares) behind the same interface: for comparison, and for who prefers it. */
import { Resolver as NodeDnsResolver } from 'node:dns/promises';
import {
  type Answer,
  checkQuestion,
  type Failed,
  type Found,
  type RecordOf,
  type RecordType,
  type ResolveOptions,
  type Resolver,
} from './answer.ts';
import type { ClientSettings } from './client.ts';
import { queryName } from './name.ts';

/** What c-ares says, and what that means here. Anything else is `servfail`. */
const STATUS_OF_CODE: ReadonlyMap<string, Exclude<Answer['status'], 'ok'>> = new Map([
  ['ENODATA', 'nodata'],
  ['ENOTFOUND', 'nxdomain'],
  ['EREFUSED', 'refused'],
  ['ETIMEOUT', 'timeout'],
  ['ECONNREFUSED', 'timeout'],
  ['ECANCELLED', 'timeout'],
  ['EBADRESP', 'malformed'],
  ['EFORMERR', 'servfail'],
  ['EBADNAME', 'badname'],
]);

/**
 * A {@link Resolver} over `node:dns`. Compared with the default: the TTL is known for A and AAAA only, and is 0
 * otherwise; `rotate` is not known; a TXT record with bytes beyond ASCII is `malformed`, because Node decodes it and they are lost.
 */
export class NodeResolver implements Resolver {
  readonly #settings: () => ClientSettings;
  #made: { readonly settings: ClientSettings; readonly resolver: NodeDnsResolver } | undefined;

  /** @param settings asked for the settings of each question */
  constructor(settings: () => ClientSettings) {
    this.#settings = settings;
  }

  resolve<T extends RecordType>(
    name: string,
    type: T,
    options?: ResolveOptions,
  ): Answer<T> | Promise<Answer<T>> {
    checkQuestion(type, options);
    const asked = queryName(name);
    if (asked === undefined) return { status: 'badname', reason: `"${name}" cannot be asked` };
    const { signal } = options ?? {};
    const settings = this.#settings();
    const resolver = this.#resolver(settings);
    return new Promise((resolve) => {
      const finish = (answer: Answer<T>): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', stop);
        resolve(answer);
      };
      const stop = (): void => finish({ status: 'timeout', reason: 'the query was stopped' });
      const timer = setTimeout(() => finish({ status: 'timeout' }), settings.deadline);
      signal?.addEventListener('abort', stop, { once: true });
      if (signal?.aborted === true) stop();
      else ask(resolver, asked, type).then(finish, (error: unknown) => finish(failureOf(error)));
    });
  }

  /** c-ares by these settings; one resolver until they change. */
  #resolver(settings: ClientSettings): NodeDnsResolver {
    if (this.#made?.settings === settings) return this.#made.resolver;
    const { servers, timeout, tries } = settings;
    const resolver = new NodeDnsResolver({ timeout: Math.ceil(timeout), tries });
    resolver.setServers(
      servers.map(({ address, family, port }) =>
        family === 6 ? `[${address}]:${port}` : `${address}:${port}`,
      ),
    );
    this.#made = { settings, resolver };
    return resolver;
  }
}

async function ask<T extends RecordType>(
  resolver: NodeDnsResolver,
  name: string,
  type: T,
): Promise<Answer<T>> {
  const { records, ttl } = await recordsOf(resolver, name, type);
  return { status: 'ok', records: records as readonly RecordOf[T][], ttl }; // The type that was asked for.
}

async function recordsOf(
  resolver: NodeDnsResolver,
  name: string,
  type: RecordType,
): Promise<Omit<Found<RecordType>, 'status'>> {
  switch (type) {
    case 'A':
    case 'AAAA': {
      const found =
        type === 'A'
          ? await resolver.resolve4(name, { ttl: true })
          : await resolver.resolve6(name, { ttl: true });
      return {
        records: found.map(({ address }) => address),
        ttl: Math.min(...found.map(({ ttl }) => ttl)),
      };
    }
    case 'MX': {
      const found = await resolver.resolveMx(name);
      return {
        records: found.map(({ priority, exchange }) => ({ preference: priority, exchange })),
        ttl: 0,
      };
    }
    case 'TXT': {
      const found = await resolver.resolveTxt(name);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the range is ASCII, all of it.
      if (found.flat().some((text) => /[^\x00-\x7f]/.test(text))) throw new BeyondAscii();
      return { records: found.map((strings) => strings.map((text) => Buffer.from(text))), ttl: 0 };
    }
    case 'CNAME':
      return { records: await resolver.resolveCname(name), ttl: 0 };
    case 'NS':
      return { records: await resolver.resolveNs(name), ttl: 0 };
    case 'PTR':
      return { records: await resolver.resolvePtr(name), ttl: 0 };
  }
}

class BeyondAscii extends Error {
  readonly code = 'EBADRESP';
  override readonly message = 'TXT with bytes beyond ASCII, which node:dns cannot give unchanged';
}

function failureOf(error: unknown): Answer<never> {
  const { code, message } = error as NodeJS.ErrnoException;
  const status = STATUS_OF_CODE.get(code ?? '') ?? 'servfail';
  return status === 'nodata' || status === 'nxdomain'
    ? { status }
    : ({ status, reason: message } satisfies Failed);
}
