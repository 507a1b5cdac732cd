/** The recorded actions as the frames by which libmilter's smfi_ functions ask an MTA for them. */
import { type Action, Kind } from '../../milter/replay.ts';
import { encodeBody, encodePlaced, encodeTexts } from '../../protocol/filter-wire.ts';

export function actionFrames(actions: readonly Action[]): Buffer[] {
  return actions.flatMap(framesOf);
}

function framesOf({ kind, index, first, second }: Action): Buffer | Buffer[] {
  const optional = second.length === 0 ? [] : [second];
  switch (kind) {
    case Kind.addHeader:
      return encodeTexts('h', first, second);
    case Kind.insertHeader:
      return encodePlaced('i', index, first, second);
    case Kind.changeHeader:
      return encodePlaced('m', index, first, second);
    case Kind.changeFrom:
      return encodeTexts('e', first, ...optional);
    case Kind.addRcpt:
      return encodeTexts(second.length === 0 ? '+' : '2', first, ...optional);
    case Kind.deleteRcpt:
      return encodeTexts('-', first);
    case Kind.replaceBody:
      return encodeBody(first);
    case Kind.quarantine:
      return encodeTexts('q', first);
  }
}
