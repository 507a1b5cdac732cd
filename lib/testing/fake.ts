/**
 * A Milter class in this very process, with no addon, no libmilter and no socket: the engine in TypeScript over a stream in
 * memory.
 */
import { duplexPair } from 'node:stream';
import { openJs } from '../engine/js.ts';
import { MilterError } from '../errors.ts';
import { checkFilter, type Filter } from '../milter/compose.ts';
import { Milter } from '../milter/milter.ts';
import { checkOptions, type Kinds, optionFault } from '../options.ts';
import { FrameReader } from '../protocol/frames.ts';
import { actionsOfVersion, decodeNegotiation, encodeNegotiation, stepsOfVersion } from '../protocol/wire.ts';
import { Dispatcher } from '../run/dispatcher.ts';
import { readOptions, SERVE_KINDS, type ServeOptions } from '../serve/options.ts';
import { Channel } from './channel.ts';
import { ChannelConnection, CONNECT_KINDS, type ConnectOptions, type WireConnection } from './mta.ts';

const MAX_INT = 0x7fff_ffff;

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
  checkFilter('fakeSession()', filter, 'a class that extends Milter, or a function that makes one');
  checkOptions('fakeSession option', options, KINDS, optionFault);
  const { version = 6, timeout = 30_000, actions, steps, ...serving } = options;
  // A field of any length: to see what a filter makes of it, whatever an MTA would let through.
  const settings = readOptions({ socket: 'fd:0', maxDataSize: MAX_INT, ...serving });
  const offer = {
    version,
    actions: actions ?? actionsOfVersion(version),
    steps: steps ?? stepsOfVersion(version),
  };
  const engine = openJs(settings, (ticket) => dispatcher.take(ticket));
  const dispatcher = new Dispatcher(engine, filter, Milter, settings, settings.logger);
  engine.usePlan(dispatcher.initialPlan);
  const [mta, filterSide] = duplexPair({ allowHalfOpen: true });
  // Either side hangs up: a pair in memory does not tell the other on every release of Node.
  mta.once('end', () => mta.destroy());
  filterSide.once('close', () => mta.destroy());
  mta.once('close', () => filterSide.destroy());
  engine.accept(filterSide, false).receive(encodeNegotiation(offer));
  const answer: unknown = mta.read();
  if (!Buffer.isBuffer(answer)) {
    mta.destroy();
    throw new MilterError(
      'ERR_MILTER_FILTER',
      'the filter did not negotiate, or not at once, which a fake session cannot wait for',
    );
  }
  const reader = new FrameReader(answer.length, 'the filter');
  reader.push(answer);
  const agreement = reader.next() ?? { command: '', payload: answer };
  const channel = new Channel('the fake session', mta, timeout);
  return new ChannelConnection(channel, decodeNegotiation(agreement));
}
