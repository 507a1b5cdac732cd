/** The soak of the whole mail filter: a mixed corpus through a real Postfix, with all modules on that need nothing but this machine. */
import { once } from 'node:events';
import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, unlink } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { makeZip } from '../fixtures/mime/archives.ts';
import { GOOD_CLIENT, startZone, writeAllModules } from '../helpers/all-modules.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { SmtpClient } from '../helpers/smtp.ts';
import { until } from '../helpers/wait.ts';
import { type Flatness, flatness, growth } from './flat.ts';

/** What came of it. */
export interface FilterResult {
  readonly sent: number;
  readonly accepted: number;
  readonly refused: number;
  /** Resident memory of the filter. */
  readonly resident: Flatness | undefined;
  /** The same after each part, in bytes. */
  readonly memory: readonly number[];
  /** What is not as it must be, in words; empty when all is well. */
  readonly faults: readonly string[];
}

/** After each of so many parts all is delivered, and the process is looked at. */
const PARTS = 20;

/** Node takes what it needs for tens of thousands of messages, and gives little back. */
const warmUpOf = (messages: number): number => Math.max(20_000, messages / 2);
const ALLOWANCE = { perMessage: 128, sway: 24 * 2 ** 20 };

/**
 * Sends that many messages, so many at a time, fewer where `stop` tells: each must be delivered once, or be refused with a
 * reference.
 */
export async function soakFilter(
  messages: number,
  connections: number,
  progress?: (done: number) => void,
  stop?: AbortSignal,
): Promise<FilterResult> {
  const folder = await mkdtemp(join(tmpdir(), 'milter-soak-'));
  await using zone = await startZone();
  const file = writeAllModules(folder, {
    socket: 'inet:0@127.0.0.1',
    dns: zone.spec,
    store: 'sqlite:milter.db',
    // Copies would fill the disk of a long run with the corpus; one address has them.
    options: { copies: 'copy = [{ of = "incoming", mbox = "copies/%{date}.mbox", for = ["ann@"] }]' },
  });
  const http = join(folder, 'http.sock');
  appendFileSync(file, `[http]\nlisten = "unix:${http}"\n`);
  try {
    await using running = new RunningMilter([file]);
    await using postfix = await startPostfix({
      milters: [await running.address()],
      main: ['smtpd_client_connection_count_limit = 0'],
    });
    const corpus = readCorpus();
    const looks: (Census & { readonly messages: number })[] = [];
    const faults: string[] = [];
    let [sent, accepted, refused] = [0, 0, 0];
    for (let part = 1; part <= PARTS && stop?.aborted !== true; part++) {
      const end = Math.ceil((messages * part) / PARTS);
      const expected = new Set<number>();
      const sendAll = async (): Promise<void> => {
        while (sent < end && stop?.aborted !== true) {
          const number = sent++;
          const { code, lines } = await sendOne(postfix.port, number, corpus[number % corpus.length] ?? '');
          if (code === 250) expected.add(number);
          else if (/ \[ref \w+\]$/.test(lines.join(' ')) && code >= 500) refused++;
          else faults.push(`message ${number}: ${code} ${lines.join(' ')}`);
        }
      };
      await Promise.all(Array.from({ length: connections }, sendAll));
      accepted += expected.size;
      faults.push(...(await takeDelivered(postfix, expected)));
      if (faults.length > 20) break;
      // What it logs would fill the memory of this process.
      running.err = '';
      looks.push({ messages: sent, ...lookAt(running.child.pid) });
      progress?.(sent);
    }
    const counted = await readMetrics(http);
    if (counted('milter_verdicts_total') !== sent) {
      faults.push(`${counted('milter_verdicts_total')} verdicts were counted for ${sent} messages`);
    }
    if (counted('milter_module_failures_total') > 0) {
      faults.push(`modules failed ${counted('milter_module_failures_total')} times`);
    }
    const resident = flatness(looks, { ...ALLOWANCE, warmUp: warmUpOf(sent) });
    faults.push(...growth('resident', resident), ...grown(looks));
    running.child.kill('SIGTERM');
    const status = await running.status();
    if (status !== 0) faults.push(`the filter ended with ${status}`);
    return { sent, accepted, refused, resident, memory: looks.map(({ bytes }) => bytes), faults };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function sendOne(port: number, number: number, content: string) {
  await using client = await SmtpClient.open(port);
  await client.command(`XCLIENT ADDR=${GOOD_CLIENT} NAME=[UNAVAILABLE]`);
  await client.command('EHLO mail.good.example');
  const { mail, recipients, data, end } = await client.send({
    sender: `s${number % 50}@good.example`,
    recipients: [number % 10 === 0 ? 'ann@test.invalid' : 'bob@test.invalid'],
    message: `X-Soak: ${number}.\r\n${content}`,
  });
  return end ?? data ?? recipients.at(-1) ?? mail;
}

/** Waits until everything is delivered, and takes it away. Gives what was lost or came twice. */
async function takeDelivered(postfix: Postfix, expected: ReadonlySet<number>): Promise<readonly string[]> {
  await until(
    'Postfix to have delivered everything',
    async () => (await postfix.queue()).length === 0,
    600_000,
  );
  const times = new Map<number, number>();
  for (const name of await readdir(postfix.mailbox).catch(() => [])) {
    const path = join(postfix.mailbox, name);
    const number = Number(/^X-Soak: (\d+)\.$/im.exec(await readFile(path, 'latin1'))?.[1]);
    times.set(number, (times.get(number) ?? 0) + 1);
    await unlink(path);
  }
  return [...new Set([...expected, ...times.keys()])].flatMap((number) => {
    const [due, came] = [expected.has(number) ? 1 : 0, times.get(number) ?? 0];
    return came === due ? [] : [`message ${number} was delivered ${came} times, not ${due}`];
  });
}

interface Census {
  /** Resident memory. */
  readonly bytes: number;
  readonly descriptors: number;
  readonly threads: number;
}

function lookAt(pid: number | undefined): Census {
  const [, kib = '0'] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return {
    bytes: Number(kib) * 1024,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    threads: readdirSync(`/proc/${pid}/task`).length,
  };
}

/** Descriptors and threads of which there are more and more: the last look has more than any of the first half. */
function grown(looks: readonly Census[]): readonly string[] {
  const early = looks.slice(0, Math.ceil(looks.length / 2));
  return (['descriptors', 'threads'] as const).flatMap((what) => {
    const [last, most] = [looks.at(-1)?.[what] ?? 0, Math.max(...early.map((look) => look[what]))];
    return last > most ? [`${last} ${what} at the end, ${most} at most in the first half`] : [];
  });
}

/** The filter's metrics: a reader that sums a metric up over its labels. */
async function readMetrics(socketPath: string): Promise<(name: string) => number> {
  const [response] = await once(request({ socketPath, path: '/metrics' }).end(), 'response');
  const lines = (await text(response)).split('\n');
  return (name) =>
    lines
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
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
