import { describe, expect, it } from 'vitest';
import { fakeSession, MemoryResolver } from '../../../../lib/testing/index.ts';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';

const ptr = (options = ''): string => `[[module]]\nuse = "ptr"\n${options}\n`;
const all = ptr('missing = "score 1"\ndynamic = "score 2"\nlocalhost = "score 3"');

const zone = {
  '7.2.0.192.in-addr.arpa': { PTR: ['mail.example.org'] },
  'mail.example.org': { A: ['192.0.2.7'] },
  '8.2.0.192.in-addr.arpa': { PTR: ['mail.example.org'] },
  '9.2.0.192.in-addr.arpa': 'servfail',
  '10.2.0.192.in-addr.arpa': { PTR: ['adsl-192-0-2-10.example.net'] },
  'adsl-192-0-2-10.example.net': { A: ['192.0.2.10'] },
  '11.2.0.192.in-addr.arpa': { PTR: ['localhost'] },
  localhost: { A: ['127.0.0.1'] },
  '12.2.0.192.in-addr.arpa': { PTR: ['.'] },
} as const;

async function found(mail: TestMail, config = all): Promise<readonly string[]> {
  await using filter = await testFilter(config, { zone });
  await filter.send({ helo: 'helo.example', hostname: 'unknown', ...mail });
  return (await filter.last())?.findings.map(({ name, action }) => `${name} ${action}`) ?? [];
}

describe('a client’s name', () => {
  it('is the MTA’s, and DNS is not asked', async () => {
    expect(await found({ hostname: 'other.example', address: '192.0.2.99' })).toEqual([]);
  });

  it.each([
    ['confirmed by DNS', '192.0.2.7', []],
    ['not confirmed by DNS', '192.0.2.8', ['ptr-missing score 1']],
    ['nowhere', '192.0.2.99', ['ptr-missing score 1']],
    ['not to be had now', '192.0.2.9', []],
    ['that of a dial-up line', '192.0.2.10', ['ptr-dynamic score 2']],
    ['localhost', '192.0.2.11', ['ptr-localhost score 3', 'ptr-missing score 1']],
    ['a dot', '192.0.2.12', ['ptr-localhost score 3', 'ptr-missing score 1']],
  ])('is %s, where the MTA has none', async (_, address, findings) => {
    expect(await found({ address })).toEqual(findings);
    expect(await found({ address, hostname: `[${address}]` })).toEqual(findings);
  });

  it.each([
    ['OK', []],
    ['FAIL', ['ptr-missing score 1']],
    ['FORGED', ['ptr-missing score 1']],
    ['TEMP', []],
  ])('is what {client_resolve} says: %s', async (resolve, findings) => {
    const macros = { '{client_resolve}': resolve };
    expect(await found({ hostname: 'mx.example.net', address: '192.0.2.99', macros })).toEqual(findings);
  });

  it.each(['localhost', 'localhost.', '.'])('is absurd by {client_ptr}: %s', async (name) => {
    const findings = ['ptr-localhost score 3', 'ptr-missing score 1'];
    expect(await found({ address: '192.0.2.99', macros: { '{client_ptr}': name } })).toEqual(findings);
  });

  it('is absurd where the MTA takes it for one', async () => {
    expect(await found({ hostname: 'localhost' })).toEqual(['ptr-localhost score 3']);
    expect(await found({ hostname: 'localhost', address: '127.0.0.1' })).toEqual([]);
  });
});

it('does nothing but refuse localhost, unless told', async () => {
  expect(await found({ address: '192.0.2.99' }, ptr())).toEqual(['ptr-missing continue']);
  expect(await found({ address: '192.0.2.10' }, ptr())).toEqual(['ptr-dynamic continue']);
  await using filter = await testFilter(ptr(), { zone });
  const { recipients } = await filter.send({ hostname: 'localhost' });
  expect(recipients[0]?.reply).toMatchObject({ code: 550, enhanced: '5.7.25' });
  expect(recipients[0]?.reply?.lines[0]).toContain('192.0.2.7 has the name "localhost"');
});

it('asks once a session', async () => {
  const resolver = new MemoryResolver(zone);
  await using filter = await testFilter(all, { resolver });
  await using mta = fakeSession(filter.Filter);
  const envelope = { client: { hostname: 'unknown', address: '192.0.2.8' }, sender: 'a@example.org' };
  for (const recipients of [['b@example.com'], ['c@example.com']]) {
    await mta.sendMessage('Subject: x\n\n', { ...envelope, recipients });
  }
  expect(resolver.queries.filter(({ name }) => name === 'mail.example.org')).toHaveLength(1);
});

it('judges the client behind a relay at the end', async () => {
  const relay = '[[module]]\nuse = "networks"\nrelays = ["198.51.100.1"]\nrelayed = "discard"\n';
  await using filter = await testFilter(relay + ptr('missing = "reject"'), { zone });
  const { verdict } = await filter.send({
    address: '198.51.100.1',
    hostname: 'relay.example.net',
    eml: 'Received: from x (unknown [192.0.2.99]) by relay.example.net\nSubject: x\n\n',
  });
  expect(verdict).toBe('discard');
});

it('goes on when DNS is dead', async () => {
  await using filter = await testFilter(ptr('missing = "reject"\ndeadline = "20ms"'), {
    resolver: { resolve: () => new Promise(() => {}) },
  });
  expect((await filter.send({ hostname: 'unknown' })).verdict).toBe('continue');
  expect((await filter.last())?.findings).toContainEqual(
    expect.objectContaining({ name: 'ptr-error', action: 'continue', note: 'its time is up' }),
  );
});

it.each([
  ['missing = "maybe"', 'missing: must be an action'],
  ['when = ["incoming"]', 'when'],
  ['dynamics = "reject"', 'did you mean "dynamic"?'],
])('refuses %s', async (options, message) => {
  await expect(testFilter(ptr(options))).rejects.toThrow(message);
});
