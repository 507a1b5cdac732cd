/** What a filter changed: the message that was sent against the one to be delivered. */
import type { Header } from '../index.ts';
import type { DeliveredMessage, MessageResult } from '../testing/index.ts';

/** What became of one header. `was` and `value` are what a person reads. */
export type HeaderChange =
  | { readonly change: 'added'; readonly name: string; readonly value: string }
  | { readonly change: 'deleted'; readonly name: string; readonly was: string }
  | { readonly change: 'changed'; readonly name: string; readonly was: string; readonly value: string };

/** All that is different. */
export interface Changes {
  readonly sender?: { readonly was: string; readonly value: string };
  readonly recipients: { readonly added: readonly string[]; readonly deleted: readonly string[] };
  /** In the order of the delivered message. */
  readonly headers: readonly HeaderChange[];
  /** Sizes in bytes. */
  readonly body?: { readonly was: number; readonly value: number };
  /** Why the message is to be held. */
  readonly quarantine?: string;
}

/** Compares what was sent with what came out. */
export function findChanges(
  sent: { readonly sender: string; readonly headers: readonly Header[]; readonly body: Buffer },
  recipients: MessageResult['recipients'],
  { sender, recipients: reached, headers, body, quarantine }: DeliveredMessage,
): Changes {
  const addressed = recipients.map(({ address }) => address);
  const taken = recipients.filter(({ verdict }) => verdict !== 'reject' && verdict !== 'tempfail');
  return {
    ...(sender !== sent.sender && { sender: { was: sent.sender, value: sender } }),
    recipients: {
      added: reached.filter((address) => !addressed.includes(address)),
      deleted: taken.map(({ address }) => address).filter((address) => !reached.includes(address)),
    },
    headers: findHeaderChanges(sent.headers, headers),
    ...(!body.equals(sent.body) && { body: { was: sent.body.length, value: body.length } }),
    ...(quarantine !== undefined && { quarantine }),
  };
}

/** A longest common subsequence is what stayed; between its members, headers of one name count as changed. */
function findHeaderChanges(before: readonly Header[], after: readonly Header[]): HeaderChange[] {
  const lengths = commonLengths(before, after);
  const changes: HeaderChange[] = [];
  let deleted: Header[] = [];
  let added: Header[] = [];
  for (let from = 0, to = 0; ; ) {
    const old = before[from];
    const now = after[to];
    const stays = old !== undefined && now !== undefined && same(old, now);
    if (stays || (old === undefined && now === undefined)) {
      changes.push(...pairUp(deleted, added));
      if (!stays) return changes;
      deleted = [];
      added = [];
      from++;
      to++;
    } else if (old !== undefined && (lengths[from + 1]?.[to] ?? 0) >= (lengths[from]?.[to + 1] ?? 0)) {
      deleted.push(old);
      from++;
    } else if (now !== undefined) {
      added.push(now);
      to++;
    }
  }
}

/** `[i][j]`: how many headers `before` from i on and `after` from j on have in common, in order. */
function commonLengths(before: readonly Header[], after: readonly Header[]): readonly Uint16Array[] {
  const rows = Array.from({ length: before.length + 1 }, () => new Uint16Array(after.length + 1));
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const [row, below] = [rows[i], rows[i + 1]];
      const [old, now] = [before[i], after[j]];
      if (row === undefined || below === undefined || old === undefined || now === undefined) continue;
      row[j] = same(old, now) ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0);
    }
  }
  return rows;
}

function pairUp(deleted: readonly Header[], added: readonly Header[]): HeaderChange[] {
  const olds = [...deleted];
  const changes = added.map(({ name, value }): HeaderChange => {
    const at = olds.findIndex((old) => old.name.toLowerCase() === name.toLowerCase());
    const [old] = at < 0 ? [] : olds.splice(at, 1);
    return old === undefined
      ? { change: 'added', name, value }
      : { change: 'changed', name, was: old.value, value };
  });
  return [
    ...olds.map(({ name, value }): HeaderChange => ({ change: 'deleted', name, was: value })),
    ...changes,
  ];
}

function same(a: Header, b: Header): boolean {
  return a.name === b.name && a.raw.equals(b.raw);
}
