import { describe, expect, it } from 'vitest';
import { addresses } from '../../../../lib/filter/config/lists/addresses.ts';
import { ListFiles } from '../../../../lib/filter/config/lists/files.ts';
import { readWith } from '../../../../lib/filter/config/reading.ts';
import type { AddressList } from '../../../../lib/filter/index.ts';
import { quickest } from '../../../helpers/quickest.ts';

/** Our domains are example.org and bücher.example. */
function list(...entries: string[]): AddressList {
  const ours = { has: (domain: string) => ['example.org', 'xn--bcher-kva.example'].includes(domain) };
  const surroundings = { directory: '/', data: '/', environment: {}, files: new ListFiles(), ours };
  return readWith(surroundings, () => addresses().parse(entries));
}

function faultOf(entry: string): string | undefined {
  return addresses().safeParse([entry]).error?.issues[0]?.message;
}

describe('an address list', () => {
  it.each<[string, string[], string[]]>([
    // A domain is just that domain.
    [
      'example.com',
      ['a@example.com', '<b@EXAMPLE.Com>', 'c@example.com.'],
      ['a@sub.example.com', 'a@xexample.com'],
    ],
    ['Example.COM', ['a@example.com'], []],
    // With a dot before it, it and all below.
    [
      '.example.com',
      ['a@example.com', 'a@b.example.com', '<a@c.b.example.com>'],
      ['a@xexample.com', 'a@com'],
    ],
    ['.com', ['a@example.com', 'a@com'], ['a@example.org']],
    // A local part anywhere.
    [
      'postmaster@',
      ['postmaster@a.example', '<postmaster@b.c>', 'postmaster', '<PostMaster>'],
      ['x@postmaster'],
    ],
    ['postmaster@', ['PostMaster@example.org'], ['PostMaster@a.example', 'postmasterx@a.example']],
    // One address: in our own domains without case.
    ['User@example.org', ['user@example.org', '<USER@Example.ORG>'], ['user@sub.example.org']],
    ['User@example.com', ['User@example.com', 'User@EXAMPLE.com'], ['user@example.com', 'USER@example.com']],
    ['user@[192.0.2.1]', ['user@[192.0.2.1]'], ['user@192.0.2.1']],
    // Quotes that are not needed change nothing.
    [
      'user@example.com',
      [
        '"user"@example.com',
        '"us\\er"@example.com',
        '"user@example.com"',
        'user(comment) @ example.com',
        '<@relay.example:user@example.com>',
      ],
      ['"user "@example.com'],
    ],
    ['"a b"@example.com', ['"a b"@example.com', 'a\\ b@example.com'], ['ab@example.com']],
    ['"a@b"@example.com', ['"a@b"@example.com'], ['a@b']],
    // Globs.
    ['*@*.example.net', ['a@b.example.net', 'a@c.b.example.net'], ['a@example.net', 'a@xexample.net']],
    ['*.example.net', ['a@b.example.net'], ['a@example.net']],
    ['*@example.net', ['a@example.net'], ['a@b.example.net']],
    [
      'news-*@*.example.net',
      ['news-x@b.example.net', 'news-@b.example.net'],
      ['News-x@b.example.net', 'news@b.example.net'],
    ],
    ['News-*@example.org', ['NEWS-1@example.org'], ['news-1@example.com']],
    ['mail?.example.net', ['a@mail1.example.net'], ['a@mail.example.net', 'a@mail12.example.net']],
    ['bounce*@', ['bounce-1@a.example', 'bounce'], ['abounce@a.example']],
    ['*', ['a@b.c'], ['<>', '']],
    // The null sender.
    ['<>', ['<>', ''], ['a@b', '<a@b>']],
    // Names in any script, as U-labels or A-labels.
    [
      'bücher.example',
      ['a@xn--bcher-kva.example', 'a@BÜCHER.example', 'a@bu\u0308cher.example'],
      ['a@bucher.example'],
    ],
    ['.xn--bcher-kva.example', ['a@x.bücher.example'], []],
    ['*.bücher.example', ['a@x.xn--bcher-kva.example'], ['a@bücher.example']],
    // NFC in our own domains; elsewhere exactly.
    ['J\u00fcrgen@bücher.example', ['ju\u0308rgen@xn--bcher-kva.example'], []],
    ['j\u00fcrgen@example.com', ['j\u00fcrgen@example.com'], ['ju\u0308rgen@example.com']],
  ])('with %s', (entry, inside, outside) => {
    const one = list(entry);
    expect(inside.filter((address) => !one.has(address))).toEqual([]);
    expect(outside.filter((address) => one.has(address))).toEqual([]);
  });

  it('knows of whole domains, also of host names', () => {
    const names = list('example.com', '.example.net', 'dialup*.example.org', 'user@other.example');
    const asked = ['Example.COM.', 'a.example.net', 'dialup7.example.org', 'other.example', 'a.example.com'];
    expect(asked.map((name) => names.hasDomain(name))).toEqual([true, true, true, false, false]);
  });

  it('is empty or not', () => {
    expect(list().empty).toBe(true);
    for (const entry of ['<>', 'a@b', 'a@', '*@b.*', 'b', '.b', '*.b', 'b?'])
      expect(list(entry).empty).toBe(false);
  });

  it.each([
    ['a b@example.com', '"a b@example.com" is no address: write user@example.com alone'],
    ['a@example.com, b@example.com', /is no address/],
    ['<a@example.com>', /is no address: write user@example.com alone/],
    ['@example.com', '"@example.com" has nothing before the @: write "example.com" for the domain'],
    ['a@.example.com', '"a@.example.com" is no address: ".example.com" is no domain'],
    ['a@b..c', /is no domain/],
    ['192.0.2.1', '"192.0.2.1" is no domain'],
    ['', '"" is empty: an empty list is []'],
    ['.', '"." is no domain'],
    ['exam ple.com', /is no address/],
    ['-a.example', '"-a.example" is no domain'],
    ['http://example.com/', '"http://example.com/" is no domain'],
    [`${'a'.repeat(64)}.example`, /is no domain/],
    [`${'a.'.repeat(200)}example`, /is no domain/],
    ['file:', 'lacks the path after "file:"'],
    ['a\u0000b@example.com', /is no address/],
  ])('refuses %j', (entry, message) => expect(faultOf(entry)).toMatch(message));

  it('is as fast with a hundred thousand entries as with ten', async () => {
    const time = async (count: number): Promise<number> => {
      const entries = Array.from({ length: count }, (_, i) => [
        `user${i}@example.com`,
        `d${i}.example`,
        `.t${i}.example`,
      ]);
      const many = list(...entries.flat().slice(0, 90_000));
      const asked = Array.from({ length: 20_000 }, (_, i) => `other${i}@a.b.c.d.e.example`);
      return await quickest(3, () => {
        for (const address of asked) many.has(address);
      });
    };
    expect(await time(30_000)).toBeLessThan((await time(10)) * 10);
  });

  it.each([
    ['a long local part', `${'a'.repeat(1_900)}@example.org`],
    ['more than any mail server takes', `${'a@'.repeat(500_000)}`],
    ['a path of a megabyte', `<${'@a,'.repeat(300_000)}:a@b>`],
    ['lone surrogates', '\udc80\udcff@\udc80.example'],
    ['a domain that is none', 'a@exa mple..\u{1f600}'],
  ])('takes no longer than a thousand others with %s', async (_, address) => {
    const globs = Array.from({ length: 200 }, (_unused, i) => `*a*a*a*a*a*b${i}@*.e*x*a*`);
    const one = list(...globs, 'bücher.example', 'x@example.org', '.example');
    const ask = (asked: string, times: number) => () => {
      for (let i = 0; i < times; i++) {
        one.has(asked);
        one.hasDomain(asked);
      }
    };
    await quickest(1, ask('user@example.com', 100));
    expect(await quickest(5, ask(address, 1))).toBeLessThan(
      await quickest(3, ask('user@example.com', 1_000)),
    );
  });
});
