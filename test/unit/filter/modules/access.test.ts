import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { FilterConfigError, StoredAccess, StoreError } from '../../../../lib/filter/index.ts';
import { readEntry } from '../../../../lib/filter/modules/access/entry.ts';
import { keysOf } from '../../../../lib/filter/modules/access/map.ts';
import { MemoryBackend } from '../../../../lib/filter/store/memory.ts';
import { probeDirectory, type TestMail, testFilter } from '../../../helpers/filter.ts';

/** A map in a file. */
function mapFile(...lines: string[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'libmilter-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'access');
  writeFileSync(path, lines.join('\n'));
  return path;
}

const access = (path: string, more = ''): string =>
  `[[module]]\nuse = "access"\nmap = "file:${path}"\n${more}\n`;
const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\nname = "probe"\n${options}\n`;
const spf = '[[module]]\nuse = "spf"\n';

const zone = {
  'fail.example': { TXT: ['v=spf1 -all'] },
  'sub.fail.example': { TXT: ['v=spf1 -all'] },
  'pass.example': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] },
} as const;

async function send(config: string, mail: TestMail = {}) {
  await using filter = await testFilter(config, { zone, directory: probeDirectory });
  const result = await filter.send(mail);
  const [recipient] = result.recipients;
  return {
    ...result,
    answer: recipient?.verdict === 'continue' ? result.verdict : recipient?.verdict,
    reply: recipient?.reply ?? result.reply,
    record: await filter.last(),
    log: filter.logger.lines,
  };
}
const answer = async (config: string, mail: TestMail = {}): Promise<string | undefined> =>
  (await send(config, mail)).answer;

describe('an entry for a finding', () => {
  it('says what comes of it, by name and what it is about', async () => {
    const config = spf + access(mapFile('SPF-Fail:fail.example\tOK'));
    const { answer: verdict, record } = await send(config, { sender: 'a@fail.example' });
    expect(verdict).toBe('continue');
    expect(record?.findings).toMatchObject([{ name: 'spf-fail', by: 'SPF-Fail:fail.example OK' }]);
    expect(await answer(config, { sender: 'a@sub.fail.example' })).toBe('continue');
    expect(
      await answer(spf + access(mapFile('SPF-Pass:pass.example REJECT')), { sender: 'a@pass.example' }),
    ).toBe('reject');
  });

  it('with a dot is about domains below only', async () => {
    const config = spf + access(mapFile('SPF-Fail:.fail.example OK'));
    expect(await answer(config, { sender: 'a@fail.example' })).toBe('reject');
    expect(await answer(config, { sender: 'a@sub.fail.example' })).toBe('continue');
  });

  it('is found by the longest match', async () => {
    const config =
      spf +
      access(
        mapFile(
          'spf-fail: TEMPFAIL',
          'spf-fail:example OK',
          'spf-fail:fail.example DISCARD',
          'spf-fail:friend@fail.example OK',
          'spf-fail:boss@ SCORE:3',
          'spf-fail:sub.fail.example REJECT',
        ),
      );
    expect(await answer(config, { sender: 'friend@fail.example' })).toBe('continue');
    expect(await answer(config, { sender: 'boss@fail.example' })).toBe('continue');
    expect(await answer(config, { sender: 'x@fail.example' })).toBe('discard');
    expect(await answer(config, { sender: 'x@sub.fail.example' })).toBe('reject');
    const other = spf + access(mapFile('spf-fail: TEMPFAIL', 'spf-fail:fail.example SKIP'));
    expect(await answer(other, { sender: 'x@fail.example' })).toBe('reject');
    expect(await answer(other, { sender: 'x@sub.fail.example' })).toBe('reject');
    expect(await answer(spf + access(mapFile('spf-fail: TEMPFAIL')), { sender: 'x@fail.example' })).toBe(
      'tempfail',
    );
  });

  it('may bring a reply of its own', async () => {
    const config =
      probe('message = "tag"') + access(mapFile('Probe-Message: ERROR:5.7.9:554 Not %{today}, #1'));
    const { reply } = await send(config);
    expect(reply).toMatchObject({ code: 554, enhanced: '5.7.9' });
    expect(reply?.lines[0]).toMatch(/^Not %\{today\}, #1 \[ref/);
  });

  it('of the seed’s name is known', async () => {
    const mail = { sender: 'a@pass.example', helo: 'fail.example' };
    expect(await answer(spf + access(mapFile('HELO-Fail:fail.example OK')), mail)).toBe('continue');
    expect(await answer(spf, mail)).toBe('reject');
  });

  it('CALLOUT changes nothing where nobody asks', async () => {
    const config = spf + access(mapFile('SPF-Fail: CALLOUT'));
    expect(await answer(config, { sender: 'a@fail.example' })).toBe('reject');
  });

  it('that no module here knows is warned of', async () => {
    const { log } = await send(access(mapFile('SPF-Fial:example.com OK')));
    expect(log).toContainEqual(
      expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ tag: 'spf-fial' }) }),
    );
  });
});

describe('Connect:', () => {
  const refused = probe('sender = "reject"');

  it.each(['mail.example.org', 'example.org', '192.0.2.7', '192.0.2', '192', 'Example.ORG'])(
    'has the client by %s',
    async (about) => {
      expect(await answer(access(mapFile(`Connect:${about} REJECT`)))).toBe('reject');
      expect(await answer(refused + access(mapFile(`Connect:${about} OK`)))).toBe('continue');
      expect(await answer(refused + access(mapFile(`Connect:${about}\t\tRELAY`)))).toBe('continue');
      expect(await answer(access(mapFile(`${about} REJECT`)))).toBe('reject');
    },
  );

  it.each(['IPv6:2001:db8::7', '2001:DB8:0:0:0:0:0:7', 'IPv6:2001:db8'])(
    'has the client by %s',
    async (about) => {
      const mail = { address: '2001:db8::7' };
      expect(await answer(access(mapFile(`Connect:${about} REJECT`)), mail)).toBe('reject');
      expect(await answer(access(mapFile(`Connect:${about} REJECT`)), { address: '2001:db80::7' })).toBe(
        'continue',
      );
    },
  );

  it.each(['192.0.2.70', '192.0.20', 'x.mail.example.org', '.mail.example.org'])(
    'has it not by %s',
    async (about) => {
      expect(await answer(access(mapFile(`Connect:${about} REJECT`)))).toBe('continue');
    },
  );

  it('has no client by a name that is not confirmed', async () => {
    const config = refused + access(mapFile('Connect:example.org OK'));
    expect(await answer(config, { macros: { '{client_resolve}': 'FORGED' } })).toBe('reject');
  });

  it('has the client behind a relay', async () => {
    const relay = '[[module]]\nuse = "networks"\nrelays = ["198.51.100.1"]\nrelayed = "discard"\n';
    const config = relay + access(mapFile('Connect:192.0.2.9 REJECT'));
    const eml = 'Received: from x (unknown [192.0.2.9]) by relay\nSubject: x\n\n';
    expect(await answer(config, { address: '198.51.100.1', eml })).toBe('discard');
  });
});

describe('HELO:', () => {
  it('has what the client calls itself', async () => {
    const config = access(mapFile('HELO:bad.example REJECT', 'HELO:192.0.2 TEMPFAIL'));
    expect(await answer(config, { helo: 'x.bad.example' })).toBe('reject');
    expect(await answer(config, { helo: '[192.0.2.99]' })).toBe('tempfail');
    expect(await answer(config, { helo: 'good.example' })).toBe('continue');
  });

  it('OK makes good what was found about it, and nothing else', async () => {
    const helo = '[[module]]\nuse = "helo"\n';
    const config = access(mapFile('HELO:192.0.2.7 OK'));
    expect(await answer(helo + config, { helo: '192.0.2.7' })).toBe('continue');
    expect(await answer(probe('sender = "reject"') + config, { helo: '192.0.2.7' })).toBe('reject');
  });
});

describe('From:', () => {
  it('has the sender', async () => {
    const config = access(mapFile('From:spam.example DISCARD', 'From:<> TEMPFAIL', 'ann@example.org REJECT'));
    expect(await answer(config, { sender: 'a@spam.example' })).toBe('discard');
    expect(await answer(config, { sender: 'a@x.spam.example' })).toBe('discard');
    expect(await answer(config, { sender: '<>' })).toBe('tempfail');
    expect(await answer(config, { sender: 'Ann@example.org' })).toBe('reject');
    expect(await answer(config, { sender: 'bob@example.org' })).toBe('continue');
  });

  it('OK accepts where SPF passes', async () => {
    const config = spf + probe('message = "reject"') + access(mapFile('From:example OK'));
    expect(await answer(config, { sender: 'a@pass.example' })).toBe('continue');
    expect(await answer(config, { sender: 'a@pass.example', address: '192.0.2.8' })).toBe('reject');
  });

  it('OK accepts where the sender’s domain has signed', async () => {
    const signed = '[[module]]\nuse = "./signed.ts"\naligned = true\n';
    const config = signed + probe('message = "reject"') + access(mapFile('From:org OK'));
    // signed.ts says that example.org has signed.
    expect(await answer(config, { sender: 'a@example.org' })).toBe('continue');
    expect(await answer(config, { sender: 'a@x.example.org' })).toBe('continue');
    expect(await answer(config, { sender: 'a@other.org' })).toBe('reject');
  });
});

describe('To:', () => {
  const both = { recipients: ['b@example.com', 'c@example.com'] };

  it('has a recipient', async () => {
    const { recipients } = await send(access(mapFile('To:c@example.com ERROR:5.1.1:550 No such user')), both);
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['continue', 'reject']);
    expect(recipients[1]?.reply).toMatchObject({ code: 550, enhanced: '5.1.1' });
  });

  it('OK leaves a recipient unfiltered', async () => {
    const { recipients } = await send(probe('sender = "reject"') + access(mapFile('To:c@ OK')), both);
    expect(recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'continue']);
  });
});

it('Auth: has the user', async () => {
  const networks = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\n';
  const config = networks + access(mapFile('Auth:ann OK', 'Auth:eve REJECT', 'Auth:bob@example.com OK'));
  const as = async (user: string) => await answer(config, { macros: { '{auth_authen}': user } });
  expect(await as('Ann')).toBe('continue');
  expect(await as('bob@example.com')).toBe('continue');
  expect(await as('eve')).toBe('reject');
  expect(await as('carl')).toBe('reject');
  expect(await answer(config, {})).toBe('continue');
});

describe('what an entry says', () => {
  const says = (value: string): unknown => readEntry(`From:example.com ${value}`)?.value;

  it.each([
    ['OK', { word: 'ok' }],
    ['relay', { word: 'ok' }],
    ['SKIP', { word: 'skip' }],
    ['REJECT', { word: 'act', action: { word: 'reject' } }],
    ['TEMPFAIL', { word: 'act', action: { word: 'tempfail' } }],
    ['DISCARD', { word: 'act', action: { word: 'discard' } }],
    ['QUARANTINE', { word: 'act', action: { word: 'quarantine' } }],
    ['QUARANTINE:some reason', { word: 'act', action: { word: 'quarantine' } }],
    ['HOLD', { word: 'act', action: { word: 'hold' } }],
    ['CALLOUT', { word: 'act', action: { word: 'callout' } }],
    ['SCORE:-2.5', { word: 'act', action: { word: 'score', points: -2.5 } }],
  ])('%s', (value, expected) => {
    expect(says(value)).toEqual(expected);
  });

  it.each([
    ['ERROR:5.7.1:550 No mail', 'reject', 550, '5.7.1', 'No mail'],
    ['ERROR:5.7.1:"550 No mail"', 'reject', 550, '5.7.1', 'No mail'],
    ['ERROR:4.2.1:450 Later', 'tempfail', 450, '4.2.1', 'Later'],
    ['ERROR:"550 5.7.1 No mail"', 'reject', 550, '5.7.1', 'No mail'],
    ['ERROR:550 No mail', 'reject', 550, null, 'No mail'],
    ['550 5.7.1 No mail', 'reject', 550, '5.7.1', 'No mail'],
    ['"550 5.7.1 No mail"', 'reject', 550, '5.7.1', 'No mail'],
    ['550', 'reject', 550, null, 'Access denied'],
    ['451 4.7.1 Later # really', 'tempfail', 451, '4.7.1', 'Later # really'],
  ])('%s', (value, word, code, enhanced, text) => {
    expect(says(value)).toEqual({ word: 'act', action: { word }, reply: { code, enhanced, text } });
  });

  it.each([
    'REJCT',
    '650 text',
    '55 text',
    'ERROR:',
    'SCORE:many',
    '550 4.7.1 mixed',
    'ERROR:4.7.1:550 mixed',
  ])('is nothing: %s', (value) => {
    expect(() => says(value)).toThrow();
  });
});

describe('a map that makemap reads', () => {
  it('is read, with what only Sendmail needs', async () => {
    const path = join(probeDirectory, 'access');
    const { reply } = await send(access(path), { sender: 'x@CyberSpammer.com' });
    expect(reply?.lines[0]).toContain("We don't accept mail from #1 spammers");
    expect(await answer(access(path), { sender: 'free.stealth.mailer@any.example' })).toBe('reject');
    expect(await answer(access(path), { address: '192.168.212.9' })).toBe('reject');
  });

  it.each([
    ['From:spam.example', 'needs a key and what shall happen'],
    ['From:spam.example REJCT', 'did you mean "REJECT"?'],
    ['Form:spam.example REJECT', 'did you mean "from"?'],
    ['From: REJECT', 'is about nobody'],
    ['Connect:192.0.2.0/24 REJECT', 'write the beginning of the addresses'],
    ['Connect:192.0.300 REJECT', 'is no IP address'],
    ['From:a@b@.c_d! REJECT', 'is no address'],
    ['To:exa$mple REJECT', 'is neither a domain'],
  ])('with a fault, %s, is refused with its line', async (line, message) => {
    const opened = testFilter(access(mapFile('# a map', line)));
    await expect(opened).rejects.toThrow(FilterConfigError);
    await expect(opened).rejects.toThrow(/access:2:1: /);
    await expect(opened).rejects.toThrow(message);
  });

  it('says one thing of one thing', async () => {
    await expect(testFilter(access(mapFile('From:a.example OK', 'from:A.example REJECT')))).rejects.toThrow(
      'says of "from:a.example" something else than before',
    );
  });
});

it.each([
  ['map = "access"', 'map: must be an access map, as "file:access"'],
  ['map = "file:nowhere"', 'cannot be read'],
  ['maps = ""', 'did you mean "map"?'],
])('refuses %s', async (options, message) => {
  await expect(testFilter(`[[module]]\nuse = "access"\n${options}\n`)).rejects.toThrow(message);
});

it('only watches in observe mode', async () => {
  const path = mapFile('Probe-Sender: OK', 'To:b@example.com OK', 'From:example.org REJECT');
  const config = probe('sender = "tempfail"') + access(path, 'mode = "observe"');
  const { answer: verdict, record } = await send(config);
  expect(verdict).toBe('tempfail');
  expect(record?.findings).toContainEqual(expect.objectContaining({ name: 'access-from', observed: true }));
});

describe('entries in the store', () => {
  it('are added, listed, found, and removed while the filter runs', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    await using filter = await testFilter('[[module]]\nuse = "access"\n');
    const stored = new StoredAccess(filter.store.part('access'));
    const verdict = async () => (await filter.send()).recipients[0]?.verdict;
    const settled = async () => {
      await vi.advanceTimersByTimeAsync(3_000);
    };
    await stored.add('From:example.org REJECT');
    await stored.add('To:Someone@Example.com OK');
    const listed: string[] = [];
    for await (const text of stored.list()) listed.push(text);
    expect(listed).toEqual(['From:example.org REJECT', 'To:Someone@Example.com OK']);
    await settled();
    expect(await verdict()).toBe('reject');
    await stored.add('FROM:Example.org TEMPFAIL');
    await settled();
    expect(await verdict()).toBe('tempfail');
    expect(await stored.remove('from:example.org')).toBe(true);
    expect(await stored.remove('from:example.org')).toBe(false);
    await settled();
    expect(await verdict()).toBe('continue');
    await expect(stored.add('From:example.org REJCT')).rejects.toThrow('did you mean "REJECT"?');
    await expect(stored.add('GreetPause:localhost 0')).rejects.toThrow('only Sendmail');
  });

  it('are asked before those of the file', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    await using filter = await testFilter(access(mapFile('From:example.org REJECT')));
    await new StoredAccess(filter.store.part('access')).add('From:example.org TEMPFAIL');
    await vi.advanceTimersByTimeAsync(3_000);
    expect((await filter.send()).recipients[0]?.verdict).toBe('tempfail');
  });
});

it('a store that is away at start has mail wait until it has been read', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  const away = vi.spyOn(MemoryBackend.prototype, 'ask').mockRejectedValue(new StoreError('away'));
  onTestFinished(() => {
    vi.useRealTimers();
    away.mockRestore();
  });
  await using filter = await testFilter('[[module]]\nuse = "access"\n');
  expect((await filter.send()).recipients[0]?.verdict).toBe('tempfail');
  away.mockRestore();
  await vi.advanceTimersByTimeAsync(3_000);
  expect((await filter.send()).verdict).toBe('continue');
});

it.each([
  'ann@spam.example',
  '"ann"@spam.example',
  'ann@"spam.example"',
  '"ann@spam.example"',
  'ann@SPAM(c).example',
  'ann @ spam . example',
  'ann%spam.example',
  'spam.example!ann',
  '@relay.example:ann%sub.spam.example',
  `${'x'.repeat(1_500)}@spam.example`,
  `ann@${'x.'.repeat(1_500)}spam.example`,
])('no spelling of a sender slips by his entry: %#', async (sender) => {
  expect(await answer(access(mapFile('From:spam.example REJECT')), { sender: `<${sender}>` })).toBe('reject');
});

it('keys of hostile subjects are few', () => {
  for (const subject of [
    '.'.repeat(5_000),
    'a.'.repeat(400),
    `${'x'.repeat(900)}@${'a.'.repeat(40)}`,
    '@',
    '<',
    '',
    '::1',
  ]) {
    expect(keysOf(subject).length).toBeLessThan(100);
  }
});
