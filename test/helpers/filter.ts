/** A whole filter from a few lines of configuration, and a message through it without any socket. */
import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type ConfigFault,
  FilterConfigError,
  type OpenedFilter,
  type OpenOptions,
  openFilter,
} from '../../lib/filter/index.ts';
import type { HistoryRecord } from '../../lib/filter/watch/history.ts';
import type { LogFields, Logger } from '../../lib/index.ts';
import { fakeSession, MemoryResolver, type MemoryZone, type MessageResult } from '../../lib/testing/index.ts';

/** One line of a log. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly fields: LogFields;
  readonly message: string;
}

/** A logger that keeps its lines. */
export function keepingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const at = (level: LogLine['level']) => (fields: LogFields, message: string) => {
    lines.push({ level, fields, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** The test module that finds what its options say; `use = "./probe.ts"` names it. */
export const probeDirectory = join(import.meta.dirname, '../fixtures/filter');

/** Who sends what to whom. */
export interface TestMail {
  readonly sender?: string;
  readonly recipients?: readonly string[];
  readonly helo?: string;
  readonly hostname?: string;
  readonly address?: string;
  readonly eml?: string | Buffer;
  readonly macros?: Readonly<Record<string, string>>;
}

/** A filter that was opened for a test. */
export interface TestFilter extends OpenedFilter {
  readonly logger: ReturnType<typeof keepingLogger>;
  /** The folder of what it stores. */
  readonly data: string;
  /** Sends one message, over a connection of its own. */
  send(mail?: TestMail): Promise<MessageResult>;
  /** What the history says of the newest message. */
  last(): Promise<HistoryRecord | undefined>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Opens a filter whose store is memory, unless `store` names another; `await using` closes it. */
export async function testFilter(
  modules: string,
  {
    zone = {},
    top = '',
    store = 'memory:',
    ...options
  }: OpenOptions & { readonly zone?: MemoryZone; readonly top?: string; readonly store?: string } = {},
): Promise<TestFilter> {
  const logger = keepingLogger();
  // Made when something is stored.
  const data = join(tmpdir(), `libmilter-data-${randomUUID()}`);
  const text = `socket = "inet:8894@127.0.0.1"\nhostname = "mx.example.com"\ndata = "${data}"\n${top}\n[store]\nurl = "${store}"\n${modules}`;
  const filter = await openFilter(text, {
    resolver: new MemoryResolver(zone),
    logger,
    directory: probeDirectory,
    ...options,
  });
  return {
    ...filter,
    logger,
    send: async ({
      sender = 'a@example.org',
      recipients = ['b@example.com'],
      helo = 'mail.example.org',
      hostname = helo,
      address = '192.0.2.7',
      eml = 'From: a@example.org\nSubject: x\n\nhello\n',
      macros = {},
    } = {}) => {
      const mta = fakeSession(filter.Filter, { logger });
      try {
        return await mta.sendMessage(eml, {
          client: { hostname, address },
          sender,
          recipients,
          helo,
          macros,
        });
      } finally {
        await mta.close();
      }
    },
    last: async () => (await filter.history.find({}))[0],
    data,
    [Symbol.asyncDispose]: async () => {
      await filter.close();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** What is said to be wrong with the configuration of some modules. */
export async function faultsOf(modules: string): Promise<readonly ConfigFault[]> {
  const error: unknown = await testFilter(modules).then(
    (filter) => filter.close(),
    (fault: unknown) => fault,
  );
  if (!(error instanceof FilterConfigError)) throw new Error('nothing was wrong', { cause: error });
  return error.faults;
}
