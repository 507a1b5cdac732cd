/** What the package says of itself. The same path leads there from `lib` and from `dist`. */
import { createRequire } from 'node:module';

export const packageJson = createRequire(import.meta.url)('../package.json') as {
  readonly name: string;
  readonly version: string;
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
};
