/**
 * `npm run soak`: very many messages through each engine and through the whole mail filter. Exit code 0 when memory stayed
 * flat, nothing was left over, every counter is balanced and every message was answered as it must be; 1 when not; 2 for
 * wrong arguments.
 */
import { parseArgs } from 'node:util';
import { soakEngine } from './engine.ts';
import { soakFilter } from './filter.ts';
import { describe, type Flatness } from './flat.ts';

const HELP =
  'usage: npm run soak -- [libmilter] [js] [filter] [--messages 500000] [--connections 32] [--threads 1] [--minutes 600]; the filter gets a fifth of the messages';

const PARTS = ['libmilter', 'js', 'filter'] as const;

interface Options {
  readonly parts: readonly (typeof PARTS)[number][];
  readonly messages: number;
  readonly connections: number;
  readonly threads: number;
  /** Each part ends after so many, and what was done until then is judged. */
  readonly minutes: number;
}

function readOptions(): Options {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      messages: { type: 'string', default: '500000' },
      connections: { type: 'string', default: '32' },
      threads: { type: 'string', default: '1' },
      minutes: { type: 'string', default: '600' },
    },
  });
  if (values.help) {
    console.log(HELP);
    process.exit();
  }
  const count = (name: 'messages' | 'connections' | 'threads' | 'minutes'): number => {
    const value = Number(values[name]);
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw new TypeError(`--${name}: expected a whole number above 0, got "${values[name]}"`);
  };
  const parts = positionals.map((name) => {
    const part = PARTS.find((one) => one === name);
    if (part === undefined) throw new TypeError(`"${name}" is none of ${PARTS.join(', ')}`);
    return part;
  });
  return {
    parts: parts.length > 0 ? parts : PARTS,
    messages: count('messages'),
    connections: count('connections'),
    threads: count('threads'),
    minutes: count('minutes'),
  };
}

/** Shows how far a part is, on a terminal alone. */
function progressOf(name: string, total: number): (done: number) => void {
  return (done) => {
    if (!process.stderr.isTTY) return;
    process.stderr.write(done < total ? `\r${name}: ${done} of ${total} ` : '\r\x1b[K');
  };
}

const mebibytes = (bytes: readonly number[]): string =>
  bytes.map((one) => Math.round(one / 2 ** 20)).join(' ');

function printMemory(name: string, flat: Flatness | undefined): void {
  console.log(`  ${name} memory: ${flat === undefined ? 'too few messages to tell' : describe(flat)}`);
}

/** Returns what is not as it must be. */
async function soakPart(part: (typeof PARTS)[number], options: Options): Promise<readonly string[]> {
  const { connections, threads, minutes } = options;
  const stop = AbortSignal.timeout(minutes * 60_000);
  const messages = part === 'filter' ? Math.ceil(options.messages / 5) : options.messages;
  const progress = progressOf(part, messages);
  const began = performance.now();
  const seconds = (): string => `${((performance.now() - began) / 1000).toFixed(0)} s`;
  if (part === 'filter') {
    const { sent, accepted, refused, resident, memory, faults } = await soakFilter(
      messages,
      Math.min(connections, 8),
      progress,
      stop,
    );
    console.log(
      `the whole filter: ${sent} messages in ${seconds()}, ${accepted} accepted, ${refused} refused`,
    );
    console.log(`  resident, MiB: ${mebibytes(memory)}`);
    printMemory('resident', resident);
    return faults;
  }
  const { tally, stats, resident, heap, memory, faults } = await soakEngine({
    engine: part,
    threads,
    messages,
    connections,
    progress,
    stop,
  });
  console.log(
    `${part}, ${threads === 1 ? 'one thread' : `${threads} threads`}: ${tally.messages} messages over ${tally.connections} connections in ${seconds()}`,
  );
  console.log(
    `  ${stats.tickets.created} stages were waited for, ${stats.failures} handlers threw, ${stats.deadlines} were late`,
  );
  console.log(`  resident, MiB: ${mebibytes(memory)}`);
  printMemory('resident', resident);
  printMemory('heap', heap);
  return faults;
}

let options: Options;
try {
  options = readOptions();
} catch (error) {
  console.error(`soak: ${(error as Error).message}\n${HELP}`);
  process.exit(2);
}
for (const part of options.parts) {
  const faults = await soakPart(part, options);
  for (const fault of faults.slice(0, 20)) console.log(`  FAULT ${fault}`);
  if (faults.length > 0) process.exitCode = 1;
}
