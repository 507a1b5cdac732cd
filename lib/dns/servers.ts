/** Which name servers to ask. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { wrongArgument } from '../errors.ts';

/** Where a name server listens. */
export interface Server {
  readonly address: string;
  readonly family: 4 | 6;
  readonly port: number;
}

const RESOLV_CONF = '/etc/resolv.conf';
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

/** The `nameserver` lines of /etc/resolv.conf, in order; this host where there are none, as resolv.conf(5) has it. */
export function systemServers(path: string = RESOLV_CONF): Server[] {
  let text = '';
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    // A host without the file asks itself.
  }
  const addresses = [...text.matchAll(/^nameserver[ \t]+(\S+)/gm)].map(([, address = '']) => address);
  const usable = addresses.filter((address) => isIP(address) !== 0);
  return (usable.length > 0 ? usable : ['127.0.0.1']).map(parseServer);
}
