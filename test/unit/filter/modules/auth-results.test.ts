/** Authentication-Results: ours, forged ones, and what believed sealers say. */
import { describe, expect, it } from 'vitest';
import { claimsToBe, writeResults } from '../../../../lib/filter/modules/auth/results.ts';
import { vouches } from '../../../../lib/filter/modules/auth/sealers.ts';
import { parseAuthenticationResults } from '../../../../lib/spf/index.ts';
import { keepVerifier, resultsIn } from '../../../helpers/auth.ts';
import { testFilter } from '../../../helpers/filter.ts';

keepVerifier();

const AUTH = '[[module]]\nuse = "auth"\n';
const MAIL = 'From: a@example.org\r\nSubject: x\r\n\r\nhello\r\n';

const forged = [
  'mx.example.com; dkim=pass header.d=example.org',
  ' mx.example.com;dkim=pass',
  'MX.Example.COM; dkim=pass',
  '\r\n\tmx.example.com;\r\n\tdkim=pass',
  'mx.example.com 1; dkim=pass',
  'mx.example.com/1; dkim=pass',
  'mx.example.com.; dkim=pass',
  '"mx.example.com"; dkim=pass',
  '"mx\\.example.com" ; dkim=pass',
  '(a (nested\\) one) here) mx.example.com (too); dkim=pass',
  'mx.example.com(x); dkim=pass',
  'mx(x).example.com; dkim=pass',
  'mx . example . com; dkim=pass',
  'mx.example.com',
  'mx.example.com\tdkim=pass',
  '(mx.example.com; dkim=pass',
  '"mx.example.com; dkim=pass',
];
const others = [
  'mail.example.org; dkim=pass',
  'notmx.example.com; dkim=pass',
  'mx.example.com.evil.example; dkim=pass',
  'mx.example.community; dkim=pass',
  'example.com; dkim=pass (mx.example.com)',
  '',
  ';',
  '(((',
];

describe('forged ones', () => {
  it.each(forged)('%j claims to be ours', (value) => {
    expect(claimsToBe('mx.example.com', value)).toBe(true);
  });

  it.each(others)('%j does not', (value) => {
    expect(claimsToBe('mx.example.com', value)).toBe(false);
  });

  it('of a domain in other letters, as A-labels or not', () => {
    expect(claimsToBe('mx.xn--bcher-kva.example', 'mx.BÜCHER.example; dkim=pass')).toBe(true);
  });

  it('takes time in proportion to its length', () => {
    expect(claimsToBe('mx.example.com', '('.repeat(500_000))).toBe(false);
    expect(claimsToBe('mx.example.com', ' '.repeat(500_000))).toBe(false);
    expect(claimsToBe('mx.example.com', '. '.repeat(250_000))).toBe(false);
  });

  it('are removed wherever they stand, and others stay', async () => {
    await using filter = await testFilter(AUTH);
    const at = (value: string) => `authentication-results:${value.startsWith('\r') ? '' : ' '}${value}\r\n`;
    const eml = `${at(forged[0] ?? '')}Received: x\r\n${at(others[0] ?? '')}${MAIL.replace('\r\n\r\n', `\r\n${forged.slice(1).map(at).join('')}${at(others[1] ?? '')}\r\n`)}`;
    const found = resultsIn(await filter.send({ eml }));
    const { message } = await filter.send({ eml });
    const all = message.headers.filter(({ name }) => name.toLowerCase() === 'authentication-results');
    expect(all.map(({ value }) => value.replace(/\s+/g, ' '))).toEqual([found[0], others[0], others[1]]);
    expect(found[0]).toMatch(/^mx\.example\.com; dkim=none; /);
  });

  it('of authenticated clients are removed, of internal ones kept', async () => {
    const networks = '[[module]]\nuse = "networks"\ninternal = ["10.0.0.0/8"]\n';
    await using filter = await testFilter(`${networks}${AUTH}`);
    const eml = `Authentication-Results: mx.example.com; dkim=pass\r\n${MAIL}`;
    expect(resultsIn(await filter.send({ eml, macros: { '{auth_authen}': 'ann' } }))).toEqual([]);
    expect(resultsIn(await filter.send({ eml, address: '10.0.0.1' }))).toEqual(['mx.example.com; dkim=pass']);
  });

  it('with results = false stay, and none is written', async () => {
    await using filter = await testFilter(`${AUTH}results = false`);
    const eml = `Authentication-Results: mx.example.com; dkim=pass\r\n${MAIL}`;
    expect(resultsIn(await filter.send({ eml }))).toEqual(['mx.example.com; dkim=pass']);
  });

  it('go by authserv_id, which several machines share', async () => {
    await using filter = await testFilter(`${AUTH}authserv_id = "Example.com"`);
    const eml = `Authentication-Results: example.com; dkim=pass\r\nAuthentication-Results: mx.example.com; dkim=pass\r\n${MAIL}`;
    const found = resultsIn(await filter.send({ eml }));
    expect(found).toEqual([expect.stringMatching(/^Example\.com; dkim=none/), 'mx.example.com; dkim=pass']);
  });

  it('in observe mode stay, and none is written', async () => {
    await using filter = await testFilter(`${AUTH}mode = "observe"`);
    const eml = `Authentication-Results: mx.example.com; dkim=pass\r\n${MAIL}`;
    expect(resultsIn(await filter.send({ eml }))).toEqual(['mx.example.com; dkim=pass']);
  });
});

describe('ours', () => {
  it('quotes what a stranger wrote', () => {
    const text = writeResults('mx.example.com', [
      {
        method: 'spf',
        result: 'fail',
        comment: 'a) dkim=pass (\\ \r\n b é',
        properties: {
          'smtp.mailfrom': 'a"b\\; dkim=pass@example.org',
          'smtp.helo': 'x\r\nSubject: y',
          'header.i': 'ok@example.org',
          'header.b': 'ab+/=',
          'header.s': 'x'.repeat(1_000),
          'header.d': undefined,
        },
      },
    ]);
    expect(text).toBe(
      'mx.example.com;\n\tspf=fail (a\\) dkim=pass \\(\\\\ ? b ?) smtp.mailfrom="a\\"b\\\\; dkim=pass@example.org" smtp.helo="x?Subject: y" header.i=ok@example.org header.b="ab+/="',
    );
    expect(parseAuthenticationResults(text)?.results).toHaveLength(1);
  });

  it('can be read', async () => {
    await using filter = await testFilter(AUTH);
    const [text = ''] = resultsIn(await filter.send({ eml: MAIL, sender: '"a b;"@example.org' }));
    const found = parseAuthenticationResults(text);
    expect(found?.results.map(({ method, result }) => `${method} ${result}`)).toEqual([
      'dkim none',
      'spf none',
      'dmarc none',
      'arc none',
    ]);
    expect(found?.results[1]?.properties.get('smtp.mailfrom')).toContain('a b;');
  });

  it('names the HELO of a null sender', async () => {
    await using filter = await testFilter(AUTH);
    const [text] = resultsIn(await filter.send({ eml: MAIL, sender: '<>' }));
    expect(text).toContain('spf=none smtp.helo=mail.example.org');
  });
});

describe('what a believed sealer says', () => {
  const believed = (sealer: string): boolean => sealer === 'list.example' || sealer === 'other.example';
  const set = (sealer: string, results: string) => ({ sealer, results: `i=1; mx.${sealer}; ${results}` });
  const passes = 'dmarc=pass header.from=example.org';

  it.each([
    ['dmarc=pass', [set('list.example', passes)], 'list.example'],
    ['of another domain', [set('list.example', 'dmarc=pass header.from=evil.example')], undefined],
    [
      'dmarc=fail',
      [set('list.example', 'dmarc=fail header.from=example.org; dkim=pass header.d=example.org')],
      undefined,
    ],
    ['without a name', [set('list.example', 'dmarc=pass (p=none)')], 'list.example'],
    [
      'dkim=pass, where DMARC was not looked at',
      [set('list.example', 'dkim=pass header.i=@mail.example.org')],
      'list.example',
    ],
    ['spf=pass of another', [set('list.example', 'spf=pass smtp.mailfrom=a@evil.example')], undefined],
    ['a stranger', [set('evil.example', passes)], undefined],
    [
      'two in a row',
      [set('list.example', passes), set('other.example', 'dmarc=fail header.from=example.org; arc=pass')],
      'list.example',
    ],
    [
      'a stranger between',
      [set('list.example', passes), set('evil.example', passes), set('other.example', 'dmarc=fail')],
      undefined,
    ],
    [
      'a stranger before',
      [set('evil.example', passes), set('list.example', 'dmarc=fail header.from=example.org')],
      undefined,
    ],
    ['nonsense', [set('list.example', 'dmarc==pass;;;')], undefined],
    ['nothing', [], undefined],
  ] as const)('%s', (_, sets, sealer) => {
    expect(vouches(sets, 'example.org', believed)).toBe(sealer);
  });
});
