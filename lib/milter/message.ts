/**
 * One message, as a filter sees it: what lasts from MAIL to its end, and the actions upon it.
 */
import { MilterError } from '../errors.ts';
import { makeHeader } from '../headers.ts';
import type { MimeMessage } from '../mime/index.ts';
import { SMFIP } from '../protocol/stages.ts';
import { ActionList } from './actions.ts';
import { HeaderList, type Headers } from './header-list.ts';
import type { Macros } from './macros.ts';
import type { Negotiated } from './session.ts';
import { type Places, placesKey } from './slots.ts';

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
  /** What members have put into slots. */
  readonly places: Places = new Map();
  /** The end has come, and the filter had asked for headers and body. */
  received = false;
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
  #tree: MimeMessage | undefined;
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

  /**
   * The message as a tree of parts, to read or to edit (`libmilter/mime`); a second call gives the same tree. It is for
   * eom: when that handler goes on or accepts, the edits become the fewest actions that make them, and a tree in which
   * nothing was edited becomes none. With any other verdict, and when the handler fails, the edits are dropped. They do
   * not go with {@link replaceBody}: whichever comes second throws, and so fails a handler that edits afterwards. Edits
   * that the MTA did not grant fail the handler.
   *
   * Each member of a composed filter has a tree of its own of the message as received. Where several edit the
   * body, the last one's body is sent, without the edits of the others.
   * @throws MilterError `ERR_MILTER_BODY_INCOMPLETE` before eom, and when some of the body was left out;
   *   `ERR_MILTER_BODY_CONFLICT` after `replaceBody`; `ERR_MILTER_MESSAGE_ENDED`
   */
  async mime(): Promise<MimeMessage> {
    this.#checkTree();
    if (this.#tree !== undefined) return this.#tree;
    const { parseHeadersAndBody } = await import('../mime/index.ts');
    const tree = await parseHeadersAndBody(this.headers, this.#state.body);
    // Much may have happened meanwhile, another call of this among it.
    this.#checkTree();
    this.#tree ??= tree;
    return this.#tree;
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
   * @throws MilterError `ERR_MILTER_BODY_INCOMPLETE` when some of the body was left out; `ERR_MILTER_BODY_CONFLICT`
   *   when the tree of {@link mime} was edited
   */
  replaceBody(body: string | Uint8Array): void {
    const actions = this.#act();
    this.#checkBody('replaced');
    if (this.#tree?.changed === true) throw conflict();
    actions.replaceBody(this.#owner, body);
  }

  /** Has the MTA hold the message (smfi_quarantine). Postfix drops the reason. */
  quarantine(reason: string): void {
    this.#act().quarantine(this.#owner, reason);
  }

  /** @internal */
  get [placesKey](): Places {
    return this.#state.places;
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

  /** Makes actions of what was edited in the tree; may throw what they throw. @internal */
  recordEdits(): void {
    if (this.#tree?.changed !== true) return;
    const actions = this.#act();
    if (actions.replacedBy(this.#owner) === 'this') throw conflict();
    const { headers, body } = this.#tree.changes();
    for (const edit of headers) {
      if (edit.kind === 'delete') {
        actions.changeHeader(this.#owner, edit.name, edit.occurrence, null);
        continue;
      }
      const { name, raw } = edit;
      // As text where it begins with the space that goes before text: not every MTA wants to be sent that.
      const value = raw[0] === 0x20 ? makeHeader(name, raw).value : raw;
      if (edit.kind === 'add') actions.addHeader(this.#owner, name, value);
      else actions.changeHeader(this.#owner, name, edit.occurrence, value);
    }
    if (body === undefined) return;
    // It would bring back what another member took out, under headers that no longer fit.
    if (actions.replacedBy(this.#owner) === 'another') {
      throw new MilterError(
        'ERR_MILTER_BODY_CONFLICT',
        'another member of the composed filter has changed the body: let one member make all edits of it',
      );
    }
    actions.replaceBody(this.#owner, body);
  }

  #act(): ActionList {
    if (this.#ended) {
      throw new MilterError('ERR_MILTER_MESSAGE_ENDED', 'the message has ended: actions come too late');
    }
    return this.#state.actions;
  }

  #checkTree(): void {
    const actions = this.#act();
    this.#checkBody('taken apart');
    if (!this.#state.received) {
      throw new MilterError(
        'ERR_MILTER_BODY_INCOMPLETE',
        "mime() is for eom, and for filters without static body = 'none': the body is not here",
      );
    }
    if (actions.replacedBy(this.#owner) === 'this') throw conflict();
  }

  #checkBody(what: string): void {
    if (this.#state.bodyComplete) return;
    throw new MilterError(
      'ERR_MILTER_BODY_INCOMPLETE',
      `the body cannot be ${what}: it is larger than maxBody, or its rest was skipped`,
    );
  }
}

function conflict(): MilterError {
  return new MilterError(
    'ERR_MILTER_BODY_CONFLICT',
    'replaceBody and edits of the tree of mime() exclude each other: change the body in one way',
  );
}
