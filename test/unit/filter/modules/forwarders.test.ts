import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Aliases, StoreError, whyUnfit } from '../../../../lib/filter/index.ts';
import { MemoryBackend } from '../../../../lib/filter/store/memory.ts';
import { MemoryResolver, type MemoryZone } from '../../../../lib/testing/index.ts';
import { faultsOf, type TestMail, testFilter } from '../../../helpers/filter.ts';

const NOW = 1_577_836_860_000;
const RELAY = '192.0.2.10';
const ZONE: MemoryZone = {
  'alumni.example': { TXT: [`v=spf1 ip4:${RELAY} -all`] },
  'other.example': { TXT: ['v=spf1 ip4:192.0.2.20 -all'] },
  '_dmarc.strict.example': { TXT: ['v=DMARC1; p=reject'] },
  'strict.example': { TXT: ['v=spf1 -all'] },
  'soft.example': { TXT: ['v=spf1 ~all'] },
  'neutral.example': { TXT: ['v=spf1 ?all'] },
  'none.example': { TXT: [] },
  'away.example': 'servfail',
};

const modules = (options: string, more = ''): string => `[[module]]
use = "networks"
internal = ["10.0.0.0/8"]
domains = ["ours.example"]
[[module]]
use = "spf"
helo_fail = "continue"
${more}
[[module]]
use = "forwarders"
domain = "fwd.ours.example"
${options}`;

async function forwardersFilter(
  options = '',
  { more = '', forwarder = 'alumni.example', user = 'ann', part = 'forwarders' } = {},
) {
  const filter = await testFilter(modules(options, more), { zone: ZONE, now: () => NOW });
  const aliases = new Aliases({
    store: filter.store.part(part),
    now: () => NOW,
    domain: 'fwd.ours.example',
    userDomain: 'ours.example',
    files: undefined,
  });
  const alias = await aliases.add(user, forwarder);
  return Object.assign(filter, { aliases, alias });
}

type Filter = Awaited<ReturnType<typeof forwardersFilter>>;

/** Who gets it, or what is said. */
async function send(filter: Filter, mail: TestMail = {}): Promise<string> {
  const { recipients, message, reply } = await filter.send({
    sender: 'boss@strict.example',
    recipients: [filter.alias.address],
    address: RELAY,
    ...mail,
  });
  const said = recipients.find((one) => one.reply !== undefined)?.reply ?? reply;
  return said === undefined
    ? message.recipients.map((one) => one.slice(1, -1)).join()
    : `${said.code} ${said.enhanced} ${said.lines.join(' ').replace(/ \[ref .*/, '')}`;
}

async function foundIn(filter: Filter): Promise<readonly string[]> {
  return (await filter.last())?.findings.map(({ name }) => name) ?? [];
}

describe('the address', () => {
  it('has a secret that nobody guesses, and room for it', async () => {
    await using filter = await forwardersFilter();
    expect(filter.alias.address).toMatch(/^ann\+[a-z2-7]{16}@fwd\.ours\.example$/);
    expect(filter.alias).toMatchObject({ to: 'ann@ours.example', forwarder: 'alumni.example' });
    const other = await filter.aliases.add('ann', 'alumni.example');
    expect(other.address).not.toBe(filter.alias.address);
    await expect(filter.aliases.add('u'.repeat(48), 'alumni.example')).rejects.toThrow('47 are the most');
    expect((await filter.aliases.add('u'.repeat(47), 'alumni.example')).address.indexOf('@')).toBe(64);
    for (const bad of ['', 'a b', '"a"b', 'a/b', 'ann@', 'ann@no domain', 'ännchen'])
      await expect(filter.aliases.add(bad, 'alumni.example')).rejects.toThrow('is no user');
    for (const bad of ['', 'alumni', '192.0.2.1', 'a b.example'])
      await expect(filter.aliases.add('ann', bad)).rejects.toThrow('is no domain of a forwarder');
  });

  it('brings what the forwarder forwards to the user, whatever the sender’s domain says', async () => {
    await using filter = await forwardersFilter();
    expect(await send(filter)).toBe('ann@ours.example');
    expect(await foundIn(filter)).toContain('forwarders-forwarded');
    // MTAs and people change the case.
    expect(await send(filter, { recipients: [filter.alias.address.toUpperCase()] })).toBe('ann@ours.example');
    // A bounce by the forwarder; a sender of ours who wrote to the association.
    expect(await send(filter, { sender: '' })).toBe('ann@ours.example');
    expect(await send(filter, { sender: 'bob@ours.example' })).toBe('ann@ours.example');
    // Once, even if she is there already.
    expect(
      await send(filter, {
        sender: 'a@none.example',
        recipients: [filter.alias.address, 'ann@ours.example'],
      }),
    ).toBe('ann@ours.example');
    // To the user herself nothing has changed.
    expect(await send(filter, { recipients: ['ann@ours.example'] })).toMatch(/^550 5\.7\.23 /);
  });

  it('spares nobody else who is in the same message', async () => {
    await using filter = await forwardersFilter();
    const { recipients, message } = await filter.send({
      sender: 'boss@strict.example',
      address: RELAY,
      recipients: ['bob@ours.example', filter.alias.address, 'carl@ours.example'],
    });
    expect(recipients.map(({ reply }) => reply?.code)).toEqual([550, undefined, 550]);
    expect(message.recipients).toEqual(['<ann@ours.example>']);
  });

  it.each(['fail', 'softfail', 'neutral', 'none'])('counts no points for %s', async (result) => {
    await using filter = await forwardersFilter('', {
      more: `${result} = "score 50"\n[[module]]\nuse = "score"\nreject_from = 40`,
    });
    const sender = { fail: 'strict', softfail: 'soft', neutral: 'neutral', none: 'none' }[result];
    expect(await send(filter, { sender: `a@${sender}.example` })).toBe('ann@ours.example');
  });

  it('is refused from elsewhere, and where it was never given or was taken back', async () => {
    await using filter = await forwardersFilter();
    expect(await send(filter, { address: '192.0.2.99', sender: '' })).toMatch(
      /^550 5\.7\.1 ann\+\w+@fwd\.ours\.example takes only what alumni\.example forwards, and 192\.0\.2\.99 is none of its servers/,
    );
    const made = filter.alias.address.replace(/\+./, (first) => (first === '+a' ? '+b' : '+a'));
    for (const recipient of [
      made,
      'ann@fwd.ours.example',
      `bob${filter.alias.address.slice(3)}`,
      'x+y@fwd.ours.example',
    ])
      expect(await send(filter, { sender: '', recipients: [recipient] })).toBe(
        `550 5.1.1 There is no ${recipient} here`,
      );
    await filter.aliases.remove('ann', 'alumni.example');
    expect(await send(filter, { sender: '' })).toMatch(/^550 5\.1\.1 /);
  });

  it('of a forwarder that is another’s is no good for this one', async () => {
    await using filter = await forwardersFilter('', { forwarder: 'other.example' });
    expect(await send(filter, { sender: '' })).toMatch(/^550 5\.7\.1 /);
    expect(await send(filter, { sender: '', address: '192.0.2.20' })).toBe('ann@ours.example');
  });

  it('waits for a DNS that does not answer', async () => {
    await using filter = await forwardersFilter('', { forwarder: 'away.example' });
    expect(await send(filter, { sender: '' })).toMatch(/^451 4\.4\.3 DNS does not answer .* away\.example/);
    // Nor is it refused for what may be no fault of a forwarder's mail.
    expect(await send(filter)).toMatch(/^451 4\.4\.3 /);
    await using signed = await forwardersFilter('', {
      more: '[[module]]\nuse = "./auth-says.ts"\nrole = true\ndkim = ["other.example"]',
      forwarder: 'away.example',
    });
    expect(await send(signed)).toMatch(/^451 4\.4\.3 /);
  });

  it('is taken from our own users too', async () => {
    await using filter = await forwardersFilter();
    expect(await send(filter, { address: '10.0.0.5', sender: 'bob@ours.example' })).toBe('ann@ours.example');
  });
});

describe('signatures of the forwarder', () => {
  const auth = (says: string): string => `[[module]]\nuse = "./auth-says.ts"\nrole = true\n${says}\n`;
  const elsewhere = { address: '192.0.2.99' };

  it.each([
    ['DKIM', 'dkim = ["alumni.example"]'],
    ['DKIM of a domain below', 'dkim = ["other.example", "mail.alumni.example"]'],
    ['the newest ARC seal', 'dkim = []\nsealer = "alumni.example"'],
  ])('count as much as SPF: %s', async (_, says) => {
    await using filter = await forwardersFilter('', { more: auth(says) });
    expect(await send(filter, elsewhere)).toBe('ann@ours.example');
    await using unsure = await forwardersFilter('', { more: auth(says), forwarder: 'away.example' });
    expect(await send(unsure, { ...elsewhere, sender: '' })).toMatch(/^451 4\.4\.3 /);
  });

  it('of others do not, and are waited for only where somebody verifies them', async () => {
    await using filter = await forwardersFilter('', {
      more: auth('dkim = ["evil.example"]\nsealer = "strict.example"'),
    });
    const { recipients, reply } = await filter.send({
      sender: '',
      recipients: [filter.alias.address],
      ...elsewhere,
    });
    expect([recipients[0]?.reply, reply?.code]).toEqual([undefined, 550]);
    expect(await send(filter, elsewhere)).toMatch(/^550 5\.7\.(1|23) /);
  });
});

describe('what is found at the end of the message', () => {
  const auth = '[[module]]\nuse = "auth"\ndmarc = "policy"\nresults = false\n';
  const eml = 'From: <boss@strict.example>\nSubject: x\n\nhello\n';

  it('of SPF and DMARC is spared the forwarded, but not who else gets it', async () => {
    await using filter = await forwardersFilter('', { more: auth });
    expect(await send(filter, { eml })).toBe('ann@ours.example');
    expect(await foundIn(filter)).toEqual(expect.arrayContaining(['spf-fail', 'auth-dmarc']));
    expect(await send(filter, { eml, recipients: ['ann@ours.example'] })).toMatch(/^550 /);
    expect(await send(filter, { eml, recipients: [filter.alias.address, 'bob@ours.example'] })).toMatch(
      /^550 /,
    );
    const other = await filter.aliases.add('bob', 'alumni.example');
    expect(await send(filter, { eml, recipients: [filter.alias.address, other.address] })).toBe(
      'ann@ours.example,bob@ours.example',
    );
    // Of DMARC alone, as where SPF only looks.
    await using lenient = await forwardersFilter('', { more: `fail = "continue"\n${auth}` });
    expect(await send(lenient, { eml })).toBe('ann@ours.example');
    expect(await send(lenient, { eml, recipients: ['ann@ours.example'] })).toMatch(/^550 /);
  });
});

describe('behind a relay of ours', () => {
  it('the client that the relay names is judged', async () => {
    const text = modules('').replace('[[module]]\nuse = "spf"', 'relays = ["198.51.100.1"]\n$&');
    await using filter = await testFilter(text, { zone: ZONE, now: () => NOW });
    const aliases = new Aliases({
      store: filter.store.part('forwarders'),
      now: () => NOW,
      domain: 'fwd.ours.example',
      userDomain: 'ours.example',
      files: undefined,
    });
    const { address: alias } = await aliases.add('ann', 'alumni.example');
    const from = async (address: string) =>
      await filter.send({
        sender: 'boss@strict.example',
        recipients: [alias],
        address: '198.51.100.1',
        hostname: 'relay.example.net',
        eml: `Received: from mail.example.org (mail.example.org [${address}]) by relay\nSubject: x\n\n`,
      });
    expect((await from(RELAY)).message.recipients).toEqual(['<ann@ours.example>']);
    expect((await from('192.0.2.99')).message.recipients).toEqual([]);
    // It is hers, not the address's.
    const items = [];
    for await (const item of filter.quarantine.held.list()) items.push(item.owner);
    expect(items).toEqual(['ann@ours.example']);
  });
});

describe('options', () => {
  it('mismatch says what becomes of what comes from elsewhere', async () => {
    await using filter = await forwardersFilter('mismatch = "tag"');
    expect(await send(filter, { address: '192.0.2.99', sender: '' })).toBe('ann@ours.example');
    expect(await foundIn(filter)).toContain('forwarders-mismatch');
    // It is not spared what is found of others.
    expect(await send(filter, { address: '192.0.2.99' })).toMatch(/^550 5\.7\.23 /);
  });

  it('user_domain is that of users without one', async () => {
    await using filter = await testFilter(modules('user_domain = "mail.ours.example"'), { zone: ZONE });
    expect(filter.config.modules.find(({ name }) => name === 'forwarders')?.options).toMatchObject({
      user_domain: 'mail.ours.example',
    });
  });

  it('without a domain it does nothing, and watching it only finds', async () => {
    await using off = await testFilter('[[module]]\nuse = "forwarders"');
    expect((await off.send({ recipients: ['a+b@fwd.ours.example'] })).message.recipients).toEqual([
      '<a+b@fwd.ours.example>',
    ]);
    await using watching = await forwardersFilter('mode = "observe"', { part: 'forwarders(observed)' });
    expect(await send(watching, { sender: '' })).toBe(watching.alias.address);
    expect(await foundIn(watching)).toContain('forwarders-forwarded');
    expect(await send(watching)).toMatch(/^550 5\.7\.23 /);
  });

  it.each([
    ['files = "/home/.forwarders"', /absolute path with %\{user\} in it/],
    ['files = "file:home/%{user}/x"', /absolute path with %\{user\} in it/],
    ['files = "/home/%{user}/%{domain}"', /absolute path with %\{user\} in it/],
    ['user_domain = "no domain"', /must be a domain/],
    ['mismatch = "reject it"', /must be an action/],
    ['secret = "x"', /no such key/],
  ])('refuses %s', async (option, message) => {
    const text = `[[module]]\nuse = "forwarders"\ndomain = "fwd.ours.example"\n${option}`;
    expect((await faultsOf(text)).map((fault) => fault.message).join()).toMatch(message);
  });
});

describe('milter check', () => {
  it('says where the domain is of no use', async () => {
    const said = async (options: string, zone: MemoryZone = {}) => {
      await using filter = await testFilter(`[[module]]\nuse = "forwarders"\n${options}`);
      const [module] = filter.config.modules;
      return await module?.definition.check?.(module.options, new MemoryResolver(zone));
    };
    const domain = 'domain = "fwd.ours.example"';
    expect(await said(domain)).toEqual([
      'no mail comes for fwd.ours.example, which has neither MX nor address in DNS',
    ]);
    expect(
      await said(domain, { 'fwd.ours.example': { MX: [{ preference: 1, exchange: 'mx.ours.example' }] } }),
    ).toEqual([]);
    expect(await said(domain, { 'fwd.ours.example': 'servfail' })).toEqual([]);
    expect(await said('')).toEqual([]);
    expect(await said('files = "/home/%{user}/x"')).toEqual([
      expect.stringContaining('of no use without domain'),
    ]);
  });
});

describe('recipients', () => {
  it('exist where the user does', async () => {
    const more =
      '[[module]]\nuse = "recipients"\ncomplete = ["ours.example", "fwd.ours.example"]\nusers = ["ann@"]';
    await using filter = await forwardersFilter('', { more });
    expect(await send(filter)).toBe('ann@ours.example');
    const { address } = await filter.aliases.add('gone', 'alumni.example');
    expect(await send(filter, { sender: '', recipients: [address] })).toBe(
      `550 5.1.1 There is no ${address} here`,
    );
  });
});

describe('what is remembered', () => {
  it('is how often an address was used, for what was not refused', async () => {
    await using filter = await forwardersFilter();
    expect(await filter.aliases.useOf(filter.alias)).toBeUndefined();
    await send(filter);
    await send(filter, { address: '192.0.2.99', sender: '' });
    await send(filter);
    await vi.waitFor(async () =>
      expect(await filter.aliases.useOf(filter.alias)).toEqual({ count: 2, last: NOW }),
    );
    expect(await filter.aliases.list()).toEqual([filter.alias]);
    expect(await filter.aliases.list('ann@ours.example')).toEqual([filter.alias]);
    expect(await filter.aliases.list('ann@else.example')).toEqual([]);
    await filter.aliases.remove('ann', 'alumni.example');
    expect(await filter.aliases.useOf(filter.alias)).toBeUndefined();
  });

  it('is asked again where the store is away', async () => {
    await using filter = await forwardersFilter();
    const away = vi.spyOn(MemoryBackend.prototype, 'ask').mockRejectedValue(new StoreError('away'));
    onTestFinished(() => away.mockRestore());
    expect(await send(filter, { sender: '' })).toMatch(/^451 4\.3\.0 /);
    away.mockRestore();
    expect(await send(filter, { sender: '' })).toBe('ann@ours.example');
  });
});

describe('a forwarder’s SPF', () => {
  const zone: MemoryZone = {
    ...ZONE,
    'all.example': { TXT: ['v=spf1 +all'] },
    'wide.example': { TXT: ['v=spf1 ip4:10.0.0.0/15 -all'] },
    'wide6.example': { TXT: ['v=spf1 ip6:2001::/16 -all'] },
    'wide-a.example': { TXT: ['v=spf1 a/8 -all'], A: ['192.0.2.1'] },
    'by-include.example': { TXT: ['v=spf1 include:all.example -all'] },
    'by-redirect.example': { TXT: ['v=spf1 redirect=wide.example'] },
    'by-exists.example': { TXT: ['v=spf1 exists:alumni.any.example -all'] },
    'alumni.any.example': { A: ['127.0.0.2'] },
    'broken.example': { TXT: ['v=spf1 ipv4:1.2.3.4 -all'] },
    'narrow.example': {
      TXT: ['v=spf1 ip4:198.51.100.0/24 ip6:2001:db8::/32 ip4:172.16.0.0/16 -ip4:0.0.0.0/0 ~all'],
    },
  };

  it.each([
    ['all.example', /^lets too many send: its SPF record has "\+all"$/],
    ['wide.example', /has "ip4:10\.0\.0\.0\/15"/],
    ['wide6.example', /has "ip6:2001::\/16"/],
    ['wide-a.example', /has "a\/8"/],
    ['by-include.example', /has "\+all"/],
    ['by-redirect.example', /has "ip4:10/],
    ['by-exists.example', /^lets everybody send/],
    ['broken.example', /broken/],
    ['none.example', /^has no SPF record/],
    ['away.example', /^has no SPF record, or DNS does not answer/],
    ['nobody.example', /^has no SPF record/],
  ])('%s is of no use', async (domain, why) => {
    expect(await whyUnfit(domain, new MemoryResolver(zone))).toMatch(why);
  });

  it('that names its relays is', async () => {
    const resolver = new MemoryResolver(zone);
    for (const domain of ['alumni.example', 'narrow.example'])
      expect(await whyUnfit(domain, resolver)).toBeUndefined();
  });
});
