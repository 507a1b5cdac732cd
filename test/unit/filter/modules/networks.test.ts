import { describe, expect, it } from 'vitest';
import { FilterConfigError } from '../../../../lib/filter/index.ts';
import type { MessageResult } from '../../../../lib/testing/index.ts';
import { testFilter } from '../../../helpers/filter.ts';

const networks = (options = ''): string => `[[module]]\nuse = "networks"\n${options}\n`;
/** Which kinds of clients are which, by what is refused of them. */
const kinds = `${networks()}[[module]]\nuse = "./probe.ts"\nname = "outside"\nwhen = ["external"]\nsender = "reject"\n`;
const outside = (options: string): string => kinds.replace(networks(), networks(options));

const verdictOf = ({ recipients, verdict }: MessageResult): string => recipients[0]?.verdict ?? verdict;
const findingsOf = async (filter: Awaited<ReturnType<typeof testFilter>>): Promise<readonly string[]> =>
  (await filter.last())?.findings.map(({ name }) => name) ?? [];

describe('internal', () => {
  it('is this machine, unless other networks are named', async () => {
    await using filter = await testFilter(kinds);
    expect(verdictOf(await filter.send({ address: '127.0.0.1' }))).toBe('continue');
    expect(verdictOf(await filter.send({ address: '::1' }))).toBe('continue');
    expect(verdictOf(await filter.send())).toBe('reject');
    await using other = await testFilter(outside('internal = ["192.0.2.0/24"]'));
    expect(verdictOf(await other.send())).toBe('continue');
    expect(verdictOf(await other.send({ address: '127.0.0.1' }))).toBe('reject');
  });

  it('is a name that the MTA confirmed', async () => {
    await using filter = await testFilter(outside('internal = ["*.mail.example.net"]'));
    const named = { hostname: 'a.mail.example.net' };
    expect(verdictOf(await filter.send(named))).toBe('continue');
    expect(verdictOf(await filter.send({ ...named, macros: { '{client_resolve}': 'OK' } }))).toBe('continue');
    for (const macros of [
      { '{client_resolve}': 'FORGED' },
      { '{client_resolve}': 'TEMP' },
      { '{client_resolve}': 'FAIL' },
      { _: 'a.mail.example.net [192.0.2.7] (may be forged)' },
    ]) {
      expect(verdictOf(await filter.send({ ...named, macros })), JSON.stringify(macros)).toBe('reject');
    }
  });

  it('is a name that DNS confirms, where the MTA has none', async () => {
    const zone = {
      '7.2.0.192.in-addr.arpa': { PTR: ['a.mail.example.net'] },
      'a.mail.example.net': { A: ['192.0.2.7'] },
      '8.2.0.192.in-addr.arpa': { PTR: ['a.mail.example.net'] },
      '9.2.0.192.in-addr.arpa': 'servfail',
    } as const;
    await using filter = await testFilter(outside('internal = ["*.mail.example.net"]'), { zone });
    expect(verdictOf(await filter.send({ hostname: '[192.0.2.7]' }))).toBe('continue');
    expect(verdictOf(await filter.send({ hostname: 'unknown', address: '192.0.2.8' }))).toBe('reject');
    expect(verdictOf(await filter.send({ hostname: 'unknown', address: '192.0.2.9' }))).toBe('reject');
  });

  it('is a certificate that the MTA verified', async () => {
    await using filter = await testFilter(outside('internal = ["cert:CN=relay.example.org"]'));
    const certified = async (macros: Record<string, string>): Promise<string> =>
      verdictOf(await filter.send({ macros: { '{cert_subject}': 'relay.example.org', ...macros } }));
    expect(await certified({})).toBe('continue');
    expect(await certified({ '{verify}': 'OK' })).toBe('continue');
    for (const verify of ['FAIL', 'NO', 'NONE', 'NOT', 'SOFTWARE', 'PROTOCOL', 'ok', '']) {
      expect(await certified({ '{verify}': verify }), verify).toBe('reject');
    }
    expect(await certified({ '{cert_subject}': 'other.example.org' })).toBe('reject');
  });

  it('is who comes by an entrance for our own', async () => {
    await using filter = await testFilter(kinds);
    for (const name of ['ORIGINATING', 'MSA']) {
      expect(verdictOf(await filter.send({ macros: { '{daemon_name}': name } }))).toBe('continue');
    }
    await using other = await testFilter(outside('originating = ["SUBMISSION"]'));
    expect(verdictOf(await other.send({ macros: { '{daemon_name}': 'MSA' } }))).toBe('reject');
    expect(verdictOf(await other.send({ macros: { '{daemon_name}': 'SUBMISSION' } }))).toBe('continue');
  });
});

describe('senders', () => {
  const ours = 'domains = ["example.com"]';
  const inside = { address: '127.0.0.1' };
  const user = { macros: { '{auth_authen}': 'ann' } };

  it('of internal machines must be ours', async () => {
    await using filter = await testFilter(networks(ours));
    expect((await filter.send({ ...inside, sender: 'a@example.org' })).recipients[0]?.reply).toMatchObject({
      code: 550,
      enhanced: '5.7.1',
      lines: [expect.stringContaining('a@example.org')],
    });
    expect(await findingsOf(filter)).toEqual(['networks-internal-as-other']);
    for (const sender of ['a@example.com', '<>', 'root']) {
      expect(verdictOf(await filter.send({ ...inside, sender })), sender).toBe('continue');
    }
  });

  it('of internal machines may be any while no domain is ours', async () => {
    await using filter = await testFilter(networks());
    expect(verdictOf(await filter.send({ ...inside, sender: 'a@example.org' }))).toBe('continue');
    expect(await findingsOf(filter)).toEqual([]);
  });

  it('of users must be ours', async () => {
    await using filter = await testFilter(networks(`${ours}\nauthenticated_as_other = "tempfail"`));
    expect(verdictOf(await filter.send({ ...user, sender: 'a@example.org' }))).toBe('tempfail');
    expect(await findingsOf(filter)).toEqual(['networks-authenticated-as-other']);
    expect(verdictOf(await filter.send({ ...user, sender: 'a@example.com' }))).toBe('continue');
  });

  it('of internal machines do what internal_as_other says', async () => {
    await using filter = await testFilter(networks(`${ours}\ninternal_as_other = "tempfail"`));
    expect(verdictOf(await filter.send({ ...inside, sender: 'a@example.org' }))).toBe('tempfail');
  });

  it('of outsiders must not be ours', async () => {
    await using filter = await testFilter(networks(ours));
    expect(verdictOf(await filter.send({ sender: 'a@example.com' }))).toBe('reject');
    expect(await findingsOf(filter)).toEqual(['networks-external-as-ours']);
    expect(verdictOf(await filter.send({ sender: 'a@example.org' }))).toBe('continue');
    await using lenient = await testFilter(networks(`${ours}\nexternal_as_ours = "continue"`));
    expect(verdictOf(await lenient.send({ sender: 'a@example.com' }))).toBe('continue');
  });

  it('may be null where null_senders says so', async () => {
    const mail = { address: '10.0.0.2', sender: '<>' };
    await using all = await testFilter(networks('internal = ["10.0.0.0/8"]'));
    expect(verdictOf(await all.send(mail))).toBe('continue');
    await using some = await testFilter(networks('internal = ["10.0.0.0/8"]\nnull_senders = ["10.0.0.1"]'));
    expect(verdictOf(await some.send(mail))).toBe('reject');
    expect(await findingsOf(some)).toEqual(['networks-null-senders']);
    expect(verdictOf(await some.send({ ...mail, address: '10.0.0.1' }))).toBe('continue');
    expect(verdictOf(await some.send({ ...mail, address: '192.0.2.7' }))).toBe('continue');
  });
});

it('private recipients take mail from our own only', async () => {
  await using filter = await testFilter(networks('private = ["all@example.com"]'));
  const mail = { recipients: ['all@example.com', 'b@example.com'] };
  const { recipients } = await filter.send(mail);
  expect(recipients.map(({ verdict }) => verdict)).toEqual(['reject', 'continue']);
  expect(recipients[0]?.reply?.lines[0]).toContain('all@example.com takes mail from our own users only');
  expect(verdictOf(await filter.send({ ...mail, address: '127.0.0.1' }))).toBe('continue');
  expect(verdictOf(await filter.send({ ...mail, macros: { '{auth_authen}': 'ann' } }))).toBe('continue');
});

describe('an outsider’s From that is ours', () => {
  const ours = networks('domains = ["example.com"]');
  const eml = (from: string): string => `${from}\nSubject: x\n\nhello\n`;

  it.each([
    ['From: Ann <a@example.com>'],
    ['From: a@example.org, Ann <a@example.com>'],
    ['From: a@example.org\nFrom: Ann <a@example.com>'],
  ])('is tagged: %j', async (from) => {
    await using filter = await testFilter(ours);
    const { message } = await filter.send({ eml: eml(from) });
    expect(message.headers.find(({ name }) => name === 'X-Milter-Findings')?.value).toBe(
      'networks-from-as-ours',
    );
  });

  it('does what from_as_ours says', async () => {
    await using filter = await testFilter(ours.replace(/\n$/, '\nfrom_as_ours = "reject"\n'));
    expect((await filter.send({ eml: eml('From: a@example.com') })).verdict).toBe('reject');
    expect((await filter.send({ eml: eml('From: a@example.org') })).verdict).toBe('continue');
    expect(
      (await filter.send({ eml: eml('From: a@example.com'), address: '127.0.0.1', sender: '<>' })).verdict,
    ).toBe('continue');
  });
});

describe('behind a relay', () => {
  const relays = networks(
    'relayed = "tag"\nrelays = ["198.51.100.0/24"]\ninternal = ["10.0.0.0/8"]\ndomains = ["example.com"]',
  );
  const helo = `${relays}[[module]]\nuse = "helo"\n`;
  const relayed = (...received: string[]) => ({
    address: '198.51.100.1',
    hostname: 'relay.example.net',
    helo: 'relay.example.net',
    eml: `${received.map((line) => `Received: ${line}\n`).join('')}From: a@example.org\n\nhello\n`,
  });
  const bad = 'from 192.0.2.9 (unknown [192.0.2.9]) by relay.example.net';

  it('the client that Received names is judged, and what would be refused is kept for review', async () => {
    await using filter = await testFilter(helo.replace('"tag"', '"discard"'));
    const { recipients, verdict } = await filter.send(relayed(bad));
    expect(recipients[0]?.verdict).toBe('continue');
    expect(verdict).toBe('discard');
    expect((await filter.last())?.findings).toMatchObject([{ name: 'helo-address', subject: '192.0.2.9' }]);
  });

  it('lines of our own machines and relays are passed over', async () => {
    await using filter = await testFilter(helo);
    const own = 'from mx (mx.example.com [10.0.0.1]) by relay.example.net';
    const other = 'from r2 (r2.example.net [198.51.100.2]) by mx.example.com';
    await filter.send(relayed(own, other, bad));
    expect(await findingsOf(filter)).toEqual(['helo-address']);
    await filter.send(relayed('(qmail 17 invoked from network); today', bad));
    expect(await findingsOf(filter)).toEqual(['helo-address']);
  });

  it('nobody is judged where a line cannot be read, or all are ours', async () => {
    await using filter = await testFilter(helo);
    const own = 'from mx (mx.example.com [10.0.0.1]) by relay.example.net';
    for (const lines of [[], ['by relay.example.net (Postfix)', bad], Array<string>(30).fill(own)]) {
      await filter.send(relayed(...lines));
      expect(await findingsOf(filter)).toEqual([]);
    }
  });

  it('a name in the list of internal machines must be confirmed, too', async () => {
    const zone = {
      '9.2.0.192.in-addr.arpa': { PTR: ['a.in.example.com'] },
      'a.in.example.com': { A: ['192.0.2.9'] },
    };
    const named = helo.replace('"10.0.0.0/8"', '".in.example.com"');
    await using filter = await testFilter(named, { zone });
    await filter.send(relayed(bad));
    expect(await findingsOf(filter)).toEqual([]);
    await filter.send(relayed(bad.replaceAll('192.0.2.9', '192.0.2.10')));
    expect(await findingsOf(filter)).toEqual(['helo-address']);
  });

  it('a sender of ours is refused only at the end, as relayed says', async () => {
    await using filter = await testFilter(helo.replace('"tag"', '"hold"'));
    const { recipients, message } = await filter.send({
      ...relayed('from h.example (h.example [192.0.2.9]) by r'),
      sender: 'a@example.com',
    });
    expect(recipients[0]?.verdict).toBe('continue');
    expect(message.quarantine).toContain('networks-external-as-ours');
  });

  it('who logged in is not judged as a relay', async () => {
    await using filter = await testFilter(helo);
    await filter.send({ ...relayed(bad), sender: 'a@example.com', macros: { '{auth_authen}': 'ann' } });
    expect(await findingsOf(filter)).toEqual([]);
  });
});

it.each([
  ['internal = ["10.0.0.1/8"]', 'internal[0]: "10.0.0.1/8" has bits set'],
  ['domains = ["exa mple"]', 'domains[0]'],
  ['relayed = "refuse"', 'relayed: must be an action'],
  ['internals = []', 'did you mean "internal"?'],
])('refuses %s', async (options, message) => {
  const opened = testFilter(networks(options));
  await expect(opened).rejects.toThrow(FilterConfigError);
  await expect(opened).rejects.toThrow(message);
});
