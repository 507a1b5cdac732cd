/** Signatures of ours verified by others, and theirs by us. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryDirectory } from '../helpers/directory.ts';
import { Dkimpy, ed25519Key, rsaKey } from '../helpers/dkim.ts';
import { type TestFilter, testFilter } from '../helpers/filter.ts';
import { type Opendkim, startOpendkim } from '../helpers/opendkim.ts';
import { describeWith } from '../helpers/requirements.ts';

const rsa = rsaKey();
const ed25519 = ed25519Key();
const keys = {
  'rsa._domainkey.example.org': rsa.record,
  'ed._domainkey.example.org': ed25519.record,
  'arc._domainkey.list.example': rsa.record,
};
const zone = {
  'example.org': { TXT: ['v=spf1 -all'] },
  '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject; adkim=s'] },
  // RFC 8463, appendix A.2.
  'brisbane._domainkey.football.example.com': {
    TXT: ['v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo='],
  },
  'test._domainkey.football.example.com': {
    TXT: [
      'v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB',
    ],
  },
  ...Object.fromEntries(Object.entries(keys).map(([name, text]) => [name, { TXT: [text] }])),
};
const INSIDE = '10.0.0.1';

let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
let filter: TestFilter;

beforeAll(async () => {
  folder = await temporaryDirectory();
  await writeFile(join(folder.path, 'rsa.pem'), rsa.pem);
  await writeFile(join(folder.path, 'ed.pem'), ed25519.pem);
  filter = await testFilter(
    `[[module]]
use = "networks"
internal = ["10.0.0.0/8"]
[[module]]
use = "auth"
seal = true
sign = [
  { domain = "example.org", selector = "rsa", key = "file:rsa.pem" },
  { domain = "example.org", selector = "ed", key = "file:ed.pem" },
]`,
    { zone, directory: folder.path },
  );
});

afterAll(async () => {
  await filter[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const long = 'word '.repeat(300).trim();
const mails: Readonly<Record<string, string>> = {
  plain:
    'From: a@example.org\r\nTo: b@example.com\r\nSubject: x\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nhello\r\n',
  'white space':
    'From:  A <a@example.org> \r\nSubject:\tx  y\t\r\n z \r\nTo: b@example.com,\r\n\tc@example.com\r\n\r\n a  b\t \r\n\t\r\n  \r\nc\r\n\r\n\r\n',
  'no body': 'From: a@example.org\r\nSubject: x\r\n\r\n',
  'empty lines alone': 'From: a@example.org\r\nSubject: x\r\n\r\n\r\n\r\n',
  'empty lines first': 'From: a@example.org\r\nSubject: x\r\n\r\n\r\n \r\nhello\r\n',
  'no line end': 'From: a@example.org\r\nSubject: x\r\n\r\nhello',
  'long fields': `From: a@example.org\r\nSubject: ${long}\r\nReferences: ${'<1@example.org>\r\n '.repeat(60).trimEnd()}\r\nTo: ${Array.from({ length: 200 }, (_, i) => `u${i}@example.com`).join(',\r\n ')}\r\n\r\n${`${long}\r\n`.repeat(40)}`,
  '8-bit':
    'From: Jürgen <a@example.org>\r\nSubject: Grüße\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nä ö  ü\r\n',
  'fields twice':
    'Received: from a by b; Thu, 26 Nov 2026 10:00:00 +0000\r\nFrom: a@example.org\r\nSubject: x\r\nTo: b@example.com\r\nTo: c@example.com\r\nCc: d@example.com\r\nReceived: from c by d\r\nReply-To: e@example.org\r\n\r\nhello\r\n',
  'a lone CR': 'From: a@example.org\r\nSubject: x\r\n\r\nhel\rlo \r\r\nx\r\n',
};

async function signed(eml: string): Promise<Buffer> {
  const { verdict, message } = await filter.send({ address: INSIDE, eml: Buffer.from(eml) });
  expect(verdict).toBe('continue');
  return message.toBytes();
}

/** What we say of a message from outside. */
async function results(eml: Buffer): Promise<string> {
  const { message } = await filter.send({ eml });
  return (
    message.headers.find(({ name }) => name === 'Authentication-Results')?.value.replace(/\s+/g, ' ') ?? ''
  );
}

it.each(Object.keys(mails))('mailauth takes what we signed: %s', async (name) => {
  const found = await results(await signed(mails[name] ?? ''));
  expect(found.match(/dkim=pass/g)).toHaveLength(2);
  expect(found).toContain('header.a=ed25519-sha256');
  expect(found).toContain('dmarc=pass');
});

it('takes the message of RFC 8463, appendix A.3', async () => {
  const eml = `DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
`.replaceAll('\n', '\r\n');
  const found = await results(Buffer.from(eml));
  expect(found).toMatch(/dkim=pass [^;]*header\.a=ed25519-sha256/);
  expect(found).toMatch(/dkim=pass [^;]*header\.a=rsa-sha256/);
  expect(await results(Buffer.from(eml.replace('hungry', 'angry')))).not.toContain('dkim=pass');
});

describeWith(['dkimpy'], 'dkimpy', () => {
  let dkimpy: Dkimpy;
  beforeAll(() => {
    dkimpy = new Dkimpy();
  });
  afterAll(() => dkimpy[Symbol.asyncDispose]());

  it.each(Object.keys(mails))('takes what we signed: %s', async (name) => {
    expect(await dkimpy.verify(await signed(mails[name] ?? ''), keys)).toEqual([true, true]);
  });

  it('does not take it with another From above', async () => {
    const message = await signed(mails['plain'] ?? '');
    const forged = Buffer.concat([Buffer.from('From: ceo@example.org\r\n'), message]);
    expect(await dkimpy.verify(forged, keys)).not.toContain(true);
    expect(await results(forged)).toMatch(/dkim=fail.*dkim=fail.*dmarc=fail/);
  });

  const canonicalizations = ['simple/simple', 'simple/relaxed', 'relaxed/simple', 'relaxed/relaxed'];
  const algorithms = ['rsa-sha256', 'ed25519-sha256'] as const;
  const table = canonicalizations.flatMap((canonicalize) =>
    algorithms.flatMap((algorithm) =>
      Object.keys(mails).map((name) => [canonicalize, algorithm, name] as const),
    ),
  );
  it.each(table)('signed with %s by %s is taken by us: %s', async (canonicalize, algorithm, name) => {
    const isRsa = algorithm === 'rsa-sha256';
    const mail = await dkimpy.sign(Buffer.from(mails[name] ?? ''), {
      domain: 'example.org',
      selector: isRsa ? 'rsa' : 'ed',
      key: isRsa ? rsa.forDkimpy : ed25519.forDkimpy,
      canonicalize,
      algorithm,
    });
    expect(await results(mail)).toMatch(/dkim=pass .*dmarc=pass/);
  });

  it('takes our sets of ARC, one above the other, and seals above them', async () => {
    const mail = Buffer.from(mails['plain'] ?? '');
    const once = (await filter.send({ eml: mail, recipients: ['b@example.net'] })).message.toBytes();
    expect(await dkimpy.verifyArc(once, keys)).toMatchObject({ cv: 'pass' });
    const twice = (await filter.send({ eml: once, recipients: ['b@example.net'] })).message.toBytes();
    expect(await dkimpy.verifyArc(twice, keys)).toMatchObject({ cv: 'pass' });
    expect(twice.toString()).toContain('i=2; mx.example.com');
    const thrice = await dkimpy.seal(twice, {
      domain: 'list.example',
      selector: 'arc',
      key: rsa.forDkimpy,
      id: 'mx.example.com',
    });
    expect(await results(thrice)).toContain('arc=pass');
  });
});

describeWith(['opendkim'], 'opendkim', () => {
  let opendkim: Opendkim;
  beforeAll(async () => {
    opendkim = await startOpendkim(keys, { domain: 'example.org', selector: 'rsa', pem: rsa.pem });
  });
  afterAll(() => opendkim[Symbol.asyncDispose]());

  // No MTA sends a body without a final line end: it says nothing of one. A lone CR it takes for a line end.
  const sent = Object.keys(mails).filter((name) => name !== 'no line end' && name !== 'a lone CR');

  it.each(sent)('takes what we signed: %s', async (name) => {
    const found = await opendkim.verify(await signed(mails[name] ?? ''));
    expect(found.match(/dkim=\w+/g)).toEqual(['dkim=pass', 'dkim=pass']);
  });

  it.each(sent)('signed by it, with simple/simple, is taken by us: %s', async (name) => {
    const mail = await opendkim.sign(Buffer.from(mails[name] ?? ''));
    expect(await results(mail)).toMatch(/dkim=pass .*dmarc=pass/);
  });
});
