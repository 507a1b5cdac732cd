/** A mail server for tests that says what it is told, also what no server should. */
import { type TcpServer, tcpServer } from './tcp-server.ts';

/** A running server. */
export interface SmtpServer extends TcpServer {
  /** What was said to it, by all clients. */
  readonly commands: readonly string[];
}

/**
 * Starts a server.
 * @param answer the reply to a command, `''` being the connection itself; undefined: `250 ok`, and a greeting
 */
export async function smtpServer(
  answer: (command: string) => string | undefined | Promise<string | undefined> = () => undefined,
): Promise<SmtpServer> {
  const commands: string[] = [];
  const server = await tcpServer((socket) => {
    const reply = async (command: string): Promise<void> => {
      const text = (await answer(command)) ?? (command === '' ? '220 hop.test' : '250 ok');
      if (socket.writable) socket.write(`${text}\r\n`);
    };
    void reply('');
    socket.setEncoding('utf8').on('data', (text: string) => {
      for (const command of text.split('\r\n').filter((line) => line !== '')) {
        commands.push(command);
        if (command === 'QUIT') socket.end('221 bye\r\n');
        else void reply(command);
      }
    });
  });
  return { ...server, commands };
}
