/** Where the pages are, for those who write links to them into mail. */
import type { Settings } from '../config/schema.ts';

/**
 * The address of the page that a digest's link leads to: it shows on GET, and acts on POST.
 * @param link as the quarantine's review makes them
 * @returns undefined where there is no page, or nobody said how people reach it (`[http] url`)
 */
export function linkAddress({ http }: Settings, link: string): string | undefined {
  return pageAddress({ http }, `link/${encodeURIComponent(link)}`);
}

/** The address of a page, such as `quarantine`; undefined where {@link linkAddress} gives none. */
export function pageAddress({ http }: Pick<Settings, 'http'>, page: string): string | undefined {
  const { listen, review, url } = http;
  if (listen === undefined || !review || url === undefined) return undefined;
  return new URL(page, url.origin).href;
}
