/** The command `milter why`. */

import { MilterError } from '../errors.ts';
import { History, type HistoryQuery, kinds, makeLogger, phrasesOf } from '../filter/index.ts';
import { optionFault } from '../options.ts';
import { readChosen } from './config-file.ts';
import { explainFate, formatFateLine } from './fate.ts';
import { printable } from './printable.ts';
import { type CommandIo, given, readArguments, wholeNumber } from './usage.ts';
import { withStore } from './with-store.ts';

const USAGE = `Usage: milter why [options] REF|QUEUEID
       milter why [options] [--from ADDRESS] [--to ADDRESS] [--since 1h]

Explains what became of a message: who sent it to whom, what was found, what was done about it and why. REF is what
stands at the end of every refusal, as in [ref K7Q2M4], and in each line of the log; QUEUEID is the MTA's.
Without these it lists messages, the newest first; if only one fits it is explained. It may run beside the filter.

  --from ADDRESS      whose sender holds this text
  --to ADDRESS        one of whose recipients holds this text
  --since TIME        not older than this, such as 30m, 1h or 2d
  --limit N           how many are listed (default 50)
  --config FILE       the configuration (default: that of milter run)
  --json              print JSON, a list of records
  --help              show this

Exit status: 0 when something is known; 1 when nothing is, or it cannot be read; 2 for wrong arguments.
`;

const OPTIONS = {
  from: { type: 'string' },
  to: { type: 'string' },
  since: { type: 'string' },
  limit: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs `milter why` with the arguments behind that, and resolves to the exit status. */
export async function runWhy(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const { from, to, since } = values;
  const [id, more] = positionals;
  if (more !== undefined) throw optionFault(`one REF or QUEUEID, got ${positionals.join(' ')}`);
  if (id === '') throw optionFault('REF or QUEUEID is empty');
  if (id === undefined && (from ?? to ?? since) === undefined) {
    throw optionFault('say which message: REF, QUEUEID, --from, --to or --since');
  }
  const limit = wholeNumber('limit', values.limit) ?? 50;
  const query = given<HistoryQuery>({
    id,
    from,
    to,
    since: since === undefined ? undefined : readSince(since),
  });
  const config = await readChosen(values.config);
  const { settings, file } = config;
  if (settings.history.max === 0) {
    throw new MilterError('ERR_MILTER_UNSUPPORTED', `${file}: history.max is 0, so nothing is kept`);
  }
  const records = await withStore(config, async (store) => {
    const log = makeLogger({ level: 'error', format: 'text' });
    return await new History(store.part('history'), { ...settings.history, log, now: Date.now }).find(
      query,
      limit,
    );
  });
  const [first] = records;
  if (first === undefined) {
    io.stderr.write(
      `milter why: nothing is known of ${id === undefined ? 'such a message' : `"${printable(id)}"`}\n`,
    );
    return 1;
  }
  if (values.json === true) io.stdout.write(`${JSON.stringify(records, null, 2)}\n`);
  else if (records.length === 1) io.stdout.write(`${explainFate(first, phrasesOf(config), io.stdout)}\n`);
  else for (const record of records) io.stdout.write(`${formatFateLine(record, io.stdout)}\n`);
  return 0;
}

/** The time that long ago, in milliseconds since 1970. */
function readSince(text: string): number {
  const read = kinds.duration().safeParse(text);
  if (!read.success) throw optionFault(`--since needs a time such as 30m, 1h or 2d, got "${text}"`);
  return Date.now() - read.data;
}
