/**
 * `npm run soak -- filter`: a mixed corpus through a real Postfix with all modules on that need nothing but this machine.
 * Every message must be delivered once or be refused with a reference, and memory must stay flat.
 *
 *   --messages 5000    how many
 *   --connections 8    how many at a time
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeZip } from '../fixtures/mime/archives.ts';
import { GOOD_CLIENT, startZone, writeAllModules } from '../helpers/all-modules.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { SmtpClient } from '../helpers/smtp.ts';
import { until } from '../helpers/wait.ts';

/** What came of it. */
export interface SoakResult {
  readonly sent: number;
  readonly accepted: number;
  readonly refused: number;
  /** Numbers of messages that were accepted, and not delivered, or not once. */
  readonly wrong: readonly number[];
  /** What was said to those that were neither accepted nor refused by the filter. */
  readonly strange: readonly string[];
  /** Resident memory of the filter, in bytes, after each tenth of the messages. */
  readonly memory: readonly number[];
}

/** Sends that many messages, and gives what came of them. */
export async function soak(messages: number, connections: number): Promise<SoakResult> {
  const folder = await mkdtemp(join(tmpdir(), 'milter-soak-'));
  await using zone = await startZone();
  const file = writeAllModules(folder, {
    socket: 'inet:0@127.0.0.1',
    dns: zone.spec,
    store: 'sqlite:milter.db',
    // Copies would fill the disk of a long run with the corpus; one address has them.
    options: { copies: 'copy = [{ of = "incoming", mbox = "copies/%{date}.mbox", for = ["ann@"] }]' },
  });
  try {
    await using running = new RunningMilter([file]);
    await using postfix = await startPostfix({
      milters: [await running.address()],
      main: ['smtpd_client_connection_count_limit = 0'],
    });
    const corpus = readCorpus();
    const memory: number[] = [];
    const accepted: number[] = [];
    const strange: string[] = [];
    let refused = 0;
    let next = 0;
    const sendAll = async (): Promise<void> => {
      while (next < messages) {
        const number = next++;
        if (number % Math.ceil(messages / 10) === 0) memory.push(residentOf(running.child.pid));
        const content = corpus[number % corpus.length] ?? '';
        await using client = await SmtpClient.open(postfix.port);
        await client.command(`XCLIENT ADDR=${GOOD_CLIENT} NAME=[UNAVAILABLE]`);
        await client.command('EHLO mail.good.example');
        const { mail, recipients, data, end } = await client.send({
          sender: `s${number % 50}@good.example`,
          recipients: [number % 10 === 0 ? 'ann@test.invalid' : 'bob@test.invalid'],
          message: `X-Soak: ${number}.\r\n${content}`,
        });
        const { code, lines } = end ?? data ?? recipients.at(-1) ?? mail;
        if (code === 250) accepted.push(number);
        else if (/ \[ref \w+\]$/.test(lines.join(' ')) && code >= 500) refused++;
        else strange.push(`${number}: ${code} ${lines.join(' ')}`);
      }
    };
    await Promise.all(Array.from({ length: connections }, sendAll));
    memory.push(residentOf(running.child.pid));
    await until(
      'Postfix to have delivered everything',
      async () => (await postfix.queue()).length === 0,
      600_000,
    );
    const times = new Map<number, number>();
    for (const copy of await postfix.delivered(0)) {
      const number = Number(/^X-Soak: (\d+)\.$/im.exec(copy)?.[1]);
      times.set(number, (times.get(number) ?? 0) + 1);
    }
    const wrong = accepted.filter((number) => times.get(number) !== 1);
    return { sent: messages, accepted: accepted.length, refused, wrong, strange, memory };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Messages with CRLF and a last line end, one character a byte: those of the fixtures, those kept beside the project, and some made here. */
function readCorpus(): readonly string[] {
  const folders = ['../fixtures/mime', '../../../shared/cases/mime'].map((name) =>
    join(import.meta.dirname, name),
  );
  const found = folders.flatMap((folder) => {
    let names: string[];
    try {
      names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    } catch {
      return [];
    }
    return names
      .filter((name) => /\.(eml|msg|txt)$/.test(name) && statSync(join(folder, name)).isFile())
      .sort()
      .map((name) => readFileSync(join(folder, name), 'latin1'));
  });
  const plain = (subject: string, body: string): string =>
    `From: a@good.example\nTo: bob@test.invalid\nSubject: ${subject}\nDate: Thu, 26 Nov 2026 10:00:00 +0000\n${body}`;
  const zip = makeZip([
    { name: 'a.txt', content: 'x'.repeat(100_000) },
    { name: 'b.exe', content: 'MZ' },
  ]).toString('base64');
  const made = [
    plain('short', '\nhello\n'),
    plain('long', `\n${'a line of text\n'.repeat(20_000)}`),
    plain(
      'page',
      'Content-Type: text/html\n\n<p onload="x()">hello <img src="http://t.example/1.gif"><script>x()</script>\n',
    ),
    plain(
      'zip',
      `Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\n${zip.replace(/.{76}/g, '$&\n')}\n`,
    ),
    plain('=?utf-8?q?vi=C3=A4gra?=', '\n\n'),
  ];
  return [...found, ...made].map((text) => {
    const lines = text.replace(/\0/g, ' ').replace(/\r?\n|\r/g, '\r\n');
    return lines.endsWith('\r\n') ? lines : `${lines}\r\n`;
  });
}

function residentOf(pid: number | undefined): number {
  const [, kib = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kib) * 1024;
}

/** Whether memory has stopped growing: what is used in the second half is about what was used in the middle. */
function isFlat(memory: readonly number[]): boolean {
  const half = memory.slice(Math.floor(memory.length / 2));
  return Math.max(...half) < 1.25 * (half[0] ?? 0);
}

if (import.meta.main) {
  const { values } = parseArgs({
    allowPositionals: true,
    options: { messages: { type: 'string', default: '5000' }, connections: { type: 'string', default: '8' } },
  });
  const began = performance.now();
  const result = await soak(Number(values.messages), Number(values.connections));
  const { sent, accepted, refused, wrong, strange, memory } = result;
  console.log(
    `${sent} messages in ${((performance.now() - began) / 1000).toFixed(0)} s: ${accepted} accepted, ${refused} refused`,
  );
  console.log(`memory, MiB: ${memory.map((bytes) => Math.round(bytes / 2 ** 20)).join(' ')}`);
  for (const line of strange.slice(0, 20)) console.log(`STRANGE ${line}`);
  if (wrong.length > 0) console.log(`LOST or doubled: ${wrong.join(' ')}`);
  if (!isFlat(memory)) console.log('memory GROWS');
  process.exitCode = wrong.length + strange.length === 0 && isFlat(memory) ? 0 : 1;
}
