/**
 * One message, as a filter sees it: what lasts from MAIL to its end, and the actions upon it.
 */
import { MilterError } from '../errors.ts';
import type { Header } from '../headers.ts';
import type { MimeMessage } from '../mime/index.ts';
import { SMFIP } from '../protocol/stages.ts';
import { ActionList } from './actions.ts';
import { HeaderList, type Headers } from './header-list.ts';
import type { Macros } from './macros.ts';
import { type Action, Kind } from './replay.ts';
import type { Negotiated } from './session.ts';
import { bodyConflict, SharedTree } from './shared-tree.ts';
import { type Places, placesKey } from './slots.ts';

/** A recipient that the filter has not refused. */
export interface Recipient {
  /** In angle brackets, also where the MTA sent it without: {@link parseAddress} takes it apart. */
  readonly address: string;
  /** ESMTP parameters such as `NOTIFY=NEVER`. */
  readonly parameters: readonly string[];
}

/** What is known of a message so far. Shared by the views of all members of a composed filter. */
export class MessageState {
  readonly sender: string;
  readonly senderParameters: readonly string[];
  readonly #recipients: Recipient[] = [];
  #shownRecipients: readonly Recipient[] | undefined;
  readonly headers: HeaderList;
  readonly actions: ActionList;
  readonly macros: Macros;
  /** What members have put into slots. */
  readonly places: Places = new Map();
  /** The end has come, and the filter had asked for headers and body. */
  received = false;
  readonly #maxBody: number;
  /** All headers have come, and the filter was shown them. */
  #headersComplete = false;
  #chunks: Buffer[] = [];
  #length = 0;
  #complete = true;
  #tree: SharedTree<MimeMessage> | undefined;

  constructor(
    sender: string,
    senderParameters: readonly string[],
    negotiated: Negotiated,
    macros: Macros,
    maxBody: number,
  ) {
    this.sender = sender;
    this.senderParameters = senderParameters;
    const spaced = (negotiated.steps & SMFIP.HDR_LEADSPC) !== 0;
    this.headers = new HeaderList(spaced);
    this.actions = new ActionList(negotiated.actions, spaced, this.#recipients);
    this.macros = macros;
    this.#maxBody = maxBody;
  }

  /** One that the filter has not refused. */
  addRecipient(recipient: Recipient): void {
    this.#recipients.push(recipient);
    this.#shownRecipients = undefined;
    this.actions.recipientCame();
  }

  /** Those so far, in a list that none of those who share it can change. */
  get recipients(): readonly Recipient[] {
    this.#shownRecipients ??= Object.freeze([...this.#recipients]);
    return this.#shownRecipients;
  }

  /** No more headers come, and the filter was shown all of them. */
  endHeaders(): void {
    if (this.#headersComplete) return;
    this.#headersComplete = true;
    this.actions.headersCame();
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

  /** A body larger than so many bytes counts as one that does not fit. */
  limitBody(bytes: number): void {
    if (this.#length > bytes) this.truncateBody();
  }

  /** As received. */
  get body(): Buffer {
    const [only] = this.#chunks;
    if (only === undefined) return NO_BODY;
    if (this.#chunks.length === 1) return only;
    const whole = Buffer.concat(this.#chunks, this.#length);
    this.#chunks = [whole];
    return whole;
  }

  /** As received, and in eom as the members before this one made it. */
  bodyFor(owner: number): Buffer {
    return (this.received ? this.actions.bodyBefore(owner) : undefined) ?? this.body;
  }

  hasEditsOf(owner: number): boolean {
    return this.#tree?.isEditedBy(owner) === true;
  }

  /** The tree of parts that the members share. @internal */
  get tree(): SharedTree<MimeMessage> {
    this.#tree ??= new SharedTree(this, parse);
    return this.#tree;
  }

  /** A member's eom went well: its edits of the tree become actions; may throw what they throw. */
  commit(owner: number): void {
    this.#tree?.commit(owner);
  }

  /** A member's edits of the tree are not to be. */
  forgetTree(owner: number): void {
    this.#tree?.drop(owner);
  }

  /** Drops what a member did since `mark`, with all its edits of the tree. */
  rollBack(owner: number, mark: number): void {
    this.actions.rollBack(owner, mark);
    this.forgetTree(owner);
  }

  /** The actions to be sent, if there are others than before: none that would leave the message as it was received. */
  takeActions(): readonly Action[] | undefined {
    const received = (name: string): number => this.headers.getAll(name).length;
    return this.actions
      .takeChanges(this.#headersComplete ? received : undefined)
      ?.filter((action) => !this.#isAsReceived(action));
  }

  #isAsReceived(action: Action): boolean {
    const { kind, first, index } = action;
    if (kind === Kind.replaceBody) return first === this.body;
    if (kind !== Kind.changeHeader) return false;
    return this.actions.isAsReceived(action, this.headers.getAll(first.toString('latin1'))[index - 1]);
  }
}

const NO_BODY = Buffer.alloc(0);

/** Only a filter that asks for a tree needs `libmilter/mime`. */
async function parse(headers: Iterable<Header>, body: Buffer): Promise<MimeMessage> {
  const { parseHeadersAndBody } = await import('../mime/index.ts');
  return await parseHeadersAndBody(headers, body);
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

  /** The envelope sender in angle brackets, also where the MTA sent it without; `<>` is the null sender of bounces. */
  get sender(): string {
    return this.#state.sender;
  }

  /** The ESMTP parameters of MAIL, such as `SIZE=1000`. */
  get senderParameters(): readonly string[] {
    return this.#state.senderParameters;
  }

  /** The recipients so far, without those that the filter refused; a later one needs another look. */
  get recipients(): readonly Recipient[] {
    return this.#state.recipients;
  }

  /** The headers so far, as received. */
  get headers(): Headers {
    return this.#state.headers;
  }

  /** For a filter that wants less than `maxBody`, whoever serves it. @internal */
  limitBody(bytes: number): void {
    this.#state.limitBody(bytes);
  }

  /** Whether all of the body is here: not beyond `maxBody`, and no early `skip`. */
  get bodyComplete(): boolean {
    return this.#state.bodyComplete;
  }

  /**
   * The body so far, whole at eom. In eom of a composed filter it is what the members before made of it.
   * @throws MilterError `ERR_MILTER_BODY_INCOMPLETE` when some of it was left out
   */
  get body(): Buffer {
    this.#checkBody('read');
    return this.#state.bodyFor(this.#owner);
  }

  /**
   * The message as a tree of parts, to read or to edit (`libmilter/mime`); a second call gives the same tree. It is for
   * eom: when that handler goes on or accepts, the edits become the fewest actions that make them, and a tree in which
   * nothing was edited becomes none. With any other verdict, and when the handler fails, the edits are dropped. They do
   * not go with {@link replaceBody} by the same filter: whichever comes second throws, and so fails a handler that edits
   * afterwards. Edits that the MTA did not grant fail the handler.
   *
   * Its header fields are those that will be delivered, in their order: header actions that were recorded before the
   * first call count. Only the fields that the MTA itself adds are missing, and Sendmail puts an added field above those
   * of its name. The members of a composed filter share one tree: each finds in it what those before it made of the
   * message, with `replaceBody` too, and their edits add up.
   * @throws MilterError `ERR_MILTER_BODY_INCOMPLETE` before eom, and when some of the body was left out;
   *   `ERR_MILTER_BODY_CONFLICT` after `replaceBody`; `ERR_MILTER_MESSAGE_ENDED`
   */
  async mime(): Promise<MimeMessage> {
    this.#checkTree();
    const tree = await this.#state.tree.take(this.#owner);
    // Much may have happened meanwhile.
    this.#checkTree();
    return tree;
  }

  /** The MTA's queue id (macro `i`), undefined until it tells: Postfix does so from the second RCPT or DATA on. */
  get queueId(): string | undefined {
    return this.#state.macros.get('i');
  }

  /**
   * Fires when the message ends in any way but a successful eom, and during a handler also when its deadline
   * passes, the MTA hangs up or the server shuts down. Fires too when eom went well but the actions cannot be sent, for the
   * MTA is gone and the message with it. Its `reason` is a MilterError.
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
   * (smfi_chgheader). Beyond the last one a header is added. Deletions beside such an addition need a filter that handles
   * eoh, body or eom: one that is not shown all headers cannot know that they do not mean it.
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

  /**
   * Takes a recipient away (smfi_delrcpt). Brackets, quotes that are not needed, a source route and the case of the domain
   * make no difference: the MTA is given its own spelling.
   */
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
    if (this.#state.hasEditsOf(this.#owner)) throw bodyConflict();
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
    if (actions.replacesBody(this.#owner)) throw bodyConflict();
  }

  #checkBody(what: string): void {
    if (this.#state.bodyComplete) return;
    throw new MilterError(
      'ERR_MILTER_BODY_INCOMPLETE',
      `the body cannot be ${what}: it is larger than maxBody, or its rest was skipped`,
    );
  }
}
