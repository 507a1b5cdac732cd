/** Where modules that learn keep their dictionaries. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { StoreUrl } from './schema.ts';

/** Beside the store, whatever that is: a file of its own, since what is learned is large. */
export function dictionariesOf(url: StoreUrl, data: string): string {
  if (url.kind === 'redis') return url.url;
  return url.kind === 'sqlite' ? `sqlite:${join(data, 'bayes.db')}` : 'memory:';
}

/** For those who only look: they ask the dictionaries that are there, and make none. */
export function existingDictionaries(url: string): string {
  const file = /^sqlite:(.*)$/s.exec(url)?.[1];
  return file !== undefined && !existsSync(file) ? 'memory:' : url;
}
