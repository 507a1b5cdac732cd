/** Every example is run as its reader would. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Finished, milter } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/directory.ts';

const folder = join(import.meta.dirname, '../../examples');
const MAIL = 'From: a@example.com\nSubject: hello\n\nHello.\n';

function tryExample(
  name: string,
  options: readonly string[],
  eml: string | Buffer = MAIL,
): Promise<Finished> {
  return milter(['try', join(folder, name), '-', ...options], eml);
}

const examples: Readonly<Record<string, () => Promise<void>>> = {
  'add-header.ts': async () => {
    const { out, status } = await tryExample('add-header.ts', [
      '--client',
      '192.0.2.1',
      '--helo',
      'mx.example.net',
    ]);
    expect(out).toContain('+ X-Seen-By: mx.example.net (192.0.2.1)\n');
    expect(status).toBe(0);
  },
  'bcc.ts': async () => {
    const boss = await tryExample('bcc.ts', ['--from', 'Boss@example.com']);
    expect(boss.out).toContain('+ <archive@example.com>\n');
    const local = await tryExample('bcc.ts', ['--local', '--from', 'boss@Example.com']);
    expect(local.out).toContain('+ <archive@example.com>\n');
    const other = await tryExample('bcc.ts', ['--from', 'clerk@example.com']);
    expect(other.out).toContain('nothing changed\n');
  },
  'recipient-gate.ts': async () => {
    const recipients = ['alice', 'carol', 'mallory'].flatMap((name) => ['--rcpt', `${name}@example.com`]);
    const mixed = await tryExample('recipient-gate.ts', recipients);
    expect(mixed.status).toBe(0);
    expect(mixed.out).toContain('<carol@example.com> told to try later: 450 4.2.1 This mailbox is moving');
    expect(mixed.out).toContain('<mallory@example.com> rejected: 550 5.1.1 No such user here');
    const local = await tryExample('recipient-gate.ts', ['--local', ...recipients]);
    expect(local.out).toBe(mixed.out);
    const nobody = await tryExample('recipient-gate.ts', ['--rcpt', 'mallory@example.com']);
    expect(nobody.out).toContain('rejected at envrcpt');
    expect(nobody.status).toBe(3);
  },
  'body-limit.ts': async () => {
    const large = await tryExample('body-limit.ts', [], `${MAIL}${`${'x'.repeat(998)}\n`.repeat(11_000)}`);
    expect(large.out).toBe(`verdict     rejected at body
reply       552 5.3.4 Bodies may have 10 MiB
recipient     <recipient@example.com>
`);
    expect((await tryExample('body-limit.ts', [])).status).toBe(0);
  },
  'compose.ts': async () => {
    const { out, status } = await tryExample('compose.ts', [
      '--rcpt',
      'bob@example.com',
      '--rcpt',
      'eve@example.com',
    ]);
    expect(out).toContain('<eve@example.com> rejected');
    expect(out).toContain('+ X-Seen-By: localhost (127.0.0.1)');
    expect(status).toBe(0);
  },
  // More of it is in mta/mime-postfix.test.ts.
  'defang.ts': async () => {
    const page = 'Content-Type: text/html\n\n<p onclick="x()">Hello<script>y()</script></p>\n';
    const { out, status } = await tryExample('defang.ts', [], `From: a@example.com\n${page}`);
    expect(out).toContain('+ X-Defanged: scripts\n');
    expect(status).toBe(0);
    expect((await tryExample('defang.ts', [])).out).toContain('nothing changed\n');
    const endless = `Content-Type: multipart/mixed; boundary=b\n\n${'--b\n\n'.repeat(50_001)}`;
    expect((await tryExample('defang.ts', [], endless)).out).toContain('rejected at eom');
  },
  // What it does with DNS is in spf-filter.test.ts: of a bounce from "localhost" nobody is asked.
  'spf.ts': async () => {
    const { out, status } = await tryExample('spf.ts', ['--from', '<>', '--helo', 'localhost']);
    expect(out).toContain('+ Received-SPF: none (localhost: HELO name localhost ');
    expect(status).toBe(0);
  },
};

it('the filter that README.md begins with refuses whom it says, however the address is written', async () => {
  const [, code] = /^```ts\n(.*?)^```$/ms.exec(readFileSync(join(folder, '../README.md'), 'utf8')) ?? [];
  await using place = await temporaryDirectory();
  const gate = join(place.path, 'gate.ts');
  writeFileSync(gate, code ?? '');
  for (const recipient of [
    'nobody@example.com',
    '<Nobody@Example.com>',
    '"nobody"@example.com',
    '<@a,@b:nobody@c>',
  ]) {
    for (const local of [[], ['--local']]) {
      const { out } = await milter(['try', gate, '-', ...local, '--rcpt', recipient], MAIL);
      expect(out, recipient).toContain('550 5.1.1 Nobody is not here');
    }
  }
});

it.each(readdirSync(folder).filter((name) => name.endsWith('.ts')))('%s does what it says', async (name) => {
  const example = examples[name];
  if (example === undefined) throw new Error(`examples/${name} has no test`);
  await example();
});
