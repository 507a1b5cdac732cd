/**
 * Random conversations of an MTA with a filter, and how to have one with either engine: what came back, byte for byte, and
 * what the handlers were told. What an MTA may send is what libmilter answers; where it swallows a command that is out of
 * order, the other engine must answer, and must tell the filter as little.
 */

import { once } from 'node:events';
import { connect } from 'node:net';
import { Milter, type MilterClass, type OnError, reject, tempfail } from '../../lib/index.ts';
import { encodeFrame, FrameReader, STAGES } from '../../lib/protocol/frames.ts';
import { stages, type VerdictStage } from '../../lib/protocol/stages.ts';
import { actionsOfVersion, encodeNegotiation, stepsOfVersion } from '../../lib/protocol/wire.ts';
import { fc } from './fuzz.ts';

/** What an MTA does. */
export type Command = keyof typeof STAGES | 'macros' | 'abort' | 'quit' | 'malformed';

/** One thing that an MTA sends. */
export interface Step {
  readonly command: Command;
  readonly payload: Buffer;
}

/** All that an MTA sends on one connection. */
export interface Conversation {
  readonly version: number;
  readonly actions: number;
  readonly steps: number;
  readonly sent: readonly Step[];
}

/** What both engines must have in common. */
export interface Heard {
  readonly agreed: string;
  /** What was sent and what came back; undefined where libmilter swallows the command. */
  readonly replies: readonly (readonly [Command, string | undefined])[];
  /** What the handlers were told, and what they found. */
  readonly told: readonly string[];
}

const WORDS = [
  'continue',
  'accept',
  'reject',
  'tempfail',
  'discard',
  'skip',
  'reply',
  'later',
  'throw',
  'nonsense',
  'act',
];

/** What a handler is to do, written into what it is told: `envfrom-reject`. A capital A has it take its time. */
const directive = (stages: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom(...stages), fc.constantFrom(...WORDS), fc.constantFrom('', 'A'))
    .map(([stage, word, slow]) => `${stage}-${word}${slow}`);
const maybe = (...stages: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 5, arbitrary: fc.constant('') }, { weight: 2, arbitrary: directive(stages) });

const oddText = fc.oneof(
  fc.constantFrom('', ' ', 'i', '{x}', 'Q1', 'x y', '  two', '\t', '\xff\xfe', '\xc3\xa9', 'a\n b', '%s'),
  fc.string({ maxLength: 8 }).map((text) => text.replaceAll('\0', '')),
);
const texts = (...all: readonly string[]): Buffer =>
  Buffer.from(all.map((text) => `${text}\0`).join(''), 'latin1');
const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

const address = (...stages: readonly string[]): fc.Arbitrary<string> =>
  fc
    .tuple(fc.constantFrom('a', '', '"q x"'), maybe(...stages), maybe(...stages))
    .map(([name, ...todo]) => `<${[name, ...todo].filter((part) => part !== '').join('.')}@one.test>`);

const payloads: { readonly [command in Exclude<Command, 'malformed'>]: fc.Arbitrary<Buffer> } = {
  connect: fc
    .tuple(
      maybe('connect'),
      fc.constantFrom(
        'U',
        '4\x12\x34192.0.2.7\0',
        '4\0\x000.0.0.0\0',
        '6\x12\x342001:DB8:0:0::7\0',
        '6\0\0IPv6:::1\0',
        '6\0\0::ffff:192.0.2.1\0',
        'L\x12\x34/run/x\0',
      ),
    )
    .map(([todo, client]) => Buffer.from(`h${todo}.test\0${client}`, 'latin1')),
  helo: fc.tuple(oddText, maybe('helo')).map(([name, todo]) => texts(bytesOf(name) + todo)),
  envfrom: fc
    .tuple(address('envfrom', 'data', 'eoh', 'eom', 'abort'), fc.array(oddText, { maxLength: 2 }))
    .map(([sender, more]) => texts(sender, ...more.map(bytesOf))),
  envrcpt: fc
    .tuple(address('envrcpt'), fc.array(oddText, { maxLength: 2 }))
    .map(([rcpt, more]) => texts(rcpt, ...more.map(bytesOf))),
  data: fc.constant(Buffer.alloc(0)),
  unknown: fc.tuple(oddText, maybe('unknown')).map(([command, todo]) => texts(`X${bytesOf(command)}${todo}`)),
  header: fc
    .tuple(
      fc.constantFrom('Subject', 'X-Odd', 'To', 'subject'),
      oddText,
      maybe('header'),
      fc.constantFrom('', ' '),
    )
    .map(([name, value, todo, space]) => texts(name, `${space}${bytesOf(value)}${todo}`)),
  eoh: fc.constant(Buffer.alloc(0)),
  body: fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(oddText, maybe('body'))
        .map(([text, todo]) => Buffer.from(`${bytesOf(text)}${todo}\r\n`, 'latin1')),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        Buffer.alloc(1),
        Buffer.alloc(3000, 'x\0y'),
        Buffer.alloc(65_535, 'line\r\n'),
      ),
    },
  ),
  eom: fc.constant(Buffer.alloc(0)),
  macros: fc
    .tuple(
      fc.constantFrom(...'CHMRTNELBU'),
      fc.array(
        fc.tuple(
          fc.constantFrom('i', '{i}', 'j', '{rcpt_addr}', '{rcpt_mailer}', '{odd}', '{other}', ''),
          oddText,
        ),
        { maxLength: 4 },
      ),
      fc.constantFrom('', '', '', 'j\0'),
    )
    .map(([command, pairs, odd]) =>
      Buffer.from(
        `${command}${pairs.map(([name, value]) => `${name}\0${bytesOf(value)}\0`).join('')}${odd}`,
        'latin1',
      ),
    ),
  abort: fc.constant(Buffer.alloc(0)),
  quit: fc.constant(Buffer.alloc(0)),
};

const step = (command: Exclude<Command, 'malformed'>): fc.Arbitrary<Step> =>
  payloads[command].map((payload) => ({ command, payload }));

/** Frames for which a connection is closed. The last two come with their frame. */
const malformed: fc.Arbitrary<Step> = fc
  .oneof(
    fc.constantFrom(
      'M<a>',
      'R<b>',
      'LSubject\0',
      'LSubject\0value',
      'Hname',
      'Ch\0?\0\0x\0',
      'Ch\0',
      'Ch\x004\0\x00192.0.2.7',
      'Ch\x006\0\0fe80::1%lo\0',
      'C',
      'L',
      'H',
      'D',
      'M',
      'R',
      'B',
      `Ch\0L\0\0/${'x'.repeat(120)}\0`,
    ),
    fc
      .tuple(fc.constantFrom(...'CHML'), fc.string({ maxLength: 6 }))
      .map(([command, text]) => command + text),
  )
  .map((text) => ({ command: 'malformed', payload: Buffer.from(text, 'latin1') }));

const many = <T>(arbitrary: fc.Arbitrary<T>, most: number): fc.Arbitrary<T[]> =>
  fc.array(arbitrary, { maxLength: most });
const each = (...commands: readonly Exclude<Command, 'malformed'>[]): fc.Arbitrary<Step[]> =>
  fc.tuple(...commands.map(step)).map((steps) => steps.flat());
const seldom = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<T[]>([]) },
    { weight: 1, arbitrary: arbitrary.map((one) => [one]) },
  );
const often = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
  fc.oneof(
    fc.constant<T[]>([]),
    arbitrary.map((one) => [one]),
  );

/** Whatever may come at a place where it does not belong. */
const stray = step('abort').chain((abort) =>
  fc.oneof(
    fc.constant(abort),
    ...(
      [
        'connect',
        'helo',
        'envfrom',
        'envrcpt',
        'data',
        'header',
        'eoh',
        'body',
        'eom',
        'unknown',
        'macros',
      ] as const
    ).map(step),
  ),
);
const between = fc.tuple(often(step('macros')), seldom(stray)).map((steps) => steps.flat());

const message = fc
  .tuple(
    between,
    step('envfrom'),
    between,
    many(each('envrcpt'), 3),
    between,
    often(step('data')),
    between,
    many(each('header'), 4),
    between,
    step('eoh'),
    between,
    many(each('body'), 3),
    between,
    seldom(step('abort')),
    step('eom'),
    between,
  )
  .map((parts) => (parts as (Step | Step[] | Step[][])[]).flat(2));

export const conversations: fc.Arbitrary<Conversation> = fc
  .tuple(
    fc.integer({ min: 2, max: 6 }),
    fc.integer({ min: 0, max: 0x1ff }),
    fc.integer({ min: 0, max: 0x1fffff }),
    fc.constantFrom('all', 'all', 'some', 'none'),
    between,
    often(step('connect')),
    between,
    many(each('helo'), 2),
    fc.array(message, { maxLength: 3 }),
    fc.oneof(step('quit'), step('quit'), malformed, fc.constant(undefined)),
    fc.integer({ min: 0, max: 60 }),
  )
  .map(([version, actions, steps, offer, before, connect, then, helos, messages, last, cut]) => {
    const all = stepsOfVersion(version);
    const whole = [before, connect, then, helos.flat(), messages.flat()].flat();
    return {
      version,
      actions: offer === 'all' ? actionsOfVersion(version) : actions & actionsOfVersion(version),
      steps: offer === 'all' ? all : offer === 'some' ? steps & all : 0,
      // Some end in the middle.
      sent: [...(cut < 20 ? whole.slice(0, cut) : whole), ...(last === undefined ? [] : [last])],
    };
  });

/** The stages of a message. */
const order: readonly string[] = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'];

/** What a class overrides and wishes. */
export interface Wish {
  readonly stages: readonly string[];
  readonly early: readonly ('header' | 'eoh' | 'body')[];
  readonly body: 'keep' | 'none';
  readonly rejectedRecipients: boolean;
  readonly onError: OnError;
  readonly macros: boolean;
}

const handled = stages.filter((stage) => stage !== 'negotiate');

export const wishes: fc.Arbitrary<Wish> = fc.record({
  // Something of the content is always wanted: what is switched off once, libmilter lets be left out ever after.
  stages: fc.oneof(
    fc.constant(handled),
    fc
      .tuple(fc.subarray(handled), fc.constantFrom('header', 'eoh', 'body', 'eom'))
      .map(([some, one]) => [...new Set([...some, one])]),
    fc.constant(['eom']),
  ),
  early: fc.subarray(['header', 'eoh', 'body'] as const),
  body: fc.constantFrom('keep', 'keep', 'none'),
  rejectedRecipients: fc.boolean(),
  onError: fc.constantFrom('tempfail', 'reject', 'accept', 'continue'),
  macros: fc.boolean(),
});

/** A class that does what it is told, and notes what it is told. */
export function classOf(wish: Wish, told: string[]): MilterClass {
  class Obedient extends Milter {
    static override readonly early = wish.early;
    static override readonly body = wish.body;
    static override readonly rejectedRecipients = wish.rejectedRecipients;
    static override readonly onError = wish.onError;
    static override readonly macros = wish.macros ? { envfrom: ['{odd}'], eom: ['{other}'] } : {};
  }
  for (const stage of wish.stages) {
    const value = function (this: Milter, ...given: unknown[]): unknown {
      const message = ['connect', 'helo', 'unknown', 'close'].includes(stage) ? undefined : this.message;
      told.push(
        JSON.stringify([
          stage,
          ...given.map(plain),
          this.session.negotiated,
          ...['i', '{odd}', '{rcpt_addr}', '{other}', 'j'].map((name) => this.session.macro(name) ?? null),
        ]),
      );
      if (stage === 'eom' || stage === 'abort') {
        const { sender, recipients, bodyComplete, headers } = this.message;
        told.push(
          JSON.stringify([
            sender,
            recipients,
            bodyComplete && this.message.body.toString('latin1'),
            [...headers].map(plain),
          ]),
        );
      }
      if (stage === 'abort' || stage === 'close') return undefined;
      const todo = `${given.map(plain).join(' ')} ${message?.sender ?? ''}`;
      const [, word = '', slow] = new RegExp(`${stage}-([a-z]+)(A?)`).exec(todo) ?? [];
      if (slow !== 'A') return obey(word, this, told);
      return new Promise((resolve) => setImmediate(resolve)).then(() => obey(word, this, told));
    };
    Object.defineProperty(Obedient.prototype, stage, { value });
  }
  return Obedient;
}

function plain(value: unknown): unknown {
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (typeof value !== 'object' || value === null || !('raw' in value))
    return typeof value === 'object' ? JSON.stringify(value) : value;
  const { name, raw } = value as { readonly name: string; readonly raw: Buffer };
  return `${name}:${raw.toString('latin1')}`;
}

function obey(word: string, filter: Milter, told: string[]): unknown {
  if (word === 'throw') throw new Error('as told');
  if (word === 'reply') return reject(550, '5.7.1', '100% no', 'really', '');
  if (word === 'later') return tempfail(421, null, 'not now é\udcff');
  if (word === 'act') {
    act(filter, told);
    return undefined;
  }
  return word === '' ? undefined : word;
}

function act(filter: Milter, told: string[]): void {
  const { message } = filter;
  for (const one of [
    () => message.addHeader('X-Added', 'value é'),
    () => message.insertHeader(1, 'X-Inserted', Buffer.from('raw')),
    () => message.changeHeader('Subject', 1, null),
    () => message.changeHeader('subject', 2, 'changed'),
    () => message.changeFrom('<new@one.test>', ['SIZE=1', 'X=2']),
    () => message.addRcpt('bcc@two.test'),
    () => message.addRcpt('<more@two.test>', ['NOTIFY=NEVER']),
    () => message.deleteRcpt('a@one.test'),
    () => message.replaceBody(message.recipients.length > 1 ? Buffer.alloc(140_000, 'z') : ''),
    () => message.quarantine('why not'),
  ]) {
    try {
      one();
    } catch (error) {
      told.push(String((error as { code?: unknown }).code));
    }
  }
}

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
