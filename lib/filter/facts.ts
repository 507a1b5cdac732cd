/**
 * What modules tell each other: facts of a session or message (slots), and what one of them does for the others for as
 * long as a configuration is in force (roles).
 */

import { type Milter, slot } from '../index.ts';
import type { CheckResult } from '../spf/index.ts';
import type { Action } from './findings/action.ts';
import type { Finding, Ruling } from './findings/finding.ts';
import type { OwnMail } from './outgoing/own-mail.ts';
import type { HeldFrom } from './quarantine/release-from.ts';

/** Whom the mail comes from, by what the client may do. */
export type ClientKind = 'authenticated' | 'internal' | 'external';

/** Where the mail goes, as seen from here. Known after the last recipient. */
export type Direction = 'outgoing' | 'incoming' | 'local';

/** A machine that is judged: the SMTP client, or the one that a trusted relay names in its Received line. */
export interface JudgedClient {
  readonly address: string | undefined;
  /** As the MTA or the relay found it by reverse lookup and confirmed it; undefined where it has no such name. */
  readonly hostname: string | undefined;
  readonly helo: string;
}

/** The client of one message. */
export interface ClientFact {
  readonly kind: ClientKind;
  /** The MTA's client is a trusted relay: who is judged is known only at the end of the message. */
  readonly relayed: boolean;
  /** Who is judged. Undefined for mail from a relay before its headers are here, and where they name nobody. */
  readonly judged: JudgedClient | undefined;
}

/** The message's client. Set when MAIL has come, before any module is asked. */
export const clientFact = slot<ClientFact>('filter.client', 'message', () => ({
  kind: 'external',
  relayed: false,
  judged: undefined,
}));

/** The message's direction. Set at the end of the message, before any module is asked. */
export const directionFact = slot<Direction>('filter.direction', 'message', () => 'incoming');

/**
 * What module `spf` finds of the envelope sender: under way from MAIL on, so that modules before it in the file may wait
 * for it at RCPT. Undefined where it does not judge or could not.
 */
export const spfFact = slot<Promise<CheckResult | undefined>>('filter.spf', 'message', () =>
  Promise.resolve(undefined),
);

/** What {@link spfFact} has come to so far, for those who cannot wait: findings that ask when it is decided (`unless`). */
export interface SpfKnown {
  check: CheckResult | undefined;
  /** The client is a relay of this domain, which may forward anything. */
  forwarder: string | undefined;
}

/** What module `spf` has found so far. Take it at MAIL, and look into it when it is decided. */
export const spfKnownFact = slot<SpfKnown>('filter.spf.known', 'message', () => ({
  check: undefined,
  forwarder: undefined,
}));

/**
 * Recipients, in angle brackets, whose mail comes by a forwarder whom they named, and whether it is sure that it does; asked when
 * it is decided. For them it is no fault that the sender's domain does not let the forwarder send: findings of that are made with
 * `spares`. What is said in the message is judged as ever.
 */
export const forwardedFact = slot<Map<string, () => boolean>>('filter.forwarded', 'message', () => new Map());

/** What module `auth` verified. */
export interface AuthFact {
  /** The domains whose DKIM signature passed. */
  readonly dkim: readonly string[];
  /** DMARC's result for the From domain. */
  readonly dmarc: 'pass' | 'fail' | 'none' | 'temperror' | 'permerror';
  /** A DKIM or SPF identity that passed is aligned with From, or a sealer who is believed (`arc_sealers`) says that one was. */
  readonly aligned: boolean;
  /** Who sealed last in an ARC chain that passes, whether he is believed or not. */
  readonly sealer?: string | undefined;
}

/** What module `auth` verified; undefined where it is not configured. Set in its place in the file, at the end of the message. */
export const authFact = slot<AuthFact | undefined>('filter.auth', 'message', () => undefined);

/** What module `ptr` found. */
export interface PtrFact {
  /** The client's forward-confirmed name; null where it has none. */
  readonly name: string | null;
  /** It has a name, of the kind that dial-up lines have. */
  readonly dynamic: boolean;
}

/** What module `ptr` found, at the first recipient; undefined where nobody looked, or nobody could say. */
export const ptrFact = slot<PtrFact | undefined>('filter.ptr', 'message', () => undefined);

/** Something that one module does for the others. Declared once, provided at set-up, asked at run time. */
export interface Role<T> {
  readonly role: string;
  /** Only there for its type. */
  readonly type?: T;
}

/** What somebody does who has a role. */
export type RoleOf<R> = R extends Role<infer T> ? T : never;

/** Declares a role. */
export function role<T>(name: string): Role<T> {
  return { role: name };
}

/** The SMTP client as far as it is known at MAIL. */
export interface SeenClient extends JudgedClient {
  /** `{daemon_name}`: by which of the MTA's entrances it came. */
  readonly daemon: string | undefined;
  /** The subject of a client certificate that the MTA verified. */
  readonly certSubject: string | undefined;
}

/** Knows who is inside. Provided by module `networks`; without it, nobody is and nothing is ours. */
export interface Who {
  isInternal(milter: Milter, client: SeenClient): boolean | Promise<boolean>;
  isRelay(milter: Milter, client: SeenClient): boolean | Promise<boolean>;
  /** The first machine that is neither internal nor a relay, as the message's Received lines of those name it. */
  behindRelay(milter: Milter): Promise<JudgedClient | undefined>;
  /** What a refusal of mail from a relay becomes. */
  readonly relayed: Action;
  /** Whether the configuration says what is ours. */
  readonly hasDomains: boolean;
  /** Whether an address, or a bare domain, is ours. */
  isOurs(address: string): boolean;
}

/** Knows who is inside. */
export const whoRole = role<Who>('who');

/** Says that a domain is ours besides those that {@link whoRole} knows: lists compare its local parts without case. Several modules may. */
export const ourDomainRole = role<(domain: string) => boolean>('our-domain');

/**
 * Whom a recipient stands for that was rewritten or signed by us: an address, without angle brackets; null where it is forged or
 * expired, which whoever provides this finds too. Undefined for all others. Several modules may.
 */
export const meantRole = role<(recipient: string) => string | null | undefined>('meant');

/**
 * Whom a recipient stands for that only a few know: an address, without angle brackets; null where it is made up, which whoever
 * provides this finds too. Undefined for all others. Several modules may.
 */
export const aliasRole = role<(recipient: string) => Promise<string | null | undefined> | undefined>('alias');

/**
 * Whether a recipient is an address of the filter's own: its mail ends here, though no list knows it and no mail server need take it.
 * Whoever provides this finds what becomes of it. Several modules may.
 */
export const ownRecipientRole = role<(milter: Milter, recipient: string) => boolean>('own-recipient');

/** How return addresses are signed here. */
export interface Signing {
  /** To which senders are rewritten. */
  readonly domain: string | undefined;
  /** The first signs, all verify. Another array when they have changed. */
  readonly secrets: readonly string[];
  /** Days for which what is signed is good. */
  readonly maxAge: number;
  readonly hashLength: number;
  readonly separator: '=' | '+' | '-';
}

/** How return addresses are signed here. Provided by module `srs`. */
export const signingRole = role<Signing>('signing');

/** Says whether a recipient is exempt from all findings. Several modules may. */
export const exemptRole = role<(recipient: string) => boolean | Promise<boolean>>('exempt');

/** The postmaster's exceptions. Provided by module `access`. */
export const rulingRole = role<(finding: Finding) => Ruling | undefined>('ruling');

/** Verifies signatures at the end of the message. Provided by module `auth`: whoever waits for {@link authFact} asks for it. */
export const authRole = role<true>('auth');

/** Asks and tells senders about what was found with the action `callout`. Provided by module `callout`. */
export const calloutRole = role<true>('callout');

/**
 * Whether the sender is known to a recipient: they wrote to it before, and SPF or DKIM says that it is the same. Provided by
 * module `known`; to be asked at RCPT or later.
 */
export const knownRole = role<(milter: Milter, recipient: string) => Promise<boolean>>('known');

/** Remembers that a sender is known to one of ours, as if that one had written to it. Provided by module `known`. Addresses without brackets. */
export const acquaintRole = role<(owner: string, sender: string) => Promise<void>>('acquaint');

/** Writes mail of the filter's own. There where the configuration says how mail leaves. */
export const ownMailRole = role<{
  /** Sends it with the null sender. @throws OutgoingError where it is not taken */
  send(mail: OwnMail): Promise<void>;
  /** The address of the page that a link leads to; undefined where there is none. */
  link(text: string): string | undefined;
}>('own-mail');

/** Releases what a finding had held. Resolves to how many messages. */
export const heldMailRole = role<(which: HeldFrom) => Promise<number>>('held-mail');

/** Knows what strangers may confirm by a link. Provided by module `confirm`. */
export const confirmationRole = role<{
  /** Undefined where there is nothing (more) to be confirmed. */
  find(token: string): Promise<{ readonly owners: readonly string[]; readonly subject: string } | undefined>;
  /** Resolves to whether there was something. */
  confirm(token: string): Promise<boolean>;
}>('confirmation');

/** What is written of points. Provided by module `score`. */
export const scoreRole = role<{
  /** The header that lists them; empty for none. */
  readonly header: string;
}>('score');

/**
 * The name of a header that a module writes into incoming mail. Where a message from outside brings one along it is taken out,
 * whatever becomes of the module: people's own rules go by it. Several modules may.
 */
export const ownHeaderRole = role<string>('own-header');

/** Somebody who learns from people which mail is wanted. */
export interface Learner {
  /** For the log: the configured module's name, and what it asks where it asks several. */
  readonly name: string;
  /**
   * Resolves when it has learned the message, or knows it already. Rejects where it could not; to be asked again then is harmless.
   * @param message as it was received, with CRLF
   * @param owner whose mail it is, an address without brackets; undefined where an administrator speaks for all
   */
  learn(message: Buffer, as: 'spam' | 'ham', owner?: string): Promise<void>;
}

/**
 * Those who learn when somebody says what a message is. Several modules may: whoever hears it tells all of them
 * (`services.holders`), one that fails without the others. A module in observe mode does not provide it.
 */
export const learnersRole = role<Learner>('learner');
