/** libmilter's socket specs, read from the side that dials. */
import { MilterError } from '../errors.ts';

/** Where to dial. */
export type DialAddress =
  | { readonly path: string }
  | { readonly host: string; readonly port: number; readonly family: 4 | 6 };

/**
 * Reads `unix:/path`, `local:/path`, `/path`, `inet:port@host` or `inet6:port@host`; an IP address may wear
 * square brackets. Without a host it is this machine, since a filter with such a spec listens everywhere.
 * @throws MilterError ERR_MILTER_SOCKET when it is none of these
 */
export function parseDialSpec(spec: string): DialAddress {
  const path = /^(?:(?:unix|local)?:)?(\/.*)$/is.exec(spec)?.[1];
  if (path !== undefined) return { path };
  const [, six, port, host] = /^inet(6?):(\d+)(?:@\[?([^[\]@]+)\]?)?$/i.exec(spec) ?? [];
  if (port === undefined || Number(port) < 1 || Number(port) > 65_535) {
    throw new MilterError(
      'ERR_MILTER_SOCKET',
      `"${spec}" is no address to dial; write unix:/path, inet:port@host or inet6:port@host`,
    );
  }
  return six === '6'
    ? { host: host ?? '::1', port: Number(port), family: 6 }
    : { host: host ?? '127.0.0.1', port: Number(port), family: 4 };
}
