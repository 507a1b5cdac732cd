/**
 * The filter's HTTP server: metrics and health, which have nothing that is secret, and the pages for people. It is for the
 * machine itself or a network that is trusted, or stands behind a proxy; whatever asks can neither hold it up nor use up its
 * memory.
 */
import { chmodSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { MilterError } from '../../errors.ts';
import type { Logger } from '../../index.ts';
import { clearSocketFile } from '../../socket-file.ts';
import type { Endpoint } from '../config/kinds.ts';
import type { Store } from '../store/store.ts';
import type { MetricsRegistry } from '../watch/metrics.ts';
import type { Answer } from './answer.ts';
import type { Site, SiteSource } from './site.ts';

/** What is told over HTTP. */
export interface HttpSource {
  readonly metrics: Pick<MetricsRegistry, 'toText'>;
  readonly store: Pick<Store, 'get'>;
  readonly log: Logger;
  /** Whether the MTA may come: the sockets are open, and are not about to be closed. */
  isListening(): boolean;
  /** For the pages for people. @default there are none */
  readonly site?: SiteSource;
}

/** Where it listens. */
export interface HttpSettings {
  readonly listen: Endpoint | undefined;
}

/** Milliseconds. */
export interface HttpTimes {
  /** For a whole request to come, and for one to be answered. @default 5 000 */
  readonly request: number;
  /** For the store to answer `/readyz`. @default 3 000 */
  readonly store: number;
}

/** A server that listens. */
export interface HttpServer {
  /** `127.0.0.1:8895`, `[::1]:8895` or `unix:/path`. */
  readonly address: string;
  /** Stops listening, and ends what is under way. */
  close(): Promise<void>;
}

const MAX_CONNECTIONS = 50;
const MAX_HEADER_BYTES = 8_192;
const MAX_HEADERS = 64;
const REQUESTS_PER_CONNECTION = 1_000;

/**
 * Listens as `[http]` says; resolves to undefined where it says nothing.
 * @throws MilterError `ERR_MILTER_ADDRESS_IN_USE` or `ERR_MILTER_SOCKET` where that cannot be
 */
export async function startHttp(
  source: HttpSource,
  { listen }: HttpSettings,
  times: HttpTimes = { request: 5_000, store: 3_000 },
): Promise<HttpServer | undefined> {
  if (listen === undefined) return undefined;
  const pages = makePages(source, times.store);
  const site = source.site === undefined ? undefined : await openSite(source.site);
  // It brings all of Node's client for HTTP along.
  const { createServer } = await import('node:http');
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: times.request,
      requestTimeout: times.request,
      connectionsCheckingInterval: Math.ceil(times.request / 5),
      keepAliveTimeout: times.request,
    },
    (request, response) => {
      answer(pages, site, request, response).catch((error: unknown) => {
        source.log.error({ error }, 'a request over HTTP could not be answered');
        response.destroy();
      });
    },
  );
  server.maxHeadersCount = MAX_HEADERS;
  server.maxConnections = MAX_CONNECTIONS;
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION;
  server.timeout = 2 * times.request + times.store;
  let address: string;
  try {
    address = await bind(server, listen);
  } catch (error) {
    site?.close();
    throw error;
  }
  server.on('error', (error) => source.log.error({ error }, 'the HTTP server fails'));
  return {
    address,
    close: async () => {
      site?.close();
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** What is for people is loaded where there is some. */
async function openSite(source: SiteSource): Promise<Site> {
  const { Site: Opened } = await import('./site.ts');
  return new Opened(source);
}

type Pages = ReadonlyMap<string, () => Answer | Promise<Answer>>;

function makePages(source: HttpSource, storeTime: number): Pages {
  let asking: Promise<string | undefined> | undefined;
  /** However many ask at once, the store is asked once. */
  const storeFault = (): Promise<string | undefined> => {
    asking ??= faultOf(source.store, storeTime).finally(() => {
      asking = undefined;
    });
    return asking;
  };
  return new Map<string, () => Answer | Promise<Answer>>([
    ['/healthz', () => plain(200, 'alive\n')],
    [
      '/readyz',
      async () => {
        const faults = [
          source.isListening() ? undefined : 'the filter does not listen',
          await storeFault(),
        ].filter((fault) => fault !== undefined);
        return faults.length === 0 ? plain(200, 'ready\n') : plain(503, `${faults.join('\n')}\n`);
      },
    ],
    ['/metrics', () => plain(200, source.metrics.toText(), 'text/plain; version=0.0.4; charset=utf-8')],
  ]);
}

/** For machines. */
function plain(status: number, body: string, type = 'text/plain; charset=utf-8'): Answer {
  return {
    status,
    headers: {
      'Content-Type': type,
      'Cache-Control': 'no-store',
      'X-Content-Type-Options': 'nosniff',
      'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
      ...(status === 405 ? { Allow: 'GET, HEAD' } : {}),
    },
    body,
  };
}

async function faultOf(store: Pick<Store, 'get'>, time: number): Promise<string | undefined> {
  const late = Promise.withResolvers<string>();
  const timer = setTimeout(() => late.resolve(`the store does not answer within ${time} ms`), time);
  const asked = store.get('readyz').then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  try {
    return await Promise.race([asked, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function answer(
  pages: Pages,
  site: Site | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { status, headers, body } =
    (await machinePage(pages, request)) ??
    (await site?.answer(request)) ??
    plain(404, 'there is no such page\n');
  // A body is not read to its end, unless the page wanted it.
  const isUnread =
    !request.complete && ('content-length' in request.headers || 'transfer-encoding' in request.headers);
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  response.writeHead(status, {
    'Content-Length': Buffer.byteLength(body),
    ...(isUnread ? { Connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

async function machinePage(pages: Pages, { method, url = '' }: IncomingMessage): Promise<Answer | undefined> {
  const found = pages.get(url.split('?', 1)[0] ?? '');
  if (found === undefined) return undefined;
  if (method !== 'GET' && method !== 'HEAD') return plain(405, 'this page is only to be read\n');
  return await found();
}

async function bind(server: Server, listen: Endpoint): Promise<string> {
  const wanted = listen.path !== undefined ? `unix:${listen.path}` : spell(listen.host, listen.port);
  if (listen.path !== undefined) await clearSocketFile(`[http] listen ${wanted}`, listen.path, true);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === 'EADDRINUSE';
      const why = inUse ? 'another program listens there' : cause.message;
      const code = inUse ? 'ERR_MILTER_ADDRESS_IN_USE' : 'ERR_MILTER_SOCKET';
      reject(new MilterError(code, `[http] listen ${wanted}: ${why}`, { cause }));
    });
    server.listen(
      listen.path !== undefined ? { path: listen.path } : { host: listen.host, port: listen.port },
      resolve,
    );
  });
  server.removeAllListeners('error');
  if (listen.path !== undefined) chmodSync(listen.path, 0o660);
  const bound = server.address();
  return bound === null || typeof bound === 'string' ? wanted : spell(bound.address, bound.port);
}

function spell(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
