/** One query to one name server, over UDP or TCP. Every exchange ends within its limit and closes its socket. */
import { createSocket } from 'node:dgram';
import { connect } from 'node:net';
import type { Failed } from './answer.ts';
import type { Query, Reply } from './reply.ts';
import type { Server } from './servers.ts';

/** The length in front of a message over TCP has two bytes. */
const MAX_MESSAGE = 65_535;

/** How long an exchange may take. */
export interface Limit {
  readonly milliseconds: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Asks over UDP, from a socket and thus a port of its own. The socket is connected, so the kernel drops packets of other
 * senders, and tells at once when nobody listens.
 */
export function askUdp(server: Server, query: Query, limit: Limit): Promise<Reply | Failed> {
  return exchange(server, limit, (finish) => {
    const socket = createSocket(server.family === 6 ? 'udp6' : 'udp4');
    socket.on('error', (error) => finish({ status: 'timeout', reason: error.message }));
    socket.on('message', (bytes) => {
      const reply = query.read(bytes);
      if (reply === 'malformed') finish({ status: 'malformed', reason: 'broken reply' });
      else if (reply !== 'foreign') finish(reply);
    });
    socket.connect(server.port, server.address, () => socket.send(query.bytes));
    return () => socket.close();
  });
}

/** Asks over TCP (RFC 7766). The limit covers connecting, sending and the whole reply. */
export function askTcp(server: Server, query: Query, limit: Limit): Promise<Reply | Failed> {
  return exchange(server, limit, (finish) => {
    const received = Buffer.alloc(2 + MAX_MESSAGE);
    let size = 0;
    let isConnected = false;
    const socket = connect({ host: server.address, port: server.port }, () => {
      isConnected = true;
      const length = Buffer.alloc(2);
      length.writeUInt16BE(query.bytes.length);
      socket.write(Buffer.concat([length, query.bytes]));
    });
    socket.on('data', (bytes) => {
      size += bytes.copy(received, size);
      const end = 2 + received.readUInt16BE();
      if (size < 2 || size < end) return;
      // Copied, so that who keeps a record does not keep all of the buffer.
      const reply = query.read(Buffer.from(received.subarray(2, end)));
      if (typeof reply !== 'string') finish(reply);
      else finish({ status: 'malformed', reason: 'TCP: the reply is broken or to another query' });
    });
    socket.on('end', () =>
      finish({ status: 'malformed', reason: 'TCP: the connection ended within the reply' }),
    );
    socket.on('error', ({ message }) => {
      finish({ status: isConnected ? 'malformed' : 'timeout', reason: `TCP: ${message}` });
    });
    return () => socket.destroy();
  });
}

/** Runs an exchange until it finishes, its time is over or the signal fires, whichever comes first; then ends it. */
function exchange(
  { address, port }: Server,
  { milliseconds, signal }: Limit,
  start: (finish: (outcome: Reply | Failed) => void) => () => void,
): Promise<Reply | Failed> {
  return new Promise((resolve) => {
    let isOver = false;
    let end = (): void => {};
    const finish = (outcome: Reply | Failed): void => {
      if (isOver) return;
      isOver = true;
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      end();
      resolve(
        'status' in outcome ? { ...outcome, reason: `${address} port ${port}: ${outcome.reason}` } : outcome,
      );
    };
    const stop = (): void => finish({ status: 'timeout', reason: 'the query was stopped' });
    const timer = setTimeout(
      () => finish({ status: 'timeout', reason: `no reply within ${Math.ceil(milliseconds)} ms` }),
      milliseconds,
    );
    signal?.addEventListener('abort', stop, { once: true });
    try {
      end = start(finish);
      if (isOver) end();
    } catch (error) {
      // The system gives no socket.
      finish({ status: 'timeout', reason: String(error) });
    }
    if (signal?.aborted === true) stop();
  });
}
