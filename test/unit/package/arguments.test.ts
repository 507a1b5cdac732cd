/** What is no argument is refused in one line wherever it is given: nothing is found in a promise that nobody awaited. */
import { expect, it } from 'vitest';
import * as bayes from '../../../lib/bayes/index.ts';
import * as dns from '../../../lib/dns/index.ts';
import { loadFilter, parseAddress, safeText } from '../../../lib/index.ts';
import * as mime from '../../../lib/mime/index.ts';
import * as spf from '../../../lib/spf/index.ts';
import * as srs from '../../../lib/srs/index.ts';
import * as testing from '../../../lib/testing/index.ts';

/** Those that judge whatever they are given, and those that take options or nothing at all. */
const TAKES_ALL = new Set(['isFailure']);

const functions = Object.entries({
  // Classes and options of `libmilter` have faults and tests of their own.
  ...{ loadFilter, parseAddress, safeText },
  ...dns,
  ...spf,
  ...mime,
  ...srs,
  ...bayes,
  ...testing,
}).filter(
  (entry): entry is [string, (...values: unknown[]) => unknown] =>
    typeof entry[1] === 'function' && /^[a-z]/.test(entry[0]) && !TAKES_ALL.has(entry[0]),
);

const wrong: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 5],
  ['an object', {}],
  ['a promise', Promise.resolve()],
];

it.each(functions)('%s', async (name, called) => {
  for (const [what, value] of wrong) {
    // All that it takes may be left out.
    if (name === 'createResolver' && typeof value !== 'number') continue;
    expect([what, await refusal(() => called(value))]).toEqual([
      what,
      { code: expect.stringMatching(/^ERR_MILTER_(ARGUMENT|OPTION|FILTER|SOCKET)$/), lines: 1 },
    ]);
  }
});

it.each([
  ['archiveFormat', () => mime.archiveFormat(new Uint8Array([0x50, 0x4b, 3, 4]) as Buffer)],
  ['safeHtml', () => mime.safeHtml(Buffer.from('<p>x') as unknown as string)],
  ['readPage', () => mime.readPage(Buffer.from('<p>x') as unknown as string)],
  ['parseMessage', () => mime.parseMessage('a: b' as unknown as Buffer)],
  ['parseMessageStream', () => mime.parseMessageStream('a: b' as unknown as Buffer[])],
  ['parseMessageStream', () => mime.parseMessageStream(['a: b'] as unknown as Buffer[])],
  ['createPart', () => mime.createPart({ content: 'x' }, '\n\n' as '\n')],
])('%s takes text and bytes for what they are', async (_name, called) => {
  expect(await refusal(called)).toEqual({ code: 'ERR_MILTER_ARGUMENT', lines: 1 });
});

/** What comes of a call that is to be refused. */
async function refusal(called: () => unknown): Promise<unknown> {
  try {
    return { answered: await called() };
  } catch (error) {
    const { code, message } = error as Error & { code?: unknown };
    return { code, lines: message.split('\n').length };
  }
}
