/**
 * The changes that a filter makes to a message: checked when they are recorded, put into the order in which an MTA
 * takes them well, and replayed by libmilter at the end of the message.
 */
import { MilterError, wrongArgument } from '../errors.ts';
import { isFieldName, smugglingByte } from '../headers.ts';
import { SMFIF } from '../protocol/stages.ts';
import { encodeText } from '../text.ts';

/** Shared with native/core/answer.cc. */
const Kind = {
  addHeader: 0,
  insertHeader: 1,
  changeHeader: 2,
  changeFrom: 3,
  addRcpt: 4,
  deleteRcpt: 5,
  replaceBody: 6,
  quarantine: 7,
} as const;

/** One recorded change, ready to be packed. */
export interface Action {
  readonly kind: (typeof Kind)[keyof typeof Kind];
  /** A header's place or occurrence, else 0. */
  readonly index: number;
  /** A header's name, an address, the body, the reason. */
  readonly first: Buffer;
  /** A header's value, ESMTP parameters. Empty deletes a header. */
  readonly second: Buffer;
  /** Whose it is: the number of the member of a composed filter. */
  readonly owner: number;
}

/** libmilter sends an action in one packet, and refuses a larger one. */
const MAX_PACKET = 65_535;
const NOTHING = Buffer.alloc(0);

/** The actions of one message, of all members of a filter. */
export class ActionList {
  readonly #granted: number;
  readonly #spaceNeeded: boolean;
  #actions: Action[] = [];
  #changed = false;

  /**
   * @param granted the SMFIF_* bits that the MTA granted
   * @param spaceNeeded whether a header's value must bring its own leading space (SMFIP_HDR_LEADSPC)
   */
  constructor(granted: number, spaceNeeded: boolean) {
    this.#granted = granted;
    this.#spaceNeeded = spaceNeeded;
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
    this.#record(Kind.replaceBody, owner, 0, toBytes('replaceBody', 'the body', body), NOTHING);
  }

  quarantine(owner: number, reason: string): void {
    this.#grant('quarantine', SMFIF.QUARANTINE);
    const text = plainText('quarantine', 'the reason', reason);
    if (text.length === 0) throw wrongArgument('quarantine: the reason must not be empty');
    checkSize('quarantine', text.length);
    this.#record(Kind.quarantine, owner, 0, text, NOTHING);
  }

  /** Who replaces the body: this owner, another, or nobody. */
  replacedBy(owner: number): 'this' | 'another' | undefined {
    const replacing = this.#actions.filter((action) => action.kind === Kind.replaceBody);
    if (replacing.length === 0) return undefined;
    return replacing.some((action) => action.owner === owner) ? 'this' : 'another';
  }

  /** A place to which {@link rollBack} can return. */
  mark(): number {
    return this.#actions.length;
  }

  /** Drops what this owner recorded since `mark`. */
  rollBack(owner: number, mark: number): void {
    if (this.#actions.length === mark) return;
    this.#actions = this.#actions.filter((action, index) => index < mark || action.owner !== owner);
  }

  /** Whether anything was recorded since the last {@link takeChanges}. */
  get changed(): boolean {
    return this.#changed;
  }

  /** The whole list in the order of its replay if anything was recorded since the last call, else undefined. */
  takeChanges(): readonly Action[] | undefined {
    if (!this.#changed) return undefined;
    this.#changed = false;
    return inReplayOrder(this.#actions);
  }

  #grant(name: string, bit: number): void {
    if ((this.#granted & bit) === 0) {
      throw new MilterError('ERR_MILTER_NOT_GRANTED', `${name}: the MTA does not allow this change`);
    }
  }

  #record(kind: Action['kind'], owner: number, index: number, first: Buffer, second: Buffer): void {
    this.#actions.push({ kind, index, first, second, owner });
    this.#changed = true;
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
    let second: Buffer = NOTHING;
    if (value !== null || kind !== Kind.changeHeader) {
      const bytes = toBytes(verb, `the value of ${name}`, value);
      const needsSpace =
        typeof value === 'string' ? this.#spaceNeeded || bytes.length === 0 : bytes.length === 0;
      // Nothing at all would delete the header: an empty value is a space.
      second = needsSpace ? Buffer.concat([Buffer.of(0x20), bytes]) : bytes;
      checkHeaderValue(verb, name, second);
    }
    checkSize(verb, first.length + second.length + 6);
    this.#record(kind, owner, index, first, second);
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
    if (/[<>]/.test(inner)) {
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
    this.#record(kind, owner, 0, first, second);
  }
}

/**
 * Changed values, deletions by falling occurrence (Postfix renumbers after each), added headers in call order, then
 * the envelope, and the body last and in one piece (Postfix refuses chunks with anything between them).
 * For the same occurrence, and for the body, the last one wins.
 */
function inReplayOrder(recorded: readonly Action[]): readonly Action[] {
  const actions = recorded.toSorted((a, b) => a.owner - b.owner);
  const of = (...kinds: readonly Action['kind'][]): Action[] =>
    actions.filter((action) => kinds.includes(action.kind));
  const lastWins = new Map<string, Action>();
  for (const action of of(Kind.changeHeader)) {
    lastWins.set(`${action.first.toString('latin1').toLowerCase()}\0${action.index}`, action);
  }
  const edits = [...lastWins.values()];
  const deletes = (action: Action): boolean => action.second.length === 0;
  return [
    ...edits.filter((action) => !deletes(action)),
    ...edits.filter(deletes).sort((a, b) => b.index - a.index),
    ...of(Kind.insertHeader, Kind.addHeader),
    ...of(Kind.changeFrom),
    ...of(Kind.deleteRcpt),
    ...of(Kind.addRcpt),
    ...of(Kind.quarantine),
    ...of(Kind.replaceBody).slice(-1),
  ];
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
