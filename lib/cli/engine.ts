/** Who speaks the milter protocol, in words. */
import { libmilterInfo, type Server } from '../index.ts';

export function engineInWords({ engine }: Server): string {
  return engine === 'js' ? 'its own engine' : `libmilter ${libmilterInfo().version}`;
}
