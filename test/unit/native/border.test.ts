/** What C++ and TypeScript must agree on is written down on both sides: the numbers of one are read from its sources. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BY_PLAN, Notice } from '../../../lib/engine/engine.ts';
import { Kind } from '../../../lib/milter/replay.ts';
import { Mode, SMFIF, SMFIP, stageIndex, verdictCode } from '../../../lib/protocol/stages.ts';

const root = join(import.meta.dirname, '../../..');
const source = (path: string): string => readFileSync(join(root, path), 'utf8');

/** What stands between `enum class name` and its end, as pairs: `kSome = 3` is `['some', '3']`. */
function enumerators(path: string, name: string): readonly (readonly [string, string | undefined])[] {
  const body = new RegExp(`enum class ${name}[^{]*\\{([^}]*)\\}`).exec(source(path))?.[1];
  if (body === undefined) throw new Error(`${path} has no enum class ${name}`);
  const plain = body.replaceAll(/\/\/.*/g, '');
  return [...plain.matchAll(/\bk([A-Z]\w*)(?:\s*=\s*(\w+))?/g)].map(([, word = '', value]) => [
    word.charAt(0).toLowerCase() + word.slice(1),
    value,
  ]);
}

/** The numbers of an enumeration; one that is not written is the one before and one. */
function numbersOf(path: string, name: string): Record<string, number> {
  let next = 0;
  return Object.fromEntries(
    enumerators(path, name).map(([word, value]) => {
      const number = value === undefined ? next : Number(value);
      next = number + 1;
      return [word, number];
    }),
  );
}

/** The number of a constant, such as `constexpr uint32_t kName = 20;`. */
function constantOf(path: string, name: string): number {
  return Number(new RegExp(`\\b${name} = (\\w+);`).exec(source(path))?.[1]);
}

describe('the same on both sides of the border are', () => {
  it.each([
    ['stages', 'native/core/stage.h', 'Stage', stageIndex],
    ['modes', 'native/core/stage.h', 'Mode', Mode],
    ['notices', 'native/core/ticket.h', 'Notice', Notice],
    ['kinds of actions', 'native/core/answer.cc', 'Action', Kind],
    ['kinds of actions in the tests', 'native/test/pack.h', 'Act', Kind],
  ])('%s', (_, path, name, expected) => {
    expect(numbersOf(path, name)).toEqual(expected);
  });

  it('the number of stages', () => {
    expect(constantOf('native/core/stage.h', 'kStages')).toBe(Object.keys(stageIndex).length);
  });

  it('the length of a ticket in a batch', () => {
    expect(constantOf('native/binding/native_server.cc', 'kTicketHeader')).toBe(
      constantOf('lib/engine/libmilter/records.ts', 'HEADER_BYTES'),
    );
  });

  it('the flags that follow from the plan', () => {
    expect(constantOf('native/core/session.cc', 'kByPlan')).toBe(BY_PLAN);
  });
});

const headers = ['/usr/include/libmilter', '/usr/local/include/libmilter'].find((folder) =>
  existsSync(folder),
);

describe.skipIf(headers === undefined)("the same in libmilter's headers are", () => {
  const text =
    headers === undefined
      ? ''
      : ['mfapi.h', 'mfdef.h'].map((file) => readFileSync(join(headers, file), 'utf8')).join('\n');
  const defined = (prefix: string): Record<string, number> =>
    Object.fromEntries(
      [
        ...text.matchAll(new RegExp(`^#\\s*define\\s+${prefix}_(\\w+)\\s+(0x[0-9a-fA-F]+|\\d+)L?\\b`, 'gm')),
      ].map(([, name = '', value]) => [name, Number(value)]),
    );

  it.each([
    ['SMFIF', SMFIF],
    ['SMFIP', SMFIP],
  ])('%s flags', (prefix, flags) => {
    expect(defined(prefix)).toMatchObject(flags);
  });

  it('verdicts', () => {
    const codes = defined('SMFIS');
    const verdicts = enumerators('native/core/answer.h', 'Verdict').map(([word, value]) => {
      const name = value?.replace('SMFIS_', '') ?? '';
      expect(name.toLowerCase()).toBe(word);
      return [word, codes[name]];
    });
    expect(Object.fromEntries(verdicts)).toEqual(verdictCode);
  });
});
