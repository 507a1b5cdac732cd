import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { libmilterInfo } from '../../lib/index.ts';
import { CLOSE_LISTENER } from '../helpers/close-listener.ts';
import { type Death, type Life, live } from './child.ts';

/** Handlers that wait in several connections at once, on workers of libmilter's pool and on new ones. */
const MTAS = 8;

/** A life, and what must come of it. Standard error stays empty unless `stderr` says otherwise. */
interface Row extends Life {
  readonly name: string;
  /** Where the library at hand cannot do that, or only after minutes. */
  readonly skip?: boolean;
  readonly ends: Partial<Omit<Death, 'stderr'>>;
  readonly stderr?: RegExp;
}

const exits = (code: number): Partial<Death> => ({ code, signal: null });
const dies = (signal: NodeJS.Signals): Partial<Death> => ({ code: null, signal });
/** What `serve` logs of each message that the end of the grace time cuts off. */
const CUT_OFF: RegExp = new RegExp(`^(?:milter: warn: message cut off [^\\n]*\\n){${MTAS}}$`);
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

const rows: readonly Row[] = [
  { name: 'a process that only imports the library', script: ``, ends: exits(0) },
  {
    name: 'a server that is unreferenced',
    script: `listening(await serve(Quick, { socket })).unref();`,
    ends: exits(0),
  },
  {
    name: 'a server that is unreferenced, with MTAs connected',
    script: `
      const server = listening(await serve(Waits, { socket }));
      onWaiting = () => server.unref();`,
    mtas: MTAS,
    ends: exits(0),
  },
  {
    name: 'a server that is closed',
    script: `
      const server = await serve(Quick, { socket });
      say(await mail(server));
      await server.close();
      await server.close();
      say('closed');`,
    ends: { ...exits(0), said: ['reject', 'closed'] },
  },
  {
    name: 'a server that is closed while handlers wait',
    script: `
      const server = listening(await serve(Waits, { socket }));
      onWaiting = async () => {
        await server.close({ deadline: 20 });
        const { sessions, messages, tickets } = server.stats();
        for (const { created, freed } of [sessions, messages, tickets]) if (created !== freed) say('left');
        say('closed');
      };`,
    mtas: MTAS,
    ends: { ...exits(0), said: ['closed'], verdicts: Array(MTAS).fill('tempfail') },
    stderr: CUT_OFF,
  },
  {
    name: 'process.exit() while handlers wait',
    script: `
      listening(await serve(Waits, { socket }));
      onWaiting = () => process.exit(7);`,
    mtas: MTAS,
    ends: exits(7),
  },
  {
    name: 'process.exit() in a handler',
    script: `
      class Exits extends Milter { envfrom() { process.exit(8); } }
      listening(await serve(Exits, { socket }));`,
    mtas: MTAS,
    ends: exits(8),
  },
  {
    name: 'process.exit() under load',
    script: `
      const server = listening(await serve(Slow, { socket }));
      let mails = 0;
      const load = async () => { for (;;) { await mail(server); if (++mails === 100) process.exit(9); } };
      for (let i = 0; i < 8; i++) void load();`,
    mtas: MTAS,
    ends: exits(9),
  },
  {
    name: 'an exception that nobody catches while handlers wait',
    script: `
      listening(await serve(Waits, { socket }));
      onWaiting = () => { throw new Error('meant to be'); };`,
    mtas: MTAS,
    ends: exits(1),
    stderr: /Error: meant to be/,
  },
  ...signals.map((signal) => ({
    name: `${signal} by default while handlers wait`,
    script: `listening(await serve(Waits, { socket }));`,
    mtas: MTAS,
    signal,
    ends: dies(signal),
  })),
  ...signals.map((signal) => ({
    name: `${signal} with a handler that closes the server`,
    script: `
      const server = listening(await serve(Waits, { socket }));
      process.once('${signal}', async () => {
        await server.close({ deadline: 20 });
        say('closed');
      });`,
    mtas: MTAS,
    signal,
    ends: { ...exits(0), said: ['closed'], verdicts: Array(MTAS).fill('tempfail') },
    stderr: CUT_OFF,
  })),
  {
    name: 'a server whose libmilter gives up listening',
    // With select() it tries sixteen times, a second longer each time.
    skip: libmilterInfo().usesSelect,
    script: `
      ${CLOSE_LISTENER}
      const server = await serve(Quick, { socket: 'inet:0@127.0.0.1' });
      closeListener();
      const { code, message } = await server.closed;
      say(code + ' ' + message);
      await server.close();`,
    ends: {
      ...exits(0),
      said: ['ERR_MILTER_SOCKET libmilter gave up listening at inet:0@127.0.0.1 (the mail log says why)'],
    },
    stderr: /^milter: error: libmilter gave up listening at inet:0@127\.0\.0\.1 .*; closing/,
  },
  {
    name: 'a server that tells of its end',
    script: `
      const server = await serve(Quick, { socket });
      void server.closed.then((reason) => say('ended ' + reason));
      await server.close();`,
    ends: { ...exits(0), said: ['ended undefined'] },
  },
  {
    name: 'two servers at once',
    script: `
      const [one, two] = await Promise.all([serve(Quick, { socket }), serve(Slow, { socket })]);
      say(String(one.address !== two.address));
      say((await Promise.all([mail(one), mail(two)])).join());
      await one.close();
      say(await mail(two));
      await two.close();`,
    ends: { ...exits(0), said: ['true', 'reject,reject', 'reject'] },
  },
  {
    name: 'a server that is started again and again',
    script: `
      let again = socket;
      for (let i = 0; i < 5; i++) {
        const server = await serve(Quick, { socket: again });
        again = server.address;
        say(await mail(server));
        await server.close();
      }`,
    ends: { ...exits(0), said: Array(5).fill('reject') },
  },
  {
    name: 'a start with an impossible socket, and then a possible one',
    script: `
      await serve(Quick, { socket: 'unix:/no/such/folder/socket' }).catch((error) => say(error.code));
      await serve(Quick, { socket: 'nonsense:1' }).catch((error) => say(error.code));
      const server = await serve(Quick, { socket });
      say(await mail(server));
      await server.close();`,
    ends: { ...exits(0), said: ['ERR_MILTER_SOCKET', 'ERR_MILTER_SOCKET', 'reject'] },
  },
  {
    name: 'a failed start alone',
    script: `await serve(Quick, { socket: 'unix:/no/such/folder/socket' }).catch((error) => say(error.code));`,
    ends: { ...exits(0), said: ['ERR_MILTER_SOCKET'] },
  },
  {
    name: 'a start without libmilter, and then with it',
    script: `
      await serve(Quick, { socket }).catch((error) => say(error.code));
      delete process.env.MILTER_LIBRARY;
      const server = await serve(Quick, { socket });
      say(await mail(server));
      await server.close();`,
    env: { MILTER_LIBRARY: '/nonexistent' },
    ends: { ...exits(0), said: ['ERR_MILTER_LIBRARY', 'reject'] },
  },
];

test.concurrent.for(rows.filter(({ skip }) => skip !== true))('$name', async ({ ends, stderr, ...life }) => {
  const death = await live(life);
  expect(death).toMatchObject(ends);
  if (stderr === undefined) expect(death.stderr).toBe('');
  else expect(death.stderr).toMatch(stderr);
});

test('a start at an address in use, and then at a free one', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const address = other.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const death = await live({
    script: `
      for (let i = 0; i < 3; i++) {
        await serve(Quick, { socket: 'inet:${port}@127.0.0.1' }).catch((error) => say(error.code));
      }
      const server = await serve(Quick, { socket });
      say(await mail(server));
      await server.close();`,
  });
  await new Promise((resolve) => other.close(resolve));
  const inUse = Array(3).fill('ERR_MILTER_ADDRESS_IN_USE');
  expect(death).toMatchObject({ code: 0, said: [...inUse, 'reject'], stderr: '' });
});
