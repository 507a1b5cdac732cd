/**
 * libmilter's socket specs. libmilter itself takes `inet:99999` for port 34463 and says nowhere what it dislikes,
 * so a spec is checked here first.
 */
import { resolve } from 'node:path';
import { MilterError } from '../errors.ts';

/** A spec that libmilter will take. */
export interface Socket {
  /** As libmilter takes it: with its scheme, and without brackets around an address. */
  readonly spec: string;
  /** The path of a unix socket, else empty. */
  readonly unixPath: string;
}

/** `sun_path` has room for this many bytes before the NUL. */
const MAX_PATH = process.platform === 'linux' ? 107 : 103;

const EXAMPLES = 'write for instance unix:/run/milter/filter.sock, inet:8894@127.0.0.1 or inet6:8894@::1';

/**
 * Checks a spec: `unix:PATH`, `local:PATH`, a bare path, `inet:PORT@HOST`, `inet6:PORT@HOST`, `fd:NUMBER`.
 * @throws MilterError `ERR_MILTER_SOCKET`
 */
export function parseSocket(spec: string): Socket {
  if (typeof spec !== 'string' || spec === '') throw fault(String(spec), 'is empty');
  if (spec.includes('\0')) throw fault(spec, 'holds a NUL');
  const colon = spec.startsWith('/') ? -1 : spec.indexOf(':');
  if (colon < 0 && !spec.includes('/')) throw fault(spec, 'is neither a path nor has a scheme');
  const scheme = colon <= 0 ? 'unix' : spec.slice(0, colon).toLowerCase();
  const rest = spec.slice(colon + 1);
  switch (scheme) {
    case 'unix':
    case 'local':
      return parsePath(spec, rest);
    case 'inet':
    case 'inet6':
      return parsePort(spec, scheme, rest);
    case 'fd':
      if (!/^\d{1,6}$/.test(rest))
        throw fault(spec, 'needs the number of a listening descriptor, as in fd:3');
      return { spec: `fd:${rest}`, unixPath: '' };
    default:
      throw fault(spec, `begins with ${scheme}:, which is none of unix:, local:, inet:, inet6:, fd:`);
  }
}

function parsePath(spec: string, path: string): Socket {
  if (path === '') throw fault(spec, 'lacks the path');
  // The process may change its folder, and the MTA is in another anyway.
  const absolute = resolve(path);
  const bytes = Buffer.byteLength(absolute);
  if (bytes > MAX_PATH) throw fault(spec, `has a path of ${bytes} bytes; a socket's may have ${MAX_PATH}`);
  return { spec: `unix:${absolute}`, unixPath: absolute };
}

function parsePort(spec: string, scheme: string, rest: string): Socket {
  const at = rest.indexOf('@');
  const port = at < 0 ? rest : rest.slice(0, at);
  const host = at < 0 ? '' : rest.slice(at + 1);
  if (/^\d+$/.test(port)) {
    if (Number(port) > 65_535) throw fault(spec, `has port ${port}; the highest is 65535`);
  } else if (!/^[A-Za-z][A-Za-z0-9-]*$/.test(port)) {
    throw fault(spec, port === '' ? 'lacks the port' : `has "${port}" where the port belongs`);
  }
  if (at >= 0 && host === '') throw fault(spec, 'lacks the host after @');
  if (host.includes(':') && scheme === 'inet') throw fault(spec, 'has an IPv6 address; use inet6:');
  // libmilter takes brackets around an IPv4 address only.
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  return { spec: at < 0 ? `${scheme}:${port}` : `${scheme}:${port}@${bare}`, unixPath: '' };
}

function fault(spec: string, what: string): MilterError {
  return new MilterError('ERR_MILTER_SOCKET', `socket ${JSON.stringify(spec)} ${what}; ${EXAMPLES}`);
}
