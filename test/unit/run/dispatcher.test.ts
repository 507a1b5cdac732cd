import { describe, expect, it } from 'vitest';
import { compose } from '../../../lib/milter/compose.ts';
import { Milter } from '../../../lib/milter/milter.ts';
import { Dispatcher } from '../../../lib/run/dispatcher.ts';
import { readOptions } from '../../../lib/serve/options.ts';

const makeClass = (): typeof Milter =>
  class extends Milter {
    override eom() {}
  };

/** A dispatcher, and the plans that the libmilter side has. */
function dispatching(): { readonly dispatcher: Dispatcher; readonly plans: Set<number> } {
  const plans = new Set<number>();
  const backend = {
    addPlan: ({ id }: { readonly id: number }) => void plans.add(id),
    removePlan: (id: number) => {
      if (!plans.delete(id)) throw new Error(`no plan ${id}`);
    },
    lookup: () => undefined,
    settle: () => true,
  };
  const settings = readOptions({ socket: 'inet:1' });
  const filter = compose(makeClass(), () => new (makeClass())());
  return { dispatcher: new Dispatcher(backend, filter, Milter, settings, settings.logger), plans };
}

describe('the plans of what factories choose', () => {
  it('are used again for the same classes', () => {
    const { dispatcher, plans } = dispatching();
    const [one, two] = [makeClass(), makeClass()];
    const first = dispatcher.choose(1, [one, two]);
    dispatcher.ended(1);
    expect(dispatcher.choose(2, [one, two])).toBe(first);
    expect(dispatcher.choose(3, [two, one])).not.toBe(first);
    expect(plans.size).toBe(3);
  });

  it('go when many others came after they were used, here and on the libmilter side', () => {
    const { dispatcher, plans } = dispatching();
    const often = makeClass();
    for (let session = 1; session <= 1000; session += 2) {
      dispatcher.choose(session, [makeClass()]);
      dispatcher.ended(session);
      dispatcher.choose(session + 1, [often]);
      dispatcher.ended(session + 1);
    }
    // 64 of them, and the one that new connections follow.
    expect(plans.size).toBe(65);
    for (const id of plans) expect(dispatcher.plan(id).id).toBe(id);
    expect(plans.has(dispatcher.choose(2000, [often]).id)).toBe(true);
  });

  it('stay as long as a session follows them', () => {
    const { dispatcher, plans } = dispatching();
    const held = Array.from({ length: 200 }, (_, session) => dispatcher.choose(session, [makeClass()]).id);
    for (let session = 200; session < 400; session++) {
      dispatcher.choose(session, [makeClass()]);
      dispatcher.ended(session);
    }
    expect(held.every((id) => plans.has(id))).toBe(true);
    for (let session = 0; session < 200; session++) dispatcher.ended(session);
    expect(plans.size).toBe(65);
  });
});
