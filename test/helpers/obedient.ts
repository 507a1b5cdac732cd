/** Random filter classes, which do what the MTA tells them to do, and note what they are told. */
import { Milter, type MilterClass, type OnError, reject, tempfail } from '../../lib/index.ts';
import { stages } from '../../lib/protocol/stages.ts';
import { fc } from './fuzz.ts';

/** What their handlers can be told to do: `envfrom-reject`, anywhere in what such a handler is given. */
export const WORDS = [
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
