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
  recipients: 'users = ["bob@example.com"]\ncomplete = ["example.com"]',
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

/** Those that need nothing but this machine. */
export const localModules: readonly string[] = Object.keys(options);

/** The text of a configuration: `starter`, `none`, or names parted by commas. */
export function moduleText(modules: string, data: string): string {
  if (modules === 'starter') return starterText({ data });
  const names = modules === 'none' ? [] : modules.split(',');
  const parts = names.map((name) => `[[module]]\nuse = "${name}"\n${options[name] ?? ''}\n`);
  return `socket = "inet:8894@127.0.0.1"\nhostname = "mx.example.com"\ndata = "${data}"\n${parts.join('\n')}`;
}
