/**
 * A server of socket maps, by which Postfix (socketmap_table(5)) and Sendmail (`K… socket`) ask another program for
 * addresses. Whatever asks can neither hold it up nor use up its memory.
 */
import { once } from 'node:events';
import { chmodSync, chownSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { MilterError, wrongArgument } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { callback, checkOptions, having, integer, type Kinds, milliseconds, object } from '../options.ts';
import { clearSocketFile } from '../socket-file.ts';
import { decodeText, encodeText } from '../text.ts';
import { MAX_NETSTRING, NetstringFault, NetstringReader, netstring } from './netstring.ts';

/** What a socket map says of a key. */
export type MapReply =
  | { readonly status: 'OK'; readonly value: string }
  /** There is no such key. To Postfix a recipient of which this is said does not exist. */
  | { readonly status: 'NOTFOUND' }
  /** The MTA is to ask again later: it answers 451 to its client. Postfix does so for `PERM` too. */
  | { readonly status: 'TEMP' | 'TIMEOUT' | 'PERM'; readonly text: string };

/** Answers one question: the name of the map, and the key, whose bytes that are no UTF-8 are lone surrogates. */
export type MapAnswer = (map: string, key: string) => MapReply | Promise<MapReply>;

/** Where a server listens. */
export type MapListen =
  | {
      readonly path: string;
      /** Permission bits of the socket; who may not write to it cannot ask. @default 0o660 */
      readonly mode?: number;
      /** The number of the socket's group. @default that of the process */
      readonly group?: number;
    }
  | { readonly host: string; readonly port: number };

/** Options of {@link serveSocketMap}. */
export interface SocketMapOptions {
  readonly listen: MapListen;
  readonly answer: MapAnswer;
  /** Connections at once; those beyond are closed. @default 200 */
  readonly maxConnections?: number;
  /** Milliseconds for a question that has begun to be complete, and for its answer to be found. @default 5000 */
  readonly deadline?: number;
  /**
   * Milliseconds for which a connection may be silent. Sendmail takes it for a failure when a connection that it kept is
   * closed; Postfix does not. @default 600000
   */
  readonly idle?: number;
  /** Is told what goes wrong. @default nobody is */
  readonly logger?: Logger;
}

/** A server that listens. */
export interface SocketMapServer extends AsyncDisposable {
  /** `unix:/path` or `inet:port@host`. */
  readonly address: string;
  /** Stops listening, and closes the connections. */
  close(): Promise<void>;
}

const KINDS: Kinds<SocketMapOptions> = {
  listen: object<MapListen>(),
  answer: callback<MapAnswer>(),
  maxConnections: integer(1, 10_000),
  deadline: milliseconds,
  idle: milliseconds,
  logger: having<Logger>('debug', 'info', 'warn', 'error'),
};

/**
 * Serves socket maps: many questions on each connection, answered one after the other.
 *
 * ```ts
 * const server = await serveSocketMap({
 *   listen: { path: '/run/milter/socketmap.sock' },
 *   answer: (map, key) => (key === 'a@example.com' ? { status: 'OK', value: 'b@example.com' } : { status: 'NOTFOUND' }),
 * });
 * ```
 * @throws TypeError for unknown options and impossible values; rejects with MilterError `ERR_MILTER_ADDRESS_IN_USE` or
 *   `ERR_MILTER_SOCKET` where it cannot listen there
 */
export async function serveSocketMap(options: SocketMapOptions): Promise<SocketMapServer> {
  checkOptions('serveSocketMap option', options, KINDS, wrongArgument);
  const { listen, answer, maxConnections = 200, deadline = 5_000, idle = 600_000, logger } = options;
  if (listen === undefined || answer === undefined)
    throw wrongArgument('serveSocketMap needs the options "listen" and "answer"');
  const sockets = new Set<Socket>();
  const trouble = (error: unknown, what: string): void => logger?.warn({ error }, what);
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    socket.setTimeout(idle, () => socket.destroy());
    // A client that goes away is no trouble.
    socket.on('error', () => socket.destroy());
    converse(socket, answer, deadline, trouble).catch((error: unknown) => {
      if (!socket.destroyed) trouble(error, 'a question to the socket map could not be answered');
      socket.destroy();
    });
  });
  server.maxConnections = maxConnections;
  let isFull = false;
  server.on('connection', () => {
    isFull = false;
  });
  server.on('drop', () => {
    if (!isFull) trouble(undefined, `more than ${maxConnections} connections to the socket map`);
    isFull = true;
  });
  const address = await bind(server, listen);
  server.on('error', (error) => trouble(error, 'the socket map server fails'));
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return { address, close, [Symbol.asyncDispose]: close };
}

type Trouble = (error: unknown, what: string) => void;

async function converse(
  socket: Socket,
  answer: MapAnswer,
  deadline: number,
  trouble: Trouble,
): Promise<void> {
  const reader = new NetstringReader();
  let late: NodeJS.Timeout | undefined;
  const watch = (): void => {
    if (reader.isInside) late ??= setTimeout(() => socket.destroy(), deadline);
    else {
      clearTimeout(late);
      late = undefined;
    }
  };
  try {
    for await (const bytes of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      for (const question of reader.push(bytes)) {
        watch();
        if (!socket.write(await ask(question, answer, deadline, trouble))) await drained(socket);
      }
      watch();
    }
  } catch (error) {
    if (!(error instanceof NetstringFault)) throw error;
    trouble(error, 'the socket map was asked by something that is no mail server');
    socket.write(write({ status: 'PERM', text: error.message }));
    socket.destroySoon();
  } finally {
    clearTimeout(late);
  }
}

/** Resolves when more can be written; rejects when it never can. */
async function drained(socket: Socket): Promise<void> {
  const gone = new AbortController();
  const closed = (): void => gone.abort();
  socket.once('close', closed);
  try {
    await once(socket, 'drain', { signal: gone.signal });
  } finally {
    socket.off('close', closed);
  }
}

async function ask(question: Buffer, answer: MapAnswer, deadline: number, trouble: Trouble): Promise<Buffer> {
  const text = decodeText(question);
  const space = text.indexOf(' ');
  if (space < 1)
    return write({ status: 'PERM', text: 'a question is the name of a map, a blank, and a key' });
  try {
    const reply = answer(text.slice(0, space), text.slice(space + 1));
    return write(reply instanceof Promise ? await inTime(reply, deadline, trouble) : reply);
  } catch (error) {
    trouble(error, 'a question to the socket map could not be answered');
    return write({ status: 'TEMP', text: 'internal error' });
  }
}

async function inTime(reply: Promise<MapReply>, deadline: number, trouble: Trouble): Promise<MapReply> {
  const late = Promise.withResolvers<MapReply>();
  const timer = setTimeout(() => {
    trouble(undefined, `the socket map had no answer within ${deadline} ms`);
    late.resolve({ status: 'TIMEOUT', text: 'no answer in time' });
  }, deadline);
  try {
    return await Promise.race([reply, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** With a blank behind the word, whatever follows: without it Sendmail 8.17 crashes. */
function write(reply: MapReply): Buffer {
  const text = reply.status === 'OK' ? reply.value : reply.status === 'NOTFOUND' ? '' : reply.text;
  const bytes = encodeText(`${reply.status} ${text}`);
  return bytes.length <= MAX_NETSTRING
    ? netstring(bytes)
    : write({ status: 'PERM', text: 'the answer is too long' });
}

async function bind(server: Server, listen: MapListen): Promise<string> {
  const isUnix = 'path' in listen;
  const wanted = isUnix ? `unix:${listen.path}` : `inet:${listen.port}@${listen.host}`;
  const what = `socket map ${wanted}`;
  if (isUnix) await clearSocketFile(what, listen.path, true);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === 'EADDRINUSE';
      const why = inUse ? 'another program listens there' : cause.message;
      const code = inUse ? 'ERR_MILTER_ADDRESS_IN_USE' : 'ERR_MILTER_SOCKET';
      reject(new MilterError(code, `${what}: ${why}`, { cause }));
    });
    server.listen(isUnix ? { path: listen.path } : { host: listen.host, port: listen.port }, resolve);
  });
  server.removeAllListeners('error');
  if (isUnix) {
    try {
      if (listen.group !== undefined) chownSync(listen.path, -1, listen.group);
      chmodSync(listen.path, listen.mode ?? 0o660);
    } catch (cause) {
      server.close();
      throw new MilterError('ERR_MILTER_SOCKET', `${what}: its group or mode cannot be set`, { cause });
    }
  }
  const bound = server.address();
  return bound === null || typeof bound === 'string' ? wanted : `inet:${bound.port}@${bound.address}`;
}
