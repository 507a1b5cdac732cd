/**
 * spamd: a connection for each question, as its protocol wants it (SPAMC/1.5). With 1.0 it would take the request for
 * part of the mail.
 */
import type { Socket } from 'node:net';
import { openConnection, type ScannerAddress } from './connect.ts';
import { ScannerError, shownReply, unlessAborted } from './error.ts';
import { parseSpamdReply, readSpamdVerdict, type SpamdVerdict } from './spamd-reply.ts';

/** Longer than any report. */
const MAX_REPLY = 1_048_576;

/** A spamd. */
export class Spamd {
  readonly #address: ScannerAddress;

  constructor(address: ScannerAddress) {
    this.#address = address;
  }

  /** What it thinks of a message. */
  async check(pieces: readonly Buffer[], signal: AbortSignal): Promise<SpamdVerdict> {
    return readSpamdVerdict(await this.#ask('REPORT', pieces, signal));
  }

  /** Has it learn a message. What it knows already is no fault. */
  async learn(pieces: readonly Buffer[], as: 'spam' | 'ham', signal: AbortSignal): Promise<void> {
    const command = `TELL\r\nMessage-class: ${as}\r\nSet: local`;
    const { code, text } = parseSpamdReply(await this.#ask(command, pieces, signal));
    if (code === 0) return;
    const advice = code === 69 ? ' (it learns only if started with --allow-tell)' : '';
    throw new ScannerError('refused', `spamd says ${shownReply(`${code} ${text}`)}${advice}`);
  }

  /** Resolves where it answers. */
  async ping(signal: AbortSignal): Promise<void> {
    const { code, text } = parseSpamdReply(await this.#ask('PING', [], signal));
    if (code !== 0) throw new ScannerError('refused', `spamd says ${shownReply(`${code} ${text}`)}`);
  }

  /** @param command with headers of its own, if any */
  async #ask(command: string, pieces: readonly Buffer[], signal: AbortSignal): Promise<string> {
    const socket = await openConnection('spamd', this.#address, signal);
    try {
      return await unlessAborted('spamd', signal, converse(socket, command, pieces));
    } finally {
      socket.destroy();
    }
  }
}

function converse(socket: Socket, command: string, pieces: readonly Buffer[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let reply = '';
    socket.setEncoding('latin1').on('data', (text: string) => {
      reply += text;
      if (reply.length > MAX_REPLY) reject(new ScannerError('nonsense', 'spamd talks without end'));
    });
    socket.on('close', () => resolve(reply));
    // It may complain, and hang up, before it has read everything.
    socket.on('error', ({ message }) => {
      if (reply === '') reject(new ScannerError('cut-off', `spamd hung up: ${message}`));
    });
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const [verb = '', ...headers] = command.split('\r\n');
    const lines = [
      `${verb} SPAMC/1.5`,
      ...(verb === 'PING' ? [] : [`Content-length: ${length}`]),
      ...headers,
      '\r\n',
    ];
    socket.write(lines.join('\r\n'), 'latin1');
    for (const piece of pieces) socket.write(piece);
    socket.end();
  });
}
