/** An authoritative name server for lists made of patterns, names and networks: what `milter dns` runs. */

export { LineFault } from './fault.ts';
export type { ListAnswer } from './line.ts';
export { QueryName } from './name.ts';
export { type Finding, type ListLine, PatternList } from './pattern-list.ts';
export { NameServer, type NameServerOptions } from './server.ts';
export { makeSesCheck, type SesCheckOptions } from './ses.ts';
export type { SesCheck, ZoneOptions } from './zone.ts';
