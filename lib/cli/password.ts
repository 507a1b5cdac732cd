/** A password from the terminal, where it is not shown, or from standard input. */
import { once } from 'node:events';
import type { ReadStream } from 'node:tty';
import { MilterError } from '../errors.ts';

const CTRL_C = '\u0003';
const CTRL_D = '\u0004';
const BACKSPACES = ['\u0008', '\u007f'];
/** Longer lines are nobody's password. */
const MOST = 64 * 1024;

/** One line. On a terminal it is asked for, and nothing of it is shown. */
export async function readHidden(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) return await firstLine(stdin);
  // Before it is asked: what is typed at once would be shown.
  stdin.setRawMode(true);
  stderr.write(question);
  try {
    return await typedLine(stdin);
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    stderr.write('\n');
  }
}

async function firstLine(stdin: NodeJS.ReadableStream): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of stdin as AsyncIterable<Buffer>) {
    pieces.push(Buffer.from(piece));
    size += piece.length;
    if (piece.includes(10) || size > MOST) break;
  }
  const [line = ''] = Buffer.concat(pieces).toString('utf8').split(/\r?\n/, 1);
  if (line === '') throw fault('there is no password on standard input');
  return line;
}

async function typedLine(stdin: ReadStream): Promise<string> {
  const typed: string[] = [];
  stdin.setEncoding('utf8');
  for (;;) {
    stdin.resume();
    const [keys] = (await once(stdin, 'data')) as [string];
    for (const key of keys) {
      if (key === '\r' || key === '\n') return typed.join('');
      if (key === CTRL_C || (key === CTRL_D && typed.length === 0)) throw fault('nothing was changed');
      if (BACKSPACES.includes(key)) typed.pop();
      else if (key >= ' ') typed.push(key);
    }
  }
}

function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_UNSUPPORTED', message);
}
