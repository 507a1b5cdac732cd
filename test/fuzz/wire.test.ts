/**
 * What an MTA sends, thrown at both engines: whole conversations of which something is wrong, frames of any kind, bytes that
 * are no frames. Each connection comes to its end, and each session, message and ticket; neither a descriptor nor a thread
 * stays; and then a message is handled as ever. FUZZ_RUNS=100 sends a million frames to each.
 */
import { readdirSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { type EngineName, Milter, type MilterClass, type Server, serve } from '../../lib/index.ts';
import { silentLogger } from '../../lib/logger.ts';
import { encodeFrame, STAGES } from '../../lib/protocol/frames.ts';
import { encodeNegotiation } from '../../lib/protocol/wire.ts';
import { connectMta } from '../../lib/testing/index.ts';
import { type Conversation, conversations } from '../helpers/conversation.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { fc, runs } from '../helpers/fuzz.ts';
import { classOf, wishes } from '../helpers/obedient.ts';
import { ENVELOPE, MESSAGE } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** A conversation as an MTA sends it that waits for nothing. */
function framesOf(talk: Conversation): readonly Buffer[] {
  const commands = { macros: 'D', abort: 'A', quit: 'Q' };
  return [
    encodeNegotiation(talk),
    ...talk.sent.map(({ command, payload }) => {
      if (command === 'malformed') return encodeFrame(payload.toString('latin1', 0, 1), payload.subarray(1));
      return encodeFrame(
        command in STAGES ? STAGES[command as 'eom'].command : commands[command as 'quit'],
        payload,
      );
    }),
  ];
}

const anyBytes = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
const anyFrame = fc
  .tuple(fc.constantFrom(...'ABCDEHKLMNOQRTU?\0'), anyBytes, fc.constantFrom('', '\0', '\0x\0'))
  .map(([command, payload, end]) => encodeFrame(command, payload, Buffer.from(end)));

/** Something that becomes of one frame. */
const damage: fc.Arbitrary<(frame: Buffer) => readonly Buffer[]> = fc.oneof(
  fc.constantFrom<((frame: Buffer) => readonly Buffer[])[]>(
    () => [],
    (frame) => [frame, frame],
    // Its last byte is missing, the length says so or does not.
    (frame) => [frame.subarray(0, -1)],
    (frame) => [encodeFrame(frame.toString('latin1', 4, 5), frame.subarray(5, -1))],
  ),
  fc.tuple(fc.nat(), fc.nat(255)).map(([at, byte]) => (frame: Buffer) => {
    const changed = Buffer.from(frame);
    if (changed.length > 0) changed[at % changed.length] = byte;
    return [changed];
  }),
  fc.constantFrom(0, 1, 2, 0xffff, 0x10000, 0x7fffffff, 0xffffffff).map((length) => (frame: Buffer) => {
    const changed = Buffer.from(frame);
    if (changed.length >= 4) changed.writeUInt32BE(length);
    return [changed];
  }),
  fc.oneof(anyFrame, anyBytes).map((more) => (frame: Buffer) => [more, frame]),
);

/** What is sent on one connection, in how large pieces, and whether the MTA waits for the answers at the end. */
interface Thrown {
  readonly frames: readonly Buffer[];
  readonly pieces: number;
  readonly isPatient: boolean;
}

const thrown: fc.Arbitrary<Thrown> = fc.record({
  frames: fc.oneof(
    {
      weight: 8,
      arbitrary: fc
        .tuple(conversations, fc.array(fc.tuple(fc.nat(), damage), { maxLength: 3 }))
        .map(([talk, damages]) => {
          const frames = framesOf(talk).map((frame): readonly Buffer[] => [frame]);
          for (const [at, change] of damages) {
            const place = at % frames.length;
            frames[place] = (frames[place] ?? []).flatMap(change);
          }
          return frames.flat();
        }),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(conversations, fc.array(anyFrame, { maxLength: 30 }))
        .map(([talk, frames]) => [encodeNegotiation(talk), ...frames]),
    },
    { weight: 1, arbitrary: fc.array(anyBytes, { maxLength: 3 }) },
  ),
  pieces: fc.constantFrom(3, 50, 100_000),
  isPatient: fc.boolean(),
});

/** Sends it, and resolves when the connection is over; fails when nothing ends it. */
async function throwAt(path: string, { frames, pieces, isPatient }: Thrown): Promise<void> {
  const socket = connect(path).on('error', () => {});
  const { promise: closed, resolve, reject } = Promise.withResolvers<void>();
  const late = setTimeout(() => reject(new Error('a connection that nothing ends')), 60_000);
  socket.on('close', () => resolve());
  socket.resume();
  const bytes = Buffer.concat(frames);
  // The filter may hang up first.
  for (let at = 0; at < bytes.length && socket.writable; at += pieces) {
    const isSent = socket.write(bytes.subarray(at, at + pieces));
    if (!isSent) await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), closed]);
  }
  if (isPatient) socket.end();
  else socket.destroySoon();
  await closed;
  clearTimeout(late);
}

/** What this process has open. */
function held(): { readonly descriptors: number; readonly threads: number } {
  const count = (what: string): number => readdirSync(`/proc/self/${what}`).length;
  return { descriptors: count('fd'), threads: count('task') };
}

function isIdle(server: Server): boolean {
  const { sessions, messages, tickets } = server.stats();
  return [sessions, messages, tickets].every(({ created, freed }) => created === freed);
}

class Marking extends Milter {
  override eom() {
    this.message.addHeader('X-Marked', 'yes');
  }
}

async function handlesOne(address: string): Promise<void> {
  const mta = await connectMta(address, { timeout: 10_000 });
  expect((await mta.sendMessage(MESSAGE, ENVELOPE)).message.headers.at(-1)?.name).toBe('X-Marked');
  await mta.close();
}

/** Serves for as long as `attack` takes. Resolves to what tells how much is open since that was not before. */
async function serveWhile(
  engine: EngineName,
  attack: (path: string, setClass: (made: MilterClass) => void, idle: () => Promise<void>) => Promise<void>,
): Promise<() => ReturnType<typeof held>> {
  await using folder = await temporaryDirectory();
  const before = held();
  let current: MilterClass = Marking;
  const path = `${folder.path}/${engine}`;
  const server = await serve(() => new current(), {
    socket: `unix:${path}`,
    engine,
    logger: silentLogger,
    maxBody: 100_000,
  });
  try {
    // libmilter's pool opens its pipe with the first connection, or just before.
    await handlesOne(server.address);
    const { descriptors } = held();
    const idle = async (): Promise<void> => {
      // Most have ended at once.
      if (!isIdle(server)) await new Promise((resolve) => setImmediate(resolve));
      await until('all sessions, messages and tickets to end', () => isIdle(server));
    };
    await attack(
      path,
      (made) => {
        current = made;
      },
      idle,
    );
    await until('all descriptors of connections to be closed', () => held().descriptors <= descriptors);
    current = Marking;
    await handlesOne(server.address);
  } finally {
    await server.close();
  }
  const { sessions, messages, tickets } = server.stats();
  for (const { created, freed } of [sessions, messages, tickets]) expect(freed).toBe(created);
  return () => {
    const { descriptors, threads } = held();
    return { descriptors: descriptors - before.descriptors, threads: threads - before.threads };
  };
}

/** Workers that libmilter's pool keeps for later, and the descriptors of as many. */
const SPARE = 4;

it.each(['libmilter', 'js'] as const)(
  '%s bears what is thrown at it',
  { timeout: 3_600_000 },
  async (engine) => {
    // Node's own threads begin with this.
    await stat('/');
    // The first server loads what stays; what a later one leaves (libmilter's signal thread and pipe) every one does.
    await serveWhile(engine, async () => {});
    const usual = (await serveWhile(engine, async () => {}))();
    let frames = 0;
    const told: string[] = [];
    const left = await serveWhile(engine, async (path, setClass, idle) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(thrown, { minLength: 4, maxLength: 4 }),
          wishes,
          async (connections, wish) => {
            setClass(classOf(wish, told));
            await Promise.all(connections.map((connection) => throwAt(path, connection)));
            await idle();
            for (const connection of connections) frames += connection.frames.length;
            told.length = 0;
          },
        ),
        runs(180),
      );
    });
    console.log(`${engine}: ${frames} frames`);
    // Of what hundreds of connections had; libmilter's pool may keep a worker or two more than it did before.
    await until(`no more to be open than any server leaves: ${JSON.stringify(usual)}`, () => {
      const { descriptors, threads } = left();
      return descriptors <= usual.descriptors + SPARE && threads <= usual.threads + SPARE;
    });
  },
);
