/** Findings in words. */
import type { Config } from '../config/config.ts';

/** What each finding says, by its name. */
export type Phrases = ReadonlyMap<string, string>;

/** The words of all findings that these modules can have. */
export function phrasesOf({ modules }: Pick<Config, 'modules'>): Phrases {
  const phrases = modules.flatMap(({ name, definition }) => [
    [`${name}-error`, 'the module failed or was late'] as const,
    ...Object.entries(definition.findings).map(
      ([short, declared]) =>
        [`${name}-${short}`, typeof declared === 'string' ? declared : declared.text] as const,
    ),
  ]);
  return new Map(phrases);
}
