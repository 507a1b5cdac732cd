/**
 * A Milter class in this very process, with no addon, no libmilter and no socket.
 */
import { duplexPair } from 'node:stream';
import { MilterError } from '../errors.ts';
import type { Filter } from '../milter/compose.ts';
import { Milter } from '../milter/milter.ts';
import { checkOptions, type Kinds, optionFault } from '../options.ts';
import { actionsOfVersion, stepsOfVersion } from '../protocol/wire.ts';
import { Dispatcher } from '../run/dispatcher.ts';
import { readOptions, SERVE_KINDS, type ServeOptions } from '../serve/options.ts';
import { Channel } from './channel.ts';
import { FakeFilter } from './fake-filter.ts';
import { ChannelConnection, CONNECT_KINDS, type ConnectOptions, type WireConnection } from './mta.ts';

/** What the MTA offers, and how the filter is run. */
export interface FakeOptions
  extends ConnectOptions,
    Pick<ServeOptions, 'deadlines' | 'onError' | 'maxBody' | 'logger'> {}

const KINDS: Kinds<FakeOptions> = {
  ...CONNECT_KINDS,
  deadlines: SERVE_KINDS.deadlines,
  onError: SERVE_KINDS.onError,
  maxBody: SERVE_KINDS.maxBody,
  logger: SERVE_KINDS.logger,
};

/**
 * An MTA's connection to a filter that runs in this process: the methods of {@link connectMta}, the rules of
 * libmilter, and no addon. For unit tests; what only libmilter can show (threads, time-outs, sockets) needs
 * `serve()` and `connectMta()`.
 * @throws MilterError `ERR_MILTER_OPTION` for an unknown option or an impossible value, `ERR_MILTER_FILTER` when the filter's `negotiate` or factory fails or answers with a promise
 */
export function fakeSession(filter: Filter, options: FakeOptions = {}): WireConnection {
  checkOptions('fakeSession option', options, KINDS, optionFault);
  const { version = 6, timeout = 30_000, actions, steps, ...serving } = options;
  const settings = readOptions({ socket: 'fd:0', ...serving });
  const offer = {
    version,
    actions: actions ?? actionsOfVersion(version),
    steps: steps ?? stepsOfVersion(version),
  };
  const fake = new FakeFilter();
  const dispatcher = new Dispatcher(fake, filter, Milter, settings, settings.logger);
  fake.batch = (tickets) => dispatcher.batch(tickets, undefined);
  const negotiated = agree(() => fake.negotiate(offer, dispatcher.initialPlan));
  const [mta, filterSide] = duplexPair();
  void fake.serve(filterSide, negotiated.steps).catch((error: unknown) => {
    mta.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  return new ChannelConnection(new Channel('the fake session', mta, timeout), negotiated);
}

function agree<T>(negotiate: () => T): T {
  try {
    return negotiate();
  } catch (cause) {
    throw new MilterError('ERR_MILTER_FILTER', 'the filter did not negotiate', { cause });
  }
}
