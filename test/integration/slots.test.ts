import { describe, expect, it } from 'vitest';
import { compose, Milter, type Slot, slot } from '../../lib/index.ts';
import { fakeSession } from '../../lib/testing/index.ts';
import { codeOf, ENVELOPE, gate, MESSAGE, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

describe('a slot', () => {
  it('is shared by the members of a composed filter, and gone with its owner', async () => {
    const ofMessage = slot<string[]>('test.message', 'message', () => []);
    const ofSession = slot('test.session', 'session', () => ({ messages: 0 }));
    const verdict: Slot<string | undefined> = slot<string>('test.verdict', 'message');
    const seen: unknown[] = [];
    class First extends Milter {
      override helo() {
        seen.push(codeOf(() => ofMessage.get(this)));
      }
      override envfrom(sender: string) {
        seen.push(verdict.get(this));
        verdict.set(this, `first of ${sender}`);
        ofMessage.get(this).push('first');
        ofSession.get(this).messages++;
      }
    }
    class Second extends Milter {
      override eom() {
        ofMessage.get(this).push('second');
        seen.push(verdict.get(this), ofMessage.get(this), ofSession.get(this));
      }
    }
    await using t = await serving(compose(First, Second));
    const mta = await t.mta();
    await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: '<a@one.test>' });
    await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: '<b@one.test>' });
    await (await t.mta()).sendMessage(MESSAGE, { ...ENVELOPE, sender: '<c@one.test>' });
    const both = ['first', 'second'];
    // The first two counters are one object, looked at in the end.
    expect(seen).toEqual([
      ...['ERR_MILTER_NO_MESSAGE', undefined, 'first of <a@one.test>', both, { messages: 2 }],
      ...[undefined, 'first of <b@one.test>', both, { messages: 2 }],
      ...['ERR_MILTER_NO_MESSAGE', undefined, 'first of <c@one.test>', both, { messages: 1 }],
    ]);
  });

  it('shows a handler that outlived its message that one’s values', async () => {
    const subject = slot('test.late', 'message', () => 'nothing');
    const back = gate();
    const seen: string[] = [];
    let message = 0;
    class Slow extends Milter {
      static override readonly onError = 'continue';
      override async data() {
        await back.opened;
        seen.push(`late: ${subject.get(this)}`);
        subject.set(this, 'too late');
      }
    }
    class Setting extends Milter {
      override envfrom() {
        subject.set(this, `message ${++message}`);
      }
      override eom() {
        seen.push(subject.get(this));
        if (message === 2) back.open();
      }
      override async close() {
        await until('the late handler', () => seen.length === 3);
      }
    }
    await using t = await serving(compose(Setting, Slow), { deadlines: { data: 100 } });
    const mta = await t.mta();
    await mta.sendMessage(MESSAGE, ENVELOPE);
    await mta.sendMessage(MESSAGE, ENVELOPE);
    await until('the late handler', () => seen.length === 3);
    expect(seen).toEqual(['message 1', 'message 2', 'late: message 1']);
  });

  it('is one place for all who declare it by the same name and owner', async () => {
    const seen: unknown[] = [];
    class Two extends Milter {
      override eom() {
        slot<number>('test.same', 'message').set(this, 1);
        seen.push(
          slot('test.same', 'message', () => 2).get(this),
          slot('test.same', 'session', () => 3).get(this),
        );
      }
    }
    await fakeSession(Two).sendMessage(MESSAGE, ENVELOPE);
    expect(seen).toEqual([1, 3]);
  });

  it('asks its initialiser once, and again after that has thrown', async () => {
    let asked = 0;
    const seen: unknown[] = [];
    class Asking extends Milter {
      override eom() {
        const place = slot('test.initial', 'message', () => {
          if (++asked === 1) throw new Error('not yet');
          return asked;
        });
        expect(() => place.get(this)).toThrow('not yet');
        seen.push(place.get(this), place.get(this));
      }
    }
    await fakeSession(Asking).sendMessage(MESSAGE, ENVELOPE);
    expect(seen).toEqual([2, 2]);
  });

  it('is shared by copies of the package', async () => {
    const copy = (await import(`${'../../lib/milter/slots.ts'}?copy`)) as { slot: typeof slot };
    expect(copy.slot).not.toBe(slot);
    const seen: unknown[] = [];
    class Copies extends Milter {
      override eom() {
        copy.slot<string>('test.copies', 'message').set(this, 'of the copy');
        seen.push(slot<string>('test.copies', 'message').get(this));
      }
    }
    await fakeSession(Copies).sendMessage(MESSAGE, ENVELOPE);
    expect(seen).toEqual(['of the copy']);
  });

  it('refuses what would never be read', () => {
    const fault = expect.objectContaining({ code: 'ERR_MILTER_ARGUMENT' });
    expect(() => slot('', 'message')).toThrow(fault);
    expect(() => slot('a', 'mesage' as 'message')).toThrow(
      `the owner is 'session' or 'message', got "mesage"`,
    );
    expect(() => slot('a', 'message', 5 as never)).toThrow('the initialiser must be a function');
    expect(() => slot('a', 'message').get({} as Milter)).toThrow('needs the filter, as in get(this)');
  });
});
