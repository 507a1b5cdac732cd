/**
 * What becomes of the recorded actions: the order in which libmilter replays them, and the header fields that the MTA
 * then has.
 */
import { type Header, makeHeader } from '../headers.ts';
import { decodeText } from '../text.ts';

/** Shared with native/core/answer.cc. */
export const Kind = {
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
  /** By which an {@link Amendment} names it. */
  readonly serial: number;
}

/** Another value for a header that an earlier action adds; an empty one takes it back. */
export interface Amendment {
  readonly amends: number;
  readonly second: Buffer;
  readonly owner: number;
}

/** What was recorded. */
export type Recorded = Action | Amendment;

/** Where a field comes from: the n-th of its name as received, or the action with that serial. */
export type Origin = { readonly occurrence: number } | { readonly serial: number };

/** One header field as it will be delivered. */
export interface Field {
  readonly header: Header;
  readonly origin: Origin;
}

/** How many headers of a name, in any letter case, were received. */
export type Received = (name: string) => number;

/**
 * Changed values, deletions by falling occurrence (Postfix renumbers after each), changed values beyond the last
 * occurrence (each adds a header, which no deletion may meet), added headers in call order, then the envelope, and the
 * body last and in one piece (Postfix refuses chunks with anything between them). Changed values go by rising occurrence,
 * so that none meets a header that another added. For the same occurrence, and for the body, the last one wins.
 * @param received undefined where the filter has not been shown all headers: no change is known to be beyond the last then
 */
export function inReplayOrder(recorded: readonly Recorded[], received?: Received): readonly Action[] {
  const actions = amended(recorded.toSorted((a, b) => a.owner - b.owner));
  const of = (...kinds: readonly Action['kind'][]): Action[] =>
    actions.filter((action) => kinds.includes(action.kind));
  const lastWins = new Map<string, Action>();
  for (const action of of(Kind.changeHeader)) {
    lastWins.set(occurrenceKey(action), action);
  }
  const edits = [...lastWins.values()].sort((a, b) => a.index - b.index);
  const adds = ({ first, index }: Action): boolean =>
    received !== undefined && index > received(first.toString('latin1'));
  const values = edits.filter((action) => !deletes(action));
  return [
    ...values.filter((action) => !adds(action)),
    ...edits.filter(deletes).reverse(),
    ...values.filter(adds),
    ...of(Kind.insertHeader, Kind.addHeader),
    ...of(Kind.changeFrom),
    ...of(Kind.deleteRcpt),
    ...of(Kind.addRcpt),
    ...of(Kind.quarantine),
    ...of(Kind.replaceBody).slice(-1),
  ];
}

/**
 * The fields that are delivered, in their order, when `actions` are replayed on those received.
 * @param assumedSpace what the MTA itself writes before a value
 */
export function deliveredFields(
  received: Iterable<Header>,
  actions: readonly Action[],
  assumedSpace: Buffer,
): readonly Field[] {
  const written = ({ first, second }: Action): Header =>
    makeHeader(first.toString('latin1'), Buffer.concat([assumedSpace, second]));
  const edits = new Map(
    actions.filter(({ kind }) => kind === Kind.changeHeader).map((edit) => [occurrenceKey(edit), edit]),
  );
  const occurrences = new Map<string, number>();
  // The MTA's own Received above all others is never shown, but places are counted from it.
  const fields: (Field | undefined)[] = [undefined];
  for (const header of received) {
    const name = header.name.toLowerCase();
    const occurrence = (occurrences.get(name) ?? 0) + 1;
    occurrences.set(name, occurrence);
    const key = `${name}\0${occurrence}`;
    const edit = edits.get(key);
    edits.delete(key);
    if (edit !== undefined && deletes(edit)) continue;
    fields.push({ header: edit === undefined ? header : written(edit), origin: { occurrence } });
  }
  const added = (action: Action): Field => ({ header: written(action), origin: { serial: action.serial } });
  // Beyond the last occurrence a change is an addition.
  for (const edit of edits.values()) if (!deletes(edit)) fields.push(added(edit));
  for (const action of actions) {
    if (action.kind === Kind.addHeader) fields.push(added(action));
    else if (action.kind === Kind.insertHeader) fields.splice(action.index, 0, added(action));
  }
  return fields.filter((field) => field !== undefined);
}

/** The name and number by which a change finds its header. */
function occurrenceKey({ first, index }: Action): string {
  return `${first.toString('latin1').toLowerCase()}\0${index}`;
}

function deletes(action: Action): boolean {
  return action.second.length === 0;
}

function amended(recorded: readonly Recorded[]): readonly Action[] {
  const values = new Map<number, Buffer>();
  for (const one of recorded) if ('amends' in one) values.set(one.amends, one.second);
  const actions = recorded.filter((one): one is Action => !('amends' in one));
  if (values.size === 0) return actions;
  return actions
    .map((action) => ({ ...action, second: values.get(action.serial) ?? action.second }))
    .filter((action) => !(values.has(action.serial) && deletes(action)));
}

/** An action in a line for the log, at most 200 characters of its value. */
export function describe({ kind, index, first, second }: Action): string {
  const name = Object.entries(Kind).find(([, number]) => number === kind)?.[0] ?? '';
  if (kind === Kind.replaceBody) return `${name} ${first.length} bytes`;
  const words = [name, ...(index > 0 ? [String(index)] : []), decodeText(first)].join(' ');
  if (kind === Kind.changeHeader && second.length === 0) return `${words}, deleted`;
  return second.length === 0 ? words : `${words}:${decodeText(second.subarray(0, 200))}`;
}
