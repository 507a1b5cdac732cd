/** The engine in TypeScript does what libmilter and the addon do. FUZZ_RUNS=20 has ten thousand conversations. */
import { expect, it } from 'vitest';
import { Milter, type MilterClass, serve } from '../../lib/index.ts';
import { silentLogger } from '../../lib/logger.ts';
import { type Conversation, conversations } from '../helpers/conversation.ts';
import { converse, type Heard } from '../helpers/converse.ts';
import { temporaryDirectory } from '../helpers/directory.ts';
import { fc, runs } from '../helpers/fuzz.ts';
import { classOf, wishes } from '../helpers/obedient.ts';
import { isIdle } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** A server whose next connection is served by the class that was chosen last. */
async function choosing(engine: 'libmilter' | 'js', folder: { readonly path: string }) {
  let current: MilterClass | undefined;
  const server = await serve(() => new (current ?? Milter)(), {
    socket: `unix:${folder.path}/${engine}`,
    engine,
    logger: silentLogger,
    maxBody: 100_000,
  });
  return {
    server,
    async have(talk: Conversation, make: (told: string[]) => MilterClass): Promise<Heard> {
      const told: string[] = [];
      current = make(told);
      const heard = await converse(server.address.slice('unix:'.length), talk, told, engine === 'libmilter');
      // Most have ended at once.
      if (!isIdle(server)) await new Promise((resolve) => setImmediate(resolve));
      await until('the end of the session', () => isIdle(server));
      return heard;
    },
  };
}

it('both engines answer random conversations alike, and tell filters the same', {
  timeout: 3_600_000,
}, async () => {
  await using folder = await temporaryDirectory();
  const [libmilter, js] = [await choosing('libmilter', folder), await choosing('js', folder)];
  try {
    await fc.assert(
      fc.asyncProperty(conversations, wishes, async (talk, wish) => {
        const expected = await libmilter.have(talk, (told) => classOf(wish, told));
        const found = await js.have(talk, (told) => classOf(wish, told));
        expect(found).toEqual(expected);
      }),
      runs(500),
    );
    const { sessions, tickets, failures, deadlines } = libmilter.server.stats();
    expect(js.server.stats()).toMatchObject({ sessions, tickets, failures, deadlines });
  } finally {
    await libmilter.server.close();
    await js.server.close();
  }
});
