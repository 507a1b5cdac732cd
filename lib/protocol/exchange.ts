/**
 * What an MTA and a filter tell each other in the milter protocol, as plain values.
 */
import type { Header } from '../headers.ts';
import type { MacroStage } from './stages.ts';

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
