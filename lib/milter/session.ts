/**
 * One MTA connection, as a filter sees it: what lasts from connect to close.
 */
import { type Macros, macroName } from './macros.ts';
import { type Places, placesKey } from './slots.ts';

/** The SMTP client of a session, as the MTA told it with connect. */
export interface Client {
  /** The name found by reverse lookup; Postfix writes `unknown` or `[192.0.2.1]` where there is none. */
  readonly hostname: string;
  /** What `address` is; `unknown` where the MTA does not know it. */
  readonly family: 'inet' | 'inet6' | 'unix' | 'unknown';
  /** The IP address, or the path of a unix socket; undefined when the MTA does not know it. */
  readonly address: string | undefined;
  /** The TCP port, 0 when unknown. */
  readonly port: number;
}

/** What MTA and filter agreed on. */
export interface Negotiated {
  /** The changes that the MTA allows: {@link SMFIF} bits. */
  readonly actions: number;
  /** The stages left out or without reply, and other habits: {@link SMFIP} bits. */
  readonly steps: number;
}

/** What filters see of a session through {@link Session}. Kept by the session's runner. */
export interface SessionState {
  readonly id: number;
  readonly client: Client;
  readonly helo: string;
  readonly negotiated: Negotiated;
  /** Those that hold for the connection. */
  readonly macros: Macros;
  /** The message under way. */
  readonly message: { readonly macros: Macros } | undefined;
  /** Asks libmilter, which answers only while a stage of this session waits for its verdict. */
  readonly lookUp: (name: string) => string | undefined;
}

/** The client before connect has come. */
export const nobody: Client = Object.freeze({ hostname: '', family: 'unknown', address: undefined, port: 0 });

/** One MTA connection. Most MTAs send several messages over one. */
export class Session {
  readonly #state: SessionState;
  readonly #places: Places = new Map();

  /** Sessions are made by the server. */
  constructor(state: SessionState) {
    this.#state = state;
  }

  /** @internal */
  get [placesKey](): Places {
    return this.#places;
  }

  /** A number for the logs, unique within the server. */
  get id(): number {
    return this.#state.id;
  }

  /** The SMTP client. */
  get client(): Client {
    return this.#state.client;
  }

  /** What the client called itself in HELO or EHLO; empty until it did. */
  get helo(): string {
    return this.#state.helo;
  }

  /** What MTA and filter agreed on. */
  get negotiated(): Negotiated {
    return this.#state.negotiated;
  }

  /**
   * The value of a macro (smfi_getsymval). `i`, `{i}`, `auth_authen` and `{auth_authen}` all do. The well-known
   * ones and those of `static macros` can be read at any time after they came, those of a message until it ends;
   * another name only in a handler, before the stage is answered. Undefined where the MTA did not send it.
   */
  macro(name: string): string | undefined {
    const proper = macroName(name);
    const { message, macros, lookUp } = this.#state;
    return message?.macros.get(proper) ?? macros.get(proper) ?? lookUp(proper);
  }
}
