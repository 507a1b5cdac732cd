/**
 * Has a conversation with a filter of either engine: what came back, byte for byte. Where libmilter swallows a command that is
 * out of order, the other engine must answer, and must tell the filter as little.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import { encodeFrame, FrameReader, STAGES } from '../../lib/protocol/frames.ts';
import type { VerdictStage } from '../../lib/protocol/stages.ts';
import { encodeNegotiation } from '../../lib/protocol/wire.ts';
import type { Command, Conversation } from './conversation.ts';

/** What both engines must have in common. */
export interface Heard {
  readonly agreed: string;
  /** What was sent and what came back; undefined where libmilter swallows the command. */
  readonly replies: readonly (readonly [Command, string | undefined])[];
  /** What the handlers were told, and what they found. */
  readonly told: readonly string[];
}

/** The stages of a message. */
const order: readonly string[] = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'];

/** After which command libmilter answers which other: `start` and `idle` are without a message. */
type State = 'start' | 'idle' | 'lost' | Exclude<VerdictStage, 'connect' | 'helo' | 'unknown' | 'eom'>;
const answeredAfter: Readonly<Record<State, readonly string[]>> = {
  start: ['connect'],
  idle: [],
  lost: [],
  envfrom: ['envrcpt'],
  envrcpt: ['envrcpt', 'data', 'header', 'eoh', 'body', 'eom'],
  data: ['header', 'eoh'],
  header: ['header', 'eoh'],
  eoh: ['body', 'eom'],
  body: ['body', 'eom'],
};

/**
 * What libmilter makes of a command: answers it; swallows it, as it should not have come; or is at fault with it, in one of
 * the ways that docs/engines.md lists, so that it is not to be sent.
 */
function fateOf(
  state: State,
  command: string,
  isOff: (stage: string) => boolean,
): 'answered' | 'swallowed' | 'faulty' {
  // After an unknown command, and after an abort, it has forgotten whether there is a message, and where in it the MTA is.
  if (command === 'unknown' && order.includes(state)) return 'faulty';
  if (state === 'lost' && order.includes(command) && command !== 'envfrom') return 'faulty';
  if (['helo', 'envfrom', 'unknown'].includes(command) || answeredAfter[state].includes(command))
    return 'answered';
  if (command === 'connect') return 'swallowed';
  if (!order.includes(state)) return 'swallowed';
  if (order.indexOf(command) <= order.indexOf(state)) return 'swallowed';
  // It lets stages be left out that are switched off, and from then on for every connection.
  const leftOut = order.slice(order.indexOf(state) + 1, order.indexOf(command));
  const passes =
    (state === 'envfrom' || state === 'header') &&
    leftOut.filter((stage) => stage !== 'data' && stage !== 'header').every(isOff);
  return passes && leftOut.some(isOff) ? 'answered' : 'faulty';
}

const VERDICTS = 'cadrtys';

/** The command byte of the last frame; empty where there is none. */
function verdictOf(reply: string): string {
  let last = '';
  const bytes = Buffer.from(reply, 'latin1');
  for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32BE(at)) last = reply[at + 4] ?? '';
  return last;
}

/** Has a conversation with the filter that listens at a unix socket. */
export async function converse(
  path: string,
  talk: Conversation,
  told: readonly string[],
  isLibmilter: boolean,
): Promise<Heard> {
  const line = await Line.dial(path);
  line.write(encodeNegotiation(talk));
  const agreed = await line.frame();
  const replies: [Command, string | undefined][] = [];
  if (agreed !== undefined) {
    const steps = Buffer.from(agreed, 'latin1').readUInt32BE(13);
    const isOff = (stage: string): boolean =>
      (steps & STAGES[stage as VerdictStage].off) !== 0 || talk.version < STAGES[stage as VerdictStage].since;
    let state: State = 'start';
    for (const { command, payload } of talk.sent) {
      if (line.closed) break;
      if (command === 'macros') {
        line.write(encodeFrame('D', payload));
      } else if (command === 'abort') {
        line.write(encodeFrame('A'));
        state = 'lost';
      } else if (command === 'quit') {
        line.write(encodeFrame('Q'));
        replies.push([command, await line.rest()]);
      } else if (command === 'malformed') {
        line.write(encodeFrame(payload.toString('latin1', 0, 1), payload.subarray(1)));
        line.end();
        replies.push([command, await line.rest()]);
      } else {
        if (isOff(command)) continue;
        const fate = fateOf(state, command, isOff);
        if (fate === 'faulty') continue;
        const isSilent = (steps & STAGES[command].noReply) !== 0;
        line.write(encodeFrame(STAGES[command].command, payload));
        let reply = '';
        if (!isSilent && !(fate === 'swallowed' && isLibmilter)) reply = await line.reply();
        replies.push([command, fate === 'swallowed' ? undefined : reply]);
        if (fate === 'swallowed') {
          // It has given the message up.
          state = 'idle';
          continue;
        }
        if (command === 'unknown') state = 'lost';
        else if (['connect', 'helo', 'eom'].includes(command)) state = 'idle';
        else state = command as State;
        // After these it wants to hear no more of the message; but after most verdicts on a recipient it does.
        const verdict = verdictOf(reply);
        const ends = command === 'envrcpt' ? verdict === 'a' : /[adrty]/.test(verdict);
        if (ends && order.includes(command)) state = 'idle';
      }
    }
  }
  await line.close();
  return { agreed: hex(agreed), replies, told };
}

const hex = (text: string | undefined): string =>
  text === undefined ? 'closed' : Buffer.from(text, 'latin1').toString('hex');

/** The MTA's end of a connection. */
class Line {
  readonly #socket: ReturnType<typeof connect>;
  readonly #reader = new FrameReader(1 << 20, 'the filter');
  #wake: (() => void) | undefined;
  closed = false;

  static async dial(path: string): Promise<Line> {
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, 'connect');
    return new Line(socket);
  }

  constructor(socket: ReturnType<typeof connect>) {
    this.#socket = socket
      .on('data', (bytes) => {
        this.#reader.push(bytes);
        this.#wake?.();
      })
      .on('error', () => {})
      .on('end', () => this.#over())
      .on('close', () => this.#over());
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  end(): void {
    this.#socket.end();
  }

  /** The next frame, one character a byte; undefined when the connection is closed. */
  async frame(): Promise<string | undefined> {
    for (;;) {
      const frame = this.#reader.next();
      if (frame !== undefined) return encodeFrame(frame.command, frame.payload).toString('latin1');
      if (this.closed) return undefined;
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const late = setTimeout(() => reject(new Error('no answer')), 10_000);
      this.#wake = resolve;
      await promise;
      clearTimeout(late);
    }
  }

  /** Everything up to the verdict. */
  async reply(): Promise<string> {
    let all = '';
    for (;;) {
      const frame = await this.frame();
      if (frame === undefined) return `${all}`;
      all += frame;
      if (VERDICTS.includes(frame[4] ?? '')) return all;
    }
  }

  /** Everything up to the end. */
  async rest(): Promise<string> {
    let all = '';
    for (let frame = await this.frame(); frame !== undefined; frame = await this.frame()) all += frame;
    return all;
  }

  /** Hangs up, and resolves when the filter has read everything and hung up too. */
  async close(): Promise<void> {
    if (this.#socket.closed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.end().resume();
    await closed;
  }

  #over(): void {
    this.closed = true;
    this.#wake?.();
  }
}
