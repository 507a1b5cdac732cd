/**
 * The class that filters extend. Its methods do nothing; overriding one is what asks the MTA for that stage.
 */
import { MilterError } from '../errors.ts';
import type { Header } from '../headers.ts';
import type { Logger } from '../logger.ts';
import type { Stage, VerdictStage } from '../protocol/stages.ts';
import type { MacroWishes } from './macros.ts';
import type { Message } from './message.ts';
import type { Client, Negotiated, Session } from './session.ts';
import type { Answer, BodyVerdict, ConnectionVerdict, MessageVerdict, UnknownVerdict } from './verdicts.ts';

/** What a failing handler is answered with. */
export type OnError = 'tempfail' | 'reject' | 'accept' | 'continue';

/** The stages that run at the end of the message unless a class wants them at once. */
export type EarlyStage = 'header' | 'eoh' | 'body';

/** What ties an instance to its connection. Shared with other copies of this package, so it only grows. */
export interface Link {
  readonly session: Session;
  /** Throws `ERR_MILTER_NO_MESSAGE` outside a message. */
  message(): Message;
  /** Each line bears session and queue id. */
  readonly log: Logger;
}

/** A Milter class, of this copy of the package or another. */
export interface MilterClass {
  new (): Milter;
  readonly prototype: Milter;
  /** The name of the class, for logs and errors. */
  readonly name: string;
  /** See {@link Milter.early}. */
  readonly early?: readonly EarlyStage[];
  /** See {@link Milter.macros}. */
  readonly macros?: MacroWishes;
  /** See {@link Milter.rejectedRecipients}. */
  readonly rejectedRecipients?: boolean;
  /** See {@link Milter.body}. */
  readonly body?: 'keep' | 'none';
  /** See {@link Milter.observe}. */
  readonly observe?: boolean;
  /** See {@link Milter.onError}. */
  readonly onError?: OnError;
  /** See {@link Milter.deadlines}. */
  readonly deadlines?: { readonly [stage in VerdictStage]?: number };
}

// Symbols of the global registry: two copies of a package happen, and they must know each other.
const brand: unique symbol = Symbol.for('libmilter.Milter') as never;
const untouched: unique symbol = Symbol.for('libmilter.untouched') as never;

/** Where a constructor finds the link of the instance being made. */
interface Maker {
  link: Link | undefined;
}
const makerKey = Symbol.for('libmilter.maker');
const registry = globalThis as unknown as Record<symbol, Maker | undefined>;
registry[makerKey] ??= { link: undefined };
const maker: Maker = registry[makerKey];

/**
 * A mail filter: one instance per MTA connection, one method per stage of the SMTP session. Override those that
 * you need; each may be async and answers with a verdict, or with nothing to let the message go on.
 *
 * Stages that no method is overridden for cost nothing. Header, eoh and body handlers run when the message is
 * complete, before eom, unless `static early` names them: the client sees no reply before that anyway.
 */
export class Milter {
  /** Stages whose verdict is wanted at once rather than at the end of the message. @default none */
  static readonly early?: readonly EarlyStage[];
  /** Macros wanted besides the well-known ones, by stage. */
  static readonly macros?: MacroWishes;
  /** Whether envrcpt also hears of recipients that the MTA itself refuses (SMFIP_RCPT_REJ). @default false */
  static readonly rejectedRecipients?: boolean;
  /** `'none'` when the body is of no interest: it is then not even sent. @default 'keep' */
  static readonly body?: 'keep' | 'none';
  /**
   * For trying a filter on live mail: its handlers run, but what it answers and what it would change is logged at level
   * info and not done. A failure of it is logged too, and lets the mail go on. @default false
   */
  static readonly observe?: boolean;
  /** What a failing handler is answered with. @default the server's `onError`, `'tempfail'` */
  static readonly onError?: OnError;
  /**
   * How long each of its handlers may take, in milliseconds, by stage; never longer than the server's deadline of the stage
   * that waits. @default the server's `deadlines`, in a composed filter an equal part of what is left of it
   */
  static readonly deadlines?: { readonly [stage in VerdictStage]?: number };
  /** @internal */
  static readonly [brand]: true = true;

  readonly #link: Link;

  constructor() {
    const link = maker.link;
    if (link === undefined) {
      throw new MilterError(
        'ERR_MILTER_FILTER',
        'a Milter is made by serve() when an MTA connects, not by new',
      );
    }
    maker.link = undefined;
    this.#link = link;
  }

  /** The MTA connection. */
  get session(): Session {
    return this.#link.session;
  }

  /**
   * The message under way.
   * @throws MilterError `ERR_MILTER_NO_MESSAGE` where there is none
   */
  get message(): Message {
    return this.#link.message();
  }

  /** The server's logger; each line bears the session's number and, once the MTA has told it, the message's queue id. */
  get log(): Logger {
    return this.#link.log;
  }

  /**
   * What to agree on with the MTA (xxfi_negotiate), for those who need raw control. The returned flags replace
   * those that follow from the overridden methods; what the MTA did not offer is left out.
   */
  negotiate(
    _offer: Negotiated,
  ): Partial<Negotiated> | undefined | void | Promise<Partial<Negotiated> | undefined | void> {}

  /** A client connected to the MTA (xxfi_connect). */
  connect(_client: Client): Answer<ConnectionVerdict> {}

  /** The client's HELO or EHLO (xxfi_helo). May come several times, or never. */
  helo(_name: string): Answer<ConnectionVerdict> {}

  /**
   * MAIL FROM (xxfi_envfrom). `sender` is in angle brackets, also where the MTA sent it without; `<>` is the null sender.
   * {@link parseAddress} takes it apart.
   */
  envfrom(_sender: string, _parameters: readonly string[]): Answer<MessageVerdict> {}

  /**
   * RCPT TO (xxfi_envrcpt). `recipient` is in angle brackets, also where the MTA sent it without. Reject and tempfail
   * concern this recipient, accept and discard the message.
   */
  envrcpt(_recipient: string, _parameters: readonly string[]): Answer<MessageVerdict> {}

  /** DATA (xxfi_data). */
  data(): Answer<MessageVerdict> {}

  /** A command that the MTA does not know (xxfi_unknown). */
  unknown(_command: string): Answer<UnknownVerdict> {}

  /** One header (xxfi_header). */
  header(_header: Header): Answer<MessageVerdict> {}

  /** The end of the headers (xxfi_eoh). */
  eoh(): Answer<MessageVerdict> {}

  /** A piece of the body (xxfi_body), at most 65,535 bytes. */
  body(_chunk: Buffer): Answer<BodyVerdict> {}

  /** The end of the message (xxfi_eom): all of it is known now. */
  eom(): Answer<MessageVerdict> {}

  /** The MTA gave the message up (xxfi_abort). `message` can still be read. */
  abort(): void | Promise<void> {}

  /** The connection has ended (xxfi_close). */
  close(): void | Promise<void> {}
}

for (const name of Object.getOwnPropertyNames(Milter.prototype)) {
  const method: unknown = Object.getOwnPropertyDescriptor(Milter.prototype, name)?.value;
  if (typeof method === 'function' && name !== 'constructor') Object.assign(method, { [untouched]: true });
}

/** Whether `value` is a Milter class, of this copy of the package or another. */
export function isMilterClass(value: unknown): value is MilterClass {
  return typeof value === 'function' && (value as { [brand]?: unknown })[brand] === true;
}

/** Whether the class has a method of its own for this stage. */
export function overrides(filter: MilterClass, stage: Stage): boolean {
  const method = filter.prototype[stage] as { [untouched]?: boolean } | undefined;
  return typeof method === 'function' && method[untouched] !== true;
}

/** A class and those that it extends, down to Milter, which is left out. */
export function classesOf(filter: MilterClass): readonly MilterClass[] {
  const classes: MilterClass[] = [];
  for (
    let at = filter;
    isMilterClass(at) && !Object.hasOwn(at, brand);
    at = Object.getPrototypeOf(at) as MilterClass
  )
    classes.push(at);
  return classes;
}

/** Makes an instance that is tied to `link`. `make` calls the constructor. */
export function makeInstance(link: Link, make: () => Milter): Milter {
  maker.link = link;
  try {
    return make();
  } finally {
    maker.link = undefined;
  }
}
