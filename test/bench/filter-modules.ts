/** The configurations that the benchmark of the filter runs. */
import { starterText } from '../../lib/cli/starter.ts';

/** Local modules with options that let the benchmark's mail through, and have them do their work. */
const options: Readonly<Record<string, string>> = {
  networks: 'domains = ["example.com"]',
  helo: 'block = ["bad.example", "*.dialup.example"]',
  ptr: '',
  spf: '',
  access: 'map = "file:access"',
  dnsbl: 'client = [{ zone = "bl.example.net", action = "score 4" }]',
  recipients: 'users = ["bob@example.com", "reader@example.com"]\ncomplete = ["example.com"]',
  headers:
    'subject_words = ["viagra", "casino"]\nadd = [{ name = "X-Scanned-By", value = "milter on %{hostname}" }]',
  attachments: '',
  html: '',
  score: '',
  known: '',
  greylist: 'delay = "1ms"\nspare = ["spf-pass"]',
  ratelimit: 'limits = [{ name = "clients", key = "client", messages = 1000000000, per = "1h" }]',
  copies: '',
  disclaimer: 'when = ["incoming"]\ntext = "This message came through a filter."',
};

/** Modules that are measured by themselves alone, since what they cost depends on the mail and on what was learned. */
const others: Readonly<Record<string, string>> = {
  auth: '',
  bayes: 'unsure = "continue"\nspam = "continue"',
  bounces: 'sign = "batv"\ndomains = ["example.com"]',
  srs: 'domain = "srs.example.com"\nsecrets = "a secret of the benchmark"',
};

/** Those that need nothing but this machine. */
export const localModules: readonly string[] = Object.keys(options);

/** The others that have a row of their own. */
export const otherModules: readonly string[] = Object.keys(others);

/** The text of a configuration: `starter`, `none`, or names parted by commas. */
export function moduleText(modules: string, data: string): string {
  if (modules === 'starter') return starterText({ data });
  const names = modules === 'none' ? [] : modules.split(',');
  const parts = names.map((name) => `[[module]]\nuse = "${name}"\n${options[name] ?? others[name] ?? ''}\n`);
  return `socket = "inet:8894@127.0.0.1"\nhostname = "mx.example.com"\ndata = "${data}"\n${parts.join('\n')}`;
}
