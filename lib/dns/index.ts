/**
 * `libmilter/dns`: DNS as a mail filter needs it. Every outcome is a value, not an exception, and says whether there is
 * nothing (`nodata`, `nxdomain`) or nobody could say (`servfail`, `timeout`, …).
 */
import { checkNode } from '../node-version.ts';

export type {
  Absent,
  Answer,
  Failed,
  Found,
  MxRecord,
  RecordOf,
  RecordType,
  ResolveOptions,
  Resolver,
} from './answer.ts';
export { isFailure } from './answer.ts';
export type { CacheOptions } from './cache.ts';
export { cached } from './cache.ts';
export type { DnsListKind, DnsListOptions } from './list.ts';
export { DnsList } from './list.ts';
export { queryName } from './name.ts';
export { confirmedNames, isDynamicName, pointers } from './ptr.ts';
export type { ResolverOptions } from './resolver.ts';
export { createResolver } from './resolver.ts';

checkNode();
