#!/usr/bin/env node
/**
 * The command `milter`: finds the subcommand, and turns what goes wrong into one line and an exit status.
 */
import { MilterError } from '../errors.ts';
import { checkNode } from '../node-version.ts';
import { optionFault, refuseUnknown } from '../options.ts';
import { packageJson } from '../package.ts';
import { commands, USAGE } from './commands.ts';
import { keepCompiled } from './compile-cache.ts';
import { printable } from './printable.ts';
import type { CommandIo } from './usage.ts';

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
keepCompiled();
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
