/** Connections to mail servers elsewhere. */
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { parseIp } from '../../ip.ts';
import { SmtpTrouble } from './smtp-conversation.ts';

/** Begins a connection to a port of an address. */
export type Dial = (address: string, port: number) => Socket;

/** As the system does it. */
export const dialDirectly: Dial = (address, port) => connect(port, address);

const SMTP_PORT = 25;
/** Milliseconds after which the next address is tried beside (RFC 8305 section 8). */
const HEAD_START = 250;

/**
 * A connection to whichever of a server's addresses answers first, IPv6 and IPv4 by turns.
 * @param signal ends it; what was begun is given up
 * @throws SmtpTrouble where none answers
 */
export async function dialFirst(
  addresses: readonly string[],
  dial: Dial,
  signal: AbortSignal,
): Promise<Socket> {
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  let failed = Promise.resolve();
  const attempts = byTurns(addresses).map(async (address, i) => {
    const before = failed;
    const own = Promise.withResolvers<void>();
    failed = own.promise;
    try {
      // The next one's turn is early where this one fails.
      if (i > 0) await Promise.race([before, pause(HEAD_START * i, undefined, { signal: stop })]);
      stop.throwIfAborted();
      const socket = await connected(dial(address, SMTP_PORT), stop);
      // Of two that answer in the same moment the second is one too many: it hears that of the first.
      over.abort();
      return socket;
    } catch (error) {
      own.resolve();
      throw error;
    }
  });
  try {
    return await Promise.any(attempts);
  } catch (error) {
    const why = error instanceof AggregateError ? error.errors.at(-1) : error;
    const message = signal.aborted ? 'it took too long' : why instanceof Error ? why.message : String(why);
    throw new SmtpTrouble(message);
  } finally {
    over.abort();
  }
}

async function connected(socket: Socket, stop: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const give = (): void => reject(new Error('another address was faster'));
  stop.addEventListener('abort', give, { once: true });
  socket.once('connect', () => (stop.aborted ? give() : resolve(socket)));
  socket.once('error', reject);
  try {
    return await promise;
  } catch (error) {
    socket.on('error', () => {});
    socket.destroy();
    throw error;
  } finally {
    stop.removeEventListener('abort', give);
    socket.removeAllListeners('connect');
    socket.off('error', reject);
  }
}

function byTurns(addresses: readonly string[]): readonly string[] {
  const isSix = (address: string): boolean => parseIp(address)?.family === 6;
  const [six, four] = [addresses.filter(isSix), addresses.filter((address) => !isSix(address))];
  return Array.from({ length: Math.max(six.length, four.length) }, (_, i) => [six[i], four[i]])
    .flat()
    .filter((address) => address !== undefined);
}
