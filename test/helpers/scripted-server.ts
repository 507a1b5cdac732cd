/** A server that says and does what a test wants, right or wrong. */
import type { Socket } from 'node:net';
import { type TcpServer, tcpServer } from './tcp-server.ts';

/** What it does with a connection; `heard` is all that came so far, one character a byte. */
export type Script = (socket: Socket, heard: () => string) => void;

/** A running server. */
export interface ScriptedServer extends TcpServer {
  /** What each connection brought, in the order in which they came. */
  readonly heard: readonly string[];
}

/** Starts one. */
export async function scriptedServer(script: Script): Promise<ScriptedServer> {
  const heard: string[] = [];
  const server = await tcpServer(
    (socket) => {
      const index = heard.push('') - 1;
      socket.setEncoding('latin1').on('data', (text: string) => {
        heard[index] += text;
      });
      script(socket, () => heard[index] ?? '');
    },
    { allowHalfOpen: true },
  );
  return { ...server, heard };
}
