/** An authoritative name server for one zone, on UDP and TCP. */
import { MilterError } from '../errors.ts';
import { parseIp } from '../ip.ts';
import { RateLimit } from './rate-limit.ts';
import { Responder } from './responder.ts';
import { TcpSide } from './tcp.ts';
import { UdpSide } from './udp.ts';
import { Zone, type ZoneOptions } from './zone.ts';

/** How {@link NameServer.listen} serves. */
export interface NameServerOptions {
  /** An IPv4 or IPv6 address of this machine; `0.0.0.0` and `::` are all of them. */
  readonly host: string;
  readonly port: number;
  readonly zone: ZoneOptions;
  /** Answers a second over UDP to one network, an IPv4 /24 or IPv6 /56; 0: no limit. @default 200 */
  readonly rate?: number;
  /** Addresses for which `rate` does not count. This machine's own are never limited. @default none */
  readonly isUnlimited?: (address: string) => boolean;
  /** Milliseconds after which a TCP connection without a whole query ends. @default 10 000 */
  readonly idle?: number;
  /** TCP connections at once; those beyond are closed. @default 100 */
  readonly connections?: number;
}

/** Wrong signatures a second from one network. */
const GUESSES = 20;

/** A name server that listens. */
export class NameServer {
  /** Where, as `127.0.0.1:5353` or `[::1]:5353`. */
  readonly address: string;
  readonly #responder: Responder;
  readonly #udp: UdpSide;
  readonly #tcp: TcpSide;

  private constructor(address: string, responder: Responder, udp: UdpSide, tcp: TcpSide) {
    this.address = address;
    this.#responder = responder;
    this.#udp = udp;
    this.#tcp = tcp;
  }

  /**
   * Begins to serve.
   * @throws TypeError for an impossible zone; MilterError where the port cannot be had
   */
  static async listen(options: NameServerOptions): Promise<NameServer> {
    const { host, port, rate = 200, isUnlimited = () => false } = options;
    const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
    const family = parseIp(host)?.family === 4 && !host.includes(':') ? 4 : 6;
    const guesses = new RateLimit(GUESSES);
    const responder = new Responder(new Zone(options.zone), guesses);
    const udp = new UdpSide(responder, family, { rate, isUnlimited });
    const tcp = new TcpSide(responder, options);
    try {
      await udp.listen(port, host);
      await tcp.listen(port, host);
    } catch (error) {
      await udp.close().catch(() => {});
      throw cannotListen(address, error as NodeJS.ErrnoException);
    }
    return new NameServer(address, responder, udp, tcp);
  }

  /** Answers from another version of the zone from now on. */
  set zone(options: ZoneOptions) {
    this.#responder.zone = new Zone(options);
  }

  /** Ends at once: a query that is under way is asked again, elsewhere. */
  async close(): Promise<void> {
    await Promise.all([this.#udp.close(), this.#tcp.close()]);
  }
}

function cannotListen(address: string, error: NodeJS.ErrnoException): MilterError {
  const isTaken = error.code === 'EADDRINUSE';
  const advice =
    error.code === 'EACCES' ? ': ports below 1024 are for root, or need CAP_NET_BIND_SERVICE' : '';
  return new MilterError(
    isTaken ? 'ERR_MILTER_ADDRESS_IN_USE' : 'ERR_MILTER_SOCKET',
    isTaken ? `somebody else listens at ${address} already` : `cannot listen at ${address}${advice}`,
    { cause: error },
  );
}
