/** Making a resolver from options. */
import { wrongArgument } from '../errors.ts';
import { checkOptions, integer, type Kinds, milliseconds, oneOf, texts } from '../options.ts';
import type { Resolver } from './answer.ts';
import { DnsClient } from './client.ts';
import { NodeResolver } from './node.ts';
import { parseServer, systemServers } from './servers.ts';

/** Settings of {@link createResolver}; times are in milliseconds. */
export interface ResolverOptions {
  /** `dns2` is this package's own client; `node` is Node's, which is c-ares. @default 'dns2' */
  readonly backend?: 'dns2' | 'node';
  /** Recursive name servers, in the order of asking: `192.0.2.1`, `192.0.2.1:53`, `2001:db8::1`, `[2001:db8::1]:53`. @default those of /etc/resolv.conf */
  readonly servers?: readonly string[];
  /** For the first try at each server; each further round takes twice as long. @default 1500 */
  readonly timeout?: number;
  /** How often the servers are gone through. @default 2 */
  readonly tries?: number;
  /** For one answer, whatever it takes. @default 10000 */
  readonly deadline?: number;
}

const KINDS: Kinds<ResolverOptions> = {
  backend: oneOf('dns2', 'node'),
  servers: texts,
  timeout: milliseconds,
  tries: integer(1, 100),
  deadline: milliseconds,
};

/**
 * A resolver that asks name servers. It keeps nothing: put {@link cached} around it.
 * @throws TypeError for an unknown option or an impossible value
 */
export function createResolver(options: ResolverOptions = {}): Resolver {
  checkOptions('createResolver option', options, KINDS, wrongArgument);
  const { backend = 'dns2', timeout = 1500, tries = 2, deadline = 10_000 } = options;
  const servers = options.servers?.map(parseServer) ?? systemServers();
  if (servers.length === 0) throw wrongArgument('servers must name at least one name server');
  const settings = { servers, timeout, tries, deadline };
  return backend === 'dns2' ? new DnsClient(settings) : new NodeResolver(settings);
}
