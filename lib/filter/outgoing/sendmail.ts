/** Mail by the program `sendmail`, which all mail servers have. */
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Handing, OutgoingError, type OutgoingMail } from './mail.ts';

/** Milliseconds that it may take. */
const TIME = 300_000;
const MAX_COMPLAINT = 1_000;
/** Of sysexits.h: try again; the system, or a file or a service it needs, is at fault. */
const LATER: readonly (number | null)[] = [69, 71, 72, 73, 74, 75];

/** Hands a message over; rejects with OutgoingError unless the program says that it took it. */
export async function sendByProgram(
  program: string,
  { sender, recipient, message }: OutgoingMail,
  handing: Handing,
): Promise<void> {
  const envelope = [
    '-i',
    '-G',
    '-f',
    sender === '<>' ? '<>' : sender.slice(1, -1),
    '--',
    recipient.slice(1, -1),
  ];
  // Through a pipe it would take the first half for all, should this process die in the middle.
  const file = await asFile(message);
  try {
    await handing();
    const child = spawn(program, envelope, {
      stdio: [file.fd, 'ignore', 'pipe'],
      signal: AbortSignal.timeout(TIME),
    });
    await ended(program, child);
  } finally {
    await file.close();
  }
}

async function ended(program: string, child: ReturnType<typeof spawn>): Promise<void> {
  let complaint = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT);
  });
  let status: number | null;
  let signal: NodeJS.Signals | null;
  try {
    [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
  } catch (error) {
    // Where it could not be started it has no process.
    const message = error instanceof Error ? error.message : String(error);
    const isAway = child.pid === undefined;
    throw new OutgoingError(isAway ? 'later' : 'unknown', message, { cause: error, isAway });
  }
  if (status === 0) return;
  const outcome = signal !== null ? 'unknown' : LATER.includes(status) ? 'later' : 'never';
  throw new OutgoingError(
    outcome,
    `${program} failed (${signal ?? `status ${status}`}): ${complaint.trim() || 'it did not say why'}`,
    // It only queues: what it has no room for is all the same to it.
    { isAway: outcome === 'later' },
  );
}

/** The message in a file without a name, to be read from its beginning. */
async function asFile(message: Buffer): Promise<FileHandle> {
  const path = join(tmpdir(), `milter-${randomUUID()}`);
  const file = await open(path, 'wx+', 0o600);
  try {
    await rm(path);
    // Programs take lines as they are on this machine. latin1 keeps every byte.
    const lines = Buffer.from(message.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
    // At a place, so that the program begins to read at 0.
    for (let at = 0; at < lines.length; ) {
      const { bytesWritten } = await file.write(lines, at, lines.length - at, at);
      at += bytesWritten;
    }
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}
