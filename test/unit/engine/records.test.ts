import { describe, expect, it } from 'vitest';
import type { Ticket } from '../../../lib/engine/engine.ts';
import { readBatch } from '../../../lib/engine/libmilter/records.ts';
import { stageIndex } from '../../../lib/protocol/stages.ts';

// The layout is written down in lib/engine/libmilter/addon.ts.
const u8 = (...values: readonly number[]): Buffer => Buffer.from(values);
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
const text = (value: string): Buffer =>
  Buffer.concat([u32(Buffer.byteLength(value, 'latin1')), Buffer.from(value, 'latin1')]);
const NO_MACROS = u8(0);

function ticket(id: number, session: number, apart: boolean, ...records: readonly Buffer[]): Buffer {
  const body = Buffer.concat(records);
  return Buffer.concat([
    u32(body.length),
    u32(id),
    u32(session),
    u32(1),
    u8(stageIndex.eom, apart ? 1 : 0, 0, 0),
    body,
  ]);
}

function read(batch: Buffer, bodies?: readonly Buffer[]): Ticket[] {
  const tickets: Ticket[] = [];
  readBatch(batch, bodies, (each) => tickets.push(each));
  return tickets;
}

describe('a batch', () => {
  it('of nothing has no tickets', () => {
    expect(read(Buffer.alloc(0))).toEqual([]);
  });

  it('gives each ticket its own records, and the large body that is its', () => {
    const apart = (length: number) => [u8(stageIndex.body), NO_MACROS, u8(1, 1), u32(0), u32(length)];
    const batch = Buffer.concat([
      ticket(1, 10, true, ...apart(3)),
      ticket(2, 11, false, u8(stageIndex.helo), NO_MACROS, text('h.test')),
      ticket(3, 12, true, ...apart(4)),
      ticket(0, 13, false),
    ]);
    const [one, two, three, four] = read(batch, [Buffer.from('abc'), Buffer.from('defg')]);
    for (const [big, expected] of [
      [one, 'abc'],
      [three, 'defg'],
    ] as const) {
      expect(big?.records.stage()).toBe(stageIndex.body);
      big?.records.macros();
      expect(big?.records.body()).toEqual({ complete: true, chunks: [Buffer.from(expected)] });
      expect(big?.records.done).toBe(true);
    }
    expect([two?.id, two?.session, two?.plan, two?.stage]).toEqual([2, 11, 1, stageIndex.eom]);
    expect(two?.records.stage()).toBe(stageIndex.helo);
    two?.records.macros();
    expect(two?.records.text()).toBe('h.test');
    expect(four?.records.done).toBe(true);
  });

  it('has the news of macros that came with a record', () => {
    const packed = Buffer.concat([u8(0), text('Q1'), u8(1), u32(0xffff_ffff)]);
    const [only] = read(
      ticket(
        1,
        1,
        false,
        u8(stageIndex.data),
        u8(2),
        u32(packed.length),
        packed,
        u8(stageIndex.eoh),
        NO_MACROS,
      ),
    );
    const values = new Map([['{gone}', 'soon']]);
    only?.records.stage();
    only?.records.macros()?.read(['i', '{gone}'], values);
    expect([...values]).toEqual([['i', 'Q1']]);
    expect(only?.records.stage()).toBe(stageIndex.eoh);
    expect(only?.records.macros()).toBe(undefined);
    expect(only?.records.done).toBe(true);
  });

  it.each([
    ['4', '192.0.2.1', { family: 'inet', address: '192.0.2.1' }],
    ['6', '::1', { family: 'inet6', address: '::1' }],
    ['L', '/run/c', { family: 'unix', address: '/run/c' }],
    ['U', '', { family: 'unknown', address: undefined }],
    ['?', 'odd', { family: 'unknown', address: undefined }],
  ])('reads a client of family %s', (family, address, expected) => {
    const [only] = read(
      ticket(1, 1, false, text('h\xff'), Buffer.from(family), u8(0x39, 0x30), text(address)),
    );
    expect(only?.records.client()).toEqual({ hostname: 'h\udcff', port: 12_345, ...expected });
  });

  it('reads an envelope, headers and chunks', () => {
    const [only] = read(
      ticket(
        1,
        1,
        false,
        ...[u32(3), text('<a>'), text('SIZE=1'), text('BODY=8BITMIME')],
        ...[u32(0)],
        ...[u32(1), text(`${text('Subject').toString('latin1')}${text(' x').toString('latin1')}`)],
        ...[u8(0, 0), u32(2), u32(1), u32(2), text('abc')],
      ),
    );
    expect(only?.records.envelope()).toEqual({ address: '<a>', parameters: ['SIZE=1', 'BODY=8BITMIME'] });
    // A MAIL without any argument, which libmilter lets pass.
    expect(only?.records.envelope()).toEqual({ address: '<>', parameters: [] });
    const headers: [string, string][] = [];
    only?.records.headers().read((name, value) => headers.push([name, value.toString()]));
    expect(headers).toEqual([['Subject', ' x']]);
    expect(only?.records.body()).toEqual({ complete: false, chunks: [Buffer.from('a'), Buffer.from('bc')] });
    expect(only?.records.done).toBe(true);
  });
});
