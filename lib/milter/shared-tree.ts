/**
 * The tree of a message's parts that all members of a filter share. It goes from member to member: each gets it as those
 * before it left the message, and what it edits becomes actions when its eom went well. The tree of a member that did
 * not come to that is thrown away, and the next one gets a new one, so that nothing of it can be left behind.
 */
import { MilterError } from '../errors.ts';
import type { Header, HeaderChange } from '../headers.ts';
import type { ActionList } from './actions.ts';
import type { Field } from './replay.ts';

/** What is needed of a tree (`MimeMessage` of `libmilter/mime`). */
export interface EditableTree {
  readonly root: { readonly headers: Iterable<Header> };
  /** Whether it was edited since {@link rebase}. */
  readonly changed: boolean;
  changes(): { readonly headers: readonly HeaderChange[]; readonly body: Buffer | undefined };
  /** Gives it these header fields, and counts changes from here on. */
  rebase(headers: Iterable<Header>): void;
}

/** The message of which it is the tree. */
export interface TreeSource {
  readonly headers: Iterable<Header>;
  readonly body: Buffer;
  readonly actions: ActionList;
}

export class SharedTree<Tree extends EditableTree> {
  readonly #source: TreeSource;
  readonly #parse: (headers: Iterable<Header>, body: Buffer) => Promise<Tree>;
  #tree: Tree | undefined;
  /** The body that the tree shows, but for the holder's edits. */
  #body: Buffer | undefined;
  /** The member that has it in hand, and what it was given. */
  #holder: number | undefined;
  #handed: Promise<Tree> | undefined;
  #fields: readonly Field[] = [];
  /** Nothing had been done to the message when it was last handed over. */
  #untouched = false;

  constructor(source: TreeSource, parse: (headers: Iterable<Header>, body: Buffer) => Promise<Tree>) {
    this.#source = source;
    this.#parse = parse;
  }

  /** Whether this member has edited it. */
  isEditedBy(owner: number): boolean {
    return this.#holder === owner && this.#tree?.changed === true;
  }

  /** Hands it to a member, the same at every call. */
  take(owner: number): Promise<Tree> {
    if (this.#holder !== owner || this.#handed === undefined) {
      this.#holder = owner;
      this.#handed = this.#hand(owner);
    }
    return this.#handed;
  }

  async #hand(owner: number): Promise<Tree> {
    const { actions, headers, body: received } = this.#source;
    const kept = this.#tree;
    const wasUntouched = this.#untouched;
    this.#untouched = actions.mark() === 0;
    // Those who only look, one after another, get it as it is.
    if (kept?.changed === false && this.#body === received && wasUntouched && this.#untouched) return kept;
    const body = actions.bodyBefore(owner) ?? received;
    const fields = actions.fieldsFor(owner, headers);
    const current = fields.map(({ header }) => header);
    this.#fields = fields;
    if (kept !== undefined && this.#body === body && haveSameStructure(kept.root.headers, current)) {
      kept.rebase(current);
      return kept;
    }
    this.#tree = undefined;
    const tree = await this.#parse(current, body);
    // Not if the member went on without waiting for it, or its time was up.
    if (this.#holder === owner) {
      this.#tree = tree;
      this.#body = body;
    }
    return tree;
  }

  /** The member's eom went well: makes actions of what it edited; may throw what they throw. */
  commit(owner: number): void {
    const tree = this.#tree;
    if (this.#holder !== owner) return;
    this.drop(owner);
    if (tree === undefined) return;
    if (tree.changed) this.#record(owner, tree);
    if (!this.#source.actions.isObserved(owner)) this.#tree = tree;
  }

  /** The member's edits are not to be. */
  drop(owner: number): void {
    if (this.#holder !== owner) return;
    this.#holder = undefined;
    this.#handed = undefined;
    this.#tree = undefined;
  }

  #record(owner: number, tree: Tree): void {
    const { actions, body: received } = this.#source;
    if (actions.replacesBody(owner)) throw bodyConflict();
    const { headers, body } = tree.changes();
    for (const edit of headers) {
      if (edit.kind === 'add') {
        actions.addHeader(owner, edit.name, edit.raw);
        continue;
      }
      const value = edit.kind === 'delete' ? null : edit.raw;
      const { origin } = this.#find(edit.name, edit.occurrence);
      if ('serial' in origin) actions.amendHeader(owner, origin.serial, edit.name, value);
      else actions.changeHeader(owner, edit.name, origin.occurrence, value);
    }
    if (body === undefined || this.#body?.equals(body)) return;
    this.#body = body.equals(received) ? received : body;
    actions.adoptBody(owner, this.#body);
  }

  #find(name: string, occurrence: number): Field {
    const wanted = name.toLowerCase();
    const found = this.#fields.filter(({ header }) => header.name.toLowerCase() === wanted)[occurrence - 1];
    if (found === undefined) throw new Error(`an edit of a header that is not there: ${name} ${occurrence}`);
    return found;
  }
}

export function bodyConflict(): MilterError {
  return new MilterError(
    'ERR_MILTER_BODY_CONFLICT',
    'replaceBody and edits of the tree of mime() exclude each other: change the body in one way',
  );
}

/** Whether the fields agree that say how the body is to be read. */
function haveSameStructure(some: Iterable<Header>, others: Iterable<Header>): boolean {
  return structureOf(some) === structureOf(others);
}

function structureOf(headers: Iterable<Header>): string {
  return [...headers]
    .filter(({ name }) => /^(?:content-|mime-version$)/i.test(name))
    .map(({ name, raw }) => `${name.toLowerCase()}:${raw.toString('latin1').replaceAll('\r\n', '\n')}`)
    .join('\n\n');
}
