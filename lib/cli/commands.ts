/** The subcommands of `milter`. */
import type { CommandIo } from './usage.ts';

/** Takes the arguments behind its name, and resolves to the exit status. */
export type Command = (args: readonly string[], io: CommandIo) => Promise<number>;

/** By name. Each is loaded when it is asked for: `milter spf` needs no libmilter, and `milter run` no resolver. */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./run.ts')).runRun,
  init: async () => (await import('./init.ts')).runInit,
  check: async () => (await import('./check.ts')).runCheck,
  explain: async () => (await import('./explain.ts')).runExplain,
  quarantine: async () => (await import('./quarantine.ts')).runQuarantine,
  why: async () => (await import('./why.ts')).runWhy,
  access: async () => (await import('./access.ts')).runAccess,
  forwarder: async () => (await import('./forwarder.ts')).runForwarder,
  user: async () => (await import('./user.ts')).runUser,
  replay: async () => (await import('./replay.ts')).runReplay,
  try: async () => (await import('./try.ts')).runTry,
  dns: async () => (await import('./dns.ts')).runDns,
  spf: async () => (await import('./spf.ts')).runSpf,
  srs: async () => (await import('./srs.ts')).runSrs,
};

/** What `milter --help` prints. */
export const USAGE = `Usage: milter run [FILE.toml]                  serve the mail filter to Postfix or Sendmail
       milter init [FOLDER]                    write a configuration to begin with
       milter check [FILE.toml]                is the configuration right, and wise?
       milter explain [FILE.toml]              show the values in force, and what happens in which order
       milter why REF|QUEUEID                  explain what became of a message
       milter quarantine list|show|…           look after messages that are held for review
       milter try MESSAGE                      play a message through the filter and show what becomes of it
       milter replay MBOX|MAILDIR|FOLDER…      play many, and count what is found and what becomes of them
       milter access add|remove|list           exceptions of the postmaster
       milter forwarder add|remove|rotate|list addresses that users give to forwarders
       milter user add|passwd|remove|list      who may sign in to the quarantine's web page
       milter run|try FILTER …                 the same with a Milter class of one's own
       milter dns [FILE.toml]                  serve a list made of patterns, as a name server
       milter spf [options] IP SENDER HELO     ask SPF
       milter srs forward|reverse ADDRESS      rewrite a return address, or look into one
       milter COMMAND --help                   show the options of a command
       milter --version                        show the versions of this package, Node.js and libmilter
`;
