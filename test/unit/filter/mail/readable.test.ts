/** Words in headers, in what disguise ever. */
import { describe, expect, it } from 'vitest';
import { findWord, readable } from '../../../../lib/filter/mail/readable.ts';
import { decodeText } from '../../../../lib/text.ts';

describe('a header field', () => {
  it.each([
    ['hello', 'hello'],
    ['hello\n world', 'hello world'],
    ['=?utf-8?Q?caf=C3=A9?=', 'café'],
    ['=?UTF-8?b?dmlhZ3Jh?=', 'viagra'],
    ['=?utf-8?B?dmlh?=\n =?utf-8?B?Z3Jh?=', 'viagra'],
    ['=?koi8-r?B?8NLJ18XU?=', 'Привет'],
    ['=?gb2312?B?xOO6ww==?=', '你好'],
    ['=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=', 'こんにちは'],
    ['=?big5?B?p0GmbqFB?=', '你好，'],
    ['=?no-such-charset?Q?caf=E9?=', 'café'],
    ['=?utf-8?B?dmlhZ3Jh', 'viagra'],
    ['=?utf-8?B?dmlhZ3Jh?', 'viagra'],
    ['=?utf-8?Q?via gra?=', 'via gra'],
    ['=?utf-8?B?dmlhZ3Jh===?=', 'viagra'],
    ['=?utf-8?X?abc?=', '=?utf-8?X?abc?='],
    ['a =? b', 'a =? b'],
  ])('%j is read as %j', (value, text) => {
    expect(readable(value)).toBe(text);
  });

  it('with bytes that are no UTF-8 is Western European', () => {
    expect(readable(decodeText(Buffer.from('caf\xe9 \x80', 'latin1')))).toBe('café €');
  });

  it.each(['=?', '=?utf-8?B?', '=?a?q?b?=', '?=', ' =?utf-8?Q?=', '\n '])(
    'of many %j takes no time to read',
    (piece) => {
      for (let i = 0; i < 100; i++) readable(piece.repeat(50_000));
    },
  );
});

function found(words: readonly string[], text: string): string | undefined {
  const sets = [new Set(words)];
  return findWord({ empty: false, sets: () => sets, has: () => false }, text);
}

describe('a word', () => {
  it.each([
    ['viagra', 'buy viagra now'],
    ['Viagra', 'VIAGRA!'],
    ['viagra', 'v\u00adi\u200ba\u2060g\u200dr\ufeffa'],
    ['viagra', 'ｖｉａｇｒａ'],
    ['viagra', 'ⓥⓘⓐⓖⓡⓐ'],
    ['viagra', '𝓿𝓲𝓪𝓰𝓻𝓪'],
    ['viagra', 'via\u0000gra'],
    ['café', 'cafe\u0301'],
    ['CAFÉ', 'café'],
    ['free money', 'get free   money today'],
    ['free money', 'FREE\tMONEY'],
    ['$$$', 'make $$$ fast'],
    ['c++', 'learn C++ today'],
    ['привет', 'ПРИВЕТ, мир'],
    ['你好', '他说你好吗'],
    ['ราคา', 'ลดราคา'],
    ['über', '(über)'],
    ['a_b', 'x a_b y'],
  ])('%j is in %j', (word, text) => {
    expect(found([word], text)).toBe(word);
  });

  it.each([
    ['gain', 'again'],
    ['gain', 'gains'],
    ['gain', 'bargain-hunter'],
    ['cialis', 'specialist'],
    ['free money', 'free the money'],
    ['ann', 'änn'],
    ['co', 'co\u0301'],
    ['a1', 'a12'],
    ['', 'anything'],
    ['\u200b', 'anything'],
    ['$$$', 'for $ 5'],
  ])('%j is not in %j', (word, text) => {
    expect(found([word], text)).toBeUndefined();
  });

  it('is the first of several', () => {
    expect(found(['two', 'one', 'one more'], 'this is one more of two')).toBe('one');
  });

  it('is found as fast in a long list', () => {
    const words = Array.from({ length: 100_000 }, (_, i) => `word${i}`);
    const sets = [new Set(words)];
    const list = { empty: false, sets: () => sets, has: () => false };
    // One by one this would take minutes.
    for (let i = 0; i < 1_000; i++) findWord(list, 'nothing of it '.repeat(50));
  });
});
