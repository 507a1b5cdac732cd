/** What module `forwarders` can be told. */
import type { Config } from '../../config/config.ts';
import { kinds, type Services, textOrNone, z } from '../../kit.ts';
import type { AliasParts } from './aliases.ts';
import { OwnFiles } from './own-files.ts';

const files = textOrNone(
  'an absolute path with %{user} in it, such as "file:/home/%{user}/.forwarders"',
  (text) => {
    const path = text.replace(/^file:/, '');
    const isSound = path.startsWith('/') && path.includes('%{user}') && !path.includes('\0');
    // A misspelt variable would be part of the name.
    return isSound && !path.replaceAll('%{user}', '').includes('%{') ? path : undefined;
  },
  '',
);

export const options = z.strictObject({
  domain: kinds
    .domain('')
    .describe(
      'Of the addresses: user+SECRET@DOMAIN, made by `milter forwarder add`. Its mail must come here',
    ),
  files: files.describe('Users’ own lists of forwarders, as in "file:/home/%{user}/.forwarders"'),
  user_domain: kinds
    .domain('')
    .describe('Of users who are named without one; "": `domain` without its first label'),
  mismatch: kinds.action('reject').describe('The address is used by somebody else'),
});

export type ForwardersOptions = z.output<typeof options>;

/** What the addresses are made with; undefined where there is no domain for them. */
export function aliasPartsOf(
  { domain, files, user_domain }: ForwardersOptions,
  { store, now, log }: Pick<Services, 'store' | 'now' | 'log'>,
): AliasParts | undefined {
  if (domain === undefined) return undefined;
  return {
    store,
    now,
    domain,
    userDomain: user_domain ?? domain.slice(domain.indexOf('.') + 1),
    files: files === undefined ? undefined : new OwnFiles(files, { log }),
  };
}

/** The options of a configuration's module, and the part of the store where it looks; undefined where none has a domain. */
export function forwardersIn({
  modules,
}: Config): { readonly options: ForwardersOptions; readonly part: string } | undefined {
  const entry = modules.find(({ definition, mode }) => definition.name === 'forwarders' && mode !== 'off');
  if (entry === undefined) return undefined;
  const read = entry.options as ForwardersOptions;
  const part = entry.mode === 'observe' ? `${entry.name}(observed)` : entry.name;
  return read.domain === undefined ? undefined : { options: read, part };
}
