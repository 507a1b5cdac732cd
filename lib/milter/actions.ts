/**
 * The changes that the members of a filter make to a message: checked when they are recorded, and replayed by libmilter
 * at the end of the message.
 */
import { parseAddress } from '../address.ts';
import { MilterError, wrongArgument } from '../errors.ts';
import { type Header, isFieldName, smugglingByte } from '../headers.ts';
import { SMFIF } from '../protocol/stages.ts';
import { decodeText, encodeText } from '../text.ts';
import {
  type Action,
  deliveredFields,
  type Field,
  inReplayOrder,
  Kind,
  type Received,
  type Recorded,
} from './replay.ts';

/** libmilter sends an action in one packet, and refuses a larger one. */
const MAX_PACKET = 65_535;
const NOTHING = Buffer.alloc(0);
const SPACE = Buffer.of(0x20);

/** The actions of one message, of all members of a filter. */
export class ActionList {
  readonly #granted: number;
  readonly #spaceNeeded: boolean;
  readonly #recipients: readonly { readonly address: string }[];
  #recorded: Recorded[] = [];
  #serial = 0;
  /** Those whose actions are noted and not made. */
  readonly #observed = new Set<number>();
  #changed = false;

  /**
   * @param granted the SMFIF_* bits that the MTA granted
   * @param spaceNeeded whether a header's value must bring its own leading space (SMFIP_HDR_LEADSPC)
   * @param recipients those of the message, as the MTA knows them; may grow
   */
  constructor(
    granted: number,
    spaceNeeded: boolean,
    recipients: readonly { readonly address: string }[] = [],
  ) {
    this.#granted = granted;
    this.#spaceNeeded = spaceNeeded;
    this.#recipients = recipients;
  }

  /** From now on this owner's actions concern nobody but itself. */
  observe(owner: number): void {
    this.#observed.add(owner);
  }

  isObserved(owner: number): boolean {
    return this.#observed.has(owner);
  }

  addHeader(owner: number, name: string, value: string | Uint8Array): void {
    this.#grant('addHeader', SMFIF.ADDHDRS);
    this.#header('addHeader', Kind.addHeader, owner, 0, name, value);
  }

  insertHeader(owner: number, index: number, name: string, value: string | Uint8Array): void {
    this.#grant('insertHeader', SMFIF.ADDHDRS);
    checkInteger('insertHeader', 'the index', index, 0);
    this.#header('insertHeader', Kind.insertHeader, owner, index, name, value);
  }

  changeHeader(owner: number, name: string, occurrence: number, value: string | Uint8Array | null): void {
    this.#grant('changeHeader', SMFIF.CHGHDRS);
    checkInteger('changeHeader', 'the occurrence', occurrence, 1);
    this.#header('changeHeader', Kind.changeHeader, owner, occurrence, name, value);
  }

  /** Gives a header that an earlier action adds another value; null takes it back. */
  amendHeader(owner: number, serial: number, name: string, value: Uint8Array | null): void {
    const second = value === null ? NOTHING : this.#headerValue('changeHeader', name, value);
    this.#record({ amends: serial, second, owner });
  }

  changeFrom(owner: number, address: string, parameters: readonly string[] | undefined): void {
    this.#grant('changeFrom', SMFIF.CHGFROM);
    this.#address('changeFrom', Kind.changeFrom, owner, address, parameters);
  }

  addRcpt(owner: number, address: string, parameters: readonly string[] | undefined): void {
    const bit = parameters !== undefined && parameters.length > 0 ? SMFIF.ADDRCPT_PAR : SMFIF.ADDRCPT;
    this.#grant('addRcpt', bit);
    this.#address('addRcpt', Kind.addRcpt, owner, address, parameters);
  }

  deleteRcpt(owner: number, address: string): void {
    this.#grant('deleteRcpt', SMFIF.DELRCPT);
    this.#address('deleteRcpt', Kind.deleteRcpt, owner, address, undefined);
  }

  replaceBody(owner: number, body: string | Uint8Array): void {
    this.#grant('replaceBody', SMFIF.CHGBODY);
    this.#add(Kind.replaceBody, owner, 0, toBytes('replaceBody', 'the body', body), NOTHING);
  }

  /** Replaces the body by bytes that nobody writes to: they are not copied. */
  adoptBody(owner: number, body: Buffer): void {
    this.#grant('edits of the body', SMFIF.CHGBODY);
    this.#add(Kind.replaceBody, owner, 0, body, NOTHING);
  }

  quarantine(owner: number, reason: string): void {
    this.#grant('quarantine', SMFIF.QUARANTINE);
    const text = plainText('quarantine', 'the reason', reason);
    if (text.length === 0) throw wrongArgument('quarantine: the reason must not be empty');
    checkSize('quarantine', text.length);
    this.#add(Kind.quarantine, owner, 0, text, NOTHING);
  }

  /** Why the message is to be held, if it is. */
  get quarantineReason(): string | undefined {
    const held = this.#recorded.findLast(
      (one) => 'kind' in one && one.kind === Kind.quarantine && !this.#observed.has(one.owner),
    );
    return held !== undefined && 'first' in held ? decodeText(held.first) : undefined;
  }

  /** Whether this owner replaces the body. */
  replacesBody(owner: number): boolean {
    return this.#recorded.some((one) => one.owner === owner && isBody(one));
  }

  /** What those before this owner make of the body; undefined where they leave it alone. */
  bodyBefore(owner: number): Buffer | undefined {
    if (this.#recorded.length === 0) return undefined;
    const before = this.#recorded.filter((one) => one.owner < owner && !this.#observed.has(one.owner));
    return before
      .filter(isBody)
      .toSorted((a, b) => a.owner - b.owner)
      .at(-1)?.first;
  }

  /** What this owner and those before it make of the fields received. */
  fieldsFor(owner: number, received: Iterable<Header>): readonly Field[] {
    const seen = this.#recorded.filter(
      (one) => one.owner === owner || (one.owner < owner && !this.#observed.has(one.owner)),
    );
    return deliveredFields(received, inReplayOrder(seen), this.#spaceNeeded ? NOTHING : SPACE);
  }

  /** Whether a recorded change leaves the header as it was received. */
  isAsReceived({ kind, first, second }: Action, received: Header | undefined): boolean {
    if (kind !== Kind.changeHeader || received === undefined) return false;
    return received.name === first.toString('latin1') && this.#onTheWire(received.raw).equals(second);
  }

  /** A place to which {@link rollBack} can return. */
  mark(): number {
    return this.#recorded.length;
  }

  /** Drops what this owner recorded since `mark`. */
  rollBack(owner: number, mark: number): void {
    if (this.#recorded.length === mark) return;
    this.#recorded = this.#recorded.filter((one, index) => index < mark || one.owner !== owner);
  }

  /** What this owner recorded since `mark`, in the order of its replay. */
  since(owner: number, mark: number): readonly Action[] {
    return inReplayOrder(this.#recorded.slice(mark).filter((one) => one.owner === owner));
  }

  /** Whether anything was recorded since the last {@link takeChanges}. */
  get changed(): boolean {
    return this.#changed;
  }

  /**
   * The whole list in the order of its replay if anything was recorded since the last call, else undefined.
   * @param received undefined where not all headers are known
   */
  takeChanges(received?: Received): readonly Action[] | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    const mine = this.#recorded.filter((one) => !this.#observed.has(one.owner));
    return inReplayOrder(mine, received).flatMap((action) =>
      action.kind === Kind.deleteRcpt ? this.#spelled(action) : [action],
    );
  }

  /** What was taken last has not arrived: it is to be taken again. */
  giveBack(): void {
    this.#changed = this.#recorded.length > 0;
  }

  /** A recipient has come, whom a deleteRcpt may mean. */
  recipientCame(): void {
    this.#takeAgain(Kind.deleteRcpt);
  }

  /** All headers have come: the order of changes among them is known only now. */
  headersCame(): void {
    this.#takeAgain(Kind.changeHeader);
  }

  /** The list is to be taken again if it has actions of that kind. */
  #takeAgain(kind: Action['kind']): void {
    if (this.#recorded.some((one) => 'kind' in one && one.kind === kind)) this.#changed = true;
  }

  /** A removal of all recipients that are the same mailbox, each in the MTA's spelling: Postfix goes by the letter. */
  #spelled(removal: Action): readonly Action[] {
    const { address: wanted } = parseAddress(decodeText(removal.first));
    const known = new Set(this.#recipients.map(({ address }) => address));
    const meant = [...known].filter((address) => parseAddress(address).address === wanted);
    // One that another member adds is in no list.
    return meant.length === 0
      ? [removal]
      : meant.map((address) => ({ ...removal, first: encodeText(address) }));
  }

  #grant(name: string, bit: number): void {
    if ((this.#granted & bit) === 0) {
      throw new MilterError('ERR_MILTER_NOT_GRANTED', `${name}: the MTA does not allow this change`);
    }
  }

  #add(kind: Action['kind'], owner: number, index: number, first: Buffer, second: Buffer): void {
    this.#record({ kind, index, first, second, owner, serial: this.#serial++ });
  }

  #record(one: Recorded): void {
    this.#recorded.push(one);
    if (!this.#observed.has(one.owner)) this.#changed = true;
  }

  #header(
    verb: string,
    kind: Action['kind'],
    owner: number,
    index: number,
    name: string,
    value: string | Uint8Array | null,
  ): void {
    if (typeof name !== 'string' || !isFieldName(name)) {
      throw wrongArgument(
        `${verb}: a header's name is printable ASCII without colon or space, got ${JSON.stringify(name)}`,
      );
    }
    const first = Buffer.from(name, 'latin1');
    const deletes = value === null && kind === Kind.changeHeader;
    const second = deletes ? NOTHING : this.#headerValue(verb, name, value);
    this.#add(kind, owner, index, first, second);
  }

  #headerValue(verb: string, name: string, value: string | Uint8Array | null): Buffer {
    const bytes = toBytes(verb, `the value of ${name}`, value);
    let second = typeof value === 'string' ? bytes : this.#onTheWire(bytes);
    // Nothing at all would delete the header: an empty value is a space.
    if (second.length === 0 || (typeof value === 'string' && this.#spaceNeeded)) {
      second = Buffer.concat([SPACE, second]);
    }
    checkHeaderValue(verb, name, second);
    checkSize(verb, name.length + second.length + 6);
    return second;
  }

  /** All the bytes after a colon, as the MTA is to be sent them: one that writes a space itself gets none for it. */
  #onTheWire(raw: Buffer): Buffer {
    return !this.#spaceNeeded && raw[0] === 0x20 ? raw.subarray(1) : raw;
  }

  #address(
    verb: string,
    kind: Action['kind'],
    owner: number,
    address: string,
    parameters: readonly string[] | undefined,
  ): void {
    const text = plainText(verb, 'the address', address).toString('latin1');
    const inner = text.startsWith('<') && text.endsWith('>') ? text.slice(1, -1) : text;
    // A client may have written a recipient so, who can be taken away all the same; and so may quotes have them.
    if (kind !== Kind.deleteRcpt && /[<>]/.test(inner.replace(/"(?:[^"\\]|\\.)*"/g, ''))) {
      throw wrongArgument(`${verb}: an address has no angle brackets inside, got ${JSON.stringify(address)}`);
    }
    if (inner === '' && kind !== Kind.changeFrom) {
      throw wrongArgument(`${verb}: the address of a recipient must not be empty`);
    }
    const first = Buffer.from(`<${inner}>`, 'latin1');
    const second = Buffer.concat(
      (parameters ?? []).flatMap((parameter, i) => {
        const bytes = plainText(verb, 'a parameter', parameter);
        if (bytes.length === 0 || bytes.includes(0x20)) {
          throw wrongArgument(`${verb}: a parameter is one word, got ${JSON.stringify(parameter)}`);
        }
        return i === 0 ? [bytes] : [Buffer.of(0x20), bytes];
      }),
    );
    checkSize(verb, first.length + second.length + 2);
    this.#add(kind, owner, 0, first, second);
  }
}

function isBody(one: Recorded): one is Action {
  return 'kind' in one && one.kind === Kind.replaceBody;
}

function toBytes(verb: string, what: string, value: string | Uint8Array | null): Buffer {
  if (typeof value === 'string') return encodeText(value);
  // A copy: what the caller does with its memory later must not reach the message.
  if (value instanceof Uint8Array) return Buffer.from(value);
  throw wrongArgument(`${verb}: ${what} must be a string or bytes, got ${typeof value}`);
}

/** Text that goes into one line of a command. */
function plainText(verb: string, what: string, text: string): Buffer {
  if (typeof text !== 'string') throw wrongArgument(`${verb}: ${what} must be a string, got ${typeof text}`);
  const bad = /[\r\n\0]/.exec(text);
  if (bad !== null) {
    throw wrongArgument(`${verb}: ${what} cannot hold CR, LF or NUL (index ${bad.index})`);
  }
  return encodeText(text);
}

/** Folding is LF and white space; anything else that ends a line would smuggle a header. */
function checkHeaderValue(verb: string, name: string, value: Buffer): void {
  const carriageReturn = value.indexOf(0x0d);
  const at = carriageReturn < 0 ? smugglingByte(value) : carriageReturn;
  if (at < 0) return;
  throw wrongArgument(
    `${verb}: the value of ${name} cannot hold NUL, CR, or LF not followed by a space or tab (byte ${at})`,
  );
}

function checkInteger(verb: string, what: string, value: number, least: number): void {
  if (!Number.isInteger(value) || value < least || value > 0x7fffffff) {
    throw wrongArgument(`${verb}: ${what} must be an integer from ${least}, got ${String(value)}`);
  }
}

function checkSize(verb: string, bytes: number): void {
  if (bytes > MAX_PACKET) {
    throw wrongArgument(`${verb}: ${bytes} bytes are more than libmilter can send (${MAX_PACKET})`);
  }
}
