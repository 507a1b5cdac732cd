/** Replies of clamd, spamd and rspamd: a verdict, or a ScannerError in one line. Nothing but what says so is clean. */
import { expect, it } from 'vitest';
import {
  parseSessionReply,
  readClamdVerdict,
  readRspamdVerdict,
  readSpamdVerdict,
  ScannerError,
} from '../../lib/scanners/index.ts';
import { fc, runs } from '../helpers/fuzz.ts';

/** What a reader makes of a text; nothing where it refuses it as it should. */
function verdictOf<T>(read: (text: string) => T, text: string): T | undefined {
  try {
    return read(text);
  } catch (error) {
    if (!(error instanceof ScannerError)) throw error;
    // It goes into a log.
    expect(error.message).toMatch(/^[^\p{C}\p{Zl}\p{Zp}]{1,300}$/u);
    return undefined;
  }
}

function joined(...pieces: readonly string[]): fc.Arbitrary<string> {
  return fc
    .array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...pieces) },
        { weight: 1, arbitrary: fc.string({ maxLength: 5 }) },
      ),
      { maxLength: 12 },
    )
    .map((parts) => parts.join(''));
}

it('clamd: only "stream: OK" is clean', () => {
  const reply = joined(
    'stream: ',
    'OK',
    ' FOUND',
    'Eicar',
    ' ERROR',
    'INSTREAM size limit exceeded.',
    '\n',
    '\0',
    '1: ',
    'COMMAND READ TIMED OUT',
    ' ',
    '\u2028',
  );
  fc.assert(
    fc.property(reply, (text) => {
      const verdict = verdictOf(readClamdVerdict, text);
      if (verdict !== undefined && verdict.virus === undefined) expect(text).toBe('stream: OK');
      if (verdict?.virus !== undefined) {
        expect(text).toMatch(/^stream: .+ FOUND$/s);
        expect(verdict.virus.length).toBeLessThanOrEqual(200);
      }
      const session = verdictOf(parseSessionReply, text);
      if (session !== undefined) expect(text).toBe(`${/^\d+/.exec(text)?.[0]}: ${session.text}`);
    }),
    runs(1_000),
  );
});

it('spamd: a verdict stands in the reply, its numbers are numbers', () => {
  const reply = joined(
    ...[
      'SPAMD/1.1 0 EX_OK\r\n',
      'SPAMD/1.5 0 EX_OK\n',
      'SPAMD/1.1 76 Bad header\r\n',
      'Spam: True ; 15.0 / 5.0\r\n',
      'Spam: False ; -1 / 5\r\n',
    ],
    ...[
      'Content-length: 0\r\n',
      'Content-length: 5\r\n',
      '\r\n',
      '\n',
      'Spam: ',
      'True',
      ' ; ',
      '1e9',
      ' / ',
      '5.0',
      ' 1.5 RULE_A  text\n',
      '-0.1 B x\n',
    ],
  );
  fc.assert(
    fc.property(reply, (text) => {
      const verdict = verdictOf(readSpamdVerdict, text);
      if (verdict === undefined) return;
      expect(text).toMatch(/^SPAMD\/\d+\.\d+ 0 /);
      for (const number of [verdict.score, verdict.threshold, ...verdict.rules.map(({ points }) => points)])
        expect(Number.isFinite(number)).toBe(true);
      expect(text.toLowerCase()).toContain('spam:');
    }),
    runs(1_000),
  );
});

it('rspamd: whatever JSON comes, a verdict has an action and finite numbers, and text of one line', () => {
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom(1, -5.5, 1e300, 'reject', 'no action', 'a\nb', null, {}, []),
  );
  const symbols = fc.dictionary(
    fc.constantFrom('RULE_A', 'B', '__proto__', 'a\nb', ''),
    fc.oneof(value, fc.record({ score: value })),
  );
  const body = fc.oneof(
    fc
      .record(
        {
          action: value,
          score: value,
          required_score: value,
          symbols: fc.oneof(symbols, value),
          messages: fc.oneof(fc.record({ smtp_message: value }), value),
          error: value,
        },
        { requiredKeys: ['action', 'score', 'required_score'] },
      )
      .map((json) => JSON.stringify(json)),
    fc
      .record({
        action: fc.constantFrom('reject', 'no action'),
        score: fc.double({ noNaN: true }),
        required_score: fc.integer(),
        symbols,
      })
      .map((json) => JSON.stringify(json)),
    joined('{', '}', '"action"', ':', '"reject"', ',', '"score"', '1', '[', ']'),
  );
  fc.assert(
    fc.property(body, (text) => {
      const verdict = verdictOf(readRspamdVerdict, text);
      if (verdict === undefined) return;
      expect(verdict.action).toMatch(/^[\w -]{1,60}$/);
      for (const number of [verdict.score, verdict.required, ...verdict.rules.map(({ points }) => points)])
        expect(Number.isFinite(number)).toBe(true);
      for (const { name } of verdict.rules) expect(name).toMatch(/^[\w.:()+-]{1,100}$/);
      expect(verdict.message ?? '').toMatch(/^[^\p{C}\p{Zl}\p{Zp}]{0,300}$/u);
    }),
    runs(1_000),
  );
});
