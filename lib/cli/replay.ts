/** The command `milter replay`. */

import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { optionFault } from '../options.ts';
import { readChosen } from './config-file.ts';
import { type CorpusItem, readCorpus } from './corpus.ts';
import type { KnownEnvelope } from './envelope.ts';
import { Progress } from './progress.ts';
import { ReplayReport } from './replay-report.ts';
import type { FromReplay, ReplayTask } from './replay-worker.ts';
import { LESSONS, runTraining } from './train.ts';
import { type CommandIo, checkAddress, given, readArguments } from './usage.ts';

const USAGE = `Usage: milter replay [options] MBOX|MAILDIR|FOLDER|FILE…
       milter replay --train spam|ham [options] MBOX|MAILDIR|FOLDER|FILE…

Plays many messages through the mail filter, on all processors at once, and counts what is found and what becomes of
them. It remembers nothing, holds nothing and writes no copies; DNS is asked. The envelope is guessed from the headers
of each message: Return-Path or From, Delivered-To or To, and the topmost Received line that names a client. For
standard input write -.

  --config FILE.toml  the configuration (default: that of milter run)
  --diff OTHER.toml   also play them through OTHER.toml, and name those that would fare differently
  --from ADDRESS      envelope sender of all
  --rcpt ADDRESS      envelope recipient of all; may be repeated
  --client IP         address of the SMTP client of all
  --helo NAME         what the client calls itself
  --json              print JSON
  --help              show this

With --train nothing is played: module bayes learns them, each once, beside a filter that runs. What it would recognise
anyway by a wide margin teaches nothing. Who was interrupted starts again.

  --train spam|ham    what they are
  --train bogofilter  the files are what "bogoutil -d wordlist.db" prints; to be taken over once, since tokens add up
  --user ADDRESS      whose dictionary learns, where module bayes has users = "each" or groups (default: that of all)

Exit status: 0; 1 when a message could not be played or learned, or the configuration has faults; 2 for wrong arguments, or
no message.
`;

const OPTIONS = {
  config: { type: 'string' },
  diff: { type: 'string' },
  from: { type: 'string' },
  rcpt: { type: 'string', multiple: true },
  client: { type: 'string' },
  helo: { type: 'string' },
  train: { type: 'string' },
  user: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Messages under way in one thread: while some wait for DNS, others are worked on. */
const AT_ONCE = 8;

/** Runs `milter replay` with the arguments behind that, and resolves to the exit status. */
export async function runReplay(args: readonly string[], io: CommandIo): Promise<number> {
  const { stdout, stderr } = io;
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    stdout.write(USAGE);
    return 0;
  }
  if (positionals.length === 0)
    throw optionFault('say which messages: an mbox, a maildir, a folder or files');
  const { config, diff, from, rcpt, client, helo, train, user } = values;
  if (train !== undefined) {
    const lesson = LESSONS.find((one) => one === train);
    if (lesson === undefined)
      throw optionFault(`--train needs ${LESSONS.join(', ')}, got ${JSON.stringify(train)}`);
    for (const [name, value] of Object.entries({ diff, from, rcpt, client, helo })) {
      if (value !== undefined) throw optionFault(`--${name} does not go with --train`);
    }
    if (user !== undefined) checkAddress('--user', user);
    return await runTraining(positionals, { lesson, user, config, json: values.json === true }, io);
  }
  if (user !== undefined) throw optionFault('--user goes with --train only');
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
