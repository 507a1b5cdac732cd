/** Name servers: how they are written, and in which order they are asked. */
import { isIP } from 'node:net';
import { wrongArgument } from '../errors.ts';

/** Where a name server listens. */
export interface Server {
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
}

const DNS_PORT = 53;

/**
 * Reads `192.0.2.1`, `192.0.2.1:5353`, `2001:db8::1` or `[2001:db8::1]:5353`; the port is 53 where none is given.
 * @throws TypeError for anything else
 */
export function parseServer(text: string): Server {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? text;
  const family = isIP(address);
  const port = digits === undefined ? DNS_PORT : Number(digits);
  if ((family !== 4 && family !== 6) || port < 1 || port > 65_535) {
    throw wrongArgument(
      `"${text}" is no name server; write 192.0.2.1, 192.0.2.1:53, 2001:db8::1 or [2001:db8::1]:53`,
    );
  }
  return { address, family, port };
}

/** For so long a server that did not answer is asked after the others. */
export const SILENCE_MS = 30_000;

/** Remembers which servers are silent, so that a dead one does not cost its time-out on every question. */
export class ServerOrder {
  readonly #now: () => number;
  /** By server, until when it comes last. */
  readonly #silentUntil = new WeakMap<Server, number>();
  #turn = 0;

  /** @param now the clock, in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * The servers in the order of asking for one question: those that were silent of late come last.
   * @param rotate whether each question begins with another one
   */
  next(servers: readonly Server[], rotate: boolean): readonly Server[] {
    const start = rotate ? this.#turn++ % servers.length : 0;
    const turned = start === 0 ? servers : [...servers.slice(start), ...servers.slice(0, start)];
    const isSilent = (server: Server): boolean => (this.#silentUntil.get(server) ?? 0) > this.#now();
    if (!turned.some(isSilent)) return turned;
    return [...turned.filter((server) => !isSilent(server)), ...turned.filter(isSilent)];
  }

  /** Before a server is asked. One whose time is over is tried by this question alone; others still ask it last. */
  asking(server: Server): void {
    const until = this.#silentUntil.get(server);
    if (until !== undefined && until <= this.#now()) this.silent(server);
  }

  /** The server did not answer within its time. */
  silent(server: Server): void {
    this.#silentUntil.set(server, this.#now() + SILENCE_MS);
  }

  /** The server answered, whatever it said. */
  heard(server: Server): void {
    this.#silentUntil.delete(server);
  }
}
