/** The starter configuration: useful, since it shows what it finds in the log and to `milter why`, and harmless. */
import { ownModules } from '../filter/index.ts';
import { Draft } from './draft.ts';

/** The modules of the starter configuration, in its order. */
const MODULES = ['networks', 'helo', 'ptr', 'spf', 'headers', 'attachments', 'html', 'score'] as const;

/** Makes it. `data` is the folder of stored things. */
export function starterDraft(data: string): Draft {
  const draft = new Draft();
  draft.top.set('socket', 'inet:8894@127.0.0.1').set('data', data);
  for (const name of MODULES) if (Object.hasOwn(ownModules, name)) draft.module(name);
  draft.module('networks').set('internal', ['127.0.0.0/8', '::1']).set('domains', []).set('relays', []);
  return draft;
}

/** Its text. */
export function starterText({ data }: { readonly data: string }): string {
  return starterDraft(data).toText();
}
