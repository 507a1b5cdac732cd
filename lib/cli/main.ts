#!/usr/bin/env node
/**
 * The command `milter`: finds the subcommand, and turns what goes wrong into one line and an exit status.
 */
import { MilterError } from '../errors.ts';
import { checkNode } from '../node-version.ts';
import { optionFault, refuseUnknown } from '../options.ts';
import { packageJson } from '../package.ts';
import { printable } from './printable.ts';
import type { CommandIo } from './usage.ts';

type Command = (args: readonly string[], io: CommandIo) => Promise<number>;

// Loaded when asked for: `milter spf` needs no libmilter, and `milter run` no resolver.
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./run.ts')).runRun,
  init: async () => (await import('./init.ts')).runInit,
  check: async () => (await import('./check.ts')).runCheck,
  explain: async () => (await import('./explain.ts')).runExplain,
  quarantine: async () => (await import('./quarantine.ts')).runQuarantine,
  why: async () => (await import('./why.ts')).runWhy,
  access: async () => (await import('./access.ts')).runAccess,
  replay: async () => (await import('./replay.ts')).runReplay,
  try: async () => (await import('./try.ts')).runTry,
  spf: async () => (await import('./spf.ts')).runSpf,
};

const USAGE = `Usage: milter run [FILE.toml]                  serve the mail filter to Postfix or Sendmail
       milter init [FOLDER]                    write a configuration to begin with
       milter check [FILE.toml]                is the configuration right, and wise?
       milter explain [FILE.toml]              show the values in force, and what happens in which order
       milter why REF|QUEUEID                  explain what became of a message
       milter quarantine list|show|…           look after messages that are held for review
       milter try MESSAGE                      play a message through the filter and show what becomes of it
       milter replay MBOX|MAILDIR|FOLDER…      play many, and count what is found and what becomes of them
       milter access add|remove|list           exceptions of the postmaster
       milter run|try FILTER …                 the same with a Milter class of one's own
       milter spf [options] IP SENDER HELO     ask SPF
       milter COMMAND --help                   show the options of a command
       milter --version                        show the versions of this package, Node.js and libmilter
`;

async function main(name: string, args: readonly string[], io: CommandIo): Promise<number> {
  try {
    checkNode();
    return await runCommand(name, args, io);
  } catch (error) {
    if (!(error instanceof MilterError)) throw error;
    const wrongUse = error.code === 'ERR_MILTER_OPTION';
    const command = Object.hasOwn(commands, name) ? `milter ${name}` : 'milter';
    if (error.code === 'ERR_MILTER_CONFIG') {
      // One line each, all of them.
      const lines = error.message.split('\n').map(printable);
      const count = lines.length === 1 ? 'a fault' : `${lines.length} faults`;
      io.stderr.write(`${command}: the configuration has ${count}:\n${lines.join('\n')}\n`);
      return 1;
    }
    io.stderr.write(`${command}: ${oneLine(error)}${wrongUse ? ` (see ${command} --help)` : ''}\n`);
    return wrongUse ? 2 : 1;
  }
}

async function runCommand(name: string, args: readonly string[], io: CommandIo): Promise<number> {
  if (name === '--help' || name === '-h' || name === 'help') {
    io.stdout.write(USAGE);
    return 0;
  }
  if (name === '--version') {
    io.stdout.write(await versions());
    return 0;
  }
  if (name === '') {
    io.stderr.write(USAGE);
    return 2;
  }
  refuseUnknown('command', [name], Object.keys(commands), optionFault);
  const command = await commands[name]?.();
  return (await command?.(args, io)) ?? 2;
}

/** The message, and what was underneath it, without stacks: these are mistakes of administrators. */
function oneLine(error: MilterError): string {
  const { message, cause } = error;
  const under = cause instanceof Error ? cause.message : '';
  return printable(under === '' || message.includes(under) ? message : `${message} (${under})`);
}

async function versions(): Promise<string> {
  let library: string;
  try {
    const { libmilterInfo } = await import('../index.ts');
    const { version, path } = libmilterInfo();
    library = `libmilter ${version} at ${path}`;
  } catch (error) {
    if (!(error instanceof MilterError)) throw error;
    library = oneLine(error);
  }
  return `milter ${packageJson.version}\nNode.js ${process.versions.node}\n${library}\n`;
}

/** Why the result did not reach whoever wanted it; undefined where it did. */
async function lostResult(): Promise<NodeJS.ErrnoException | undefined> {
  await new Promise((resolve) => process.stdout.write('', resolve));
  return lost;
}

// A log or banner whose reader went away (`milter run | head`) must not end a running filter.
let lost: NodeJS.ErrnoException | undefined;
process.stdout.on('error', (error) => {
  lost ??= error;
});
process.stderr.on('error', () => {});
const [name = '', ...rest] = process.argv.slice(2);
let status = await main(name, rest, process);
const fault = name === 'run' ? undefined : await lostResult();
if (fault !== undefined) {
  status = 1;
  // Who closed the pipe wants to hear no more.
  if (fault.code !== 'EPIPE')
    process.stderr.write(`milter: the result cannot be written: ${fault.message}\n`);
}
// Exit at once: what a filter left running (a timer, a connection) must not hold the command.
process.exit(status);
