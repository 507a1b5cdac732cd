/** What the client calls itself. */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Milter } from '../../index.ts';
import { ClientJudge, defineModule, type JudgedClient, kinds, whoRole, z } from '../kit.ts';

export default defineModule({
  name: 'helo',
  when: ['external'],
  stage: 'envelope',
  options: z.strictObject({
    missing: kinds.action('reject').describe('It said neither HELO nor EHLO'),
    address: kinds.action('reject').describe('It said a bare IP address'),
    ours: kinds.action('reject').describe('It said a name, domain or address of ours'),
    block: kinds.addresses().describe('Names'),
    blocked: kinds.action('reject').describe('It said one of these'),
  }),
  findings: {
    missing: {
      about: 'client',
      text: 'no HELO',
      code: 550,
      enhanced: '5.5.1',
      reply: 'Say HELO first (RFC 5321 section 4.1.4)',
    },
    address: {
      about: 'helo',
      text: 'HELO with a bare IP address',
      enhanced: '5.5.2',
      reply:
        'Your HELO %{helo} is a bare IP address; it must be a host name or an address in brackets (RFC 5321 section 4.1.3)',
    },
    ours: {
      about: 'helo',
      text: 'HELO with a name of ours',
      reply: 'Your HELO %{helo} is a name of ours, not of yours',
    },
    blocked: {
      about: 'helo',
      text: 'HELO with a name that is blocked here',
      reply: 'We take no mail from a machine that calls itself %{helo}',
    },
  },
  setup: ({ options, services }) => {
    const addresses = ownAddresses();
    /** One of our names, domains or addresses, said by somebody else. */
    function isOurs(claimed: string, from: string | undefined, { session }: Milter): boolean {
      if (claimed === services.hostname.toLowerCase()) return true;
      const address = claimed.replace(/^\[(?:ipv6:)?(.*)\]$/, '$1');
      if (isIP(address) === 0) return services.role(whoRole)?.isOurs(claimed) === true;
      // The MTA may run on another machine: it tells at which of its addresses the client came in.
      const entrances = [session.macro('daemon_addr'), session.macro('if_addr')];
      return address !== from && (addresses.has(address) || entrances.includes(address));
    }

    return class Helo extends ClientJudge {
      override judge({ helo, address }: JudgedClient): void {
        const name = helo.toLowerCase().replace(/\.$/, '');
        if (name === '') {
          services.found(this, 'missing', options.missing);
          return;
        }
        if (isIP(name) !== 0) services.found(this, 'address', options.address);
        if (isOurs(name, address, this)) services.found(this, 'ours', options.ours);
        if (options.block.hasDomain(name)) services.found(this, 'blocked', options.blocked);
      }
    };
  },
});

/** This machine's own addresses, but for those of the loopback. */
function ownAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return new Set(all.filter(({ internal }) => !internal).map(({ address }) => address.toLowerCase()));
}
