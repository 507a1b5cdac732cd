/**
 * What `milter run` does where the system gives it no more: connections, descriptors, threads. Nobody's mail passes
 * unseen, whoever is served goes on, and all is well when there is room again.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { chownSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectMta, type MessageResult, type WireConnection } from '../../lib/testing/index.ts';
import { RunningMilter } from '../helpers/cli.ts';
import { configured } from '../helpers/configured.ts';
import { probeDirectory } from '../helpers/filter.ts';
import { asAnother, isMissing } from '../helpers/requirements.ts';
import { CLIENT, ENVELOPE, MESSAGE } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

const PROBE = `[[module]]\nuse = "${probeDirectory}/faulty.ts"\n`;

/** What an MTA is told at MAIL, over a connection that stays open; `gone` where it is hung up on, or never answered. */
async function arrive(address: string, mtas: WireConnection[]): Promise<string> {
  try {
    const mta = await connectMta(address, { timeout: 3_000 });
    mtas.push(mta);
    const { verdict } = await mta.connect('client.test', CLIENT);
    if (verdict !== 'continue' && verdict !== 'none') return verdict;
    return (await mta.envfrom('<ann@one.test>')).verdict;
  } catch {
    return 'gone';
  }
}

/** What becomes of a message; undefined where nobody answers: libmilter's listener sleeps for seconds when it gets no thread. */
async function played(address: string): Promise<MessageResult | undefined> {
  try {
    await using mta = await connectMta(address, { timeout: 3_000 });
    await mta.connect('client.test', CLIENT);
    return await mta.sendMessage(MESSAGE, { ...ENVELOPE });
  } catch {
    return undefined;
  }
}

const takes = async (address: string): Promise<boolean> => (await played(address))?.verdict === 'continue';

async function leave(mtas: WireConnection[]): Promise<void> {
  await Promise.all(mtas.splice(0).map((mta) => mta.close().catch(() => undefined)));
}

/** Sets a limit of a running process; only its own user may, and no more than it had at the start. */
function limit(
  { child: { pid } }: RunningMilter,
  what: 'nofile' | 'nproc',
  most: number | 'hard',
  as: readonly string[] = [],
): void {
  const prlimit = (...args: readonly string[]): string => {
    const [program = '', ...rest] = [...as, 'prlimit', '--pid', String(pid), ...args];
    return execFileSync(program, rest, { encoding: 'utf8' });
  };
  const value = most === 'hard' ? prlimit(`--${what}`, '--output=HARD', '--noheadings').trim() : most;
  prlimit(`--${what}=${value}:`);
}

/** In /proc: what it has. */
const count = ({ child: { pid } }: RunningMilter, what: 'fd' | 'task'): number =>
  readdirSync(`/proc/${pid}/${what}`).length;

describe.each(['libmilter', 'js'])('engine %s', (engine) => {
  it('serves as many as it may when ten times as many come, and has the others come again', async () => {
    await using running = new RunningMilter([
      configured(PROBE, `engine = "${engine}"\nmax_connections = 20`),
    ]);
    const address = await running.address();
    const mtas: WireConnection[] = [];
    const told = await Promise.all(Array.from({ length: 200 }, () => arrive(address, mtas)));
    expect(told.filter((verdict) => verdict === 'continue')).toHaveLength(20);
    expect(told.filter((verdict) => verdict === 'tempfail')).toHaveLength(180);
    await until('the log', () => running.err.includes('all 20 connections (maxConnections) are taken'));
    await leave(mtas);
    await until('room', () => takes(address));
    await until('the log', () => running.err.includes('there is room for connections again'));
  });

  it.skipIf(isMissing(['a limit of threads'], 'a limit of descriptors'))(
    'says at the start that it will not have enough descriptors',
    () => {
      const script = `
        import { Milter, serve } from '${new URL('../../lib/index.ts', import.meta.url).href}';
        const logger = { debug() {}, info() {}, error() {}, warn: (_, message) => console.log(message) };
        for (const maxConnections of [200, 300]) {
          const options = { socket: 'inet:0@127.0.0.1', engine: '${engine}', logger, maxConnections };
          const server = await serve(class extends Milter { eom() {} }, options);
          await server.close();
        }`;
      const node = [process.execPath, '--input-type=module', '--eval', script];
      const { stdout } = spawnSync('prlimit', ['--nofile=300:300', ...node], { encoding: 'utf8' });
      expect(stdout).toBe(
        '300 descriptors (ulimit -n) are too few for 300 connections: those beyond are dropped\n',
      );
    },
  );

  it.skipIf(isMissing(['a limit of threads'], 'a limit of descriptors'))(
    'goes on when it has no more descriptors, and drops who comes meanwhile',
    async () => {
      await using running = new RunningMilter([configured(PROBE, `engine = "${engine}"`)]);
      const address = await running.address();
      expect(await takes(address)).toBe(true);
      limit(running, 'nofile', count(running, 'fd') + 10);
      const mtas: WireConnection[] = [];
      const told = await Promise.all(Array.from({ length: 40 }, () => arrive(address, mtas)));
      expect(new Set(told)).toEqual(new Set(['continue', 'gone']));
      await until('the log', () =>
        running.err.includes('no descriptor is left (ulimit -n): connections are'),
      );
      await leave(mtas);
      await until('room', () => takes(address));
      await until('the log', () => running.err.includes('there are descriptors again'));
      expect(running.err.match(/no descriptor is left/g)).toHaveLength(1);
      running.child.kill('SIGTERM');
      expect(await running.status()).toBe(0);
    },
  );

  it.skipIf(isMissing(['a limit of threads'], 'a limit of threads'))(
    'goes on when it has no more threads, and fails what needs one',
    async () => {
      const file = configured(
        `${PROBE}[[module]]\nuse = "greylist"\nspare = []\non_error = "tempfail"\n`,
        `engine = "${engine}"`,
      );
      const number = engine === 'js' ? 101 : 100;
      const uid = 54_000 + number;
      chownSync(dirname(file), uid, uid);
      await using running = new RunningMilter([file], {
        uid,
        gid: uid,
        env: { ...process.env, HOME: dirname(file) },
      });
      const address = await running.address();
      const mtas: WireConnection[] = [];
      expect(await arrive(address, mtas)).toBe('continue');
      const [first] = mtas;
      limit(running, 'nproc', 1, asAnother(number));
      // SQLite has a thread of its own, which starts with the first question.
      const { verdict, reply } = (await first?.envrcpt('<bob@two.test>')) ?? {};
      expect({ verdict, code: reply?.code }).toEqual({ verdict: 'tempfail', code: 451 });
      expect(running.err).toContain('module greylist failed: the thread of the store ended: EAGAIN');
      const told = new Set(await Promise.all(Array.from({ length: 20 }, () => arrive(address, mtas))));
      // Engine js needs none for connections; libmilter drops those for which it has none.
      if (engine === 'js') expect(told).toEqual(new Set(['continue']));
      else for (const one of told) expect(['continue', 'gone']).toContain(one);
      await leave(mtas);
      limit(running, 'nproc', 'hard', asAnother(number));
      await until(
        'room',
        async () => (await played(address))?.recipients[0]?.reply?.enhanced === '4.7.1',
        60_000,
      );
      running.child.kill('SIGTERM');
      expect(await running.status()).toBe(0);
    },
    90_000,
  );
});
