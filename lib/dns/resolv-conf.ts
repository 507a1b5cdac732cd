/** /etc/resolv.conf, as resolv.conf(5) has it, followed as it changes. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { parseServer, type Server } from './servers.ts';

/** What the file says. */
export interface ResolvConf {
  /** At most three; this host where the file names none. */
  readonly servers: readonly Server[];
  /** Milliseconds for the first try at each server: `options timeout`. */
  readonly timeout: number | undefined;
  /** How often the servers are gone through: `options attempts`. */
  readonly tries: number | undefined;
  /** Whether each question begins with another server: `options rotate`. */
  readonly rotate: boolean;
}

/** The C library's own bounds: more servers are left out, higher numbers lowered. */
const MAX_SERVERS = 3;
const MAX_TIMEOUT_S = 30;
const MAX_TRIES = 5;

/** Reads the text of the file. What it does not understand it passes over, as the C library does. */
export function parseResolvConf(text: string): ResolvConf {
  const servers: Server[] = [];
  const options = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trimEnd().split(/[ \t]+/);
    if (keyword === 'nameserver') {
      const [address = ''] = values;
      if (isIP(address) !== 0 && servers.length < MAX_SERVERS) servers.push(parseServer(address));
    } else if (keyword === 'options') {
      for (const value of values) {
        const [, name = '', digits = ''] = /^([a-z-]+)(?::(\d{1,9}))?$/.exec(value) ?? [];
        options.set(name, Number(digits));
      }
    }
  }
  const bounded = (name: string, most: number): number | undefined => {
    const number = options.get(name);
    return number === undefined ? undefined : Math.min(Math.max(number, 1), most);
  };
  const seconds = bounded('timeout', MAX_TIMEOUT_S);
  return {
    servers: servers.length > 0 ? servers : [parseServer('127.0.0.1')],
    timeout: seconds === undefined ? undefined : seconds * 1000,
    tries: bounded('attempts', MAX_TRIES),
    rotate: options.has('rotate'),
  };
}

/**
 * Follows the file: what is returned gives what it says now, the very same object until it changes. A host without the
 * file asks itself.
 */
export function followResolvConf(path: string = '/etc/resolv.conf'): () => ResolvConf {
  let version: string | undefined;
  let current = parseResolvConf('');
  return () => {
    // A few microseconds, for each question: as the C library does it.
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    const found = stat === undefined ? '' : `${stat.dev} ${stat.ino} ${stat.size} ${stat.ctimeNs}`;
    if (found !== version) {
      version = found;
      current = parseResolvConf(stat === undefined ? '' : readText(path));
    }
    return current;
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // It went away just now, or is not for us.
  }
}
