/** What is verified without mailauth is what mailauth says. */
import { expect, it } from 'vitest';
import { readMailboxes } from '../../lib/filter/mail/mailboxes.ts';
import { verify } from '../../lib/filter/modules/auth/mailauth.ts';
import { verifyPlainly } from '../../lib/filter/modules/auth/plain.ts';
import { asBytes } from '../../lib/filter/modules/auth/received.ts';
import type { Ask, SpfIdentity, Verified } from '../../lib/filter/modules/auth/verified.ts';
import { parseMessage } from '../../lib/mime/index.ts';
import { MemoryResolver } from '../../lib/testing/index.ts';
import { ed25519, rsa, signed } from '../helpers/auth.ts';
import { rsaKey } from '../helpers/dkim.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const NOW = Date.parse('2026-11-26T10:00:00Z');
const short = rsaKey(512);

const texts: Readonly<Record<string, readonly string[]>> = {
  's._domainkey.example.org': [rsa.record],
  'ed._domainkey.example.org': [ed25519.record],
  'service._domainkey.example.org': [rsa.record.replace('k=rsa', 'k=rsa; s=email; t=s; h=sha256; n=a note')],
  'test._domainkey.example.org': [rsa.record.replace('k=rsa', 'k=rsa; t=y')],
  'other._domainkey.example.org': [rsa.record.replace('k=rsa', 'k=rsa; s=tlsrpt')],
  'late._domainkey.example.org': [
    rsa.record.replace('v=DKIM1; k=rsa; p', 'k=rsa; p').replace(/$/, '; v=DKIM1'),
  ],
  'sha1._domainkey.example.org': [rsa.record.replace('k=rsa', 'k=rsa; h=sha1')],
  'gone._domainkey.example.org': ['v=DKIM1; p='],
  'two._domainkey.example.org': [rsa.record, ed25519.record],
  'short._domainkey.example.org': [short.record],
  's._domainkey.sub.example.org': [rsa.record],
  's._domainkey.news.strict.example': [rsa.record],
  's._domainkey.strict.example': [rsa.record],
  's._domainkey.nothing.example': [rsa.record],
  's._domainkey.other.example': [rsa.record],
  '_dmarc.example.org': ['v=DMARC1; p=reject; sp=quarantine; rua=mailto:a@example.org'],
  '_dmarc.strict.example': ['v=DMARC1;p=quarantine;adkim=s;aspf=s;'],
  '_dmarc.testing.example': ['v=DMARC1; p=reject; t=y'],
  '_dmarc.none-below.example': ['v=DMARC1; p=none; np=reject'],
  '_dmarc.two.example': ['v=DMARC1; p=none', 'v=DMARC1; p=reject'],
  '_dmarc.noise.example': ['hello', 'v=DMARC1; p=none'],
  '_dmarc.odd.example': ['v=DMARC1; p=rejct; rua=mailto:a@odd.example'],
  '_dmarc.twice.example': ['v=DMARC1; p=none; p=reject'],
  '_dmarc.suffix.example': ['v=DMARC1; p=reject; psd=y'],
  '_dmarc.own.suffix.example': ['v=DMARC1; p=none; psd=n'],
};
const resolver = new MemoryResolver(
  Object.fromEntries(Object.entries(texts).map(([name, TXT]) => [name, { TXT }])),
);
const ask: Ask = async (name, type) => {
  const records = type === 'TXT' ? texts[name.toLowerCase()] : undefined;
  return records === undefined ? { code: 'ENOTFOUND' } : { records };
};

const PASS: SpfIdentity = { result: 'pass', domain: 'example.org' };

/** What both say of a message. */
async function compare(
  eml: Buffer,
  spf?: SpfIdentity,
): Promise<{ readonly plain: Verified | undefined; readonly whole: Verified }> {
  const fields = [...parseMessage(eml).root.headers];
  const head = asBytes(fields);
  const body = eml.subarray(eml.indexOf('\r\n\r\n') + 4);
  const authors = fields
    .filter(({ name }) => name.trim().toLowerCase() === 'from')
    .flatMap(({ value }) => readMailboxes(value).map(({ address }) => address));
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    yield body;
  };
  const known = { authors, spf, now: NOW };
  return {
    plain: await verifyPlainly({ ...known, fields, body, resolver }),
    whole: await verify({ ...known, head, hasBody: true }, chunks(), ask),
  };
}

async function agree(eml: Buffer, spf?: SpfIdentity): Promise<boolean> {
  const { plain, whole } = await compare(eml, spf);
  if (plain !== undefined) expect(plain).toEqual(whole);
  return plain !== undefined;
}

function mail(from: string, body = 'hello  you \r\n\r\n a\tb\r\n\r\n\r\n'): string {
  return `Received: from a by b; x\r\nFrom: ${from}\r\nTo: b@example.com\r\nSubject: a  long\r\n\tsubject \r\n\r\n${body}`;
}

it.each([
  ['relaxed/relaxed', {}, 'a@example.org', 'pass'],
  ['relaxed/simple', { canonicalization: 'relaxed/simple' }, 'a@example.org', 'pass'],
  ['Ed25519', { selector: 'ed', key: ed25519 }, 'A. Person <a@example.org>', 'pass'],
  ['limits in the key that hold', { selector: 'service' }, '"A, B" <a@EXAMPLE.org>', undefined],
  ['a name in quotes', { selector: 'service' }, '"A B" <a@EXAMPLE.org>', 'pass'],
  ['a subdomain without a record', { domain: 'sub.example.org' }, 'a@sub.example.org', 'pass'],
  ['signed by the organization', {}, 'a@sub.example.org', 'pass'],
  ['no policy', { domain: 'nothing.example' }, 'a@nothing.example', 'none'],
  ['a stranger signs, no policy', { domain: 'other.example' }, 'a@nothing.example', 'none'],
  ['strict, its own', { domain: 'strict.example' }, 'a@strict.example', 'pass'],
  ['strict, below', { domain: 'news.strict.example' }, 'a@strict.example', 'fail'],
  ['a stranger signs', { domain: 'other.example' }, 'a@example.org', 'fail'],
  [
    'valid for a while',
    { signTime: new Date(NOW - 1e6), expires: new Date(NOW + 1e6) },
    'a@example.org',
    'pass',
  ],
  ['expired', { signTime: new Date(NOW - 1e6), expires: new Date(NOW - 1e5) }, 'a@example.org', undefined],
  ['l=', { maxBodyLength: 3 }, 'a@example.org', undefined],
  ['simple header', { canonicalization: 'simple/simple' }, 'a@example.org', undefined],
  ['a key in test', { selector: 'test' }, 'a@example.org', undefined],
  ['a key not for mail', { selector: 'other' }, 'a@example.org', undefined],
  ['a key with its version last', { selector: 'late' }, 'a@example.org', undefined],
  ['a key for SHA-1', { selector: 'sha1' }, 'a@example.org', undefined],
  ['a key that was taken back', { selector: 'gone' }, 'a@example.org', undefined],
  ['two keys', { selector: 'two' }, 'a@example.org', undefined],
  ['no key', { selector: 'nowhere' }, 'a@example.org', undefined],
  ['two authors', {}, 'a@example.org, b@example.org', undefined],
  ['an author in a comment', {}, 'a@example.org (b@other.example)', undefined],
] as const)('%s', async (_, signing, from, dmarc) => {
  const eml = await signed(mail(from), signing);
  const { plain, whole } = await compare(eml);
  if (plain !== undefined) expect(plain).toEqual(whole);
  expect(plain?.dmarc.result).toBe(dmarc);
});

it.each([
  ['a@example.org', PASS, 'pass'],
  ['a@sub.example.org', PASS, 'pass'],
  ['a@example.org', { ...PASS, domain: 'Sub.example.org' }, 'pass'],
  ['a@example.org', { ...PASS, domain: 'other.example' }, 'fail'],
  ['a@example.org', { ...PASS, result: 'softfail' }, 'fail'],
  ['a@example.org', { ...PASS, result: 'temperror' }, undefined],
  ['a@example.org', undefined, 'fail'],
  ['a@nothing.example', undefined, 'none'],
  ['a@testing.example', { ...PASS, domain: 'testing.example' }, undefined],
  ['a@none-below.example', { ...PASS, domain: 'none-below.example' }, undefined],
  ['a@two.example', { ...PASS, domain: 'two.example' }, undefined],
  ['a@noise.example', { ...PASS, domain: 'noise.example' }, 'pass'],
  ['a@odd.example', { ...PASS, domain: 'odd.example' }, undefined],
  ['a@twice.example', { ...PASS, domain: 'twice.example' }, undefined],
  ['a@below.suffix.example', { ...PASS, domain: 'below.suffix.example' }, undefined],
  ['a@own.suffix.example', { ...PASS, domain: 'own.suffix.example' }, undefined],
] as const)('not signed: %s, SPF %o', async (from, spf, dmarc) => {
  const { plain, whole } = await compare(Buffer.from(mail(from)), spf);
  if (plain !== undefined) expect(plain).toEqual(whole);
  expect(plain?.dmarc.result).toBe(dmarc);
});

it.each([
  ['its body', 'hello', 'jello', 'body hash did not verify'],
  ['its header', 'subject', 'object', 'bad signature'],
])('tells that %s was changed', async (_, before, after, comment) => {
  const whole = (await signed(mail('a@example.org'))).toString('latin1');
  const at = whole.lastIndexOf(before);
  const changed = Buffer.from(whole.slice(0, at) + after + whole.slice(at + before.length), 'latin1');
  const { plain, whole: found } = await compare(changed);
  expect(plain).toEqual(found);
  expect(plain?.dkim[0]).toMatchObject({ result: 'fail', comment });
  expect(plain?.dmarc.result).toBe('fail');
});

it('leaves sets of ARC, and several From fields, to mailauth', async () => {
  for (const more of ['ARC-Seal: i=1\r\n', 'From: b@example.org\r\n', 'From : b@example.org\r\n']) {
    const { plain } = await compare(await signed(`${more}${mail('a@example.org')}`), PASS);
    expect(plain, more).toBeUndefined();
  }
});

it('knows a key again, and not for another algorithm', async () => {
  for (let n = 0; n < 3; n++) {
    for (const signing of [{}, { selector: 'ed', key: ed25519 }]) {
      expect(await agree(await signed(mail('a@example.org'), signing))).toBe(true);
    }
  }
});

it('says of changed mail what mailauth says, or nothing', async () => {
  const twice = await signed(await signed(mail('A <a@example.org>')), { selector: 'ed', key: ed25519 });
  const mails = [
    twice,
    await signed(mail('a@sub.example.org'), { canonicalization: 'relaxed/simple' }),
    await signed(mail('a@nothing.example'), { domain: 'nothing.example' }),
  ];
  const pieces = [
    ' ',
    '\t',
    '\r\n',
    '\r\n ',
    ';',
    '=',
    'b=',
    'h=from',
    ':',
    '@',
    '"',
    '<',
    '>',
    ',',
    '(',
    ')',
    'x',
    '\0',
    '',
  ];
  let plain = 0;
  const change = fc.record({
    whole: fc.constantFrom(...mails),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    piece: fc.constantFrom(...pieces),
    cut: fc.integer({ min: 0, max: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(change, async ({ whole, at, piece, cut }) => {
      const from = Math.floor(whole.length * at);
      const changed = [whole.subarray(0, from), Buffer.from(piece, 'latin1'), whole.subarray(from + cut)];
      if (await agree(Buffer.concat(changed))) plain++;
    }),
    runs(400),
  );
  // White space that signatures do not cover.
  expect(plain).toBeGreaterThan(0);
});
