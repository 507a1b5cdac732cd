/**
 * Being the MTA: the one interface that a milter on a socket (`connectMta`) and a Milter class in this very
 * process (`fakeSession`) both offer, so that a test can be run against either.
 *
 * Stages bear libmilter's names. A stage method resolves when the filter has answered; calls made without
 * waiting are played one after another, in call order.
 */
import type { Header } from '../headers.ts';
import type { Action, ClientAddress, Macros, Negotiated, StageReply } from '../protocol/exchange.ts';
import type { VerdictStage as Stage } from '../protocol/stages.ts';

/** What the filter answered to end of message. */
export type EomReply = StageReply & {
  /** The changes, in the order in which they came. */
  readonly actions: readonly Action[];
  /** How often the filter asked for more time (smfi_progress). */
  readonly progress: number;
};

/** The envelope, and the session around it, of one message. Angle brackets are added where missing. */
export interface SendOptions {
  /** The SMTP client, told once per connection. @default localhost at 127.0.0.1 */
  readonly client?: ClientAddress & { readonly hostname?: string };
  /** What the client calls itself, told once per connection. @default the client's host name */
  readonly helo?: string;
  /**
   * Plays mail that was submitted on the MTA's own machine, as Postfix hands it to `non_smtpd_milters`: addresses
   * without angle brackets, an empty one for the null sender, from localhost at 127.0.0.1, port 0. Goes with neither
   * `client` nor `helo`. @default false
   */
  readonly local?: boolean;
  /** The envelope sender; `<>` or an empty string is the null sender of bounces. */
  readonly sender: string;
  /** The envelope recipients, at least one. */
  readonly recipients: readonly string[];
  /**
   * Macros sent before every stage that carries macros. Those about one message (`i`, `{msg_id}`, `{mail_…}`,
   * `{rcpt_…}`, `{auth_…}`) are left out at connect and helo, as MTAs do.
   */
  readonly macros?: Macros;
}

/** The message as the MTA would deliver it: what was sent, with the filter's changes as Postfix makes them. */
export interface DeliveredMessage {
  /** In angle brackets. */
  readonly sender: string;
  /** In angle brackets, those added by the filter last. Nobody, when the message was not accepted. */
  readonly recipients: readonly string[];
  /** In order, with the filter's changes. */
  readonly headers: readonly Header[];
  /** Lines end in CRLF unless the filter replaced the body with something else. */
  readonly body: Buffer;
  /** Why the filter wants the message held; absent when it does not. */
  readonly quarantine?: string;
  /** Headers, empty line and body, with CRLF line ends. */
  toBytes(): Buffer;
}

/** How the filter answered to one recipient. */
export type RecipientResult = StageReply & {
  /** In angle brackets. */
  readonly address: string;
};

/** What became of one message. */
export type MessageResult = StageReply & {
  /** The stage whose verdict decided; `eom` when the message went all the way. */
  readonly stage: Stage;
  /** Every recipient that the MTA came to, in the order given. */
  readonly recipients: readonly RecipientResult[];
  /** What would be delivered. */
  readonly message: DeliveredMessage;
};

/**
 * An MTA's side of one milter connection. Every method rejects with a `MilterError`: `ERR_MILTER_CLOSED` when
 * the connection is or gets closed, `ERR_MILTER_DEADLINE` when the filter does not answer in time,
 * `ERR_MILTER_PROTOCOL` when its answer is no milter protocol; and with a TypeError for an argument which no
 * MTA could send, such as text with a NUL.
 *
 * `macros` are sent just before the stage that they belong to. Text is encoded losslessly: a lone surrogate
 * U+DC80..U+DCFF is the byte 0x80..0xFF.
 */
export interface MtaConnection extends AsyncDisposable {
  /** What both sides agreed on at the beginning. */
  readonly negotiated: Negotiated;
  /** What the filter answered to connect and the last helo so far. */
  readonly greeting: { readonly connect?: StageReply; readonly helo?: StageReply };

  /**
   * A client connected. Once per connection.
   * @param client without it the MTA says that it does not know the address
   */
  connect(hostname: string, client?: ClientAddress, macros?: Macros): Promise<StageReply>;
  /** HELO or EHLO. */
  helo(name: string, macros?: Macros): Promise<StageReply>;
  /** MAIL FROM: `sender` and ESMTP `parameters` go as they are, so write `<a@example.com>`. */
  envfrom(sender: string, parameters?: readonly string[], macros?: Macros): Promise<StageReply>;
  /** RCPT TO: `recipient` and ESMTP `parameters` go as they are, so write `<b@example.com>`. */
  envrcpt(recipient: string, parameters?: readonly string[], macros?: Macros): Promise<StageReply>;
  /** DATA. Protocol version 4 on. */
  data(macros?: Macros): Promise<StageReply>;
  /** A command that the MTA does not know. Protocol version 3 on. */
  unknown(command: string, macros?: Macros): Promise<StageReply>;
  /**
   * One header.
   * @param value a string is the text a person reads, before which MTAs see one space; bytes are all that
   *   follows the colon. Without SMFIP_HDR_LEADSPC one leading space is not sent. Continuation lines are
   *   joined by LF and white space.
   */
  header(name: string, value: string | Uint8Array): Promise<StageReply>;
  /** The empty line after the headers. */
  eoh(macros?: Macros): Promise<StageReply>;
  /**
   * Some of the body, in as many chunks of at most 65 535 bytes as it takes; bytes go verbatim. Stops at the
   * first answer other than continue; after `skip` nothing more is sent for this message.
   */
  body(bytes: string | Uint8Array): Promise<StageReply>;
  /** End of message. */
  eom(macros?: Macros): Promise<EomReply>;
  /** The message ends here without eom (RSET, or a client that left). Has no answer. */
  abort(): Promise<void>;
  /** A polite end of the connection; resolves when the filter has closed it too. */
  quit(): Promise<void>;
  /** An abrupt end of the connection. Never rejects. */
  close(): Promise<void>;

  /**
   * Plays a whole message: connect and helo if this connection has not had them, the envelope, headers, body,
   * eom; or up to the verdict that ends it. Messages follow each other on one connection; wait for each before
   * the next.
   * @param eml headers, empty line and body; a string is encoded losslessly. Line ends may be LF or CRLF.
   */
  sendMessage(eml: string | Uint8Array, options: SendOptions): Promise<MessageResult>;
}
