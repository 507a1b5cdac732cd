/** A server that says and does what a test wants, right or wrong. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** What it does with a connection; `heard` is all that came so far, one character a byte. */
export type Script = (socket: Socket, heard: () => string) => void;

/** A running server. */
export interface ScriptedServer extends AsyncDisposable {
  /** Of 127.0.0.1. */
  readonly port: number;
  /** What each connection brought, in the order in which they came. */
  readonly heard: readonly string[];
  /** Those that are open, and the most there were at once. */
  readonly clients: { readonly now: number; readonly most: number };
}

/** Starts one. */
export async function scriptedServer(script: Script): Promise<ScriptedServer> {
  const heard: string[] = [];
  const sockets = new Set<Socket>();
  const clients = { now: 0, most: 0 };
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const index = heard.push('') - 1;
    sockets.add(socket);
    clients.now = sockets.size;
    clients.most = Math.max(clients.most, clients.now);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      clients.now = sockets.size;
    });
    socket.setEncoding('latin1').on('data', (text: string) => {
      heard[index] += text;
    });
    script(socket, () => heard[index] ?? '');
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port');
  return {
    port: address.port,
    heard,
    clients,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
