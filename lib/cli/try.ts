/** The command `milter try`. */
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { inBrackets } from '../address.ts';
import {
  loadFilter,
  type MilterClass,
  MilterError,
  type ServeOptions,
  type Server,
  serve,
} from '../index.ts';
import { MAX_INT } from '../options.ts';
import { connectMta, readEml, type SendOptions } from '../testing/index.ts';
import { findChanges } from './changes.ts';
import { formatOutcome, type Outcome } from './outcome.ts';
import { temporaryFolder } from './temporary.ts';
import { type CommandIo, checkAddress, given, readArguments, readDeadlines, readPair } from './usage.ts';

const USAGE = `Usage: milter try [options] MESSAGE
       milter try [options] FILTER MESSAGE

Plays the message in the file MESSAGE (- for standard input) through the mail filter, as an MTA would, and shows what
is found, the verdict, and what is changed. It remembers nothing, holds nothing and writes no copies; DNS is asked. Or
plays it through the Milter class that the file FILTER exports.

  --config FILE.toml  the configuration (default: that of milter run)
  --from ADDRESS      envelope sender, <> for a bounce (default sender@example.com)
  --rcpt ADDRESS      envelope recipient (default recipient@example.com); may be repeated
  --client IP         address of the SMTP client (default 127.0.0.1)
  --helo NAME         what the client calls itself (default: its host name)
  --local             play mail submitted on the MTA's own machine: bare addresses, no client and greeting of its own
  --macro NAME=VALUE  a macro of the MTA, such as i=4XyZ or auth_authen=user; may be repeated
  --deadline STAGE=MS how long handlers of a stage may take (default 8000; eom 120000); may be repeated
  --json              print JSON
  --help              show this

Exit status: 0 accepted, 3 rejected, 4 told to try later, 5 discarded; 1 when the filter cannot be loaded or served, one
of its handlers failed or the result cannot be written; 2 for wrong arguments; 128 and the signal's number after a signal.
`;

const OPTIONS = {
  config: { type: 'string' },
  from: { type: 'string' },
  rcpt: { type: 'string', multiple: true },
  client: { type: 'string' },
  helo: { type: 'string' },
  local: { type: 'boolean' },
  macro: { type: 'string', multiple: true },
  deadline: { type: 'string', multiple: true },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

const STATUS = { accept: 0, reject: 3, tempfail: 4, discard: 5 } as const;

/** How much longer than its handlers a filter may take: it is the filter that shall answer. */
const PATIENCE_MS = 30_000;

/** serve()'s own for eom, the longest. */
const LONGEST_DEADLINE_MS = 120_000;

/** Runs `milter try` with the arguments behind that, and resolves to the exit status. */
export async function runTry(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const message = positionals.at(-1);
  const file = positionals.length === 2 ? positionals[0] : undefined;
  if (message === undefined || positionals.length > 2) {
    throw wrongUse(`expected MESSAGE, or FILTER and MESSAGE, got ${positionals.length} arguments`);
  }
  if (file === undefined && /\.(?:[cm]?[jt]s|toml)$/.test(message)) {
    const meant = message.endsWith('.toml') ? `--config ${message} MESSAGE` : `${message} MESSAGE`;
    throw wrongUse(`${message} is no message; write milter try ${meant}`);
  }
  if (file !== undefined && values.config !== undefined) throw wrongUse('--config goes with no FILTER');
  const { from = 'sender@example.com', rcpt = ['recipient@example.com'], macro = [], client, helo } = values;
  checkAddress('--from', from);
  for (const one of rcpt) checkAddress('--rcpt', one);
  if (client !== undefined && isIP(client) === 0)
    throw wrongUse(`--client needs an IP address, got "${client}"`);
  if (values.local === true && (client ?? helo) !== undefined)
    throw wrongUse('--local goes with neither --client nor --helo');
  const macros = Object.fromEntries(macro.map(readMacro));
  const eml = await readMessage(message);
  const deadlines = readDeadlines(values.deadline);
  const trial = file === undefined ? await (await import('./trial.ts')).openTrial(values.config) : undefined;
  const filter = trial?.filter.Filter ?? (await loadFilter(file ?? ''));
  const serving = given<ServeOptions>({
    socket: '',
    ...trial?.serving,
    deadlines: deadlines ?? trial?.serving.deadlines,
  });
  const played = await play(filter, eml, serving, {
    sender: inBrackets(from),
    recipients: rcpt,
    macros: { j: 'localhost', i: 'TRY', ...macros },
    ...(client !== undefined && { client: { address: client, hostname: `[${client}]` } }),
    ...(helo !== undefined && { helo }),
    ...(values.local === true && { local: true }),
  });
  const record = await trial?.record();
  await trial?.filter.close();
  const outcome =
    record === undefined ? played : { ...played, findings: record.findings, points: record.points };
  const phrases = trial?.phrases ?? new Map<string, string>();
  const text =
    values.json === true ? JSON.stringify(outcome, null, 2) : formatOutcome(outcome, io.stdout, phrases);
  io.stdout.write(`${text}\n`);
  return outcome.failures > 0 ? 1 : STATUS[outcome.verdict];
}

/** The real thing: libmilter on a socket, and an MTA's side of the protocol. */
async function play(
  filter: MilterClass,
  eml: Buffer,
  serving: ServeOptions,
  options: SendOptions,
): Promise<Outcome> {
  const socket = `unix:${join(temporaryFolder('milter-try-'), 's')}`;
  const server = await serve(filter, { ...serving, socket });
  try {
    const longest = Math.max(LONGEST_DEADLINE_MS, ...Object.values(serving.deadlines ?? {}));
    return await send(server, eml, options, Math.min(longest + PATIENCE_MS, MAX_INT));
  } finally {
    await server.close();
  }
}

async function send(server: Server, eml: Buffer, options: SendOptions, timeout: number): Promise<Outcome> {
  const mta = await connectMta(server.address, { timeout });
  const { verdict, stage, reply, recipients, message } = await mta.sendMessage(eml, options);
  // So that the filter's own close() handler runs too.
  await mta.quit();
  const { failures, deadlines } = server.stats();
  const refused = verdict === 'reject' || verdict === 'tempfail' || verdict === 'discard';
  return {
    verdict: refused ? verdict : 'accept',
    stage,
    reply,
    recipients,
    changes: refused
      ? undefined
      : findChanges({ sender: options.sender, ...readEml(eml) }, recipients, message),
    failures: failures + deadlines,
  };
}

async function readMessage(file: string): Promise<Buffer> {
  try {
    return file === '-' ? await buffer(process.stdin) : readFileSync(file);
  } catch (cause) {
    throw new MilterError('ERR_MILTER_OPTION', `cannot read the message ${file}`, { cause });
  }
}

/** Long names wear braces (as in `{auth_authen}`); who types them may leave those off. */
function readMacro(text: string): readonly [string, string] {
  const [name, value] = readPair('--macro', text, 'i=4XyZ');
  return [name.length === 1 || name.startsWith('{') ? name : `{${name}}`, value];
}

function wrongUse(message: string): MilterError {
  return new MilterError('ERR_MILTER_OPTION', message);
}
