/** Mail by the program `sendmail`, which all mail servers have. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import type { OutgoingMail } from './outgoing.ts';

/** Milliseconds that it may take. */
const TIME = 120_000;
const MAX_COMPLAINT = 1_000;

/** Hands a message over; rejects unless the program says that it took it. */
export async function sendByProgram(
  program: string,
  { sender, recipient, message }: OutgoingMail,
): Promise<void> {
  const envelope = [
    '-i',
    '-G',
    '-f',
    sender === '<>' ? '<>' : sender.slice(1, -1),
    '--',
    recipient.slice(1, -1),
  ];
  const child = spawn(program, envelope, {
    stdio: ['pipe', 'ignore', 'pipe'],
    signal: AbortSignal.timeout(TIME),
  });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT);
  });
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
  // Programs take lines as they are on this machine. latin1 keeps every byte.
  const lines = Buffer.from(message.toString('latin1').replaceAll('\r\n', '\n'), 'latin1');
  // It may end before it has read everything: then its status tells why.
  const [[status, signal]] = await Promise.all([ended, pipeline([lines], child.stdin).catch(() => {})]);
  if (status !== 0) {
    throw new Error(
      `${program} failed (${signal ?? `status ${status}`}): ${complaint.trim() || 'it did not say why'}`,
    );
  }
}
