/** What the subcommands of `milter quarantine` work with: their options, and the messages that these name. */
import { MilterError } from '../errors.ts';
import {
  type Config,
  comparableAddress,
  type HeldItem,
  type OpenQuarantine,
  type Reviewer,
} from '../filter/index.ts';
import { printable } from './printable.ts';
import { type CommandIo, type readArguments, wholeNumber } from './usage.ts';

/** Those of all subcommands. */
export const OPTIONS = {
  search: { type: 'string' },
  owner: { type: 'string' },
  all: { type: 'boolean' },
  limit: { type: 'string' },
  ham: { type: 'boolean' },
  spam: { type: 'boolean' },
  again: { type: 'boolean' },
  raw: { type: 'boolean' },
  to: { type: 'string' },
  remove: { type: 'string' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** What they were given. */
export type Values = ReturnType<typeof readArguments<typeof OPTIONS>>['values'];

/** What a subcommand works with. */
export interface Work extends OpenQuarantine {
  readonly config: Config;
  /** What stands behind the subcommand. */
  readonly args: readonly string[];
  /** Who does it. */
  readonly who: Reviewer;
  readonly values: Values;
  readonly io: CommandIo;
}

/** How many messages are looked at in one go, unless `--limit` says otherwise. */
export const MOST = 1_000;

/** What the arguments name: IDs, or all that fits. All are found before anything is done to the first. */
export async function chosen(work: Work, which: 'open' | 'all' = 'open'): Promise<readonly HeldItem[]> {
  const { held, args, values, io } = work;
  if (args.length > 0) {
    const items: HeldItem[] = [];
    for (const id of args) items.push(await find(held, id));
    return items;
  }
  const { items, isMore } = await select(work, which, wholeNumber('limit', values.limit) ?? MOST);
  if (items.length === 0) throw fault('there is no such message');
  if (isMore)
    io.stderr.write(`milter quarantine: the newest ${items.length} only; there are more (--limit)\n`);
  return items;
}

/** Those that fit `--search` and `--owner`, the newest first. */
export async function select(
  { review, who, values }: Pick<Work, 'review' | 'who' | 'values'>,
  which: 'open' | 'all',
  limit: number,
): Promise<{ readonly items: readonly HeldItem[]; readonly isMore: boolean }> {
  // Without a domain only its case can be written in two ways.
  const { owner = '' } = values;
  const part = owner.includes('@') ? comparableAddress(owner) : owner.normalize('NFC').toLowerCase();
  const whose = part === '' ? who : { ...who, isAdmin: false, owns: (owner: string) => owner.includes(part) };
  const items: HeldItem[] = [];
  let after: string | undefined;
  do {
    const page = await review.list(whose, {
      // What is searched holds the owner too.
      text: values.search ?? part,
      which,
      limit: Math.min(MOST, limit - items.length),
      ...(after === undefined ? {} : { after }),
    });
    items.push(...page.items);
    after = page.next;
  } while (after !== undefined && items.length < limit);
  return { items, isMore: after !== undefined };
}

/** The one whose id begins so. */
export async function find(held: OpenQuarantine['held'], id: string): Promise<HeldItem> {
  const [item, ...others] = await held.find(id);
  if (item === undefined) throw fault(`there is no message "${printable(id)}"`);
  if (others.length > 0) {
    throw fault(
      `${others.length + 1} messages begin with ${id}: ${[item, ...others].map((one) => one.id).join(' ')}`,
    );
  }
  return item;
}

/** What ends the command in one line. */
export function fault(message: string): MilterError {
  return new MilterError('ERR_MILTER_UNSUPPORTED', message);
}
