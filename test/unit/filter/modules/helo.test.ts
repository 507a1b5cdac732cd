import { networkInterfaces } from 'node:os';
import { describe, expect, it } from 'vitest';
import { testFilter } from '../../../helpers/filter.ts';

const helo = (options = ''): string => `[[module]]\nuse = "helo"\n${options}\n`;

async function found(config: string, name: string, more = {}): Promise<readonly string[]> {
  await using filter = await testFilter(config);
  await filter.send({ helo: name, hostname: 'mail.example.org', ...more });
  return (await filter.last())?.findings.map((finding) => `${finding.name} ${finding.action}`) ?? [];
}

describe('a HELO name', () => {
  it.each([['192.0.2.7'], ['2001:db8::1'], ['192.0.2.7.']])(
    'that is the bare address %s is refused',
    async (name) => {
      expect(await found(helo(), name)).toEqual(['helo-address reject']);
    },
  );

  it.each([['[192.0.2.7]'], ['[IPv6:2001:db8::1]'], ['mail.example.org'], ['localhost.localdomain']])(
    'that is %s is let pass',
    async (name) => {
      expect(await found(helo(), name)).toEqual([]);
    },
  );

  it('is missing', async () => {
    expect(await found(helo(), '')).toEqual(['helo-missing reject']);
  });

  it('is ours: the machine’s name', async () => {
    expect(await found(helo(), 'MX.Example.com.')).toEqual(['helo-ours reject']);
  });

  it('is ours: a domain', async () => {
    const networks = '[[module]]\nuse = "networks"\ndomains = ["example.net"]\n';
    expect(await found(networks + helo(), 'example.net')).toEqual(['helo-ours reject']);
    expect(await found(networks + helo(), 'mail.example.net')).toEqual([]);
  });

  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;
  it.skipIf(own === undefined)('is ours: an address of this machine', async () => {
    expect(await found(helo(), `[${own}]`)).toEqual(['helo-ours reject']);
    // The machine itself may.
    expect(await found(helo(), `[${own}]`, { address: own })).toEqual([]);
  });

  it('is ours: the address at which the MTA was reached', async () => {
    for (const macro of ['{daemon_addr}', '{if_addr}']) {
      expect(await found(helo(), '[198.51.100.25]', { macros: { [macro]: '198.51.100.25' } })).toEqual([
        'helo-ours reject',
      ]);
    }
  });

  it('is blocked', async () => {
    const block = helo('block = ["bad.example", "*.dyn.example"]');
    expect(await found(block, 'bad.example')).toEqual(['helo-blocked reject']);
    expect(await found(block, 'x.dyn.example')).toEqual(['helo-blocked reject']);
    expect(await found(block, 'good.example')).toEqual([]);
  });

  it.each(['missing', 'address', 'ours', 'blocked'])('does what %s says', async (key) => {
    const names = { missing: '', address: '192.0.2.7', ours: 'mx.example.com', blocked: 'bad.example' };
    const config = helo(`block = ["bad.example"]\n${key} = "score 2"`);
    expect(await found(config, names[key as keyof typeof names])).toEqual([`helo-${key} score 2`]);
  });

  it('of internal clients is not looked at', async () => {
    const networks = '[[module]]\nuse = "networks"\n';
    expect(await found(networks + helo(), '127.0.0.1', { address: '127.0.0.1' })).toEqual([]);
  });

  it('is told in the reply, harmlessly', async () => {
    await using filter = await testFilter(helo('block = [".example"]'));
    const { recipients } = await filter.send({ helo: 'x\u0007%s.example', hostname: 'mail.example.org' });
    expect(recipients[0]?.reply?.lines[0]).toMatch(
      /^We take no mail from a machine that calls itself x.%s\.example \[ref/,
    );
  });
});

it.each([
  ['address = "refuse"', 'address: must be an action'],
  ['block = ["a b"]', 'block[0]'],
  ['blocks = []', 'did you mean "block"?'],
])('refuses %s', async (options, message) => {
  await expect(testFilter(helo(options))).rejects.toThrow(message);
});
