import { expect, it } from 'vitest';
import { libmilterInfo } from '../../lib/index.ts';
import { asAnother, describeWith } from '../helpers/requirements.ts';
import { type Death, live } from './child.ts';

/**
 * Runs a script in which `limited(room)` lets the process have as many threads as it has, and `room` more. The limit
 * is one of the user, so each has its own.
 */
function liveLimited(user: number, script: string, mtas = 0): Promise<Death> {
  return live({
    command: asAnother(user),
    mtas,
    script: `
      import { spawnSync } from 'node:child_process';
      import { readdirSync } from 'node:fs';
      import { stat } from 'node:fs/promises';
      import { libmilterInfo } from '${new URL('../../lib/index.ts', import.meta.url).href}';
      libmilterInfo();
      // What Node starts by and by.
      await Promise.all(Array.from({ length: 16 }, () => stat('/')));
      const limited = (room) => {
        const most = readdirSync('/proc/self/task').length + room;
        const { status } = spawnSync('prlimit', ['--pid', String(process.pid), '--nproc=' + most + ':']);
        if (status !== 0) throw new Error('no limit could be set');
      };
      ${script}`,
  });
}

/** More than anything needs. */
const ENOUGH = 14;

describeWith(['a limit of threads'], 'where the system refuses threads', () => {
  it.concurrent.each(Array.from({ length: ENOUGH + 1 }, (_, room) => room))(
    'with room for %i a server starts, serves and ends, or says why not',
    async (room) => {
      const death = await liveLimited(
        room,
        `
        limited(${room});
        const server = await serve(Quick, { socket }).catch((error) => void say(error.code));
        if (server !== undefined) {
          say(await mail(server));
          await server.close();
        }`,
      );
      expect(death).toMatchObject({ code: 0, signal: null, stderr: '' });
      if (room < 4) expect(death.said).toEqual(['ERR_MILTER_RESOURCE']);
      else if (room === ENOUGH) expect(death.said).toEqual(['reject']);
      else expect(['ERR_MILTER_RESOURCE', 'reject']).toContain(death.said.join());
    },
  );

  it('a server that cannot have another thread ends', async () => {
    const death = await liveLimited(
      20,
      `
      const server = await serve(Quick, { socket });
      say(await mail(server));
      limited(-3);
      await server.close();
      say('closed');`,
    );
    expect(death).toMatchObject({ code: 0, signal: null, said: ['reject', 'closed'], stderr: '' });
  });

  it.skipIf(!libmilterInfo().workerPool)(
    'connections that a pool cannot serve do not hold up the end',
    async () => {
      const mtas = 4;
      const death = await liveLimited(
        21,
        `
      let reached;
      const first = new Promise((resolve) => { reached = resolve; });
      class Holds extends Milter {
        envfrom() {
          reached();
          return new Promise(() => {});
        }
      }
      const server = await serve(Holds, { socket });
      limited(-3);
      listening(server);
      await first;
      await server.close({ deadline: 20 });
      say('closed');`,
        mtas,
      );
      expect(death).toMatchObject({ code: 0, signal: null, said: ['closed'] });
      // Whoever was being served is named; nothing else goes wrong.
      expect(
        death.stderr.split('\n').filter((line) => !line.includes('cut off by the end of the grace time')),
      ).toEqual(['']);
      for (const verdict of death.verdicts) expect(['tempfail', 'gone']).toContain(verdict);
    },
  );
});
