/**
 * One message, as a filter sees it: what lasts from MAIL to its end, and the actions upon it.
 */
import { MilterError } from '../errors.ts';
import { ActionList } from './actions.ts';
import { HeaderList, type Headers } from './header-list.ts';
import type { Macros } from './macros.ts';
import type { Negotiated } from './session.ts';
import { SMFIP } from './stages.ts';

/** A recipient that the filter has not refused. */
export interface Recipient {
  /** As the MTA sent it, angle brackets included. */
  readonly address: string;
  /** ESMTP parameters such as `NOTIFY=NEVER`. */
  readonly parameters: readonly string[];
}

/** What is known of a message so far. Shared by the views of all members of a composed filter. */
export class MessageState {
  readonly sender: string;
  readonly senderParameters: readonly string[];
  readonly recipients: Recipient[] = [];
  readonly headers: HeaderList = new HeaderList();
  readonly actions: ActionList;
  readonly macros: Macros;
  readonly #maxBody: number;
  #chunks: Buffer[] = [];
  #length = 0;
  #complete = true;

  constructor(
    sender: string,
    senderParameters: readonly string[],
    negotiated: Negotiated,
    macros: Macros,
    maxBody: number,
  ) {
    this.sender = sender;
    this.senderParameters = senderParameters;
    this.actions = new ActionList(negotiated.actions, (negotiated.steps & SMFIP.HDR_LEADSPC) !== 0);
    this.macros = macros;
    this.#maxBody = maxBody;
  }

  addBody(chunk: Buffer): void {
    if (!this.#complete) return;
    if (this.#length + chunk.length > this.#maxBody) {
      this.truncateBody();
      return;
    }
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The rest of the body does not come, or does not fit: what there is of it is of no use. */
  truncateBody(): void {
    this.#complete = false;
    this.#chunks = [];
  }

  get bodyComplete(): boolean {
    return this.#complete;
  }

  get body(): Buffer {
    const [only] = this.#chunks;
    if (only === undefined) return Buffer.alloc(0);
    if (this.#chunks.length === 1) return only;
    const whole = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [whole];
    return whole;
  }
}

/** Why a message ended. Made only when somebody looks: an error with its stack is dear. */
export type Fault = () => MilterError;

/** One message. A new object at every MAIL; once it has ended it takes no more actions. */
export class Message {
  readonly #state: MessageState;
  readonly #owner: number;
  #ended = false;
  #controller: AbortController | undefined;
  #fault: Fault | undefined;

  /** Messages are made by the server; `owner` is the number of the member of a composed filter. */
  constructor(state: MessageState, owner: number) {
    this.#state = state;
    this.#owner = owner;
  }

  /** The envelope sender as the MTA sent it, angle brackets included; `<>` for bounces. */
  get sender(): string {
    return this.#state.sender;
  }

  /** The ESMTP parameters of MAIL, such as `SIZE=1000`. */
  get senderParameters(): readonly string[] {
    return this.#state.senderParameters;
  }

  /** The recipients so far, without those that the filter refused. */
  get recipients(): readonly Recipient[] {
    return this.#state.recipients;
  }

  /** The headers so far, as received. */
  get headers(): Headers {
    return this.#state.headers;
  }

  /** Whether all of the body is here: not beyond `maxBody`, and no early `skip`. */
  get bodyComplete(): boolean {
    return this.#state.bodyComplete;
  }

  /**
   * The body so far, whole at eom.
   * @throws MilterError `ERR_MILTER_BODY_INCOMPLETE` when some of it was left out
   */
  get body(): Buffer {
    this.#checkBody('read');
    return this.#state.body;
  }

  /** The MTA's queue id (macro `i`), undefined until it tells: Postfix does so from the second RCPT or DATA on. */
  get queueId(): string | undefined {
    return this.#state.macros.get('i');
  }

  /**
   * Fires when the message ends in any way but a successful eom, and during a handler also when its deadline
   * passes, the MTA hangs up or the server shuts down. Its `reason` is a MilterError.
   */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#fault !== undefined) this.#controller.abort(this.#fault());
    return this.#controller.signal;
  }

  /**
   * Appends a header (smfi_addheader). Sendmail puts it above those of the same name, if there are any.
   * @param value text before which one space is written, or all the bytes after the colon; continuation lines
   *   begin with LF and a space or tab
   */
  addHeader(name: string, value: string | Uint8Array): void {
    this.#act().addHeader(this.#owner, name, value);
  }

  /** Inserts a header at place `index`, 0 being above all others, also the MTA's own (smfi_insheader). */
  insertHeader(index: number, name: string, value: string | Uint8Array): void {
    this.#act().insertHeader(this.#owner, index, name, value);
  }

  /**
   * Changes the `occurrence`-th header of that name as received, counted from 1; null deletes it
   * (smfi_chgheader). Beyond the last one a header is added.
   */
  changeHeader(name: string, occurrence: number, value: string | Uint8Array | null): void {
    this.#act().changeHeader(this.#owner, name, occurrence, value);
  }

  /** Changes the envelope sender (smfi_chgfrom). Angle brackets are added where missing; `<>` is the null sender. */
  changeFrom(address: string, parameters?: readonly string[]): void {
    this.#act().changeFrom(this.#owner, address, parameters);
  }

  /** Adds a recipient (smfi_addrcpt, smfi_addrcpt_par). Angle brackets are added where missing. */
  addRcpt(address: string, parameters?: readonly string[]): void {
    this.#act().addRcpt(this.#owner, address, parameters);
  }

  /** Takes a recipient away (smfi_delrcpt). Must be spelt as in `recipients`. */
  deleteRcpt(address: string): void {
    this.#act().deleteRcpt(this.#owner, address);
  }

  /**
   * Replaces the body (smfi_replacebody); lines should end in CRLF. A second one replaces the first.
   * @throws MilterError `ERR_MILTER_BODY_INCOMPLETE` when some of the body was left out
   */
  replaceBody(body: string | Uint8Array): void {
    const actions = this.#act();
    this.#checkBody('replaced');
    actions.replaceBody(this.#owner, body);
  }

  /** Has the MTA hold the message (smfi_quarantine). Postfix drops the reason. */
  quarantine(reason: string): void {
    this.#act().quarantine(this.#owner, reason);
  }

  /** Whether the message has ended for this member. @internal */
  get ended(): boolean {
    return this.#ended;
  }

  /** Ends the message for this member; `fault` fires the signal. @internal */
  end(fault?: Fault): void {
    if (this.#ended) return;
    this.#ended = true;
    if (fault !== undefined) this.fire(fault);
  }

  /** Fires the signal; the message goes on. @internal */
  fire(fault: Fault): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    this.#controller?.abort(fault());
  }

  #act(): ActionList {
    if (this.#ended) {
      throw new MilterError('ERR_MILTER_MESSAGE_ENDED', 'the message has ended: actions come too late');
    }
    return this.#state.actions;
  }

  #checkBody(what: string): void {
    if (this.#state.bodyComplete) return;
    throw new MilterError(
      'ERR_MILTER_BODY_INCOMPLETE',
      `the body cannot be ${what}: it is larger than maxBody, or its rest was skipped`,
    );
  }
}
