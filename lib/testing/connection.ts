/**
 * Being the MTA: the one interface that a milter on a socket (`connectMta`) and a Milter class in this very
 * process (`fakeSession`) both offer, so that a test can be run against either.
 *
 * Stages bear libmilter's names. A stage method resolves when the filter has answered; calls made without
 * waiting are played one after another, in call order.
 */
import type { Header } from '../headers.ts';
import type { MacroStage, VerdictStage as Stage } from '../protocol/stages.ts';

export type { MacroStage, Stage };

/** Macro values by name. Long names wear braces: `{ i: '4XyZ', '{client_addr}': '192.0.2.7' }`. */
export type Macros = Readonly<Record<string, string>>;

/** The kind of address an SMTP client has. `unknown`: the MTA does not know it. */
export type ClientFamily = 'inet' | 'inet6' | 'unix' | 'unknown';

/** Where the SMTP client is. */
export interface ClientAddress {
  /** By default what `address` looks like: an IP address, a path beginning with `/`, else `unknown`. */
  readonly family?: ClientFamily;
  /** The IP address or the socket's path. */
  readonly address?: string;
  /** The TCP port. @default 0, which means not known */
  readonly port?: number;
}

/** An SMTP reply (RFC 5321 section 4.2) that the filter chose. */
export interface Reply {
  /** 400 to 599. */
  readonly code: number;
  /** The enhanced status code (RFC 3463) such as `5.7.1`, or null where the filter gave none. */
  readonly enhanced: string | null;
  /** The text of each line, without codes. A doubled `%` is shown single, as MTAs do. */
  readonly lines: readonly string[];
}

/** What the filter answered to one stage. */
export type StageReply =
  /** `skip`: no more of this, please (body). `none`: the filter did not want this stage, so it was not asked. */
  | { readonly verdict: 'continue' | 'accept' | 'discard' | 'skip' | 'none'; readonly reply?: undefined }
  /** `reply` only where the filter chose one; else the MTA would use its own words. */
  | { readonly verdict: 'reject' | 'tempfail'; readonly reply?: Reply };

/** One of the words a filter answers with. */
export type StageVerdict = StageReply['verdict'];

/** One change to the message, as it came from the filter at end of message. */
export type Action =
  /** smfi_addheader: append `header`. */
  | { readonly type: 'addHeader'; readonly header: Header }
  /** smfi_insheader: put `header` in at place `index`, 0 being the top. */
  | { readonly type: 'insertHeader'; readonly index: number; readonly header: Header }
  /** smfi_chgheader: the `occurrence`th header called `name`, counted from 1, becomes `header`; null deletes it. */
  | {
      readonly type: 'changeHeader';
      readonly name: string;
      readonly occurrence: number;
      readonly header: Header | null;
    }
  /** smfi_chgfrom. */
  | { readonly type: 'changeFrom'; readonly address: string; readonly parameters: readonly string[] }
  /** smfi_addrcpt and smfi_addrcpt_par. */
  | { readonly type: 'addRcpt'; readonly address: string; readonly parameters: readonly string[] }
  /** smfi_delrcpt. */
  | { readonly type: 'deleteRcpt'; readonly address: string }
  /**
   * smfi_replacebody: all chunks joined, at the place of the first. `contiguous` is false when something else
   * came between the chunks, for which Postfix fails the message.
   */
  | { readonly type: 'replaceBody'; readonly body: Buffer; readonly contiguous: boolean }
  /** smfi_quarantine. */
  | { readonly type: 'quarantine'; readonly reason: string };

/** What the filter answered to end of message. */
export type EomReply = StageReply & {
  /** The changes, in the order in which they came. */
  readonly actions: readonly Action[];
  /** How often the filter asked for more time (smfi_progress). */
  readonly progress: number;
};

/** What filter and MTA agreed on. */
export interface Negotiated {
  /** The version of the milter protocol, 2 to 6. */
  readonly version: number;
  /** SMFIF_* bits: the changes that the filter may ask for. */
  readonly actions: number;
  /** SMFIP_* bits: the stages left out or without a reply, and other habits. */
  readonly steps: number;
  /** The macros for which the filter asked, by stage. A stage without an entry was left to the MTA. */
  readonly symlists: Readonly<Partial<Record<MacroStage, readonly string[]>>>;
}

/** The envelope, and the session around it, of one message. Angle brackets are added where missing. */
export interface SendOptions {
  /** The SMTP client, told once per connection. @default localhost at 127.0.0.1 */
  readonly client?: ClientAddress & { readonly hostname?: string };
  /** What the client calls itself, told once per connection. @default the client's host name */
  readonly helo?: string;
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
