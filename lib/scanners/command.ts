/**
 * A virus scanner that is a command: it reads a message from its standard input, and says by its status whether there is
 * a virus in it. No shell has a part in it. It has a process group of its own, none of which outlives the scan.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { CLEAN, type VirusVerdict } from './clamd-reply.ts';
import { abortFault, ScannerError, shownReply, unlessAborted } from './error.ts';

/** A program, and what it is given. */
export type CommandLine = readonly [program: string, ...args: string[]];

/** Characters of what it writes that are kept. */
const MAX_OUTPUT = 8_192;
const MAX_NAME = 200;

/**
 * What the command says of these bytes: status 0 clean, 1 found. Whether it reads them is its own affair.
 * @throws ScannerError for every other end
 */
export async function scanByCommand(
  [program, ...args]: CommandLine,
  pieces: Iterable<Buffer>,
  signal: AbortSignal,
): Promise<VirusVerdict> {
  if (signal.aborted) throw abortFault(program, signal);
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true });
  const output = keepStart(child.stdout);
  const complaint = keepStart(child.stderr);
  const ended = once(child, 'close') as Promise<[status: number | null, killedBy: NodeJS.Signals | null]>;
  // What it left running may hold its output open.
  child.once('exit', () => killGroup(child));
  feed(child.stdin, pieces);
  try {
    const [status, killedBy] = await unlessAborted(program, signal, ended);
    if (status === 0) return CLEAN;
    if (status === 1) return { virus: nameOf(output.text) };
    const why = firstLine(complaint.text) || firstLine(output.text);
    throw new ScannerError(
      'refused',
      `${program} failed (${killedBy ?? `status ${status}`})${why === '' ? '' : `: ${shownReply(why)}`}`,
    );
  } catch (error) {
    if (error instanceof ScannerError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new ScannerError('down', `${program} cannot be run: ${why}`, { cause: error });
  } finally {
    if (child.exitCode === null && child.signalCode === null) killGroup(child);
    for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  }
}

/** It may end, or close its input, before it has read everything: its status tells why. */
function feed(stdin: Writable, pieces: Iterable<Buffer>): void {
  stdin.on('error', () => {});
  for (const piece of pieces) stdin.write(piece);
  stdin.end();
}

/** Reads all, so that it need not wait, and keeps some. */
function keepStart(stream: Readable): { readonly text: string } {
  const kept = { text: '' };
  stream.setEncoding('latin1').on('data', (text: string) => {
    if (kept.text.length < MAX_OUTPUT) kept.text = (kept.text + text).slice(0, MAX_OUTPUT);
  });
  return kept;
}

/** All that it started, but for what has left its group. */
function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // Nobody is left.
  }
}

/** As clamscan and others write it, `…: NAME FOUND`; or the first line. */
function nameOf(output: string): string {
  const name = /: (.{1,200}) FOUND\r?$/m.exec(output)?.[1] ?? firstLine(output);
  return name === '' ? 'unnamed' : name.slice(0, MAX_NAME);
}

function firstLine(text: string): string {
  return text.trim().split(/[\r\n]/)[0] ?? '';
}
