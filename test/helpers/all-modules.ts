/** A configuration with every module that there is, for tests through a real MTA, and the DNS that it asks. */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Packet } from 'dns2';
import { ownModules } from '../../lib/filter/modules/index.ts';
import { replyTo, startDnsServer, type TestServer } from './dns-server.ts';

/** A machine that may send for `good.example`. */
export const GOOD_CLIENT = '192.0.2.10';
/** A machine of nobody's. */
export const STRANGER = '192.0.2.66';
/** One that a list of bad clients names. */
export const LISTED = '192.0.2.99';
/** One of ours. */
export const INTERNAL = '10.0.0.5';

/** Records by names and types. */
export type Answers = Readonly<Record<string, Readonly<Record<string, readonly object[]>>>>;

/** A record of SPF. */
export const spf = (text: string) => ({ TXT: [{ data: text }] });

const ZONE: Answers = {
  'good.example': spf(`v=spf1 ip4:${GOOD_CLIENT} -all`),
  'forged.example': spf('v=spf1 -all'),
  'new.example': spf('v=spf1 ?all'),
  'mail.good.example': { A: [{ address: GOOD_CLIENT }] },
  '10.2.0.192.in-addr.arpa': { PTR: [{ domain: 'mail.good.example' }] },
  // By which a list shows that it works (RFC 5782 section 5).
  '2.0.0.127.bl.example': { A: [{ address: '127.0.0.2' }] },
  '99.2.0.192.bl.example': { A: [{ address: '127.0.0.2' }] },
};

/** Answers for all the names of these tests, or of one; no other exists. */
export async function startZone(zone: Answers = ZONE): Promise<TestServer> {
  const types = Packet.TYPE as Readonly<Record<string, number>>;
  return await startDnsServer({
    udp: (query) => {
      const name = query.name.toLowerCase();
      const records =
        Object.entries(zone[name] ?? {}).find(([type]) => types[type] === query.type)?.[1] ?? [];
      query.send(replyTo(query, { answers: records, header: { rcode: name in zone ? 0 : 3 } }));
    },
  });
}

/** What a module is given; the others do with their defaults. */
const OPTIONS: Readonly<Record<string, string>> = {
  networks: 'internal = ["10.0.0.0/8"]\ndomains = ["test.invalid"]',
  // These tests look for it at RCPT; with auth it would wait for the end.
  spf: 'dkim_saves = false',
  access: 'map = "file:access"',
  dnsbl: 'client = [{ zone = "bl.example", action = "reject" }]',
  recipients: 'users = ["bob@", "ann@", "archive@"]\ncomplete = ["test.invalid"]',
  headers: 'subject_words = ["viagra"]\nadd = [{ name = "X-Scanned-By", value = "milter on %{hostname}" }]',
  score: 'quarantine_from = 100\nreject_from = 200',
  greylist: 'delay = "1s"',
  ratelimit:
    'limits = [{ name = "users", key = "sender", when = ["internal"], messages = 50, per = "1h" }, { key = "client", messages = 1000000, per = "1h" }]',
  copies:
    'copy = [{ of = "outgoing", bcc = "archive@test.invalid" }, { of = "outgoing", maildir = "copies/%{user}" }, { of = "incoming", mbox = "incoming.mbox" }]',
  bounces: 'sign = "batv"\ndomains = ["test.invalid"]',
  forwarders: 'domain = "fwd.test.invalid"',
  srs: 'domain = "srs.test.invalid"\nsecrets = "a secret of many tests"\nforward = "milter"\nforwarded = ["far@test.invalid"]',
  // Nothing asks it: no test talks to strangers' servers.
  callout: 'verify = "asked"',
  bayes: 'learn = [{ spam = "spam@test.invalid", ham = "ham@test.invalid" }]\nmin_trained = 5',
  disclaimer: 'text = "This message came through a filter."',
};

/** In the order in which they look best in a file. */
const ORDER = [
  'networks',
  'helo',
  'ptr',
  'spf',
  'auth',
  'access',
  'dnsbl',
  'recipients',
  'headers',
  'attachments',
  'html',
  'bayes',
  'score',
  'known',
  'greylist',
  'ratelimit',
  'srs',
  'bounces',
  'callout',
  'forwarders',
  'confirm',
  'disclaimer',
  'copies',
];

/** How it differs from test to test. */
export interface AllModules {
  readonly socket: string;
  readonly dns: string;
  readonly store: string;
  /** In place of those above, by the module's name. */
  readonly options?: Readonly<Record<string, string>>;
  /** Modules to be left out. */
  readonly without?: readonly string[];
}

/** Writes the configuration into a folder, and gives its path. */
export function writeAllModules(
  folder: string,
  { socket, dns, store, options = {}, without = [] }: AllModules,
): string {
  const names = ORDER.filter((name) => name in ownModules && !without.includes(name));
  const modules = names.map(
    (name) => `[[module]]\nuse = "${name}"\n${options[name] ?? OPTIONS[name] ?? ''}\n`,
  );
  writeFileSync(join(folder, 'access'), 'From:enemy.example REJECT\nSPF-Fail:excused.example OK\n');
  const file = join(folder, 'milter.toml');
  writeFileSync(
    file,
    `socket = "${socket}"
hostname = "mx.test.invalid"
data = "data"
[store]
url = "${store}"
[dns]
servers = ["${dns}"]
timeout = "2s"
[log]
format = "json"
${modules.join('\n')}`,
  );
  mkdirSync(join(folder, 'data'), { recursive: true });
  chmodSync(folder, 0o755);
  return file;
}
