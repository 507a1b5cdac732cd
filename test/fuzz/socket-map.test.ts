/** Questions to a socket map, and what asks none: netstrings come out as they went in, faults end the conversation. */
import { createConnection } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { expect, it } from 'vitest';
import { serveSocketMap } from '../../lib/srs/index.ts';
import { MAX_NETSTRING, NetstringFault, NetstringReader, netstring } from '../../lib/srs/netstring.ts';
import { fc, runs } from '../helpers/fuzz.ts';

const body = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));

function inPieces(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
    bytes.subarray(i * size, (i + 1) * size),
  );
}

it('netstrings are read as they were written, in whatever pieces they come', () => {
  fc.assert(
    fc.property(fc.array(body, { maxLength: 6 }), fc.integer({ min: 1, max: 30 }), (bodies, size) => {
      const reader = new NetstringReader();
      const pieces = inPieces(Buffer.concat(bodies.map(netstring)), size);
      expect(pieces.flatMap((piece) => [...reader.push(piece)])).toEqual(bodies);
      expect(reader.isInside).toBe(false);
    }),
    runs(500),
  );
});

/** What is nearly netstrings. */
const nearly = fc
  .array(
    fc.oneof(
      body.map(netstring),
      body,
      fc
        .constantFrom(
          '0:,',
          '00:,',
          '5:hello',
          ',',
          ':',
          '-1:',
          '99999999999999:',
          `${MAX_NETSTRING + 1}:`,
          '3:a b,',
          '1 :a,',
        )
        .map((text) => Buffer.from(text)),
    ),
    { maxLength: 6 },
  )
  .map((parts) => Buffer.concat(parts));

it('what is none is a fault at the same place in whatever pieces it comes', () => {
  const read = (pieces: readonly Buffer[]): readonly (Buffer | 'fault')[] => {
    const reader = new NetstringReader();
    const found: (Buffer | 'fault')[] = [];
    try {
      for (const piece of pieces) for (const one of reader.push(piece)) found.push(one);
    } catch (error) {
      if (!(error instanceof NetstringFault)) throw error;
      found.push('fault');
    }
    return found;
  };
  fc.assert(
    fc.property(nearly, fc.integer({ min: 1, max: 20 }), (bytes, size) => {
      const whole = read([bytes]);
      expect(read(inPieces(bytes, size))).toEqual(whole);
      for (const one of whole) expect(one.length).toBeLessThanOrEqual(MAX_NETSTRING);
    }),
    runs(1_000),
  );
});

it('every question is answered in turn, and the server goes on', async () => {
  await using server = await serveSocketMap({
    listen: { host: '127.0.0.1', port: 0 },
    answer: (map, key) => (map === 'm' ? { status: 'OK', value: key } : { status: 'NOTFOUND' }),
  });
  const port = Number(/:?(\d+)@/.exec(server.address)?.[1]);
  const say = async (bytes: Buffer): Promise<Buffer> => {
    const socket = createConnection(port, '127.0.0.1').on('error', () => {});
    socket.end(bytes);
    return await buffer(socket).catch(() => Buffer.alloc(0));
  };
  await fc.assert(
    fc.asyncProperty(nearly, async (bytes) => {
      const reader = new NetstringReader();
      for (const answer of reader.push(await say(bytes)))
        expect(answer.toString('latin1')).toMatch(/^(?:OK|NOTFOUND|TEMP|TIMEOUT|PERM) /);
      expect(reader.isInside).toBe(false);
    }),
    runs(200),
  );
  expect((await say(netstring(Buffer.from('m key')))).toString()).toBe('6:OK key,');
});
