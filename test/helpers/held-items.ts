/** Many held messages without their files, for tests and measurements of lists. */
import { createHash } from 'node:crypto';
import { makeId } from '../../lib/filter/quarantine/held-mail.ts';
import { HeldItems } from '../../lib/filter/quarantine/items.ts';
import type { HeldItem } from '../../lib/filter/quarantine/quarantine.ts';
import type { Store } from '../../lib/filter/store/store.ts';

/** How many owners share them. */
export const HELD_OWNERS = 200;
const AT_ONCE = 100;

/** An item as a filter keeps it. */
export function heldItem(n: number): HeldItem {
  const sha256 = createHash('sha256').update(String(n)).digest('hex');
  const owner = `user${n % HELD_OWNERS}@example.com`;
  return {
    id: makeId(sha256, owner),
    state: 'held',
    at: Date.UTC(2026, 10, 1) + n * 1_000,
    sha256,
    size: 20_000,
    host: 'mx.example.com',
    ref: 'K7Q2M4',
    queueId: `4X${n}`,
    direction: 'incoming',
    sender: `<bounce-${n}-x@mail.shop${n % 1_000}.example>`,
    recipient: `<${owner}>`,
    owner,
    client: { address: '192.0.2.7', hostname: 'mail.example.org', helo: 'mail.example.org' },
    from: `A Shop with a Name <news@shop${n % 1_000}.example>`,
    subject: `Offer number ${n}: things that nobody needs, at a price that nobody believes`,
    findings: [
      { name: 'score-quarantine', action: 'quarantine', subject: '', text: 'the points of all findings' },
      {
        name: 'spf-softfail',
        action: 'score 3',
        subject: `mail.shop${n % 1_000}.example`,
        text: 'SPF softfail',
      },
      { name: 'dnsbl-listed', action: 'score 4', subject: '192.0.2.7', text: 'the client is on a list' },
    ],
    points: 7,
    proved: [],
  };
}

/** Keeps items `from` to `to`. */
export async function fillHeld(store: Store, from: number, to: number): Promise<HeldItems> {
  const items = new HeldItems(store);
  for (let first = from; first < to; first += AT_ONCE) {
    const numbers = Array.from({ length: Math.min(AT_ONCE, to - first) }, (_, i) => first + i);
    await Promise.all(
      numbers.map((n) => {
        const item = heldItem(n);
        return items.change(item.id, () => item);
      }),
    );
  }
  return items;
}
