/** The command `milter forwarder`: addresses that users give to their forwarders. */
import {
  type Alias,
  AliasError,
  Aliases,
  aliasPartsOf,
  forwardersIn,
  makeLogger,
  makeResolver,
  whyUnfit,
} from '../filter/index.ts';
import { optionFault } from '../options.ts';
import { readChosen } from './config-file.ts';
import { printable, toJson } from './printable.ts';
import { type CommandIo, readArguments } from './usage.ts';
import { withStore } from './with-store.ts';

const USAGE = `Usage: milter forwarder [options] add USER FORWARDER-DOMAIN
       milter forwarder [options] rotate USER FORWARDER-DOMAIN
       milter forwarder [options] remove USER FORWARDER-DOMAIN
       milter forwarder [options] list [USER]

An address for USER to give to a forwarder, such as an alumni association, and to nobody else: mail to it is taken from
the mail servers of FORWARDER-DOMAIN alone, as its SPF record names them, whatever the senders' domains say. USER is
ann@example.com, or ann. "rotate" makes a new address in place of those before, which are refused from then on; "list"
shows when and how often each was used, and with a USER those of a list of her own. docs/modules/forwarders.md says more.

  --config FILE       the configuration (default: that of milter run)
  --json              print JSON
  --help              show this

Exit status: 0; 1 when there is no such address, or the forwarder's SPF record is of no use; 2 for wrong arguments.
`;

const OPTIONS = {
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** Runs `milter forwarder` with the arguments behind that, and resolves to the exit status. */
export async function runForwarder(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(args, OPTIONS);
  if (values.help === true) {
    io.stdout.write(USAGE);
    return 0;
  }
  const [what, user, forwarder, ...more] = positionals;
  const isChange = what === 'add' || what === 'rotate' || what === 'remove';
  const isSound =
    more.length === 0 &&
    (isChange ? user !== undefined && forwarder !== undefined : what === 'list' && forwarder === undefined);
  if (!isSound)
    throw optionFault('expected add, rotate or remove with USER FORWARDER-DOMAIN, or list [USER]');
  const config = await readChosen(values.config);
  const module = forwardersIn(config);
  if (module === undefined) throw optionFault('no module "forwarders" with a domain is configured');
  const complain = (text: string): number => {
    io.stderr.write(`milter forwarder: ${printable(text)}\n`);
    return 1;
  };
  return await withStore(config, async (store) => {
    const log = makeLogger({ level: 'warn', format: 'text' });
    const parts = aliasPartsOf(module.options, { store: store.part(module.part), now: Date.now, log });
    if (parts === undefined) throw optionFault('no module "forwarders" with a domain is configured');
    const aliases = new Aliases(parts);
    const show = async (shown: readonly Alias[], isBrief: boolean): Promise<void> => {
      const rows = await Promise.all(
        shown.map(async (alias) => ({ ...alias, use: await aliases.useOf(alias) })),
      );
      if (values.json === true) io.stdout.write(toJson(rows));
      else for (const row of rows) io.stdout.write(`${isBrief ? row.address : line(row)}\n`);
    };
    try {
      if (!isChange || user === undefined || forwarder === undefined) {
        await show(await aliases.list(user), false);
        return 0;
      }
      const why = what === 'remove' ? undefined : await whyUnfit(forwarder, makeResolver(config));
      if (why !== undefined) return complain(`${forwarder} ${why}, so nobody can tell what it forwards`);
      const old = what === 'add' ? [] : await aliases.remove(user, forwarder);
      if (what !== 'add' && old.length === 0)
        return complain(
          `${user} has no address for ${forwarder}; those of a list of her own are changed there`,
        );
      if (what !== 'remove') await show([await aliases.add(user, forwarder)], true);
      return 0;
    } catch (error) {
      if (error instanceof AliasError) throw optionFault(error.message);
      throw error;
    }
  });
}

type Row = Alias & { readonly use: { readonly count: number; readonly last: number } | undefined };

function line({ address, to, forwarder, made, use }: Row): string {
  const since = made === undefined ? 'by her own list' : `made ${day(made)}`;
  const used = use === undefined ? 'never used' : `used ${use.count} times, last ${day(use.last)}`;
  return `${printable(address)}  for ${printable(forwarder)}, to ${printable(to)}; ${since}; ${used}`;
}

function day(at: number): string {
  return new Date(at).toISOString().slice(0, 10);
}
