import { describe, expect, it } from 'vitest';
import { DnsList } from '../../../lib/dns/index.ts';
import { MemoryResolver, type MemoryZone } from '../../../lib/testing/index.ts';

const nibbles = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2';
const list = new DnsList('BL.example.net.');

describe('a name in a list', () => {
  it.each([
    ['192.0.2.99', '99.2.0.192.bl.example.net'],
    ['::ffff:192.0.2.99', '99.2.0.192.bl.example.net'],
    ['2001:db8::1', `${nibbles}.bl.example.net`],
    ['IPv6:2001:DB8::1', `${nibbles}.bl.example.net`],
    ['Spam.Example.', 'spam.example.bl.example.net'],
    ['', undefined],
    ['a..b', undefined],
    ['a.'.repeat(124), undefined],
  ])('of %j is %s', (subject, name) => {
    expect(list.name(subject)).toBe(name);
  });
});

describe('asking a list', () => {
  const at = '99.2.0.192.bl.example.net';
  const ask = (zone: MemoryZone, codes?: readonly string[]) =>
    new DnsList('bl.example.net', codes && { codes }).ask('192.0.2.99', new MemoryResolver(zone));

  it.each<[string, MemoryZone, readonly string[] | undefined, object]>([
    ['what is not listed', {}, undefined, { status: 'nxdomain' }],
    ['a code', { [at]: { A: ['127.0.0.2'] } }, undefined, { status: 'ok', records: ['127.0.0.2'], ttl: 300 }],
    [
      'several',
      { [at]: { A: ['127.0.0.4', '127.0.0.10'] } },
      undefined,
      { records: ['127.0.0.4', '127.0.0.10'] },
    ],
    ['127.0.0.1, which is none', { [at]: { A: ['127.0.0.1'] } }, undefined, { status: 'nodata', ttl: 300 }],
    ['a code elsewhere in 127/8', { [at]: { A: ['127.0.1.2'] } }, undefined, { status: 'nodata' }],
    [
      'one that is asked for there',
      { [at]: { A: ['127.0.1.2', '127.0.0.2'] } },
      ['127.0.1.0-127.0.1.255'],
      { status: 'ok', records: ['127.0.1.2'] },
    ],
    ['one code alone', { [at]: { A: ['127.0.0.3'] } }, ['127.0.0.2', '127.0.0.3'], { status: 'ok' }],
    ['another', { [at]: { A: ['127.0.0.4'] } }, ['127.0.0.2 - 127.0.0.3'], { status: 'nodata' }],
    ['a complaint', { [at]: { A: ['127.0.0.2', '127.255.255.254'] } }, undefined, { status: 'refused' }],
    [
      'a complaint, if wished for',
      { [at]: { A: ['127.255.255.1'] } },
      ['127.255.255.0-127.255.255.255'],
      { status: 'refused' },
    ],
    [
      'an address of the new owner of the zone',
      { [at]: { A: ['203.0.113.5'] } },
      undefined,
      { status: 'malformed' },
    ],
    ['no answer', { [at]: 'timeout' }, undefined, { status: 'timeout' }],
  ])('gives %s', async (_, zone, codes, expected) => {
    expect(await ask(zone, codes)).toMatchObject(expected);
  });

  it('passes the signal on, and asks nothing that cannot be asked', async () => {
    const { signal } = new AbortController();
    const asked: unknown[] = [];
    const resolver = {
      resolve: (...question: readonly unknown[]) => {
        asked.push(question);
        return { status: 'nxdomain' };
      },
    } as never;
    await list.ask('192.0.2.99', resolver, { signal });
    expect(asked).toEqual([[at, 'A', { signal }]]);
    expect(await list.ask('a..b', resolver)).toMatchObject({ status: 'badname' });
    expect(asked).toHaveLength(1);
  });
});

describe('the test entries of a list', () => {
  const zeros = '0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0';
  const zone = (listed: string, unlisted?: string) => ({
    [`${listed}.bl.example.net`]: { A: ['127.0.0.2'] },
    ...(unlisted !== undefined && { [`${unlisted}.bl.example.net`]: { A: ['127.0.0.2'] } }),
  });
  const kinds = [
    ['ipv4', '2.0.0.127', '1.0.0.127'],
    ['ipv6', `2.0.0.0.0.0.f.7.f.f.f.f.${zeros}`, `1.0.0.0.0.0.f.7.f.f.f.f.${zeros}`],
    ['domain', 'test', 'invalid'],
  ] as const;

  it.each(kinds)('of kind %s are as they should be', async (kind, listed) => {
    expect(await list.test(kind, new MemoryResolver(zone(listed)))).toBeUndefined();
  });

  it.each(kinds)(
    'of kind %s show a list that lists everything, or nothing',
    async (kind, listed, unlisted) => {
      expect(await list.test(kind, new MemoryResolver(zone(listed, unlisted)))).toBe(
        `bl.example.net: ${unlisted}.bl.example.net must not be listed, and is`,
      );
      expect(await list.test(kind, new MemoryResolver({}))).toBe(
        `bl.example.net: ${listed}.bl.example.net must be listed, and is not (nxdomain)`,
      );
    },
  );

  it.each<[string, MemoryZone, RegExp]>([
    ['does not answer', { '2.0.0.127.bl.example.net': 'timeout' }, /timeout/],
    [
      'does not serve us',
      { '2.0.0.127.bl.example.net': { A: ['127.255.255.254'] } },
      /does not serve us: 127\.255\.255\.254/,
    ],
    ['was sold', { '1.0.0.127.bl.example.net': { A: ['203.0.113.5'] } }, /203\.0\.113\.5, which is no code/],
  ])('show a list that %s', async (_, wrong, problem) => {
    const resolver = new MemoryResolver({ ...zone('2.0.0.127'), ...wrong });
    expect(await list.test('ipv4', resolver)).toMatch(problem);
  });
});

describe('a wrong list', () => {
  it.each<[string, ConstructorParameters<typeof DnsList>, string]>([
    ['no zone', [''], '"" is no domain name'],
    ['a zone that cannot be', ['a..b'], '"a..b" is no domain name'],
    ['no code', ['bl.example', { codes: ['2'] }], '"2" is no code; write 127.0.0.2 or'],
    ['an address', ['bl.example', { codes: ['10.0.0.1'] }], '"10.0.0.1" is no code'],
    ['half a range', ['bl.example', { codes: ['127.0.0.2-'] }], '"127.0.0.2-" is no code'],
    ['a range backwards', ['bl.example', { codes: ['127.0.0.9-127.0.0.2'] }], 'end before they begin'],
    [
      'an unknown option',
      ['bl.example', { code: [] } as object],
      'unknown DnsList option "code"; did you mean "codes"?',
    ],
  ])('has %s', (_, given, message) => {
    expect(() => new DnsList(...given)).toThrow(TypeError);
    expect(() => new DnsList(...given)).toThrow(message);
  });
});
