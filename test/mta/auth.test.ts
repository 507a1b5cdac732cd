/** Module `auth` under an MTA: what comes signed stays so, and what goes out changed is signed as it is delivered. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { dkimVerify } from 'mailauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type OpenedFilter, openFilter } from '../../lib/filter/index.ts';
import { createPart } from '../../lib/mime/index.ts';
import { MemoryResolver } from '../../lib/testing/index.ts';
import { ed25519, rsa, signed } from '../helpers/auth.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { keepingLogger } from '../helpers/filter.ts';
import { type FilteredMta, type Mail, MTAS, startFiltered } from '../helpers/filtered.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';

const keys = new Map([
  ['s._domainkey.example.org', rsa.record],
  ['r._domainkey.test.invalid', rsa.record],
  ['e._domainkey.test.invalid', ed25519.record],
]);

const configuration = (data: string): string => `
socket = "inet:8894@127.0.0.1"
hostname = "mx.test.invalid"
data = "${data}"
[store]
url = "memory:"

[[module]]
use = "networks"
domains = ["test.invalid"]
internal = ["127.0.0.1"]

[[module]]
use = "auth"
dmarc = "policy"
sign = [
  { domain = "test.invalid", selector = "r", key = "file:r.pem" },
  { domain = "test.invalid", selector = "e", key = "file:e.pem" },
]

[[module]]
use = "attachments"

[[module]]
use = "disclaimer"
when = ["local"]
text = "Grüße von uns"
`;

/** Whence clients connect that are not ours. */
const OUTSIDE = '127.0.7.7';

/** What a recipient makes of the signatures on a delivered mail. */
async function verify({ head, body }: Mail): Promise<readonly string[]> {
  const mail = Buffer.from(`${head}\n${body}`.replaceAll('\n', '\r\n'), 'latin1');
  const resolver = async (name: string): Promise<string[][]> => {
    const record = keys.get(name);
    if (record !== undefined) return [[record]];
    throw Object.assign(new Error(`there is no ${name}`), { code: 'ENOTFOUND' });
  };
  return (await dkimVerify(mail, { resolver, strict: true })).results.map(({ status }) => status.result);
}

describe.each(MTAS)('auth under %s', (name, start) => {
  describeWith([name], name, () => {
    let t: FilteredMta;
    let folder: Awaited<ReturnType<typeof temporaryDirectory>>;
    let filter: OpenedFilter;
    beforeAll(async () => {
      folder = await temporaryDirectory();
      await writeFile(join(folder.path, 'r.pem'), rsa.pem);
      await writeFile(join(folder.path, 'e.pem'), ed25519.pem);
      const zone = Object.fromEntries([...keys].map(([name, text]) => [name, { TXT: [text] }]));
      filter = await openFilter(configuration(join(folder.path, 'data')), {
        directory: folder.path,
        logger: keepingLogger(),
        resolver: new MemoryResolver({ ...zone, '_dmarc.example.org': { TXT: ['v=DMARC1; p=reject'] } }),
      });
      t = await startFiltered(start);
      t.use(filter.Filter);
    });
    afterAll(async () => {
      await t[Symbol.asyncDispose]();
      await filter.close();
      await folder[Symbol.asyncDispose]();
    });

    let sent = 0;
    /** Sends a message, from elsewhere or from this machine, and gives what is delivered, or the reply. */
    async function send(sender: string, make: (id: string) => Promise<Buffer> | Buffer, from?: string) {
      const id = `<auth.${++sent}.${process.pid}@x.test>`;
      await using client = await SmtpClient.open(t.mta.port, 'client.test', from);
      const message = (await make(`Message-ID: ${id}`)).toString('latin1');
      const { end } = await client.send({ sender, recipients: ['bob@test.invalid'], message });
      if (end?.code !== 250) return { end };
      const [mail] = await t.mailsWith(`Message-ID: ${id}`);
      return { end, mail };
    }

    const fields =
      'From: Ann <ann@example.org>\r\nDate: Thu, 26 Nov 2026 10:00:00 +0000\r\nSubject: odd  spaces\r\n\tand  a fold\r\n';

    it.each(['simple/simple', 'relaxed/relaxed'])(
      'mail that comes signed, %s, passes untouched',
      async (canonicalization) => {
        const { mail } = await send(
          'ann@example.org',
          async (id) => await signed(`${fields}${id}\r\n\r\nhello  you \r\n\r\n.\r\n`, { canonicalization }),
          OUTSIDE,
        );
        expect(mail === undefined ? [] : await verify(mail)).toEqual(['pass']);
        expect(mail?.head).toMatch(
          /^Authentication-Results: mx\.test\.invalid;\n\tdkim=pass header\.d=example\.org /m,
        );
      },
    );

    it('what nothing proves is refused as the domain asks', async () => {
      const { end } = await send(
        'ann@example.org',
        (id) => Buffer.from(`${fields}${id}\r\n\r\nhello\r\n`),
        OUTSIDE,
      );
      expect(end).toMatchObject({ code: 550 });
    });

    it('forged results are removed, however they are written', async () => {
      const forged = [
        'Authentication-Results: mx.test.invalid; dkim=pass header.d=forged.example',
        'AUTHENTICATION-RESULTS:\r\n\t(x) "MX.test.invalid";\r\n dkim=pass header.d=forged.example',
        'Authentication-Results : mx.test.invalid; dkim=pass header.d=forged.example',
        'Authentication-Results:mx.test.invalid; dkim=pass header.d=forged.example',
      ];
      const other = 'Authentication-Results: mx.example.org; dkim=pass header.d=other.example';
      const [a, b, c, d] = forged;
      const { mail } = await send(
        'ann@example.net',
        (id) =>
          Buffer.from(
            `${a}\r\n${other}\r\n${b}\r\nFrom: ann@example.net\r\n${c}\r\n${id}\r\n${d}\r\n\r\nhello\r\n`,
          ),
        OUTSIDE,
      );
      expect(mail?.head).not.toContain('forged.example');
      expect(mail?.head).toContain('other.example');
      expect(mail?.head.match(/^authentication-results/gim)).toHaveLength(2);
    });

    it('mail of ours, made harmless and with a text at its end, is signed as it is delivered', async () => {
      const { mail } = await send('ann@test.invalid', (id) =>
        Buffer.concat([
          createPart({
            headers: [
              ['From', 'Ann <ann@test.invalid>'],
              ['Subject', 'odd  spaces\r\n\tand  a fold '],
              ['Message-ID', id.slice(12)],
              ['MIME-Version', '1.0'],
            ],
            parts: [{ content: 'hello\n' }, { name: 'game.exe', content: Buffer.from('MZ\x90\0\x03') }],
          }).toBytes(),
          Buffer.from('\r\n'),
        ]),
      );
      expect(mail?.body).toContain('Gr=C3=BC');
      expect(mail?.body).not.toContain('TVqQ');
      expect(mail === undefined ? [] : await verify(mail)).toEqual(['pass', 'pass']);
    });
  });
});
