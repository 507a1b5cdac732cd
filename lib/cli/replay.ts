/** The command `milter replay`. */

import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { optionFault } from '../options.ts';
import { readChosen } from './config-file.ts';
import { type CorpusItem, readCorpus } from './corpus.ts';
import type { KnownEnvelope } from './envelope.ts';
import { ReplayReport } from './replay-report.ts';
import type { FromReplay, ReplayTask } from './replay-worker.ts';
import { type CommandIo, checkAddress, given, readArguments } from './usage.ts';

const USAGE = `Usage: milter replay [options] MBOX|MAILDIR|FOLDER|FILE…

Plays many messages through the mail filter, on all processors at once, and counts what is found and what becomes of
them. It remembers nothing, holds nothing and writes no copies; DNS is asked. The envelope is guessed from the headers
of each message: Return-Path or From, Delivered-To or To, and the topmost Received line that names a client.

  --config FILE.toml  the configuration (default: that of milter run)
  --diff OTHER.toml   also play them through OTHER.toml, and name those that would fare differently
  --from ADDRESS      envelope sender of all
  --rcpt ADDRESS      envelope recipient of all; may be repeated
  --client IP         address of the SMTP client of all
  --helo NAME         what the client calls itself
  --json              print JSON
  --help              show this

Exit status: 0; 1 when a message could not be played, or the configuration has faults; 2 for wrong arguments, or no message.
`;

const OPTIONS = {
  config: { type: 'string' },
  diff: { type: 'string' },
  from: { type: 'string' },
  rcpt: { type: 'string', multiple: true },
  client: { type: 'string' },
  helo: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Messages under way in one thread: while some wait for DNS, others are worked on. */
const AT_ONCE = 8;
/** How often the progress is shown, in milliseconds. */
const SHOW_EVERY = 200;

/** Runs `milter replay` with the arguments behind that, and resolves to the exit status. */
export async function runReplay(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    stdout.write(USAGE);
    return 0;
  }
  if (positionals.length === 0)
    throw optionFault('say which messages: an mbox, a maildir, a folder or files');
  const { config, diff, from, rcpt, client, helo } = values;
  if (from !== undefined) checkAddress('--from', from);
  for (const one of rcpt ?? []) checkAddress('--rcpt', one);
  if (client !== undefined && isIP(client) === 0)
    throw optionFault(`--client needs an IP address, got "${client}"`);
  // Faults are told here, once, and not by each thread.
  await readChosen(config);
  if (diff !== undefined) await readChosen(diff);
  const report = new ReplayReport();
  const envelope = given<KnownEnvelope>({ from, rcpt, client, helo });
  const progress = new Progress(stderr, report);
  try {
    await playAll(readCorpus(positionals), { config, other: diff, envelope }, report);
  } finally {
    progress.end();
  }
  if (report.messages === 0 && report.unreadable.length === 0) {
    throw optionFault(`no message in ${positionals.join(', ')}`);
  }
  stdout.write(values.json === true ? `${JSON.stringify(report, null, 2)}\n` : report.toText(diff));
  return report.unreadable.length > 0 ? 1 : 0;
}

/** Plays them all: each thread gets the next message when it has told of one. */
async function playAll(
  items: AsyncGenerator<CorpusItem>,
  task: ReplayTask,
  report: ReplayReport,
): Promise<void> {
  const threads = Array.from({ length: availableParallelism() }, () => startThread(task));
  try {
    await Promise.all(threads.map(async (thread) => await feed(thread, items, report)));
  } finally {
    await Promise.all(threads.map((thread) => thread.terminate()));
  }
}

function startThread(workerData: ReplayTask): Worker {
  const file = new URL(`./replay-worker${extname(import.meta.filename)}`, import.meta.url);
  return new Worker(file, { workerData });
}

/** Resolves when there are no more messages, and this thread has told of all that it was given. */
function feed(thread: Worker, items: AsyncGenerator<CorpusItem>, report: ReplayReport): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let underWay = 0;
  let isOver = false;
  const next = async (): Promise<void> => {
    underWay++;
    const { done, value } = await items.next();
    if (done !== true) return thread.postMessage(value);
    underWay--;
    isOver = true;
    if (underWay === 0) resolve();
  };
  const ask = (): void => void next().catch(reject);
  thread.on('message', (message: FromReplay) => {
    if ('ready' in message) {
      for (let i = 0; i < AT_ONCE; i++) ask();
      return;
    }
    if ('fault' in message) report.addUnreadable(message.item, message.fault);
    else report.add(message.item, message.fate, message.other);
    underWay--;
    if (!isOver) ask();
    else if (underWay === 0) resolve();
  });
  thread.on('error', reject);
  thread.on('exit', () => reject(new Error('a thread ended in the middle')));
  return promise;
}

/** One line that is written over and over, on a terminal only. */
class Progress {
  readonly #out: NodeJS.WritableStream & { readonly isTTY?: boolean };
  readonly #timer: NodeJS.Timeout | undefined;

  constructor(out: NodeJS.WritableStream & { readonly isTTY?: boolean }, report: ReplayReport) {
    this.#out = out;
    if (out.isTTY !== true) return;
    this.#timer = setInterval(() => {
      const { messages, seconds } = report;
      out.write(`\r${messages} messages, ${(messages / seconds).toFixed(0)} a second `);
    }, SHOW_EVERY);
  }

  end(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#out.write('\r\u001b[K');
  }
}
