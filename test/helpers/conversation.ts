/**
 * Random conversations of an MTA with a filter. What it may send is what libmilter answers, and also what it swallows as out of
 * order.
 */
import type { STAGES } from '../../lib/protocol/frames.ts';
import { actionsOfVersion, stepsOfVersion } from '../../lib/protocol/wire.ts';
import { fc } from './fuzz.ts';
import { WORDS } from './obedient.ts';

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
