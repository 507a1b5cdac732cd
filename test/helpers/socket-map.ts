/** Asks a socket map as an MTA does, on one connection. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { NetstringReader, netstring } from '../../lib/srs/netstring.ts';

/** A connection to a socket map. */
export interface MapClient extends Disposable {
  /** What it says of a key. */
  ask(map: string, key: string): Promise<string>;
  /** Sends bytes as they are. */
  write(bytes: string | Buffer): void;
  /** The next answer; undefined when the server has closed the connection. */
  next(): Promise<string | undefined>;
  /** Resolves when the server has closed the connection. */
  readonly closed: Promise<unknown>;
}

/** Connects; `address` is what `serveSocketMap` calls it. */
export async function connectMap(address: string): Promise<MapClient> {
  const [, path, port, host] = /^unix:(.*)$|^inet:(\d+)@(.*)$/.exec(address) ?? [];
  const socket = path === undefined ? connect(Number(port), host) : connect(path);
  await once(socket, 'connect');
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const answers = answersOf(socket);
  const next = async (): Promise<string | undefined> => (await answers.next()).value ?? undefined;
  return {
    ask: async (map, key) => {
      socket.write(netstring(Buffer.from(`${map} ${key}`, 'latin1')));
      return (await next()) ?? 'closed';
    },
    write: (bytes) => void socket.write(bytes),
    next,
    closed,
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

async function* answersOf(socket: AsyncIterable<Buffer>): AsyncGenerator<string, undefined> {
  const reader = new NetstringReader();
  try {
    for await (const bytes of socket) for (const one of reader.push(bytes)) yield one.toString('latin1');
  } catch {
    // Reset: the same as closed.
  }
  return undefined;
}
