import { connect } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { StoreError } from '../../../../lib/filter/index.ts';
import { MemoryBackend } from '../../../../lib/filter/store/memory.ts';
import { parseMessage } from '../../../../lib/mime/index.ts';
import { createSrs } from '../../../../lib/srs/index.ts';
import { fakeSession, type MemoryZone } from '../../../../lib/testing/index.ts';
import { folderWith } from '../../../helpers/configured.ts';
import { Disposables } from '../../../helpers/disposables.ts';
import { faultsOf, type TestMail, testFilter } from '../../../helpers/filter.ts';
import { mailSink, type SinkAnswer } from '../../../helpers/mail-sink.ts';
import { smtpServer } from '../../../helpers/smtp-server.ts';

const SECRET = 'the secret of these tests';
const DAY = 86_400_000;
const NOW = 1_577_836_860_000;
const SOFTFAIL = { TXT: ['v=spf1 ~all'] };
const ZONE: MemoryZone = {
  'far.example': { ...SOFTFAIL, MX: [{ preference: 10, exchange: 'mx.far.example' }] },
  'mx.far.example': { A: ['203.0.113.25'] },
};

const modules = (options: string, more = '', spf = '', secrets = SECRET): string => `[[module]]
use = "networks"
domains = ["ours.example"]
[[module]]
use = "spf"
softfail = "callout"
${spf}
[[module]]
use = "srs"
secrets = "${secrets}"
[[module]]
use = "callout"
${options}
${more}`;

const MAIL: TestMail = { sender: 'ann@far.example', recipients: ['bob@ours.example'], helo: 'dial.example' };

interface Setting {
  readonly answer?: SinkAnswer;
  readonly zone?: MemoryZone;
  readonly more?: string;
  readonly secrets?: string;
  /** More options of spf. */
  readonly spf?: string;
  /** Where all mail servers are; by default a sink's. */
  readonly port?: number;
  readonly now?: () => number;
  readonly store?: string;
  readonly directory?: string;
}

async function start(
  options = 'dsn = "asked"',
  { answer, zone = ZONE, more, spf, secrets, port, directory, ...rest }: Setting = {},
) {
  const stack = new Disposables();
  const sink = stack.use(await mailSink(answer));
  const dialed: string[] = [];
  const filter = stack.use(
    await testFilter(modules(options, more, spf, secrets), {
      ...rest,
      zone,
      ...(directory === undefined ? {} : { directory }),
      dial: (address, at) => {
        dialed.push(`${address}:${at}`);
        return connect(port ?? sink.port, '127.0.0.1');
      },
    }),
  );
  return {
    sink,
    filter,
    /** Who was connected to. */
    dialed,
    /** What is said to a message; undefined where it goes on. */
    send: async (mail: TestMail = {}): Promise<string | undefined> => {
      const { reply } = await filter.send({ ...MAIL, ...mail });
      return reply && `${reply.code} ${reply.enhanced} ${reply.lines.join(' ')}`;
    },
    /** The same with ESMTP parameters. */
    async sendWith(
      parameters: readonly string[],
      recipients: readonly (readonly [address: string, parameters: readonly string[]])[],
      subject = 'x',
    ) {
      await using mta = fakeSession(filter.Filter, { logger: filter.logger });
      await mta.connect('dial.example', { address: '192.0.2.7', port: 1 });
      await mta.helo('dial.example');
      await mta.envfrom('<ann@far.example>', parameters);
      for (const recipient of recipients) await mta.envrcpt(...recipient);
      await mta.header('Subject', subject);
      await mta.eoh();
      return (await mta.eom()).reply;
    },
    found: async () => (await filter.last())?.findings.map(({ name }) => name),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

const at =
  (stage: 'rcpt' | 'end', reply: string | undefined): SinkAnswer =>
  (where) =>
    where === stage ? reply : undefined;

describe('the explanation', () => {
  it('is sent, and the mail that it is about goes on', async () => {
    await using site = await start();
    expect(await site.send()).toBeUndefined();
    expect(await site.found()).toEqual(['spf-softfail', 'callout-passed']);
    expect(site.dialed).toEqual(['203.0.113.25:25']);
    expect(site.sink.mails).toMatchObject([{ sender: '', recipients: ['ann@far.example'] }]);
  });

  it('is a report of the headers, which no program answers', async () => {
    await using site = await start('dsn = "asked"\nfrom = "mail@ours.example"', { now: () => NOW });
    const eml =
      'Message-ID: <1@far.example>\nFrom: a@far.example\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\nX-Raw: \xfc\n\nthe body\n';
    await site.send({ eml: Buffer.from(eml, 'latin1') });
    const text = site.sink.mails[0]?.message ?? '';
    expect(text).toMatch(/^[\r\n\t -~]*$/);
    const { root } = parseMessage(Buffer.from(text, 'latin1'));
    expect(root.contentType).toBe('multipart/report');
    expect(root.contentTypeParameters).toMatchObject({ 'report-type': 'delivery-status' });
    for (const [name, value] of [
      ['From', 'mail@ours.example'],
      ['To', 'ann@far.example'],
      ['Auto-Submitted', 'auto-replied'],
      ['References', '<1@far.example>'],
      ['Date', 'Wed, 01 Jan 2020 00:01:00 +0000'],
    ] as const) {
      expect(root.headers.get(name)?.value, name).toBe(value);
    }
    const srs = createSrs({ secrets: [SECRET], hashLength: 8, now: () => NOW });
    expect(srs.reverse(root.headers.get('Message-ID')?.value.slice(1, -1) ?? '')).toBe('ann@far.example');
    const [words, status, headers] = root.children;
    expect(words?.text()).toContain('Subject:  grüße');
    expect(words?.text()).toContain('the domain far.example says in its SPF record');
    expect(status?.contentType).toBe('message/delivery-status');
    expect(status?.content().toString()).toMatch(
      /^Reporting-MTA: dns; mx\.example\.com\r\nArrival-Date: .*\r\n\r\nFinal-Recipient: rfc822; bob@ours\.example\r\nAction: delayed\r\nStatus: 4\.7\.23\r\nDiagnostic-Code: x-filter; spf-softfail /,
    );
    expect(headers?.contentType).toBe('text/rfc822-headers');
    expect(headers?.text()).toContain('Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=');
    expect(text).not.toContain('the body');
  });

  it('has what the client asked of notices, and lets nothing of the mail in', async () => {
    await using site = await start();
    const reply = await site.sendWith(
      ['ENVID=a+2Bb+0D+0AX:y'],
      [
        ['<bob@ours.example>', ['NOTIFY=SUCCESS,DELAY', 'ORCPT=rfc822;bob+2Bx@ours.example+0D+0AX:y']],
        ['<eve@ours.example>', ['NOTIFY=FAILURE']],
      ],
      '=?utf-8?q?x=0D=0ABcc:_evil@bad.example=0D=0A=0D=0A--=3D=5F?=',
    );
    expect(reply).toBeUndefined();
    const text = site.sink.mails[0]?.message ?? '';
    expect(text).not.toMatch(/^(?:Bcc|X):/m);
    expect(text).toContain('\r\nOriginal-Envelope-Id: a+b X:y\r\n');
    expect(text).toContain('\r\nOriginal-Recipient: rfc822; bob+x@ours.example X:y\r\n');
    expect(text).toContain('\r\nFinal-Recipient: rfc822; bob@ours.example\r\n');
    expect(text).not.toContain('eve@ours.example');
  });

  it.each([
    [
      'rcpt',
      '550 5.1.1 no such \x1b[31m user',
      '550 5.1.8 We doubt that ann@far.example sent this, and their mail server refuses to hear of it: mx.far.example: 550 no such ?[31m user. Why we doubt: The SPF record of far.example does not name 192.0.2.7',
    ],
    [
      'end',
      '554 we never sent that',
      '550 5.1.8 We doubt that ann@far.example sent this, and their mail server refuses to hear of it: mx.far.example: 554 we never sent that.',
    ],
    [
      'rcpt',
      '450 4.2.0 greylisted',
      '451 4.1.8 We doubt that ann@far.example sent this, and their mail server does not say now: mx.far.example: 450 greylisted.',
    ],
    ['end', '451 later', '451 4.1.8 '],
    [
      'rcpt',
      'hang up',
      '451 4.4.1 We doubt that ann@far.example sent this, and could not ask their mail server: mx.far.example: it hung up.',
    ],
  ] as const)('is answered at %s by %j', async (stage, answer, reply) => {
    await using site = await start(undefined, { answer: at(stage, answer) });
    const said = await site.send();
    expect(said?.slice(0, reply.length)).toBe(reply);
  });

  it('is sent once a week at most, and who took it is good for cache_good', async () => {
    let now = NOW;
    await using site = await start('dsn = "asked"\ncache_good = "30d"', { now: () => now });
    await site.send();
    await site.send({ recipients: ['eve@ours.example'] });
    now += 29 * DAY;
    await site.send();
    expect(site.sink.mails).toHaveLength(1);
    now += 2 * DAY;
    await site.send();
    expect(site.sink.mails).toHaveLength(2);
    expect(site.dialed).toHaveLength(2);
  });

  it('is not sent again where nobody knows what became of it: the sender is only asked', async () => {
    await using site = await start(undefined, { answer: at('end', 'hang up') });
    expect(await site.send()).toMatch(/^451 4\.4\.1 /);
    expect(await site.send()).toBeUndefined();
    expect(site.dialed).toHaveLength(2);
  });

  it('is sent anew where it was put off', async () => {
    let reply: string | undefined = '451 later';
    await using site = await start(undefined, { answer: (where) => (where === 'end' ? reply : undefined) });
    expect(await site.send()).toMatch(/^451 4\.1\.8 /);
    reply = undefined;
    expect(await site.send()).toBeUndefined();
    expect(site.sink.mails).toHaveLength(1);
  });

  it('that was refused told nobody', async () => {
    let now = NOW;
    let reply: string | undefined = '554 no';
    await using site = await start('dsn = "asked"\ncache_bad = "1d"', {
      now: () => now,
      answer: (stage) => (stage === 'end' ? reply : undefined),
    });
    expect(await site.send()).toMatch(/^550 /);
    now += 2 * DAY;
    expect(await site.send()).toMatch(/^550 .*554 no/);
    expect(site.dialed).toHaveLength(2);
    now += 2 * DAY;
    reply = undefined;
    expect(await site.send()).toBeUndefined();
    expect(site.sink.mails).toHaveLength(1);
  });

  it('is one for many messages at once', async () => {
    await using site = await start();
    await Promise.all(Array.from({ length: 5 }, () => site.send()));
    expect(site.sink.mails).toHaveLength(1);
  });

  it('is not for those who asked for none: they are only asked', async () => {
    await using site = await start();
    for (const notify of ['NEVER', 'SUCCESS,FAILURE']) {
      expect(await site.sendWith([], [['<bob@ours.example>', [`NOTIFY=${notify}`]]])).toBeUndefined();
    }
    expect(site.dialed).toHaveLength(1);
    expect(site.sink.mails).toEqual([]);
    // What was only asked is told when it may be.
    expect(await site.send()).toBeUndefined();
    expect(site.sink.mails).toHaveLength(1);
  });
});

it('is in the words of three strikes, or of the postmaster, where that is the doubt', async () => {
  const directory = folderWith({ access: 'From:wanted.example CALLOUT\n' });
  await using site = await start('dsn = "asked"', {
    directory,
    zone: {
      'new.example': { TXT: ['v=spf1 ?all'], MX: [{ preference: 1, exchange: 'mx.far.example' }] },
      'wanted.example': { TXT: ['v=spf1 +all'], A: ['203.0.113.25'] },
      ...ZONE,
    },
    spf: 'three_strikes = "callout"',
    more: '[[module]]\nuse = "access"\nmap = "file:access"',
  });
  await site.send({ sender: 'a@new.example', hostname: 'unknown' });
  await site.send({ sender: 'a@wanted.example' });
  expect(site.sink.mails.map(({ message }) => /^(?:What|Why).*/m.exec(message)?.[0])).toEqual([
    'What is wrong: nothing tells whose server 192.0.2.7 is. No PTR record of the',
    'Why you are asked: the postmaster of mx.example.com wants it of all mail like',
  ]);
});

it('is written for letters of all scripts', async () => {
  const said: string[] = [];
  await using server = await smtpServer((line) => {
    said.push(line);
    if (line.startsWith('EHLO')) return '250-far\r\n250 SMTPUTF8';
    return line === 'DATA' ? '354 go on' : undefined;
  });
  await using site = await start('dsn = "asked"', { port: server.port });
  expect(await site.send({ sender: 'jürgen@far.example' })).toBeUndefined();
  expect(said).toContain('MAIL FROM:<> SMTPUTF8');
  expect(said).toContain('RCPT TO:<jürgen@far.example>');
  expect(said).toContain('To: jürgen@far.example');
  expect(said.join('\n')).toMatch(/report-type=global-delivery-status[\s\S]*message\/global-delivery-status/);
  // A server that does not know them cannot be asked.
  await using other = await start();
  expect(await other.send({ sender: 'jürgen@far.example' })).toMatch(
    /^451 4\.4\.1 .*it does not know SMTPUTF8/,
  );
});

it('goes to the address, however it was written', async () => {
  await using site = await start();
  await site.send({ sender: '<@relay.example:"a,b"@Far.Example>' });
  expect(site.sink.mails).toMatchObject([{ recipients: ['"a,b"@far.example'] }]);
  expect(site.sink.mails[0]?.message).toContain('To: "a,b"@far.example\r\n');
});

describe('a signature in alignment', () => {
  it.each([
    [true, 0],
    [false, 1],
  ])('%s', async (aligned, asked) => {
    const more = `[[module]]\nuse = "./signed.ts"\naligned = ${aligned}`;
    await using site = await start('verify = "asked"', { more });
    expect(await site.send()).toBeUndefined();
    expect(site.dialed).toHaveLength(asked);
  });
});

describe('the question', () => {
  it('is RCPT, and no message', async () => {
    await using site = await start('verify = "asked"');
    expect(await site.send()).toBeUndefined();
    expect(await site.found()).toEqual(['spf-softfail', 'callout-passed']);
    expect(site.dialed).toHaveLength(1);
    expect(site.sink.mails).toEqual([]);
  });

  it('is answered for cache_bad', async () => {
    let now = NOW;
    let reply: string | undefined = '550 no';
    await using site = await start('verify = "asked"\ncache_bad = "3d"', {
      now: () => now,
      answer: (where) => (where === 'rcpt' ? reply : undefined),
    });
    expect(await site.send()).toMatch(/^550 5\.1\.8 /);
    reply = undefined;
    now += 2 * DAY;
    expect(await site.send()).toMatch(/^550 5\.1\.8 .*550 no/);
    expect(site.dialed).toHaveLength(1);
    now += 2 * DAY;
    expect(await site.send()).toBeUndefined();
  });

  it('is not remembered where it was not answered', async () => {
    let reply: string | undefined = '450 later';
    await using site = await start('verify = "asked"', {
      answer: (where) => (where === 'rcpt' ? reply : undefined),
    });
    expect(await site.send()).toMatch(/^451 /);
    reply = undefined;
    expect(await site.send()).toBeUndefined();
  });

  it('is asked so often', async () => {
    let now = NOW;
    const zone = Object.fromEntries(
      ['a.example', 'b.example', 'c.example'].map((name) => [name, { ...SOFTFAIL, A: ['203.0.113.25'] }]),
    );
    await using site = await start('verify = "asked"\nrate = { messages = 2, per = "1m" }', {
      now: () => now,
      zone,
    });
    const from = async (domain: string) => await site.send({ sender: `a@${domain}` });
    expect(await from('a.example')).toBeUndefined();
    expect(await from('b.example')).toBeUndefined();
    expect(await from('c.example')).toMatch(/^451 4\.3\.2 /);
    expect(await from('a.example')).toBeUndefined();
    now += 61_000;
    expect(await from('c.example')).toBeUndefined();
  });
});

describe('nobody is asked', () => {
  it.each<[string, TestMail]>([
    ['the null sender', { sender: '', helo: 'far.example' }],
    ['a list', { eml: 'List-Id: <x.example>\n\nx\n' }],
    ['bulk', { eml: 'Precedence: bulk\n\nx\n' }],
    ['an answer of a program', { eml: 'Auto-Submitted: auto-replied\n\nx\n' }],
    ['a list by its address', { sender: 'owner-x@far.example' }],
    ['an address that a forwarder made', { sender: 'SRS0=abcd=2W=x.example=a@far.example' }],
  ])('about %s', async (_, mail) => {
    await using site = await start(undefined, { zone: { ...ZONE, 'ours.example': SOFTFAIL } });
    expect(await site.send(mail)).toBeUndefined();
    expect(await site.found()).toEqual(['spf-softfail', 'callout-not-asked']);
    expect(site.dialed).toEqual([]);
  });

  it.each<[string, MemoryZone, string]>([
    [
      'it takes no mail',
      { 'far.example': { ...SOFTFAIL, MX: [{ preference: 0, exchange: '' }] } },
      '550 5.7.27 ',
    ],
    ['there is no server', { 'far.example': SOFTFAIL }, '550 5.1.8 '],
    [
      'its servers are private',
      {
        'far.example': { ...SOFTFAIL, MX: [{ preference: 0, exchange: 'a.example' }] },
        'a.example': {
          A: ['127.0.0.1', '10.0.0.1'],
          AAAA: ['::1', 'fd00::1', '::ffff:10.0.0.1', '2002:a00:1::'],
        },
      },
      '550 5.1.8 ',
    ],
    ['DNS is dead', { 'far.example': { ...SOFTFAIL, MX: 'timeout' } }, '451 4.4.1 '],
    [
      'DNS is dead for the server',
      {
        'far.example': { ...SOFTFAIL, MX: [{ preference: 0, exchange: 'a.example' }] },
        'a.example': 'servfail',
      },
      '451 4.4.1 ',
    ],
  ])('where %s', async (_, zone, reply) => {
    await using site = await start('verify = "asked"', { zone });
    expect((await site.send())?.slice(0, reply.length)).toBe(reply);
    expect(site.dialed).toEqual([]);
  });

  it('about mail that nobody doubts, that is refused already, or that is for somebody exempt', async () => {
    await using site = await start(undefined, {
      zone: { ...ZONE, 'good.example': { TXT: ['v=spf1 +all'], A: ['203.0.113.25'] } },
      more: '[[module]]\nuse = "recipients"\n[[module]]\nuse = "headers"\nsubject_words = ["viagra"]\nwords_action = "reject"',
    });
    await site.send({ sender: 'a@good.example' });
    await site.send({ recipients: ['postmaster@ours.example'] });
    expect(await site.send({ eml: 'Subject: viagra\n\nx\n' })).toMatch(/^550 /);
    expect(site.dialed).toEqual([]);
  });

  it('by a module that watches', async () => {
    await using site = await start('dsn = "asked"\nmode = "observe"');
    expect(await site.send()).toBeUndefined();
    expect(await site.found()).toEqual(['spf-softfail', 'callout-not-asked']);
    expect(site.dialed).toEqual([]);
  });
});

describe('its words', () => {
  it.each([
    ['failed = "tag"', at('rcpt', '550 no'), 'callout-failed'],
    ['unknown = "continue"', at('rcpt', '450 no'), 'callout-unknown'],
    ['unknown = "continue"', at('rcpt', 'hang up'), 'callout-unreachable'],
  ])('%s', async (options, answer, finding) => {
    await using site = await start(`verify = "asked"\n${options}`, { answer });
    expect(await site.send()).toBeUndefined();
    expect(await site.found()).toContain(finding);
  });

  it('no_mail', async () => {
    const zone = { 'far.example': { ...SOFTFAIL, MX: [{ preference: 0, exchange: '' }] } };
    await using site = await start('verify = "asked"\nno_mail = "tag"', { zone });
    expect(await site.send()).toBeUndefined();
    expect(await site.found()).toContain('callout-no-mail');
  });

  it('are asked by the access map, which also excuses from them', async () => {
    const directory = folderWith({ access: 'SPF-Neutral: CALLOUT\nSPF-Softfail:far.example OK\n' });
    await using site = await start('verify = "asked"', {
      directory,
      zone: { ...ZONE, 'new.example': { TXT: ['v=spf1 ?all'], A: ['203.0.113.26'] } },
      answer: at('rcpt', '550 no'),
      more: '[[module]]\nuse = "access"\nmap = "file:access"',
    });
    expect(await site.send()).toBeUndefined();
    expect(await site.send({ sender: 'a@new.example' })).toMatch(/^550 5\.1\.8 /);
    expect(site.dialed).toEqual(['203.0.113.26:25']);
  });
});

describe('a bounce of the explanation', () => {
  const bounce = (id: string, action = 'failed'): string =>
    `From: MAILER-DAEMON@far.example\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; far.example\n\nAction: ${action}\n\n--b\nContent-Type: text/rfc822-headers\n\nMessage-ID: ${id}\n--b--\n`;

  it('is known, and who returned it is bad from then on', async () => {
    await using site = await start();
    expect(await site.send()).toBeUndefined();
    const [, id = ''] = /^Message-ID: (.*)\r$/m.exec(site.sink.mails[0]?.message ?? '') ?? [];
    const home: TestMail = { sender: '', recipients: ['bob@ours.example'], helo: 'mx.far.example' };
    // A warning that it is late, or one that somebody made up, says nothing.
    await site.send({ ...home, eml: bounce(id, 'delayed') });
    await site.send({ ...home, eml: bounce(id.replace('ann', 'eve')) });
    expect(await site.send()).toBeUndefined();
    const { verdict } = await site.filter.send({ ...home, eml: bounce(id) });
    expect(verdict).toBe('discard');
    expect(await site.found()).toContain('callout-bounced');
    expect(await site.send()).toMatch(/^550 5\.1\.8 .*it took a message, and returned it/);
    expect(site.sink.mails).toHaveLength(1);
  });

  it.each([
    ['is known by an older secret', 'older secret', 0, true],
    ['is not known for longer than max_age', SECRET, 22, false],
    ['is not known by a secret that is none of ours', 'no secret of ours', 0, false],
  ])('%s', async (_, secret, age, isKnown) => {
    const directory = folderWith({ secrets: `${SECRET}\nolder secret\n` });
    await using site = await start(undefined, { now: () => NOW, directory, secrets: 'file:secrets' });
    const signer = createSrs({ secrets: [secret], hashLength: 8, now: () => NOW - age * DAY });
    const id = signer.forward('ann@far.example', 'mx.example.com');
    await site.filter.send({ sender: '', eml: bounce(`<${id}>`) });
    expect((await site.found())?.includes('callout-bounced')).toBe(isKnown);
  });

  it('goes where `bounced` says', async () => {
    await using site = await start('dsn = "asked"\nbounced = "tag"', { now: () => NOW });
    const id = createSrs({ secrets: [SECRET], hashLength: 8, now: () => NOW }).forward(
      'ann@far.example',
      'mx.example.com',
    );
    expect((await site.filter.send({ sender: '', eml: bounce(`<${id}>`) })).verdict).not.toBe('discard');
    expect(await site.found()).toContain('callout-bounced');
  });
});

describe('texts', () => {
  const start2 = async (files: Readonly<Record<string, string>>, more = '') =>
    await start('dsn = "asked"\ntemplates = "."', { directory: folderWith(files), more });

  it.each([
    ['softfail.txt', 'softfail.txt'],
    ['spf-softfail.txt', 'spf-softfail.txt'],
    ['default.txt', 'default.txt'],
  ])('of a finding are in %s', async (file) => {
    await using site = await start2({
      [file]: 'Subject: about %{sender}\n\n%{finding} of %{checked}: %{spf}, %{reason}\n',
    });
    await site.send();
    const text = site.sink.mails[0]?.message ?? '';
    expect(text).toContain('Subject: about ann@far.example\r\n');
    expect(text).toContain('spf-softfail of far.example: softfail, The SPF record of');
  });

  it('are those that are built in where there is none', async () => {
    await using site = await start2({ 'strike3.txt': 'x\n', 'sofftail.txt': 'y\n' });
    await site.send();
    expect(site.sink.mails[0]?.message).toContain('What is wrong: the domain far.example');
    expect(site.filter.logger.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', fields: { module: 'callout', template: 'sofftail.txt' } }),
    );
  });

  it.each([
    [
      { 'softfail.txt': '%{sendr}' },
      'softfail.txt has "%{sendr}", which is not known here; did you mean "%{sender}"?',
    ],
    [
      { 'softfail.txt': 'Subject: x\ntext\n' },
      'softfail.txt needs an empty line after the line "Subject: …"',
    ],
    [
      { 'softfail.txt': 'To: x\n\ntext\n' },
      'softfail.txt begins with a header: only "Subject: …" may stand there, then an empty line',
    ],
    [{ 'softfail.txt': 'x'.repeat(70_000) }, 'softfail.txt is larger than 64 KiB'],
    [{ README: '' }, 'has no text: write softfail.txt, or "" for the built-in ones'],
  ])('are looked at when the configuration is: %#', async (files, message) => {
    const failure = await start2(files).catch((error: unknown) => error);
    expect(String(failure)).toContain(message);
  });
});

describe('the store', () => {
  it('is away: nobody is asked, and the mail goes on', async () => {
    await using site = await start();
    const away = vi.spyOn(MemoryBackend.prototype, 'ask').mockRejectedValue(new StoreError('away'));
    onTestFinished(() => away.mockRestore());
    expect(await site.send()).toBeUndefined();
    away.mockRestore();
    expect(site.dialed).toEqual([]);
    expect(site.filter.logger.lines).toContainEqual(
      expect.objectContaining({ message: 'module callout failed: away' }),
    );
  });
});

it('a store that goes away before the message is handed over leaves nobody told', async () => {
  const away: { restore?: () => void } = {};
  await using site = await start(undefined, {
    answer: (stage) => {
      if (stage === 'rcpt') {
        const spy = vi.spyOn(MemoryBackend.prototype, 'ask').mockRejectedValue(new StoreError('away'));
        away.restore = () => spy.mockRestore();
      }
      return undefined;
    },
  });
  onTestFinished(() => away.restore?.());
  expect(await site.send()).toBeUndefined();
  expect(site.sink.mails).toEqual([]);
});

describe('what is wrong with the options', () => {
  it.each([
    ['verify = "all"', /verify: /],
    ['rate = { messages = 0, per = "1h" }', /messages/],
    ['rate = { messages = 1, per = "10ms" }', /must be a second or more/],
    ['templates = "nowhere/"', /nowhere.* cannot be read/],
    ['', /asks nobody: give it verify = "asked" or dsn = "asked"/],
  ])('%s', async (options, message) => {
    const faults = await faultsOf(modules(options));
    expect(faults.map(({ key, message }) => `${key}: ${message}`).join('\n')).toMatch(message);
  });
});
