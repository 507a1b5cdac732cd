import { describe, expect, it } from 'vitest';
import { cached, createResolver } from '../../lib/dns/index.ts';
import { wrongArgument } from '../../lib/errors.ts';
import { Milter, type ServeOptions, serve } from '../../lib/index.ts';
import {
  appendText,
  createPart,
  defang,
  inspect,
  listArchive,
  parseMessage,
  parseMessageStream,
} from '../../lib/mime/index.ts';
import {
  callback,
  checkValue,
  flag,
  having,
  instance,
  integer,
  iterable,
  limit,
  milliseconds,
  nearest,
  object,
  oneOf,
  refuseUnknown,
  text,
  texts,
} from '../../lib/options.ts';
import { bestGuess, checkHost, lintDomain } from '../../lib/spf/index.ts';
import { createBatv, createSes, createSrs } from '../../lib/srs/index.ts';
import { connectMta, fakeSession, MemoryResolver } from '../../lib/testing/index.ts';
import { fc } from '../helpers/fuzz.ts';

class Idle extends Milter {
  override eom() {}
}

const message = parseMessage(Buffer.from('Subject: a\r\n\r\nb'));
const resolver = new MemoryResolver({});
const nodeResolver = createResolver({ backend: 'node' });
const mail = { sender: 'a@example.com', recipients: ['b@example.com'] };
const OPTION = { name: 'MilterError', code: 'ERR_MILTER_OPTION' };
const ARGUMENT = { name: 'TypeError', code: 'ERR_MILTER_ARGUMENT' };

/** What a caller in JavaScript may pass. */
type Loose = never;

async function sendMessage(options: object): Promise<unknown> {
  await using mta = fakeSession(Idle);
  return await mta.sendMessage('a: b\n\n', { ...mail, ...options } as Loose);
}

describe.each<[string, (options: object) => unknown, string, object]>([
  ['serve', (o) => serve(Idle, { socket: 'inet:0@127.0.0.1', ...o } as ServeOptions), 'maxBody', OPTION],
  ['fakeSession', (o) => fakeSession(Idle, o as Loose), 'deadlines', OPTION],
  ['fakeSession, of the MTA', (o) => fakeSession(Idle, o as Loose), 'version', OPTION],
  ['connectMta', (o) => connectMta('inet:1@127.0.0.1', o as Loose), 'timeout', ARGUMENT],
  ['sendMessage', sendMessage, 'recipients', ARGUMENT],
  ['sendMessage, of the client', (client) => sendMessage({ client }), 'address', ARGUMENT],
  ['createResolver', (o) => createResolver(o as Loose), 'servers', ARGUMENT],
  ['cached', (o) => cached(resolver, o as Loose), 'maxEntries', ARGUMENT],
  ['MemoryResolver', (o) => new MemoryResolver({}, o as Loose), 'ttl', ARGUMENT],
  ['resolve', (o) => createResolver().resolve('a.example', 'A', o as Loose), 'signal', ARGUMENT],
  ["resolve by Node's", (o) => nodeResolver.resolve('a.example', 'A', o as Loose), 'signal', ARGUMENT],
  [
    'resolve of what is cached',
    (o) => cached(resolver).resolve('a.example', 'A', o as Loose),
    'signal',
    ARGUMENT,
  ],
  ['checkHost', (o) => checkHost({ sender: '', resolver, ...o } as Loose), 'receiver', ARGUMENT],
  ['bestGuess', (o) => bestGuess({ sender: '', resolver, ...o } as Loose), 'timeout', ARGUMENT],
  ['createSrs', (o) => createSrs({ secrets: ['a'], ...o } as Loose), 'hashLength', ARGUMENT],
  ['createSes', (o) => createSes({ secrets: ['a'], ...o } as Loose), 'expiration', ARGUMENT],
  ['createBatv', (o) => createBatv({ secrets: ['a'], ...o } as Loose), 'maxAge', ARGUMENT],
  ['parseMessage', (o) => parseMessage(Buffer.alloc(0), o as Loose), 'limits', ARGUMENT],
  ['parseMessageStream', (o) => parseMessageStream([], o as Loose), 'limits', ARGUMENT],
  ['parseMessage, of the limits', (limits) => parseMessage(Buffer.alloc(0), { limits }), 'depth', ARGUMENT],
  ['listArchive', (o) => listArchive(Buffer.alloc(0), [], o as Loose), 'members', ARGUMENT],
  ['createPart', (o) => createPart({ content: '', ...o }), 'disposition', ARGUMENT],
  ['createPart, of a part in it', (o) => createPart({ parts: [{ content: '', ...o }] }), 'name', ARGUMENT],
  ['createPart, of a message in it', (o) => createPart({ message: { content: '', ...o } }), 'name', ARGUMENT],
  ['defang', (o) => defang(message, o as Loose), 'extensions', ARGUMENT],
  ['inspect', (o) => inspect(message, o as Loose), 'contentTypes', ARGUMENT],
  ['appendText', (o) => appendText(message, { text: 'a', ...o } as Loose), 'html', ARGUMENT],
])('%s', (_, call, known, error) => {
  const made = async (options: object): Promise<unknown> => await call(options);

  it('refuses an unknown name, and says which one was probably meant', async () => {
    const misspelt = `${known}x`;
    await expect(made({ [misspelt]: 1 })).rejects.toMatchObject({
      ...error,
      message: expect.stringContaining(`"${misspelt}"; did you mean "${known}"?`),
    });
  });

  it('suggests nothing where nothing is near', async () => {
    await expect(made({ quetzalcoatl: 1 })).rejects.toMatchObject({
      ...error,
      message: expect.stringMatching(/^unknown [^;]+ "quetzalcoatl"$/),
    });
  });

  it('refuses an impossible value, coerces none, and shows what it got', async () => {
    await expect(made({ [known]: Symbol('odd') })).rejects.toMatchObject({
      ...error,
      message: expect.stringMatching(new RegExp(`"${known}" must .*, got Symbol\\(odd\\)$`)),
    });
    await expect(made({ [known]: null })).rejects.toMatchObject(error);
  });
});

it.each<[string, () => unknown]>([
  ['createResolver', () => createResolver(5 as Loose)],
  ['cached', () => cached(resolver, null as Loose)],
  ['cached without a resolver', () => cached({} as Loose)],
  ['checkHost', () => checkHost('192.0.2.1' as Loose)],
  ['parseMessage', () => parseMessage(Buffer.alloc(0), 5 as Loose)],
  ['createPart', () => createPart('text' as Loose)],
  ['createPart with a line end', () => createPart({ content: '' }, '\r' as Loose)],
  ['createPart of nothing', () => createPart({} as Loose)],
  ['createPart of two things', () => createPart({ content: 'a', parts: [] } as Loose)],
  ['appendText without a text', () => appendText(message, { html: 'a' } as Loose)],
  ['defang', () => defang(message, ['exe'] as Loose)],
  ['defang, of an extension with a dot', () => defang(message, { extensions: ['.exe'] })],
  ['defang, of an extension in capitals', () => defang(message, { extensions: ['scr', 'EXE'] })],
  ['inspect, of a pattern', () => inspect(message, { extensions: ['*'] })],
  ['inspect, of no text', () => inspect(message, { extensions: [5] } as Loose)],
  ['inspect, of half a content type', () => inspect(message, { contentTypes: ['text'] })],
  ['inspect, of a pattern of content types', () => inspect(message, { contentTypes: ['image/*'] })],
  ['resolve, of an unknown type', () => createResolver().resolve('a.example', 'AX' as Loose)],
  ['lintDomain without a resolver', () => lintDomain('example.com', {} as Loose)],
  ['lintDomain without a domain', () => lintDomain(5 as Loose, resolver)],
  ['connectMta', () => connectMta('inet:1@127.0.0.1', 6 as Loose)],
  ['createSrs', () => createSrs(undefined as Loose)],
  ['createSes', () => createSes('secret' as Loose)],
  ['createBatv', () => createBatv(null as Loose)],
])('%s refuses what are no options at all', async (_, call) => {
  await expect((async () => await call())()).rejects.toMatchObject(ARGUMENT);
});

it('takes undefined for an option that was not given', () => {
  expect(() => createResolver({ servers: undefined, timeout: undefined } as Loose)).not.toThrow();
});

describe('nearest', () => {
  it.each([
    ['sokcet', 'socket'],
    ['SOCKET', 'socket'],
    ['maxbody', 'maxBody'],
    ['max-body', 'maxBody'],
    ['deadline', 'deadlines'],
    ['logegr', 'logger'],
    ['maxConections', 'maxConnections'],
    ['rejct', 'reject'],
  ])('of %s is %s', (word, known) => {
    const words = ['maxBody', 'socket', 'deadlines', 'logger', 'maxConnections', 'reject', 'tempfail'];
    expect(nearest(word, words)).toBe(known);
  });

  it.each(['', 'a', 'soc', 'body', 'accept', 'quetzalcoatl'])('is none of %j', (word) => {
    expect(nearest(word, ['socket', 'maxBody', 'deadlines', 'reject'])).toBeUndefined();
  });

  it('takes the nearest of several', () => {
    expect(nearest('colour', ['dolor', 'colored', 'color'])).toBe('color');
  });

  it('differs by at most a third of the letters', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.array(fc.string({ maxLength: 12 })), (word, words) => {
        const found = nearest(word, words);
        if (found !== undefined) {
          const lengths = [word.length, found.length] as const;
          expect(Math.abs(lengths[0] - lengths[1]) * 3).toBeLessThanOrEqual(Math.max(...lengths));
        }
        expect(nearest(word, [...words, word])?.toLowerCase()).toBe(word.toLowerCase());
      }),
    );
  });
});

describe('refuseUnknown', () => {
  const refuse = (name: string) => () => refuseUnknown('thing', [name], ['envrcpt', 'eom'], wrongArgument);

  it('knows a word by a part of it', () => {
    expect(refuse('rcpt')).toThrow('unknown thing "rcpt"; did you mean "envrcpt"?');
    expect(refuse('eo')).toThrow(/^unknown thing "eo"; did you mean "eom"\?$/);
    expect(refuse('rc')).toThrow(/^unknown thing "rc"$/);
  });

  it('does not take what every object inherits for a known name', () => {
    expect(refuse('toString')).toThrow('unknown thing "toString"');
    expect(refuse('__proto__')).toThrow('unknown thing "__proto__"');
  });
});

describe('a kind', () => {
  it.each([
    [flag, [true, false], [0, 'true', null]],
    [text, ['', 'a'], [1, null, Buffer.from('a')]],
    [texts, [[], ['a']], ['a', [1], { 0: 'a' }]],
    [integer(2, 6), [2, 6], [1, 7, 2.5, '2', 2n, Number.NaN]],
    [milliseconds, [0.5, 1, 2 ** 31 - 1], [0, -1, 2 ** 31, Number.NaN, Number.POSITIVE_INFINITY, '5']],
    [limit, [0.1, Number.POSITIVE_INFINITY], [0, Number.NaN, '1']],
    [oneOf('a', 'b'), ['a', 'b'], ['c', 'A', ['a']]],
    [callback(), [() => {}, class {}], [{}, 'a']],
    [object(), [{}, []], [null, 'a', () => {}]],
    [iterable(), [[], new Set()], ['abc', 5, {}]],
    [instance(AbortSignal), [AbortSignal.abort()], [{}, new AbortController()]],
    [having<Console>('log', 'error'), [console], [{ log() {} }, null, 'log']],
  ])('takes what it is meant for and nothing else: %o', (kind, good, bad) => {
    expect(good.filter((value) => !kind.accepts(value))).toEqual([]);
    expect(bad.filter((value) => kind.accepts(value))).toEqual([]);
  });

  it('names the words and the value in one short line', () => {
    const check = (value: unknown) => () => checkValue('it', value, oneOf('a', 'b', 'c'), wrongArgument);
    expect(check('x\n')).toThrow(/^it must be a, b or c, got "x\\n"$/);
    expect(check('x'.repeat(5000))).toThrow(/^it must be a, b or c, got "x{99}…"$/);
    expect(check([])).toThrow(/got an array$/);
    expect(check(Object.create(null))).toThrow(/got an object$/);
    expect(check(() => {})).toThrow(/got a function$/);
  });
});
