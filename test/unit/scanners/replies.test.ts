/** What scanners say, right and wrong: whatever is not known to mean "clean" must not be taken for it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  parseSessionReply,
  parseSpamdReply,
  readClamdVerdict,
  readRspamdVerdict,
  readSpamdVerdict,
  ScannerError,
} from '../../../lib/scanners/index.ts';
import { fc, runs } from '../../helpers/fuzz.ts';

const shared = join(import.meta.dirname, '../../../../shared/cases');
const names = (folder: string, end: string): string[] =>
  existsSync(join(shared, folder))
    ? readdirSync(join(shared, folder)).filter((name) => name.endsWith(end))
    : [];
const read = (folder: string, name: string): string => readFileSync(join(shared, folder, name), 'latin1');

/** What a reader makes of it: a verdict, or the fault of the one error that it may throw. */
function outcome<T>(reader: (text: string) => T, text: string): T | string {
  try {
    return reader(text);
  } catch (error) {
    if (!(error instanceof ScannerError)) throw error;
    return error.fault;
  }
}

describe('clamd', () => {
  it.each([
    ['stream: OK', { virus: undefined }],
    ['stream: Own.Eicar.UNOFFICIAL FOUND', { virus: 'Own.Eicar.UNOFFICIAL' }],
    ['stream: Own(69d:68) FOUND', { virus: 'Own(69d:68)' }],
    ['stream: FOUND FOUND', { virus: 'FOUND' }],
    ['INSTREAM size limit exceeded. ERROR', 'too-big'],
    ["stream: Can't allocate memory ERROR", 'refused'],
    ['stream:  FOUND', 'nonsense'],
    ['stream: OK ', 'nonsense'],
    ['stream: OKAY', 'nonsense'],
    ['stream: ok', 'nonsense'],
    ['OK', 'nonsense'],
    ['', 'nonsense'],
    ['UNKNOWN COMMAND', 'nonsense'],
    ['PONG', 'nonsense'],
  ])('%j', (text, expected) => {
    expect(outcome(readClamdVerdict, text)).toEqual(expected);
  });

  it.each([
    ['1: stream: OK', { id: 1, text: 'stream: OK' }],
    ['stream: OK', 'nonsense'],
    ['COMMAND READ TIMED OUT', 'cut-off'],
    ['-1: stream: OK', 'nonsense'],
    ['1234567890: stream: OK', 'nonsense'],
    ['', 'nonsense'],
  ])('in a session: %j', (text, expected) => {
    expect(outcome(parseSessionReply, text)).toEqual(expected);
  });

  it('says clean by one text only', () => {
    const near = fc.oneof(
      fc.string(),
      fc
        .tuple(
          fc.constantFrom('stream: ', 'stream:', ''),
          fc.constantFrom('OK', 'FOUND', 'ERROR', ' FOUND'),
          fc.string(),
        )
        .map((words) => words.join('')),
    );
    fc.assert(
      fc.property(near, (text) => {
        const said = outcome(readClamdVerdict, text);
        outcome(parseSessionReply, text);
        return text === 'stream: OK' || typeof said === 'string' || said.virus !== undefined;
      }),
      runs(2_000),
    );
  });

  it.skipIf(names('clamd', 'transcripts.json').length === 0)('what a real one said', () => {
    const transcripts = JSON.parse(read('clamd', 'transcripts.json')) as { case: string; reply: string }[];
    for (const { case: name, reply } of transcripts) {
      const said = reply.split(/[\0\n]/).filter((line) => line !== '');
      const clean = said.filter((line) => {
        const verdict = outcome(readClamdVerdict, line.replace(/^\d+: /, ''));
        return typeof verdict !== 'string' && verdict.virus === undefined;
      });
      expect(clean.length, name).toBe(said.filter((line) => / OK$/.test(line)).length);
    }
  });
});

const REPORT_BODY =
  'pts rule name\n---- ----\n-0.0 NO_RECEIVED  Informational\n 6.3 BAD_THING   bad\n                thing\n';
const report = (body = REPORT_BODY, spam = 'True ; 6.3 / 5.0', length = body.length): string =>
  `SPAMD/1.1 0 EX_OK\r\nContent-length: ${length}\r\nSpam: ${spam}\r\n\r\n${body}`;

describe('spamd', () => {
  it('gives score, threshold and rules', () => {
    expect(readSpamdVerdict(report())).toEqual({
      spam: true,
      score: 6.3,
      threshold: 5,
      rules: [
        { name: 'NO_RECEIVED', points: -0 },
        { name: 'BAD_THING', points: 6.3 },
      ],
    });
    expect(readSpamdVerdict(report('x', 'False ; -100.0 / 5.0'))).toMatchObject({
      spam: false,
      score: -100,
      rules: [],
    });
  });

  it.each([
    ['', 'cut-off'],
    ['HTTP/1.1 400 Bad Request\r\n\r\n', 'nonsense'],
    [
      'SPAMD/1.0 76 Bad header line: (Content-Length mismatch: Expected 202 bytes, got 192 bytes)\r\n',
      'refused',
    ],
    ['SPAMD/1.1 0 EX_OK\r\n\r\n', 'nonsense'],
    [report(REPORT_BODY, 'True ; nan / 5.0'), 'nonsense'],
    [report(REPORT_BODY, 'True ; 1e999 / 5.0'), 'nonsense'],
    [report(REPORT_BODY, 'Maybe ; 1.0 / 5.0'), 'nonsense'],
    [report(REPORT_BODY, 'True ; 6.3 / 5.0', 10_000), 'cut-off'],
  ])('%j is no verdict', (text, fault) => {
    expect(outcome(readSpamdVerdict, text)).toBe(fault);
  });

  it('gives none as long as its reply is not whole', () => {
    const whole = report();
    for (let end = 0; end < whole.length; end++) {
      expect(typeof outcome(readSpamdVerdict, whole.slice(0, end)), whole.slice(0, end)).toBe('string');
    }
  });

  it('throws nothing but its own error', () => {
    fc.assert(
      fc.property(damaged(report()), (text) => {
        const verdict = outcome(readSpamdVerdict, text);
        outcome(parseSpamdReply, text);
        return (
          typeof verdict === 'string' ||
          (Number.isFinite(verdict.score) && Number.isFinite(verdict.threshold))
        );
      }),
      runs(2_000),
    );
  });

  it.each(names('spamd', '.reply'))('what a real one said: %s', (name) => {
    const reply = read('spamd', name);
    const [, word, score] = /^Spam: (\w+) ; (\S+) \//m.exec(reply) ?? [];
    const verdict = outcome(readSpamdVerdict, reply);
    if (word === undefined) expect(verdict).toBeTypeOf('string');
    else expect(verdict).toMatchObject({ spam: word === 'True', score: Number(score) });
  });
});

const rspamd = (more: object = {}): string =>
  JSON.stringify({
    is_skipped: false,
    score: 6.3,
    required_score: 15,
    action: 'add header',
    symbols: { GTUBE: { name: 'GTUBE', score: 2.5 }, 'BAD NAME\n': { score: 1 }, NONE: { score: 'x' } },
    messages: { smtp_message: 'Try\r\nagain' },
    ...more,
  });

describe('rspamd', () => {
  it('gives action, score and rules', () => {
    expect(readRspamdVerdict(rspamd())).toEqual({
      action: 'add header',
      score: 6.3,
      required: 15,
      rules: [{ name: 'GTUBE', points: 2.5 }],
      message: 'Try??again',
    });
    expect(readRspamdVerdict(rspamd({ symbols: undefined, messages: [] }))).toMatchObject({
      rules: [],
      message: undefined,
    });
  });

  it.each([
    ['', 'nonsense'],
    ['pong', 'nonsense'],
    ['[]', 'nonsense'],
    ['null', 'nonsense'],
    ['{}', 'nonsense'],
    ['{"error":"invalid command"}', 'refused'],
    [rspamd({ score: '6' }), 'nonsense'],
    [rspamd({ score: null }), 'nonsense'],
    [rspamd({ required_score: undefined }), 'nonsense'],
    [rspamd({ action: undefined }), 'nonsense'],
    [rspamd({ action: 'no\naction' }), 'nonsense'],
    [rspamd({ symbols: [] }), 'nonsense'],
    ['{"score":1e999,"required_score":15,"action":"no action"}', 'nonsense'],
  ])('%j is no verdict', (text, fault) => {
    expect(outcome(readRspamdVerdict, text)).toBe(fault);
  });

  it('gives none as long as its reply is not whole', () => {
    const whole = rspamd();
    for (let end = 0; end < whole.length; end++)
      expect(outcome(readRspamdVerdict, whole.slice(0, end))).toBe('nonsense');
  });

  it('throws nothing but its own error', () => {
    const json = fc.json().map((text) => text.replace(/^\{/, '{"score":1,'));
    fc.assert(
      fc.property(fc.oneof(damaged(rspamd()), json), (text) => {
        const verdict = outcome(readRspamdVerdict, text);
        return (
          typeof verdict === 'string' || (Number.isFinite(verdict.score) && /^[\w -]+$/.test(verdict.action))
        );
      }),
      runs(2_000),
    );
  });

  it.each(names('rspamd', '.reply.json'))('what a real one said: %s', (name) => {
    const { action, score } = JSON.parse(read('rspamd', name)) as { action: string; score: number };
    expect(readRspamdVerdict(read('rspamd', name))).toMatchObject({ action, score });
  });
});

/** Text with some of its characters changed, left out or doubled. */
function damaged(text: string): fc.Arbitrary<string> {
  const damage = fc.record({ at: fc.nat(text.length), length: fc.nat(8), put: fc.string({ maxLength: 8 }) });
  return fc
    .array(damage, { minLength: 1, maxLength: 6 })
    .map((all) =>
      all.reduce((whole, { at, length, put }) => whole.slice(0, at) + put + whole.slice(at + length), text),
    );
}
