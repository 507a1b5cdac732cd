/** `milter run` with every module that needs no other daemon: whoever speaks the protocol, a message fares alike. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { connectMta } from '../../../lib/testing/index.ts';
import {
  GOOD_CLIENT,
  INTERNAL,
  LISTED,
  STRANGER,
  startZone,
  writeAllModules,
} from '../../helpers/all-modules.ts';
import { RunningMilter } from '../../helpers/cli.ts';

const HEAD = `From: a@good.example
To: bob@test.invalid
Message-ID: <1@good.example>
Date: Thu, 26 Nov 2026 20:00:00 +0000
`;
const MIXED = `${HEAD}Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: text/html

<p>hello<script>1</script></p>
--b
Content-Type: application/octet-stream; name=setup.exe

MZ
--b--
`;
const LONG = `${'x'.repeat(70)}\n`.repeat(5_000);

interface Mail {
  readonly address: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly eml?: string;
}

const GOOD = { address: GOOD_CLIENT, sender: 'a@good.example', recipients: ['bob@test.invalid'] };
const BOUNCE = { address: STRANGER, sender: '' };
const OUT = { address: INTERNAL, sender: 'bob@test.invalid', recipients: ['y@far.example'] };
const MAILS: readonly Mail[] = [
  { ...GOOD, recipients: ['bob@test.invalid', 'nobody@test.invalid'] },
  { ...GOOD, recipients: ['far@test.invalid', 'bob@test.invalid'] },
  { ...GOOD, eml: `${HEAD}Subject: viagra\n\nviagra\n` },
  { ...GOOD, eml: MIXED },
  { ...GOOD, recipients: ['ann+aaaaaaaaaaaaaaaa@fwd.test.invalid'] },
  { address: STRANGER, sender: 'x@forged.example', recipients: ['bob@test.invalid'] },
  { address: LISTED, sender: 'x@new.example', recipients: ['bob@test.invalid'] },
  { ...BOUNCE, recipients: ['bob@test.invalid'] },
  { ...BOUNCE, recipients: ['prvs=0123abcdef=bob@test.invalid'] },
  { ...BOUNCE, recipients: ['SRS0=aaaaaaaa=2W=x.example=y@srs.test.invalid'] },
  OUT,
  { ...OUT, eml: `From: bob@test.invalid\nSubject: long\n\n${LONG}` },
];

/** What becomes of each, without what is another each time. */
async function fatesOf(engine: string, dns: string): Promise<readonly unknown[]> {
  const folder = mkdtempSync(join(tmpdir(), 'milter-engines-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = writeAllModules(folder, {
    socket: 'inet:0@127.0.0.1',
    dns,
    store: 'memory:',
    options: { recipients: 'users = ["bob@", "ann@", "archive@", "far@"]\ncomplete = ["test.invalid"]' },
    // A first message would get no further.
    without: ['greylist'],
  });
  writeFileSync(file, `engine = "${engine}"\n${readFileSync(file, 'utf8')}`);
  await using running = new RunningMilter([file]);
  const address = await running.address();
  const fates: unknown[] = [];
  for (const { address: client, sender, recipients, eml = `${HEAD}Subject: hi\n\nhello\n` } of MAILS) {
    const mta = await connectMta(address);
    const result = await mta.sendMessage(eml, {
      client: { hostname: 'mail.good.example', address: client },
      sender,
      recipients,
      macros: { i: 'Q1' },
    });
    await mta.close();
    const { message, ...said } = result;
    const { headers, body, ...envelope } = message;
    const fate = { said, envelope, headers: [...headers], body: body.toString('latin1') };
    fates.push(JSON.parse(JSON.stringify(fate).replace(/\[ref \w+\]|\d\d:\d\d:\d\d/g, '')));
  }
  return fates;
}

it('a message fares on the JavaScript engine as on libmilter', async () => {
  await using zone = await startZone();
  const [js, libmilter] = [await fatesOf('js', zone.spec), await fatesOf('libmilter', zone.spec)];
  expect(js).toEqual(libmilter);
  // All of them did something.
  expect(JSON.stringify(js)).toMatch(/prvs=0.*SRS0|SRS0.*prvs=0/);
});
