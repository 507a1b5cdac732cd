/** The zone format of the openspf suites as JSON, and of the speed cases made like them. */
import type { ScriptedStatus } from '../../lib/testing/resolver.ts';
import { MemoryResolver } from '../../lib/testing/resolver.ts';

/** TXT data are character-strings of one character per byte. A type without records fails as `otherwise` says. */
export type OpenspfZone = Readonly<
  Record<
    string,
    {
      readonly records: readonly { readonly type: string; readonly data: unknown }[];
      readonly otherwise?: ScriptedStatus;
    }
  >
>;

export function openspfResolver(zone: OpenspfZone): MemoryResolver {
  const resolver = new MemoryResolver({});
  for (const [name, { records, otherwise }] of Object.entries(zone)) {
    const entry: Record<string, unknown> = {};
    for (const type of ['A', 'AAAA', 'MX', 'NS', 'PTR', 'TXT']) {
      const data = records.filter((record) => record.type === type).map((record) => record.data);
      if (data.length > 0) entry[type] = type === 'TXT' ? data.map(bytesOf) : data;
      else if (otherwise !== undefined) entry[type] = otherwise;
    }
    const alias = records.find(({ type }) => type === 'CNAME');
    resolver.set(name, { ...entry, ...(alias && { CNAME: String(alias.data) }) });
  }
  return resolver;
}

function bytesOf(strings: unknown): Buffer[] {
  return (strings as string[]).map((text) => Buffer.from(text, 'latin1'));
}
