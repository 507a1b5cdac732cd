import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { MemoryResolver, type MemoryZone } from '../../../../lib/testing/index.ts';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';

const six = (last: string): string => `${last}.0.0.0.0.0.f.7.f.f.f.f${'.0'.repeat(20)}`;
/** What every list has. */
const good = (zone: string): MemoryZone => ({
  [`2.0.0.127.${zone}`]: { A: ['127.0.0.2'] },
  [`${six('2')}.${zone}`]: { A: ['127.0.0.2'] },
  [`test.${zone}`]: { A: ['127.0.0.2'] },
});

const zone: MemoryZone = {
  ...good('bl.test'),
  ...good('wl.test'),
  ...good('rhs.test'),
  ...good('uri.test'),
  '7.2.0.192.bl.test': { A: ['127.0.0.4'], TXT: ['see https://bl.test/?192.0.2.7'] },
  '8.2.0.192.bl.test': { A: ['127.255.255.254'] },
  '9.2.0.192.bl.test': { A: ['192.0.2.1'] },
  '10.2.0.192.bl.test': 'timeout',
  '7.2.0.192.wl.test': { A: ['127.0.0.9'] },
  [`7${'.0'.repeat(23)}.8.b.d.0.1.0.0.2.bl.test`]: { A: ['127.0.0.2'] },
  'spam.example.rhs.test': { A: ['127.0.0.2'] },
  'spam.example.uri.test': { A: ['127.0.0.2'] },
  '1.2.0.192.uri.test': { A: ['127.0.0.2'] },
};

const dnsbl = (options: string): string => `[[module]]\nuse = "dnsbl"\n${options}\n`;
const client = (more = 'action = "reject"', name = 'bl.test'): string =>
  dnsbl(`client = [{ zone = "${name}", ${more} }]`);

async function send(config: string, mail: TestMail = {}, more: MemoryZone = {}) {
  await using filter = await testFilter(config, { zone: { ...zone, ...more } });
  const result = await filter.send(mail);
  const [recipient] = result.recipients;
  return {
    answer: recipient?.verdict === 'continue' ? result.verdict : recipient?.verdict,
    reply: (recipient?.reply ?? result.reply)?.lines[0],
    findings: (await filter.last())?.findings ?? [],
    log: filter.logger.lines,
  };
}

describe('client', () => {
  it('lists do what is written, and the reply says which and why', async () => {
    const { answer, reply, findings } = await send(client());
    expect(answer).toBe('reject');
    expect(reply).toMatch(/192\.0\.2\.7 is listed by bl\.test: see https:\/\/bl\.test\/\?192\.0\.2\.7 \[ref/);
    expect(findings).toMatchObject([
      { name: 'dnsbl-client', subject: '192.0.2.7', note: '192.0.2.7 in bl.test: 127.0.0.4' },
    ]);
    expect((await send(client(), { address: '192.0.2.99' })).findings).toEqual([]);
    expect((await send(client('action = "tempfail"'))).answer).toBe('tempfail');
  });

  it('of IPv6 are asked by nibbles', async () => {
    expect((await send(client(), { address: '2001:db8::7' })).answer).toBe('reject');
    expect((await send(client(), { address: '2001:db8::8' })).answer).toBe('continue');
  });

  it('codes say which answers count', async () => {
    expect((await send(client('codes = ["127.0.0.4"], action = "reject"'))).answer).toBe('reject');
    expect((await send(client('codes = ["127.0.0.2-127.0.0.3"], action = "reject"'))).answer).toBe(
      'continue',
    );
  });

  it('lists add up', async () => {
    const both = dnsbl(
      'client = [{ zone = "bl.test", action = "score 4" }, { zone = "wl.test", action = "score -3" }]',
    );
    expect((await send(both)).findings.map(({ action }) => action)).toEqual(['score 4', 'score -3']);
  });

  it('text is the reply', async () => {
    const { reply } = await send(client('action = "reject", text = "%{listed} of %{domain}: no, %{zone}"'));
    expect(reply).toMatch(/^192\.0\.2\.7 of example\.org: no, bl\.test \[ref/);
  });

  it('behind a relay is asked at the end', async () => {
    const relay = '[[module]]\nuse = "networks"\nrelays = ["198.51.100.1"]\nrelayed = "discard"\n';
    const eml = 'Received: from x (unknown [192.0.2.7]) by relay\nSubject: x\n\n';
    expect((await send(relay + client(), { address: '198.51.100.1', eml })).answer).toBe('discard');
  });

  it('of our own is not asked', async () => {
    const inside = '[[module]]\nuse = "networks"\ninternal = ["192.0.2.0/24"]\n';
    expect((await send(inside + client())).findings).toEqual([]);
  });
});

describe('sender', () => {
  const sender = dnsbl(
    'sender = [{ zone = "rhs.test", action = "reject", text = "%{domain} has been spamming our customers" }]',
  );

  it('domains are asked, and those above them', async () => {
    const { answer, reply } = await send(sender, { sender: 'a@spam.example' });
    expect(answer).toBe('reject');
    expect(reply).toMatch(/^spam\.example has been spamming our customers \[ref/);
    expect((await send(sender, { sender: 'a@mail.spam.example' })).answer).toBe('reject');
    expect((await send(sender, { sender: 'a@notspam.example' })).answer).toBe('continue');
    expect((await send(sender, { sender: '<>' })).answer).toBe('continue');
  });
});

describe('links', () => {
  const links = dnsbl('links = [{ zone = "uri.test", action = "reject" }]');
  const html = (body: string): string => `Content-Type: text/html\n\n${body}\n`;

  it.each([
    ['in a text', 'Subject: x\n\nvisit http://spam.example/now\n'],
    ['below the one that is listed', 'Subject: x\n\nvisit http://www.a.b.c.d.spam.example/now\n'],
    ['in a page', html('<a href="http://spam.example">x</a>')],
    ['by their address', html('<a href="http://192.0.2.1">x</a>')],
    [
      'in an encoded part',
      `Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\n${btoa('http://spam.example')}\n`,
    ],
    [
      'in a part of a part',
      'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: y\n\nhttp://spam.example\n--b--\n',
    ],
  ])('are found %s', async (_, eml) => {
    const { answer, reply } = await send(links, { eml });
    expect(answer).toBe('reject');
    expect(reply).toMatch(/link to (spam\.example|192\.0\.2\.1), which is listed by uri\.test/);
  });

  it('to others, or to ourselves, are none', async () => {
    expect((await send(links, { eml: html('<a href="http://good.example">x</a>') })).findings).toEqual([]);
    const ours = '[[module]]\nuse = "networks"\ndomains = ["spam.example"]\n';
    expect((await send(ours + links, { eml: html('<a href="http://spam.example">x</a>') })).findings).toEqual(
      [],
    );
  });

  it('are asked about in bounded number', async () => {
    const resolver = new MemoryResolver(zone);
    await using filter = await testFilter(links, { resolver });
    const many = Array.from({ length: 1_000 }, (_, i) => `http://a.h${i}.example`).join('\n');
    await filter.send({ eml: `Subject: x\n\n${many}\n` });
    expect(resolver.queries.length).toBeLessThan(100);
  });
});

describe('a list that cannot be believed', () => {
  it.each<[string, MemoryZone]>([
    ['lists everything', { '1.0.0.127.bl.test': { A: ['127.0.0.2'] } }],
    ['lists nothing', { '2.0.0.127.bl.test': 'nxdomain' }],
    ['does not answer', { '2.0.0.127.bl.test': 'timeout' }],
  ])('as one that %s is off', async (_, more) => {
    const { answer, log } = await send(client(), {}, more);
    expect(answer).toBe('continue');
    expect(log.filter(({ message }) => message.includes('bl.test is off until it passes'))).toHaveLength(1);
  });

  it('is asked again, and is on when it passes', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const resolver = new MemoryResolver({ ...zone, '2.0.0.127.bl.test': 'nxdomain' });
    await using filter = await testFilter(client(), { resolver });
    expect((await filter.send()).recipients[0]?.verdict).toBe('continue');
    resolver.set('2.0.0.127.bl.test', { A: ['127.0.0.2'] });
    await vi.advanceTimersByTimeAsync(300_000);
    expect((await filter.send()).recipients[0]?.verdict).toBe('reject');
    // Hourly those that are on, too.
    resolver.set('1.0.0.127.bl.test', { A: ['127.0.0.2'] });
    await vi.advanceTimersByTimeAsync(3_600_000);
    expect((await filter.send()).recipients[0]?.verdict).toBe('continue');
  });

  it('as one that complains of us is off from then on', async () => {
    for (const address of ['192.0.2.8', '192.0.2.9']) {
      await using filter = await testFilter(client(), { zone });
      expect((await filter.send({ address })).recipients[0]?.verdict).toBe('continue');
      expect((await filter.send()).recipients[0]?.verdict).toBe('continue');
    }
  });

  it('is off after some failures in a row', async () => {
    await using filter = await testFilter(client(), { zone });
    await filter.send({ address: '192.0.2.10' });
    expect((await filter.send()).recipients[0]?.verdict).toBe('reject');
    for (let i = 0; i < 5; i++) await filter.send({ address: '192.0.2.10' });
    expect((await filter.send()).recipients[0]?.verdict).toBe('continue');
  });

  it('of a dead DNS lets mail pass', async () => {
    await using filter = await testFilter(`${client().trimEnd()}\ndeadline = "20ms"\n`, {
      resolver: { resolve: () => new Promise(() => {}) },
    });
    expect((await filter.send()).recipients[0]?.verdict).toBe('continue');
  });
});

it.each([
  ['client = [{ zone = "bl.test" }]', 'client[0].action: is missing'],
  ['client = [{ action = "reject" }]', 'client[0].zone: is missing'],
  ['client = [{ zone = "", action = "reject" }]', 'zone must be the domain of a list'],
  ['client = [{ zone = "b l", action = "reject" }]', 'client[0].zone: must be a domain'],
  ['client = [{ zone = "bl.test", action = "reject", codes = ["1.2.3.4"] }]', 'is no code'],
  ['client = [{ zone = "bl.test", action = "rejct" }]', 'did you mean "reject"?'],
  ['client = [{ zone = "bl.test", action = "reject", text = "%{zon}" }]', 'did you mean "%{zone}"?'],
  ['link = []', 'did you mean "links"?'],
])('refuses %s', async (options, message) => {
  await expect(testFilter(dnsbl(options))).rejects.toThrow(message);
});
