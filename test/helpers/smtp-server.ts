/** A mail server for tests that says what it is told, also what no server should. */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';

/** A running server. */
export interface SmtpServer extends AsyncDisposable {
  /** Where on 127.0.0.1 it listens. */
  readonly port: number;
  /** What was said to it, by all clients. */
  readonly commands: readonly string[];
  /** Clients that are connected now, and the most there were at once. */
  readonly clients: { readonly now: number; readonly most: number };
}

/**
 * Starts a server.
 * @param answer the reply to a command, `''` being the connection itself; undefined: silence. Default: `250 ok` to everything
 */
export async function smtpServer(
  answer: (command: string) => string | undefined | Promise<string | undefined> = () => undefined,
  { otherwise = '250 ok' }: { readonly otherwise?: string | undefined } = {},
): Promise<SmtpServer> {
  const commands: string[] = [];
  const sockets = new Set<Socket>();
  const clients = { now: 0, most: 0 };
  const server = createServer((socket) => {
    sockets.add(socket);
    clients.now = sockets.size;
    clients.most = Math.max(clients.most, clients.now);
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      clients.now = sockets.size;
    });
    const reply = async (command: string): Promise<void> => {
      const text = (await answer(command)) ?? (command === '' ? '220 hop.test' : otherwise);
      if (text !== undefined && socket.writable) socket.write(`${text}\r\n`);
    };
    void reply('');
    socket.setEncoding('utf8').on('data', (text: string) => {
      for (const command of text.split('\r\n').filter((line) => line !== '')) {
        commands.push(command);
        if (command === 'QUIT') socket.end('221 bye\r\n');
        else void reply(command);
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port');
  return {
    port: address.port,
    commands,
    clients,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
