/** Making a resolver from options. */
import { wrongArgument } from '../errors.ts';
import { checkOptions, flag, integer, type Kinds, milliseconds, oneOf, texts } from '../options.ts';
import type { Resolver } from './answer.ts';
import { type ClientSettings, DnsClient } from './client.ts';
import { NodeResolver } from './node.ts';
import { followResolvConf, type ResolvConf } from './resolv-conf.ts';
import { parseServer } from './servers.ts';

/** Settings of {@link createResolver}; times are in milliseconds. */
export interface ResolverOptions {
  /** `dns2` is this package's own client; `node` is Node's, which is c-ares. @default 'dns2' */
  readonly backend?: 'dns2' | 'node';
  /**
   * Recursive name servers, in the order of asking: `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]:53`.
   * @default those of /etc/resolv.conf, which is read anew when it changes
   */
  readonly servers?: readonly string[];
  /** Whether each question begins with another server. @default whether /etc/resolv.conf has the option `rotate` */
  readonly rotate?: boolean;
  /** For the first try at each server; each further round takes twice as long. @default that of /etc/resolv.conf, else 1500 */
  readonly timeout?: number;
  /** How often the servers are gone through. @default the `attempts` of /etc/resolv.conf, else 2 */
  readonly tries?: number;
  /** For one answer, whatever it takes. @default 10000 */
  readonly deadline?: number;
}

const KINDS: Kinds<ResolverOptions> = {
  backend: oneOf('dns2', 'node'),
  servers: texts,
  rotate: flag,
  timeout: milliseconds,
  tries: integer(1, 100),
  deadline: milliseconds,
};

/**
 * A resolver that asks name servers. It keeps nothing: put {@link cached} around it. Where `servers` are given,
 * /etc/resolv.conf is not looked at.
 * @throws TypeError for an unknown option or an impossible value
 */
export function createResolver(options: ResolverOptions = {}): Resolver {
  checkOptions('createResolver option', options, KINDS, wrongArgument);
  const settings = settingsFrom(options, followResolvConf());
  return options.backend === 'node' ? new NodeResolver(settings) : new DnsClient(settings);
}

/** The settings of each question: the same object until the system's change. */
export function settingsFrom(options: ResolverOptions, system: () => ResolvConf): () => ClientSettings {
  const { deadline = 10_000 } = options;
  const make = ({ servers, rotate, timeout, tries }: Partial<ResolvConf>): ClientSettings => ({
    servers: servers ?? [],
    rotate: options.rotate ?? rotate ?? false,
    timeout: options.timeout ?? timeout ?? 1500,
    tries: options.tries ?? tries ?? 2,
    deadline,
  });
  if (options.servers !== undefined) {
    const servers = options.servers.map(parseServer);
    if (servers.length === 0) throw wrongArgument('servers must name at least one name server');
    const settings = make({ servers });
    return () => settings;
  }
  let read: ResolvConf | undefined;
  let settings = make({});
  return () => {
    const now = system();
    if (now !== read) {
      read = now;
      const { timeout, servers } = now;
      // The C library has no deadline: each server shall have its turn before ours.
      settings = make({ ...now, timeout: timeout && Math.min(timeout, deadline / servers.length) });
    }
    return settings;
  };
}
