/** Macros: RFC 7208 section 7, with the examples of section 7.4. */
import { describe, expect, it } from 'vitest';
import type { CheckOptions } from '../../../lib/spf/index.ts';
import { checkHost } from '../../../lib/spf/index.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';
import { check } from '../../helpers/spf.ts';

const SENDER = 'strong-bad@email.example.com';

/** Which name an exists: with this domain-spec asks for. */
async function asked(spec: string, options: Partial<CheckOptions> = {}): Promise<string | undefined> {
  const resolver = new MemoryResolver({});
  const record = `v=spf1 exists:${spec} ?all`;
  await checkHost({
    ip: '192.0.2.3',
    sender: SENDER,
    helo: 'mail.example.org',
    resolver,
    record,
    ...options,
  });
  return resolver.queries.at(-1)?.name;
}

/** What an explanation of this text says. */
async function explained(text: string, options: Partial<CheckOptions> = {}): Promise<string> {
  const zone = { 'email.example.com': { TXT: ['v=spf1 -all exp=why.test'] }, 'why.test': { TXT: [text] } };
  return (await check(zone, { ip: '192.0.2.3', sender: SENDER, helo: 'mail.example.org', ...options }))
    .explanation;
}

describe('macros in explanations', () => {
  it.each([
    ['%{s}', 'strong-bad@email.example.com'],
    ['%{o}', 'email.example.com'],
    ['%{d}', 'email.example.com'],
    ['%{d4}', 'email.example.com'],
    ['%{d3}', 'email.example.com'],
    ['%{d2}', 'example.com'],
    ['%{d1}', 'com'],
    ['%{d999999999999999999999}', 'email.example.com'],
    ['%{dr}', 'com.example.email'],
    ['%{d2r}', 'example.email'],
    ['%{l}', 'strong-bad'],
    ['%{l-}', 'strong.bad'],
    ['%{lr}', 'strong-bad'],
    ['%{lr-}', 'bad.strong'],
    ['%{l1r-}', 'strong'],
    ['%{L1R-}', 'strong'],
    ['%{h}', 'mail.example.org'],
    ['%{i} %{c} %{v}', '192.0.2.3 192.0.2.3 in-addr'],
    ['%{r}', 'mx.receiver.example'],
    ['%{S}', 'strong-bad%40email.example.com'],
    ['%%%_%-', '% %20'],
    ['100%% of it', '100% of it'],
    ['', ''],
  ])('%s', async (text, expected) => {
    expect(await explained(text, { receiver: 'mx.receiver.example' })).toBe(expected);
  });

  it('show an IPv6 client as nibbles with %{i}, as text with %{c}', async () => {
    const nibbles = '2.0.0.1.0.D.B.8.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.C.B.0.1';
    expect(await explained('%{i} %{c} %{v}', { ip: '2001:DB8::CB01' })).toBe(`${nibbles} 2001:db8::cb01 ip6`);
  });

  it('give the time in seconds', async () => {
    const before = Math.trunc(Date.now() / 1000);
    const time = Number(await explained('%{t}'));
    expect(time).toBeGreaterThanOrEqual(before);
    expect(time).toBeLessThanOrEqual(Date.now() / 1000);
  });

  it('say unknown for a receiver that is not told', async () => {
    expect(await explained('%{r}')).toBe('unknown');
  });

  it('escape every byte outside the unreserved set, beyond ASCII too', async () => {
    const sender = '"a!\'()*~_.-%\u00e9\u{1f600}\udcff"@email.example.com';
    const escaped = '%22a%21%27%28%29%2A~_.-%25%C3%A9%F0%9F%98%80%FF%22';
    expect(await explained('%{L}', { sender })).toBe(escaped);
  });

  it('do not expand what they put in', async () => {
    expect(await explained('%{l}', { sender: '%{h}@email.example.com' })).toBe('%{h}');
  });
});

describe('macros in domains, by the examples of section 7.4', () => {
  it.each([
    ['%{ir}.%{v}._spf.%{d2}', '3.2.0.192.in-addr._spf.example.com'],
    ['%{lr-}.lp._spf.%{d2}', 'bad.strong.lp._spf.example.com'],
    ['%{lr-}.lp.%{ir}.%{v}._spf.%{d2}', 'bad.strong.lp.3.2.0.192.in-addr._spf.example.com'],
    ['%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}', '3.2.0.192.in-addr.strong.lp._spf.example.com'],
    ['%{d2}.trusted-domains.example.net', 'example.com.trusted-domains.example.net'],
  ])('%s', async (spec, name) => {
    expect(await asked(spec)).toBe(name);
  });

  it('with an IPv6 client', async () => {
    expect(await asked('%{ir}.%{v}._spf.%{d2}', { ip: '2001:db8::cb01' })).toBe(
      '1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com',
    );
  });
});

describe('macros in domains', () => {
  it('split at any of several delimiters', async () => {
    expect(await asked('%{l2r+-}.x.example', { sender: 'foo-bar+zip+quux@example.com' })).toBe(
      'bar.foo.x.example',
    );
  });

  it('lose labels on the left until 253 characters are left', async () => {
    const sender = `${'a'.repeat(60)}.${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}@example.com`;
    const name = `${'b'.repeat(60)}.${'c'.repeat(60)}.${'d'.repeat(60)}.${'x'.repeat(60)}.example`;
    expect(await asked(`%{l}.${'x'.repeat(60)}.example`, { sender })).toBe(name);
  });

  it('make no more text than a name can have', async () => {
    const sender = `${'x'.repeat(10_000)}@example.com`;
    expect(await asked(`${'%{s}'.repeat(100_000)}.${'%{o}.'.repeat(100_000)}example`, { sender })).toBe(
      `com.${'example.com.'.repeat(20)}example`,
    );
    expect(
      await explained('%{s}'.repeat(100_000), { sender: `${'x'.repeat(10_000)}@email.example.com` }),
    ).toBe('x'.repeat(2000));
  });

  it('may make a name that cannot be asked, which does not match', async () => {
    const options = {
      sender: 'a..b@example.com',
      record: 'v=spf1 exists:%{l}.example.com -all',
      ip: '192.0.2.3',
    };
    expect(await check({}, options)).toMatchObject({ result: 'fail', voidLookups: 0 });
  });

  it('know the validated name of the client', async () => {
    const zone = {
      '3.2.0.192.in-addr.arpa': {
        PTR: ['other.example.org', 'forged.example.com', 'deep.email.example.com'],
      },
      'other.example.org': { A: ['192.0.2.3'] },
      'forged.example.com': { A: ['192.0.2.99'] },
      'deep.email.example.com': { A: ['192.0.2.3'] },
    };
    const resolver = new MemoryResolver(zone);
    expect(await asked('%{p}.x.example', { resolver })).toBeUndefined();
    expect(resolver.queries.at(-1)?.name).toBe('deep.email.example.com.x.example');
  });

  it.each(['servfail', 'timeout', 'nxdomain'] as const)(
    'call the client unknown when its PTR is %s',
    async (status) => {
      const resolver = new MemoryResolver({ '3.2.0.192.in-addr.arpa': status });
      await asked('%{p}.x.example', { resolver });
      expect(resolver.queries.at(-1)?.name).toBe('unknown.x.example');
    },
  );
});
