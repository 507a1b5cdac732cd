/** A filter on the real libmilter in this process, and the MTAs that talk to it. */
import { expect } from 'vitest';
import { type MilterError, type ServeOptions, type Server, serve } from '../../lib/index.ts';
import {
  type ConnectOptions,
  connectMta,
  type Stage,
  type StageReply,
  type WireConnection,
} from '../../lib/testing/index.ts';
import { until } from './wait.ts';

/** One line that the server logged. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly message: string;
  readonly fields: {
    readonly stage?: string;
    readonly session?: number;
    readonly queueId?: string;
    readonly filter?: string;
    readonly code?: string;
    readonly error?: unknown;
  };
}

/** A server in a test. When it is disposed of, everything that it made must be gone. */
export interface TestServer extends AsyncDisposable {
  readonly server: Server;
  /** What it logged so far. */
  readonly log: readonly LogLine[];
  /** Connects an MTA, which hangs up with the test at the latest. */
  mta(options?: ConnectOptions): Promise<WireConnection>;
  /** Resolves when every session, message and ticket is gone; fails when that does not come. */
  idle(): Promise<void>;
}

/** Serves `filter` on a free port of 127.0.0.1, unless `options` name a socket. */
export async function serving(
  filter: Parameters<typeof serve>[0],
  options: Partial<ServeOptions> = {},
): Promise<TestServer> {
  const log: LogLine[] = [];
  const logger = {
    debug: (fields: LogLine['fields'], message: string) => log.push({ level: 'debug', message, fields }),
    info: (fields: LogLine['fields'], message: string) => log.push({ level: 'info', message, fields }),
    warn: (fields: LogLine['fields'], message: string) => log.push({ level: 'warn', message, fields }),
    error: (fields: LogLine['fields'], message: string) => log.push({ level: 'error', message, fields }),
  };
  const server = await serve(filter, { socket: 'inet:0@127.0.0.1', logger, ...options });
  const mtas: WireConnection[] = [];
  const idle = (): Promise<void> =>
    until('all counters to be even', () => isIdle(server) || undefined).then(() => undefined);
  return {
    server,
    log,
    idle,
    async mta(connect) {
      // libmilter answers some commands out of order with silence: that must not take long to see.
      const mta = await connectMta(server.address, { timeout: 10_000, ...connect });
      mtas.push(mta);
      return mta;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(mtas.map((mta) => mta.close()));
      await server.close();
      const { sessions, messages, tickets } = server.stats();
      expect({ sessions, messages, tickets }, 'what the server made is gone').toEqual({
        sessions: { created: sessions.created, freed: sessions.created },
        messages: { created: messages.created, freed: messages.created },
        tickets: { created: tickets.created, freed: tickets.created },
      });
    },
  };
}

/** Whether every session, message and ticket is gone. */
export function isIdle(server: Server): boolean {
  const { sessions, messages, tickets } = server.stats();
  return [sessions, messages, tickets].every(({ created, freed }) => created === freed);
}

/** The envelope of a message about which nothing is special. */
export const ENVELOPE = { sender: '<ann@one.test>', recipients: ['<bob@two.test>'] } as const;

/** A small message. */
export const MESSAGE = 'Subject: hello\r\nX-Old: one\r\nX-Old: two\r\nX-Old: three\r\n\r\nfirst line\r\n';

/** An SMTP client as the MTA tells of it. */
export const CLIENT = { family: 'inet', address: '192.0.2.7', port: 4711 } as const;

/** Each stage as it goes with nothing special about it, in the order of a session. */
const plays: Readonly<Record<Stage, (mta: WireConnection) => Promise<StageReply>>> = {
  connect: (mta) => mta.connect('client.test', CLIENT),
  helo: (mta) => mta.helo('client.test'),
  unknown: (mta) => mta.unknown('NONSENSE'),
  envfrom: (mta) => mta.envfrom('<ann@one.test>'),
  envrcpt: (mta) => mta.envrcpt('<bob@two.test>'),
  data: (mta) => mta.data(),
  header: (mta) => mta.header('Subject', 'hello'),
  eoh: (mta) => mta.eoh(),
  body: (mta) => mta.body('first line\r\n'),
  eom: (mta) => mta.eom(),
};

/** The stages that `playUpTo` plays, in that order. */
export const PLAYED_STAGES: readonly Stage[] = Object.keys(plays) as Stage[];

/** Everything up to and with `stage`; the answer to the last one. */
export async function playUpTo(mta: WireConnection, stage: Stage): Promise<StageReply> {
  let answer: StageReply = { verdict: 'none' };
  for (const played of PLAYED_STAGES) {
    if (played === 'unknown' && stage !== 'unknown') continue;
    answer = await plays[played](mta);
    if (played === stage) break;
  }
  return answer;
}

/** Something that a test brings about later. */
export interface Gate<T = void> {
  readonly opened: Promise<T>;
  readonly open: (value: T) => void;
}

/** Makes a gate behind which a handler can be kept waiting. */
export function gate<T = void>(): Gate<T> {
  const { promise, resolve } = Promise.withResolvers<T>();
  return { opened: promise, open: resolve };
}

/** What `act` throws, or undefined. */
export function thrownBy(act: () => unknown): unknown {
  try {
    act();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The `code` of what `act` throws. */
export function codeOf(act: () => unknown): string | undefined {
  return (thrownBy(act) as MilterError | undefined)?.code;
}
