import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Header, Milter, SMFIP } from '../../lib/index.ts';
import type { WireConnection } from '../../lib/testing/index.ts';
import { fc, runs } from '../helpers/fuzz.ts';
import { ENVELOPE, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** Keeps what it gets, and writes it back unchanged: as text or as bytes. */
class Echo extends Milter {
  static received: Header[] = [];
  static how: 'text' | 'bytes' = 'text';
  override eom() {
    Echo.received = [...this.message.headers];
    for (const { name, value, raw } of Echo.received) {
      this.message.addHeader(name, Echo.how === 'text' ? value : raw);
    }
  }
}

/** Sends headers with these raw values and gives back the raw values that the filter wrote. */
async function echoed(mta: WireConnection, values: readonly Buffer[]): Promise<Buffer[]> {
  await mta.envfrom('<a@one.test>');
  await mta.envrcpt('<b@two.test>');
  await mta.data();
  for (const value of values) await mta.header('X-Echo', value);
  await mta.eoh();
  const { actions, verdict } = await mta.eom();
  expect(verdict).toBe('continue');
  return actions.flatMap((action) => (action.type === 'addHeader' ? [action.header.raw] : []));
}

const ODD: readonly (readonly [string, string])[] = [
  ['plain', ' hello'],
  ['without a space', 'hello'],
  ['with two spaces', '  hello'],
  ['with a tab', '\thello'],
  ['empty', ''],
  ['only a space', ' '],
  ['folded', ' one\n two\n\tthree'],
  ['folded at once', '\n one'],
  ['UTF-8', ' gr\xc3\xbc\xc3\x9fe \xf0\x9f\x98\x80'],
  ['Latin-1', ' gr\xfc\xdfe'],
  ['every high byte', ` ${Array.from({ length: 128 }, (_, i) => String.fromCharCode(128 + i)).join('')}`],
  ['cut in the middle of a character', ' \xf0\x9f\x98'],
  ['overlong', ' \xc0\xaf\xe0\x80\x80'],
  ['a surrogate in UTF-8', ' \xed\xa0\x80\xed\xb2\x80'],
  ['the replacement character itself', ' \xef\xbf\xbd'],
  ['a byte order mark', '\xef\xbb\xbfhello'],
  ['control characters', ' a\x01b\x7fc\x1bd'],
  ['absurdly long', ` ${'word '.repeat(12_000)}`],
];

describe('a header comes through unchanged', () => {
  it.each(ODD)('%s', async (_, latin1) => {
    const raw = Buffer.from(latin1, 'latin1');
    await using t = await serving(Echo);
    const mta = await t.mta();
    Echo.how = 'bytes';
    const [bytes] = await echoed(mta, [raw]);
    expect(Echo.received[0]?.raw.equals(raw)).toBe(true);
    // An empty value would delete the header, so it is written as one space.
    expect(bytes?.toString('latin1')).toBe(latin1 === '' ? ' ' : latin1);
    Echo.how = 'text';
    const [text] = await echoed(mta, [raw]);
    expect(text?.toString('latin1')).toBe(latin1.startsWith(' ') ? latin1 : ` ${latin1}`);
  });

  it('whatever its bytes are', async () => {
    await using t = await serving(Echo);
    const mta = await t.mta();
    Echo.how = 'text';
    const byte = fc.integer({ min: 1, max: 255 }).filter((value) => value !== 10 && value !== 13);
    const value = fc.array(fc.oneof(byte, fc.constantFrom(0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xf0)), {
      maxLength: 40,
    });
    await fc.assert(
      fc.asyncProperty(fc.array(value, { minLength: 1, maxLength: 20 }), async (values) => {
        const raws = values.map((bytes) => Buffer.from([0x20, ...bytes]));
        const back = await echoed(mta, raws);
        expect(back.map((raw) => raw.toString('latin1'))).toEqual(raws.map((raw) => raw.toString('latin1')));
      }),
      runs(60),
    );
  });

  it('also from an MTA that strips the leading space', async () => {
    await using t = await serving(Echo);
    const mta = await t.mta({ steps: 0x1fffff & ~SMFIP.HDR_LEADSPC });
    Echo.how = 'text';
    const raws = [' hello', ' folded\n line', ' gr\xfc\xdfe'].map((text) => Buffer.from(text, 'latin1'));
    // The MTA took the space away and puts it back: the filter writes none.
    expect((await echoed(mta, raws)).map((raw) => raw.toString('latin1'))).toEqual(
      raws.map((raw) => raw.toString('latin1')),
    );
    expect(Echo.received.map(({ value }) => value)).toEqual(['hello', 'folded\n line', 'gr\udcfc\udcdfe']);
  });

  it('in thousands, in wire order', async () => {
    await using t = await serving(Echo);
    const mta = await t.mta();
    Echo.how = 'text';
    const raws = Array.from({ length: 3000 }, (_, i) => Buffer.from(` ${i}`));
    expect((await echoed(mta, raws)).map(String)).toEqual(raws.map(String));
  });

  const folder = join(import.meta.dirname, '../../../shared/cases/mime');
  let cases: string[] = [];
  try {
    cases = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.eml'),
    );
  } catch {
    console.warn('skipped: headers of real messages: the shared cases are not there');
  }
  it.skipIf(cases.length === 0)('in real and hostile messages', async () => {
    await using t = await serving(Echo);
    const mta = await t.mta();
    Echo.how = 'bytes';
    for (const name of cases.slice(0, 150)) {
      const result = await mta.sendMessage(readFileSync(join(folder, name)), ENVELOPE);
      const written = result.message.headers.slice(result.message.headers.length / 2);
      const sent = result.message.headers.slice(0, result.message.headers.length / 2);
      if (result.verdict !== 'continue') throw new Error(`${name}: ${JSON.stringify(result)}`);
      expect(
        written.map(({ name, raw }) => [name, raw.toString('latin1')]),
        name,
      ).toEqual(sent.map(({ name, raw }) => [name, raw.length === 0 ? ' ' : raw.toString('latin1')]));
    }
  });
});

describe('message.headers', () => {
  it('finds by name in any letter case', async () => {
    const seen: unknown[] = [];
    class Finding extends Milter {
      override eom() {
        const { headers } = this.message;
        seen.push(
          headers.length,
          headers.get('SUBJECT')?.value,
          headers.getAll('x-old').map(({ value }) => value),
        );
        seen.push(
          headers.get('none'),
          headers.getAll('none'),
          [...headers].map(({ name }) => name),
        );
        seen.push(JSON.stringify(headers.get('Subject')));
      }
    }
    await using t = await serving(Finding);
    await (await t.mta()).sendMessage('Subject: hi\r\nx-OLD: 1\r\nX-Old: 2\r\n\r\n', ENVELOPE);
    expect(seen).toEqual([
      3,
      'hi',
      ['1', '2'],
      undefined,
      [],
      ['Subject', 'x-OLD', 'X-Old'],
      '{"name":"Subject","value":"hi"}',
    ]);
  });
});

describe('text of every stage', () => {
  it('is lossless, in and out', async () => {
    const seen: string[] = [];
    class Odd extends Milter {
      override connect({ hostname }: { hostname: string }) {
        seen.push(hostname);
      }
      override helo(name: string) {
        seen.push(name);
      }
      override unknown(command: string) {
        seen.push(command);
      }
      override envfrom(sender: string, parameters: readonly string[]) {
        seen.push(sender, ...parameters);
        this.message.changeFrom(sender, parameters);
      }
      override envrcpt(recipient: string) {
        seen.push(recipient);
        this.message.addRcpt(recipient.replace('bob', 'cid'));
        this.message.quarantine(recipient);
      }
      override eom() {
        seen.push(this.session.macro('i') ?? '');
      }
    }
    await using t = await serving(Odd);
    const mta = await t.mta();
    const odd = 'grüße\udcff\udc80\u{1f600}';
    await mta.connect(odd);
    await mta.helo(odd);
    await mta.unknown(odd);
    await mta.envfrom(`<${odd}>`, [`X=${odd}`], { i: odd });
    await mta.envrcpt(`<bob${odd}>`);
    await mta.data();
    await mta.eoh();
    expect((await mta.eom()).actions).toEqual([
      { type: 'changeFrom', address: `<${odd}>`, parameters: [`X=${odd}`] },
      { type: 'addRcpt', address: `<cid${odd}>`, parameters: [] },
      { type: 'quarantine', reason: `<bob${odd}>` },
    ]);
    await until('all', () => seen.length === 7);
    expect(seen).toEqual([odd, odd, odd, `<${odd}>`, `X=${odd}`, `<bob${odd}>`, odd]);
  });
});
