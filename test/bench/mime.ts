/**
 * MIME work against pymilter's mime module, in turns in one run: parse, defang (names, zip, HTML), serialise. Then a message of 28 MB
 * against copying it, and how long it holds the event loop.
 *
 *   node test/bench/mime.ts [seconds per round]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPart, defang, parseMessage, parseMessageStream } from '../../lib/mime/index.ts';
import { makeZip } from '../fixtures/mime/archives.ts';

const seconds = Number(process.argv[2] ?? 2);
const rounds = 3;
const python = '/usr/bin/python3';
const fixtures = join(import.meta.dirname, '../fixtures/mime');
const folder = mkdtempSync(join(tmpdir(), 'mime-bench-'));

/** Mails of one kind; both sides work through them in the same order. */
interface Workload {
  readonly name: string;
  readonly mails: readonly Buffer[];
}

interface Result {
  readonly messages: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly errors: number;
}

function workloads(): readonly Workload[] {
  const samples = readdirSync(fixtures)
    .filter((name) => name.endsWith('.eml'))
    .map((name) => readFileSync(join(fixtures, name)));
  // As they come from the net: fields that servers and lists add, and a few kilobytes of text.
  const headers = [
    ...Array.from(
      { length: 5 },
      (_, i) =>
        [
          'Received',
          `from mx${i}.example.com (mx${i}.example.com [192.0.2.${i}])\r\n\tby mail.example.net (Postfix) with ESMTPS id 4XyZ1234\r\n\tfor <bob@example.net>; Mon, 06 Jul 2026 10:00:0${i} +0000 (UTC)`,
        ] as const,
    ),
    [
      'DKIM-Signature',
      `v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=s1;\r\n\th=from:to:subject:date; bh=${'A'.repeat(43)}=;\r\n\tb=${'B'.repeat(300)}`,
    ] as const,
    ['From', 'Alice Example <alice@example.com>'] as const,
    ['To', 'Bob Example <bob@example.net>'] as const,
    ['Subject', 'Minutes of the meeting'] as const,
    ['Message-ID', '<20260706100000.1@example.com>'] as const,
    ['List-Unsubscribe', '<mailto:leave@example.com>'] as const,
    ['MIME-Version', '1.0'] as const,
  ];
  const words = 'The quick brown fox jumps over the lazy dog, and nobody minds.\n';
  const small = [
    createPart({ headers, content: words.repeat(20) }),
    createPart({
      headers,
      contentType: 'multipart/alternative',
      parts: [
        { content: words.repeat(20) },
        { contentType: 'text/html', content: `<html><body><p>${words.repeat(20)}</p></body></html>` },
      ],
    }),
    createPart({
      headers,
      parts: [
        { content: words.repeat(10) },
        { name: 'paper.pdf', contentType: 'application/pdf', content: randomBytes(6_000) },
      ],
    }),
    createPart({
      headers,
      parts: [{ content: words.repeat(10) }, { name: 'game.exe', content: randomBytes(6_000) }],
    }),
  ].map((part) => part.toBytes());
  const page = `<html><body>${'<p class="x">some text &amp; <a href="http://example.com/">a link</a></p>\n'.repeat(500)}</body></html>`;
  const html = createPart({
    contentType: 'multipart/alternative',
    parts: [
      { content: 'text\n'.repeat(100) },
      { contentType: 'text/html', content: page.replace('</body>', '<script>x</script></body>') },
    ],
  });
  const attachments = createPart({
    parts: [
      { content: 'see below\n' },
      { name: 'photo.jpg', contentType: 'image/jpeg', content: randomBytes(1_000_000) },
      {
        name: 'papers.zip',
        contentType: 'application/zip',
        content: makeZip([{ name: 'a.txt', content: randomBytes(50_000) }]),
      },
      { name: 'game.exe', content: randomBytes(20_000) },
    ],
  });
  return [
    { name: 'small mails', mails: small },
    { name: 'poisonous samples', mails: samples },
    { name: 'a page of 43 KB', mails: [html.toBytes()] },
    { name: 'attachments of 1.4 MB', mails: [attachments.toBytes()] },
  ];
}

async function runOurs(mails: readonly Buffer[]): Promise<Result> {
  let messages = 0;
  let bytes = 0;
  const start = performance.now();
  while (performance.now() - start < seconds * 1000) {
    for (const mail of mails) {
      const message = parseMessage(mail);
      await defang(message);
      message.toBytes();
      messages++;
      bytes += mail.length;
    }
  }
  return { messages, bytes, seconds: (performance.now() - start) / 1000, errors: 0 };
}

function runPymilter(mails: readonly Buffer[]): Result {
  const paths = mails.map((mail, i) => {
    const path = join(folder, String(i));
    writeFileSync(path, mail);
    return path;
  });
  const script = join(import.meta.dirname, 'mime-pymilter.py');
  const output = execFileSync(python, ['-W', 'ignore', script, String(seconds)], {
    input: `${paths.join('\n')}\n`,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return JSON.parse(output.toString()) as Result;
}

function rate({ bytes, messages, seconds: taken }: Result): string {
  return `${(messages / taken).toFixed(0).padStart(7)} msg/s ${(bytes / taken / 1e6).toFixed(1).padStart(7)} MB/s`;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

async function compare(): Promise<void> {
  if (spawnSync(python, ['-c', 'import mime'], { stdio: 'ignore' }).status !== 0) {
    console.log(`no comparison: ${python} has no mime module of pymilter (Debian: python3-milter)`);
    return;
  }
  for (const { name, mails } of workloads()) {
    // A server that has been up for a moment.
    await runOurs(mails);
    const ratios: number[] = [];
    for (let round = 0; round < rounds; round++) {
      const theirs = runPymilter(mails);
      const ours = await runOurs(mails);
      ratios.push(ours.messages / ours.seconds / (theirs.messages / theirs.seconds));
      console.log(
        `${name.padEnd(22)} pymilter ${rate(theirs)} (${theirs.errors} raised)   ours ${rate(ours)}`,
      );
    }
    console.log(`${name.padEnd(22)} median ratio ${median(ratios).toFixed(1)}`);
  }
}

/** A message of 28 MB, its attachment of 20 MB in base64, as the chunks that an MTA sends. */
async function measureBig(): Promise<void> {
  const big = createPart({
    headers: [['Subject', 'big']],
    parts: [{ content: 'see below\n' }, { name: 'film.bin', content: randomBytes(20_000_000) }],
  }).toBytes();
  const chunks: Buffer[] = [];
  for (let i = 0; i < big.length; i += 65_535) chunks.push(big.subarray(i, i + 65_535));
  const copies: number[] = [];
  const works: number[] = [];
  const defangs: number[] = [];
  for (let round = 0; round < 15; round++) {
    let start = performance.now();
    let lines = 0;
    const copy = Buffer.concat(chunks);
    for (let at = copy.indexOf(10); at >= 0; at = copy.indexOf(10, at + 1)) lines++;
    if (lines > 0) copies.push(performance.now() - start);
    start = performance.now();
    const message = await parseMessageStream(chunks);
    message.root.children[0]?.replaceContent('changed\n');
    message.toBytes();
    works.push(performance.now() - start);
    start = performance.now();
    const other = await parseMessageStream(chunks);
    await defang(other, { extensions: ['bin'] });
    other.toBytes();
    defangs.push(performance.now() - start);
  }
  const copy = median(copies);
  console.log(`28 MB: copy and scan ${copy.toFixed(0)} ms`);
  for (const [name, times] of [
    ['parse, edit, serialise', works],
    ['parse, defang, serialise', defangs],
  ] as const) {
    console.log(
      `28 MB: ${name} ${median(times).toFixed(0)} ms, ${(median(times) / copy).toFixed(2)} times that`,
    );
  }
  const delay = monitorEventLoopDelay({ resolution: 1 });
  await sleep(50);
  delay.enable();
  for (let round = 0; round < 10; round++) {
    const message = await parseMessageStream(chunks);
    await sleep(1);
    await defang(message);
    await sleep(1);
    message.toBytes();
    await sleep(1);
  }
  delay.disable();
  console.log(
    `28 MB: event loop held for at most ${(delay.max / 1e6).toFixed(0)} ms, 99 % below ${(delay.percentile(99) / 1e6).toFixed(0)} ms`,
  );
}

try {
  await measureBig();
  await compare();
} finally {
  rmSync(folder, { recursive: true });
}
