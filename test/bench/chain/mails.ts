/** The mail of the comparison, signed with real keys, and what DNS has of those who send it. */
import { dkimSign } from 'mailauth';
import { rsaKey } from '../../helpers/dkim.ts';

/** One who sends: each has an address, a key and policies of its own. */
export interface Sender {
  readonly host: string;
  readonly address: string;
  readonly envelope: string;
  /** With CRLF, dots doubled, and the dot at the end. */
  readonly mails: readonly Buffer[];
}

/** Senders, and lines of the kind `name TYPE data`. */
export interface Correspondence {
  readonly senders: readonly Sender[];
  readonly records: readonly string[];
}

/** Bytes of the bodies. */
const SIZES = [2_000, 4_000, 4_000, 6_000] as const;
/** From domains: their own, or below the one that has the DMARC record. */
const DOMAINS = [
  'one.example',
  'two.example',
  'news.three.example',
  'four.example',
  'mail.five.example',
] as const;
const LINE = 'The quick brown fox jumps over the lazy dog, again and again.\r\n';

/** Makes it: nine mails of ten pass SPF, DKIM and DMARC; of the others one signature is broken, and one is not there. */
export async function makeCorrespondence(recipient: string): Promise<Correspondence> {
  const records: string[] = [];
  const senders: Sender[] = [];
  for (const [n, domain] of DOMAINS.entries()) {
    const key = rsaKey();
    const address = `198.51.100.${10 + n}`;
    const host = `mail.${domain}`;
    const owner = domain.split('.').slice(-2).join('.');
    records.push(
      `${domain}. TXT ${quoted(`v=spf1 include:_spf.${domain} mx -all`)}`,
      `_spf.${domain}. TXT ${quoted('v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.0/24 ~all')}`,
      `${domain}. MX 10 ${host}.`,
      `${host}. A ${address}`,
      `${host}. TXT ${quoted('v=spf1 a -all')}`,
      `${address.split('.').reverse().join('.')}.in-addr.arpa. PTR ${host}.`,
      `s2026._domainkey.${domain}. TXT ${quoted(key.record)}`,
      `_dmarc.${owner}. TXT ${quoted('v=DMARC1; p=reject; rua=mailto:dmarc@example.net')}`,
    );
    const mails: Buffer[] = [];
    for (const [i, size] of SIZES.entries()) {
      const unsigned = message(domain, recipient, `${n}-${i}`, size);
      mails.push(await signed(unsigned, domain, key.pem));
    }
    if (n === 0) mails.push(message(domain, recipient, 'unsigned', SIZES[0]));
    if (n === 1) {
      const whole = await signed(message(domain, recipient, 'broken', SIZES[0]), domain, key.pem);
      mails.push(Buffer.from(whole.toString('latin1').replace('the lazy dog', 'the wild dog'), 'latin1'));
    }
    senders.push({ host, address, envelope: `author@${domain}`, mails: mails.map(onTheWire) });
  }
  return { senders, records };
}

function message(domain: string, recipient: string, id: string, size: number): Buffer {
  const head = [
    `Received: from desk.${domain} (desk.${domain} [192.0.2.9])`,
    `\tby mail.${domain} with ESMTPSA id 4abc; Thu, 26 Nov 2026 10:00:00 +0000`,
    `From: "An Author" <author@${domain}>`,
    `To: Bob <${recipient}>`,
    'Subject: Minutes of the meeting on Thursday',
    'Date: Thu, 26 Nov 2026 10:00:00 +0000',
    `Message-ID: <${id}@${domain}>`,
    'MIME-Version: 1.0',
    'Content-Type: text/plain; charset=utf-8',
    'Content-Transfer-Encoding: 7bit',
    'User-Agent: Bench',
  ];
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${LINE.repeat(Math.ceil(size / LINE.length))}`);
}

async function signed(unsigned: Buffer, domain: string, privateKey: string): Promise<Buffer> {
  const signer = { signingDomain: domain, selector: 's2026', privateKey };
  const { signatures, errors } = await dkimSign(unsigned, {
    ...signer,
    canonicalization: 'relaxed/relaxed',
    signatureData: [signer],
  });
  if (errors.length > 0 || signatures === '') throw new Error('the mail of the comparison cannot be signed');
  return Buffer.concat([Buffer.from(signatures), unsigned]);
}

function onTheWire(mail: Buffer): Buffer {
  return Buffer.from(`${mail.toString('latin1').replace(/^\./gm, '..')}.\r\n`, 'latin1');
}

/** As zone files have text: strings of 255 bytes at most. */
function quoted(text: string): string {
  return (text.match(/.{1,200}/g) ?? []).map((part) => `"${part}"`).join(' ');
}
