/**
 * `libmilter/srs`: return addresses that are rewritten, so that forwarded mail passes SPF, and signed, so that bounces to
 * mail we never sent are known.
 */
import { checkNode } from '../node-version.ts';

export type { Batv, BatvOptions, BatvReport } from './batv.ts';
export { createBatv } from './batv.ts';
export type { SrsFault } from './error.ts';
export { SrsError } from './error.ts';
export type { Ses, SesOptions, SesReport } from './ses.ts';
export { createSes } from './ses.ts';
export type {
  MapAnswer,
  MapListen,
  MapReply,
  SocketMapOptions,
  SocketMapServer,
} from './socket-map.ts';
export { serveSocketMap } from './socket-map.ts';
export type { Srs, SrsOptions, SrsReport } from './srs.ts';
export { createSrs } from './srs.ts';
export type { Rewriter } from './srs-map.ts';
export { answerSrsMap } from './srs-map.ts';

checkNode();
