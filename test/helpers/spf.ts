/** One SPF check against a zone in memory. */
import type { CheckOptions, CheckResult } from '../../lib/spf/index.ts';
import { checkHost } from '../../lib/spf/index.ts';
import type { MemoryZone } from '../../lib/testing/resolver.ts';
import { MemoryResolver } from '../../lib/testing/resolver.ts';

/** The sender is `user@example.com` at 192.0.2.1 with HELO `mail.example.com` unless told otherwise. */
export function check(zone: MemoryZone, options: Partial<CheckOptions> = {}): Promise<CheckResult> {
  return checkHost({
    ip: '192.0.2.1',
    sender: 'user@example.com',
    helo: 'mail.example.com',
    resolver: new MemoryResolver(zone),
    ...options,
  });
}

/** The same with `record` as the record of example.com. */
export function checkRecord(
  record: string,
  zone: MemoryZone = {},
  options: Partial<CheckOptions> = {},
): Promise<CheckResult> {
  return check({ 'example.com': { TXT: [record] }, ...zone }, options);
}
