/** What records of DKIM and DMARC say, where they are written as they usually are. */
import { isFailure, type Resolver } from '../../../dns/index.ts';

/** Milliseconds after which no more is asked. */
const MAX_TIME = 5_000;

/** A domain in ASCII and lower case. */
export const DOMAIN: RegExp =
  /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+$/;

/** Texts in DNS, asked for one message. */
export class PlainDns {
  readonly #resolver: Resolver;
  readonly #end = performance.now() + MAX_TIME;

  constructor(resolver: Resolver) {
    this.#resolver = resolver;
  }

  /** The TXT records of a name, none where there are none; undefined where DNS does not say. */
  async texts(name: string): Promise<readonly string[] | undefined> {
    if (performance.now() > this.#end) return undefined;
    try {
      const answer = await this.#resolver.resolve(name, 'TXT');
      if (isFailure(answer)) return undefined;
      return answer.status === 'ok'
        ? answer.records.map((parts) => Buffer.concat(parts).toString('latin1'))
        : [];
    } catch {
      return undefined;
    }
  }
}

/** Tags of a list as `v=DKIM1; p=…` (RFC 6376 section 3.2); undefined where one is strange, or there twice. */
export function readTags(text: string, known: ReadonlySet<string>): ReadonlyMap<string, string> | undefined {
  const tags = new Map<string, string>();
  const parts = text.split(';');
  if (parts.length > 1 && parts.at(-1)?.trim() === '') parts.pop();
  for (const part of parts) {
    const at = part.indexOf('=');
    const name = part.slice(0, Math.max(0, at)).trim();
    const value = part.slice(at + 1).trim();
    if (!known.has(name) || tags.has(name) || !/^[\t -~]*$/.test(value)) return undefined;
    tags.set(name, value);
  }
  return tags;
}
