/** The servers of tests: on an unused port, with a count of their clients, and gone when they are disposed of. */
import { once } from 'node:events';
import { createServer, type ServerOpts, type Socket } from 'node:net';

/** A running server. */
export interface TcpServer extends AsyncDisposable {
  /** Of 127.0.0.1. */
  readonly port: number;
  /** Clients that are connected now, and the most there were at once. */
  readonly clients: { readonly now: number; readonly most: number };
}

/** Starts one. When it is disposed of, its clients are cut off. */
export async function tcpServer(
  serve: (socket: Socket) => void,
  options: Pick<ServerOpts, 'allowHalfOpen'> = {},
): Promise<TcpServer> {
  const sockets = new Set<Socket>();
  const clients = { now: 0, most: 0 };
  const server = createServer(options, (socket) => {
    sockets.add(socket);
    clients.now = sockets.size;
    clients.most = Math.max(clients.most, clients.now);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      clients.now = sockets.size;
    });
    serve(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port');
  return {
    port: address.port,
    clients,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
