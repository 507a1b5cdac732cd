/**
 * The MTA's macros: which names are fetched when, and what is known of them during a session.
 */

import type { MacroStage } from '../protocol/stages.ts';

/** Names that a class wants besides the well-known ones, by the stage with which the MTA shall send them. */
export type MacroWishes = { readonly [Place in MacroStage]?: readonly string[] };

/**
 * What Postfix and Sendmail send by default, joined. A request for macros replaces an MTA's default list of that
 * stage, so these are asked for along with any wish.
 */
export const defaultMacros: Readonly<Record<MacroStage, readonly string[]>> = {
  connect: ['j', '_', 'v', '{daemon_name}', '{daemon_addr}', '{if_name}', '{if_addr}'],
  helo: ['{tls_version}', '{cipher}', '{cipher_bits}', '{cert_subject}', '{cert_issuer}'],
  envfrom: [
    'i',
    '{auth_type}',
    '{auth_authen}',
    '{auth_ssf}',
    '{auth_author}',
    '{mail_mailer}',
    '{mail_host}',
    '{mail_addr}',
  ],
  envrcpt: ['i', '{rcpt_mailer}', '{rcpt_host}', '{rcpt_addr}'],
  data: ['i'],
  eoh: ['i'],
  eom: ['i', '{msg_id}'],
};

/** Fetched besides, where an MTA has been told to send them. */
const alsoWellKnown: Readonly<Partial<Record<MacroStage, readonly string[]>>> = {
  connect: [
    '{client_addr}',
    '{client_name}',
    '{client_port}',
    '{client_ptr}',
    '{client_resolve}',
    '{daemon_port}',
  ],
};

/** The macros that Postfix and Sendmail have. What else a filter wishes may be some configuration's own. */
export const knownMacros: ReadonlySet<string> = new Set([
  ...Object.values(defaultMacros).flat(),
  ...Object.values(alsoWellKnown).flat(),
  ...(
    'addr_type alg_bits cert_fp cert_md5 client_connections client_flags client_rate cn_issuer cn_subject ' +
    'daemon_family daemon_flags daemon_info deliveryMode dsn_envid dsn_notify dsn_ret envid hdr_name hdrlen ' +
    'if_addr_out if_family if_family_out if_name_out load_avg MessageIdCheck msg_size nbadrcpts nrcpts ntries ' +
    'opMode quarantine server_addr server_name time total_rate verify'
  )
    .split(' ')
    .map((name) => `{${name}}`),
]);

/** The name as libmilter wants it: one character bare, a longer name in braces. */
export function macroName(name: string): string {
  const bare = name.startsWith('{') && name.endsWith('}') ? name.slice(1, -1) : name;
  return bare.length === 1 ? bare : `{${bare}}`;
}

/** The names fetched at `stage` for a class with these wishes. */
export function namesAt(stage: MacroStage, wishes: MacroWishes): readonly string[] {
  const names = [...defaultMacros[stage], ...(alsoWellKnown[stage] ?? []), ...(wishes[stage] ?? [])];
  return [...new Set(names.map(macroName))];
}

/** What an engine has to tell of macros at one stage. It is looked into only when somebody asks for a macro. */
export interface MacroNews {
  /** Writes into `values` what became of `names`, which are those of the plan. */
  read(names: readonly string[], values: Map<string, string>): void;
}

/** So many news are kept unread: an MTA that tells of macros without end fills no memory. */
const MOST_UNREAD = 64;

/** The macros that came during one session, or during one message. */
export class Macros {
  readonly #names: readonly string[];
  readonly #values = new Map<string, string>();
  #unread: MacroNews[] = [];

  /** @param names those of the plan */
  constructor(names: readonly string[]) {
    this.#names = names;
  }

  add(news: MacroNews): void {
    this.#unread.push(news);
    if (this.#unread.length > MOST_UNREAD) this.#read();
  }

  /** The value of a name in libmilter's form. */
  get(name: string): string | undefined {
    if (this.#unread.length > 0) this.#read();
    return this.#values.get(name);
  }

  #read(): void {
    for (const news of this.#unread) news.read(this.#names, this.#values);
    this.#unread = [];
  }
}
