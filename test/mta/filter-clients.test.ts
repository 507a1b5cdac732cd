/** Who the client is, as the filter's modules learn it from real MTAs. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { connect as secure } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenedFilter, openFilter } from '../../lib/filter/index.ts';
import { MemoryResolver } from '../../lib/testing/index.ts';
import { type Certificate, makeCertificate } from '../helpers/certificates.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { type FilteredMta, startFiltered } from '../helpers/filtered.ts';
import type { Mta } from '../helpers/mta.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { startSendmail } from '../helpers/sendmail.ts';
import { SmtpClient } from '../helpers/smtp.ts';

const dns = {
  'fail.example': { TXT: ['v=spf1 -all'] },
  '7.2.0.192.in-addr.arpa': { PTR: ['mail.example.org'] },
  'mail.example.org': { A: ['192.0.2.7'] },
  '2.0.0.127.bl.test': { A: ['127.0.0.2'] },
  '8.2.0.192.bl.test': { A: ['127.0.0.2'] },
} as const;

/** Opens a filter and has the MTA use it. */
async function using(t: FilteredMta, modules: string): Promise<OpenedFilter & AsyncDisposable> {
  const top =
    'socket = "inet:0@127.0.0.1"\nhostname = "mx.test.invalid"\n[log]\nlevel = "error"\n[store]\nurl = "memory:"\n';
  const filter = await openFilter(top + modules, { resolver: new MemoryResolver(dns) });
  t.use(filter.Filter);
  return { ...filter, [Symbol.asyncDispose]: () => filter.close() };
}

/** What an MTA says to each line, over TLS with this client certificate. */
async function overTls(
  port: number,
  certificate: Certificate | undefined,
  lines: readonly string[],
): Promise<readonly string[]> {
  const plain = connect(port, '127.0.0.1');
  const said = async (): Promise<string> => {
    let text = '';
    while (!/^\d{3} .*\r\n$/m.test(text)) text += String((await once(plain, 'data'))[0]);
    return text;
  };
  await said();
  for (const line of ['EHLO client.test', 'STARTTLS']) {
    plain.write(`${line}\r\n`);
    await said();
  }
  const { cert, key } = certificate ?? {};
  const socket = secure({ socket: plain, rejectUnauthorized: false, ...(cert && key ? { cert, key } : {}) });
  await once(socket, 'secureConnect');
  const replies: string[] = [];
  const input = createInterface({ input: socket })[Symbol.asyncIterator]();
  for (const line of ['EHLO client.test', ...lines]) {
    socket.write(`${line}\r\n`);
    let reply = '';
    do reply = String((await input.next()).value);
    while (/^\d{3}-/.test(reply));
    replies.push(reply);
  }
  socket.destroy();
  return replies.slice(1);
}

const MTAS = [
  [
    'postfix',
    (milter: string, own: Certificate, authority: Certificate) =>
      startPostfix({
        milters: [milter],
        main: [
          'smtpd_tls_security_level = may',
          'smtpd_tls_ask_ccert = yes',
          `smtpd_tls_cert_file = ${own.certFile}`,
          `smtpd_tls_key_file = ${own.keyFile}`,
          `smtpd_tls_CAfile = ${authority.certFile}`,
        ],
      }),
  ],
  [
    'sendmail',
    (milter: string, own: Certificate, authority: Certificate) =>
      startSendmail({
        milters: [milter],
        configuration: [
          // The folder is in one for all.
          `define(\`confDONT_BLAME_SENDMAIL', \`TrustStickyBit')dnl`,
          `define(\`confSERVER_CERT', \`${own.certFile}')dnl`,
          `define(\`confSERVER_KEY', \`${own.keyFile}')dnl`,
          `define(\`confCACERT', \`${authority.certFile}')dnl`,
          `define(\`confCACERT_PATH', \`/etc/ssl/certs')dnl`,
        ],
      }),
  ],
] as const;

describe.each(MTAS)('under %s', (name, start) => {
  describeWith([name, 'openssl'], name, () => {
    let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
    let authority: Certificate;
    let t: FilteredMta;
    beforeAll(async () => {
      directory = await temporaryDirectory();
      authority = await makeCertificate(directory.path, 'authority.test');
      const own = await makeCertificate(directory.path, 'mx.test.invalid', authority);
      t = await startFiltered<Mta>((milter) => start(milter, own, authority));
    });
    afterAll(async () => {
      await t[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    });

    it('a client certificate counts if the MTA verified it', async () => {
      await using _ = await using(
        t,
        '[[module]]\nuse = "networks"\ninternal = ["cert:CN=relay.example.org"]\nprivate = ["bob@test.invalid"]\n',
      );
      const lines = ['MAIL FROM:<ann@one.test>', 'RCPT TO:<bob@test.invalid>', 'QUIT'];
      const verified = await makeCertificate(directory.path, 'relay.example.org', authority);
      const claimed = await makeCertificate(directory.path, 'relay.example.org');
      const other = await makeCertificate(directory.path, 'other.example.org', authority);
      const toBob = async (certificate?: Certificate) => (await overTls(t.mta.port, certificate, lines))[1];
      expect(await toBob(verified)).toMatch(/^250 /);
      expect(await toBob(claimed)).toMatch(/^550 5\.7\.1 /);
      expect(await toBob(other)).toMatch(/^550 5\.7\.1 /);
      expect(await toBob()).toMatch(/^550 5\.7\.1 /);
    });

    it('programs on the machine are internal', async () => {
      await using filter = await using(t, '[[module]]\nuse = "networks"\nprivate = ["bob@test.invalid"]\n');
      await t.mta.submit('ann@one.test', ['bob@test.invalid'], 'Subject: by a program\n\ntext\n');
      expect(await t.mailsWith('by a program')).toHaveLength(1);
      expect((await filter.history.find({}))[0]?.client.kind).toBe('internal');
    });
  });
});

describeWith(['postfix'], 'clients elsewhere, of whom XCLIENT tells Postfix', () => {
  let t: FilteredMta;
  beforeAll(async () => {
    t = await startFiltered<Mta>((milter) => startPostfix({ milters: [milter] }));
  });
  afterAll(() => t[Symbol.asyncDispose]());

  const modules = `
[[module]]
use = "networks"
domains = ["test.invalid"]
[[module]]
use = "helo"
[[module]]
use = "ptr"
missing = "tempfail"
[[module]]
use = "spf"
[[module]]
use = "dnsbl"
client = [{ zone = "bl.test", action = "reject" }]
`;

  it.each([
    ['fine', 'ADDR=192.0.2.7 NAME=[UNAVAILABLE]', 'mail.example.org', 'ann@one.test', '250'],
    [
      'fine by its own word',
      'ADDR=192.0.2.99 NAME=mail.example.net',
      'mail.example.org',
      'ann@one.test',
      '250',
    ],
    [
      'without a name',
      'ADDR=192.0.2.99 NAME=[UNAVAILABLE]',
      'mail.example.org',
      'ann@one.test',
      '451 4.7.25',
    ],
    [
      'called localhost',
      'ADDR=192.0.2.99 NAME=[UNAVAILABLE] REVERSE_NAME=localhost',
      'mail.example.org',
      'ann@one.test',
      '550 5.7.25',
    ],
    ['that says an address', 'ADDR=192.0.2.7 NAME=[UNAVAILABLE]', '192.0.2.7', 'ann@one.test', '550 5.5.2'],
    [
      'that may not',
      'ADDR=192.0.2.7 NAME=[UNAVAILABLE]',
      'mail.example.org',
      'ann@fail.example',
      '550 5.7.23',
    ],
    [
      'with our sender',
      'ADDR=192.0.2.7 NAME=[UNAVAILABLE]',
      'mail.example.org',
      'ann@test.invalid',
      '550 5.7.1',
    ],
    ['on a list', 'ADDR=192.0.2.8 NAME=mail.example.net', 'mail.example.org', 'ann@one.test', '550 5.7.1'],
  ])('%s', async (_, xclient, helo, sender, expected) => {
    await using filter = await using(t, modules);
    await using client = await SmtpClient.open(t.mta.port);
    expect(await client.command(`XCLIENT ${xclient}`)).toMatchObject({ code: 220 });
    expect(await client.command(`EHLO ${helo}`)).toMatchObject({ code: 250 });
    expect(await client.command(`MAIL FROM:<${sender}>`)).toMatchObject({ code: 250 });
    const { code, enhanced, lines } = await client.command('RCPT TO:<bob@test.invalid>');
    expect(code === 250 ? '250' : `${code} ${enhanced}`).toBe(expected);
    if (code === 250) return;
    const ref = (await filter.history.find({}))[0]?.ref;
    expect(lines.join(' ')).toContain(`[ref ${ref}]`);
  });
});
