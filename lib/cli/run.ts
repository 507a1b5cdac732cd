/** The command `milter run`. */
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import {
  type EngineName,
  loadFilter,
  MilterError,
  type OnError,
  type ServeOptions,
  serve,
} from '../index.ts';
import { stderrLogger } from '../logger.ts';
import { packageJson } from '../package.ts';
import { engineInWords } from './engine.ts';
import { boundHeap } from './heap.ts';
import { makeJsonLogger } from './json-logger.ts';
import { adviseMta } from './mta-advice.ts';
import { untilEnd } from './until-end.ts';
import { type CommandIo, given, oneAtMost, readArguments, readDeadlines, wholeNumber } from './usage.ts';

const USAGE = `Usage: milter run [FILE.toml]
       milter run [options] FILTER

Serves the mail filter that the configuration FILE.toml describes. Without FILE.toml it is that of $MILTER_CONFIG, or
/etc/milter/milter.toml if there is one, or else the starter configuration, which refuses and changes nothing.

  --socket SPEC           where to listen, in place of the configuration's socket
  --grace MS              how long running messages may take at the end (default 30000)
  --debug LEVEL           libmilter's own debugging output, 0 to 6
  --help                  show this

SIGHUP has it read the configuration again: one with faults is logged, and the old one stays. SIGTERM and SIGINT let
running messages finish and end the command; a second one ends it at once.

Or serves the Milter class that the file FILTER (.ts, .js, .mjs, .cjs) exports. Then there are also:

  --socket SPEC           where to listen: unix:PATH, inet:PORT@HOST, inet6:PORT@HOST, or fd:3 for a socket
                          from systemd (default inet:8894@127.0.0.1)
  --socket-mode MODE      permissions of a unix socket, such as 660 (default: by the umask)
  --socket-group GROUP    group of a unix socket, by name or number
  --no-remove-socket      leave a stale unix socket where it is
  --on-error ACTION       what a failing handler is answered with: tempfail (default), reject, accept, continue
  --deadline STAGE=MS     how long handlers of a stage may take (default 8000; eom 120000); may be repeated
  --timeout MS            how long an MTA may be silent (default 7210000)
  --max-connections N     connections served at once (default 1000); those beyond are told to try later
  --max-body BYTES        how much of a body is kept (default 67108864)
  --max-data-size BYTES   the largest packet taken from an MTA (default 65535)
  --backlog N             connections that may wait to be accepted
  --engine ENGINE         who speaks the milter protocol: libmilter (default), js for Node.js itself, or auto for
                          libmilter where it can be loaded
  --threads N             threads that serve the connections, each with the filter for itself
  --json                  log in JSON, one object a line

Here SIGHUP ends the command too. The log goes to standard error.
Exit status: 0 after such an end; 1 when the filter cannot be loaded or served, or its configuration has faults;
2 for wrong arguments; 128 and the signal's number after a second signal.
`;

const OPTIONS = {
  socket: { type: 'string' },
  'socket-mode': { type: 'string' },
  'socket-group': { type: 'string' },
  'no-remove-socket': { type: 'boolean' },
  'on-error': { type: 'string' },
  deadline: { type: 'string', multiple: true },
  timeout: { type: 'string' },
  'max-connections': { type: 'string' },
  'max-body': { type: 'string' },
  'max-data-size': { type: 'string' },
  backlog: { type: 'string' },
  grace: { type: 'string' },
  debug: { type: 'string' },
  threads: { type: 'string' },
  engine: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs `milter run` with the arguments behind that, and resolves to the exit status when a signal has ended it. */
export async function runRun(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const file = oneAtMost('FILE.toml or FILTER', positionals);
  const number = (name: NumberOption): number | undefined => wholeNumber(name, values[name]);
  const [grace, debug] = [number('grace'), number('debug')];
  boundHeap();
  if (file === undefined || file.endsWith('.toml')) {
    const { socket, grace: _, debug: __, ...others } = values;
    const [other] = Object.keys(others);
    if (other !== undefined) {
      throw wrongUse(`--${other} goes with a FILTER; what a configuration does stands in its file`);
    }
    const { chooseConfig } = await import('./config-file.ts');
    const { runConfig } = await import('./run-config.ts');
    return await runConfig(chooseConfig(file), { socket, grace, debug }, io);
  }
  const logger = values.json === true ? makeJsonLogger(io.stderr) : stderrLogger;
  const options = given<ServeOptions>({
    socket: values.socket ?? 'inet:8894@127.0.0.1',
    socketMode: fileMode(values['socket-mode']),
    socketGroup: values['socket-group'],
    removeSocket: values['no-remove-socket'] === true ? false : undefined,
    // serve() refuses any other word.
    onError: values['on-error'] as OnError | undefined,
    engine: values.engine as EngineName | undefined,
    deadlines: readDeadlines(values.deadline),
    timeout: number('timeout'),
    maxConnections: number('max-connections'),
    maxBody: number('max-body'),
    maxDataSize: number('max-data-size'),
    backlog: number('backlog'),
    debug,
    logVerdicts: true,
    logger,
  });

  const threads = number('threads');
  // Where it is to run in threads, those alone import it.
  const filter = threads === undefined ? await loadFilter(file) : pathToFileURL(resolve(file));
  const server = await serve(filter, given<ServeOptions>({ ...options, threads }));
  const name = filter instanceof URL ? basename(file) : filter.name;
  const end = untilEnd({
    servers: [server],
    grace: given<{ deadline?: number }>({ deadline: grace }),
    logger,
  });
  // Who reads this may send a signal at once.
  if (values.json === true) {
    logger.info({ address: server.address, filter: name, file }, 'listening');
  } else {
    io.stdout.write(`milter ${packageJson.version}, ${engineInWords(server)}: ${threads === undefined ? `${name} of ${basename(file)}` : `${name} in ${threads} threads`} listens at ${server.address}

${adviseMta(server.address)}
Stop it with Ctrl-C or SIGTERM: running messages may finish first.
`);
  }
  return await end;
}

type NumberOption =
  | 'timeout'
  | 'max-connections'
  | 'max-body'
  | 'max-data-size'
  | 'backlog'
  | 'grace'
  | 'threads'
  | 'debug';

function fileMode(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^0?[0-7]{3}$/.test(text)) return Number.parseInt(text, 8);
  throw wrongUse(`--socket-mode needs an octal mode such as 660, got "${text}"`);
}

function wrongUse(message: string): MilterError {
  return new MilterError('ERR_MILTER_OPTION', message);
}
