import { describe, expect, it } from 'vitest';
import {
  type Client,
  compose,
  type Header,
  type Message,
  Milter,
  type MilterClass,
  type MilterError,
} from '../../lib/index.ts';
import type { Stage } from '../../lib/testing/index.ts';
import { ENVELOPE, MESSAGE, PLAYED_STAGES, playUpTo, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** A member that notes its calls as `name stage` and answers `verdicts[stage]`. */
function member(
  name: string,
  calls: string[],
  verdicts: Partial<Record<Stage, unknown>> = {},
  early: readonly ('header' | 'eoh' | 'body')[] = ['header', 'eoh', 'body'],
): typeof Milter {
  class Member extends Milter {
    static override readonly early = early;
    override abort() {
      calls.push(`${name} abort`);
    }
    override close() {
      calls.push(`${name} close`);
    }
  }
  for (const stage of PLAYED_STAGES) {
    Object.defineProperty(Member.prototype, stage, {
      value: () => {
        calls.push(`${name} ${stage}`);
        return verdicts[stage];
      },
    });
  }
  Object.defineProperty(Member, 'name', { value: name });
  return Member;
}

const both = (...stages: readonly string[]): string[] =>
  stages.flatMap((stage) => [`A ${stage}`, `B ${stage}`]);

describe('compose', () => {
  it('runs its members in order, at every stage', async () => {
    const calls: string[] = [];
    const filter = compose(member('A', calls), member('B', calls));
    expect(filter.name).toBe('compose(A, B)');
    await using t = await serving(filter);
    const mta = await t.mta();
    await playUpTo(mta, 'eom');
    await mta.envfrom('<b@one.test>');
    await mta.abort();
    await mta.quit();
    await until('close', () => calls.includes('B close'));
    const content = ['envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'eom'];
    expect(calls).toEqual(both('connect', 'helo', ...content, 'envfrom', 'abort', 'close'));
  });

  it('composes composed filters, and one alone', async () => {
    const calls: string[] = [];
    const two = compose(member('A', calls), member('B', calls));
    const filter = compose(two, compose(member('C', calls)));
    expect(filter.name).toBe('compose(A, B, C)');
    await using t = await serving(filter);
    await (await t.mta()).helo('one.test');
    expect(calls).toEqual(['A helo', 'B helo', 'C helo']);
  });

  it('shares session and message: headers as received, and in eom the body as those before made it', async () => {
    const seen: unknown[] = [];
    class One extends Milter {
      override eom() {
        this.message.changeHeader('Subject', 1, 'changed');
        this.message.replaceBody('replaced');
        this.message.deleteRcpt('<bob@two.test>');
        seen.push(this.session);
      }
    }
    class Two extends Milter {
      override eom() {
        const { headers, body, recipients } = this.message;
        seen.push(this.session, headers.get('Subject')?.value, body.toString(), recipients.length);
      }
    }
    await using t = await serving(compose(One, Two));
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(seen.slice(1)).toEqual([seen[0], 'hello', 'replaced', 1]);
  });

  it('gives members nothing that one of them could change for the others, but for bytes', async () => {
    const changed: string[] = [];
    /** Changes it as JavaScript can that no types hold back. */
    const change = (what: string, deed: () => unknown): void => {
      try {
        deed();
        changed.push(what);
      } catch (error) {
        expect(error).toBeInstanceOf(TypeError);
      }
    };
    class One extends Milter {
      static override readonly observe = true;
      override connect(client: Client) {
        change('client', () => Object.assign(client, { address: '192.0.2.99' }));
      }
      override envfrom(_sender: string, parameters: readonly string[]) {
        change('parameters of the sender', () => (parameters as string[]).push('X=1'));
        change('negotiated', () => Object.assign(this.session.negotiated, { actions: 0 }));
      }
      override envrcpt(_recipient: string, parameters: readonly string[]) {
        change('parameters of a recipient', () => (parameters as string[]).push('X=1'));
      }
      override header(header: Header) {
        change('header', () => Object.assign(header, { name: 'X-Other' }));
      }
      override eom() {
        const { recipients } = this.message;
        change('recipients', () => (recipients as unknown[]).pop());
        for (const recipient of recipients)
          change('recipient', () => Object.assign(recipient, { address: '<other@two.test>' }));
      }
    }
    await using t = await serving(compose(One, member('Two', [])));
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(changed).toEqual([]);
    class Alone extends Milter {
      override envfrom() {
        change('the client of a session that has told of none', () =>
          Object.assign(this.session.client, { hostname: 'x' }),
        );
      }
    }
    await using alone = await serving(Alone);
    await (await alone.mta()).envfrom('<a@one.test>');
    expect(changed).toEqual([]);
  });

  it('adds actions up in member order, whenever they were recorded; the last word counts', async () => {
    class One extends Milter {
      override eom() {
        this.message.addHeader('X-One', 'late in time, first in order');
        this.message.changeHeader('Subject', 1, 'one');
        this.message.changeHeader('X-Old', 1, 'one');
        this.message.replaceBody('one');
        this.message.addRcpt('one@two.test');
      }
    }
    class Two extends Milter {
      override envfrom() {
        this.message.addHeader('X-Two', 'first in time');
        this.message.changeHeader('Subject', 1, 'two');
        this.message.changeHeader('X-Old', 1, null);
        this.message.replaceBody('two');
        this.message.addRcpt('two@two.test');
      }
    }
    await using t = await serving(compose(One, Two));
    const { message } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(message.headers.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'Subject: two',
      'X-Old: two',
      'X-Old: three',
      'X-One: late in time, first in order',
      'X-Two: first in time',
    ]);
    expect(message.body.toString()).toBe('two');
    expect(message.recipients).toEqual([...ENVELOPE.recipients, '<one@two.test>', '<two@two.test>']);
  });

  it('refuses what is no Milter class, and nothing at all', () => {
    expect(() => compose()).toThrow(/no Milter class given/);
    expect(() => compose(Milter, class {} as unknown as MilterClass)).toThrow(
      /argument 2 is no Milter class/,
    );
  });
});

describe('members that disagree', () => {
  it.each(['reject', 'tempfail', 'discard'] as const)('the first %s ends the stage', async (word) => {
    const calls: string[] = [];
    await using t = await serving(
      compose(member('A', calls, { envfrom: word }), member('B', calls, { envfrom: 'accept' })),
    );
    expect((await (await t.mta()).envfrom('<a@one.test>')).verdict).toBe(word);
    // B did not decide it: its message is over all the same.
    await until('abort of the other', () => calls.includes('B abort'));
    expect(calls).toEqual(['A envfrom', 'B abort']);
  });

  it('the message is over for all, whose signal fires', async () => {
    const seen: unknown[] = [];
    class Watching extends Milter {
      override envfrom() {
        const { signal } = this.message;
        signal.addEventListener('abort', () => seen.push((signal.reason as MilterError).code));
      }
      override abort() {
        seen.push(this.message.sender);
      }
    }
    class Ending extends Milter {
      override envrcpt() {
        return 'discard' as const;
      }
    }
    await using t = await serving(compose(Watching, Ending, Watching));
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('discard');
    await until('all', () => seen.length === 4);
    expect(seen).toEqual([
      'ERR_MILTER_MESSAGE_ENDED',
      'ERR_MILTER_MESSAGE_ENDED',
      '<a@one.test>',
      '<a@one.test>',
    ]);
  });

  it('a refused recipient ends nothing but that', async () => {
    const calls: string[] = [];
    await using t = await serving(compose(member('A', calls, { envrcpt: 'reject' }), member('B', calls)));
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('reject');
    expect((await mta.envrcpt('<c@two.test>')).verdict).toBe('reject');
    expect(calls).toEqual(['A envfrom', 'B envfrom', 'A envrcpt', 'A envrcpt']);
    await mta.abort();
    await until('abort', () => calls.length === 6);
    expect(calls.slice(4)).toEqual(['A abort', 'B abort']);
  });

  it('accept in a message removes that member alone, until the next message', async () => {
    const calls: string[] = [];
    await using t = await serving(compose(member('A', calls, { envrcpt: 'accept' }), member('B', calls)));
    const mta = await t.mta();
    await mta.helo('one.test');
    await mta.envfrom('<a@one.test>');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('continue');
    await mta.data();
    await mta.eoh();
    expect((await mta.eom()).verdict).toBe('continue');
    await mta.envfrom('<a@one.test>');
    await mta.abort();
    await mta.quit();
    await until('close', () => calls.includes('B close'));
    expect(calls).toEqual([
      ...both('helo', 'envfrom', 'envrcpt'),
      'B data',
      'B eoh',
      'B eom',
      ...both('envfrom', 'abort', 'close'),
    ]);
  });

  it('accept by all of them, at whatever stage, is passed on', async () => {
    const calls: string[] = [];
    await using t = await serving(
      compose(member('A', calls, { envfrom: 'accept' }), member('B', calls, { data: 'accept' })),
    );
    const mta = await t.mta();
    expect((await mta.envfrom('<a@one.test>')).verdict).toBe('continue');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('continue');
    expect((await mta.data()).verdict).toBe('accept');
    expect(calls).toEqual(['A envfrom', 'B envfrom', 'B envrcpt', 'B data']);
  });

  it('accept of the connection removes that member for good, from aborts too', async () => {
    const calls: string[] = [];
    await using t = await serving(
      compose(member('A', calls, { helo: 'accept' }), member('B', calls, { data: 'reject' })),
    );
    const mta = await t.mta();
    expect((await mta.helo('one.test')).verdict).toBe('continue');
    expect((await playUpTo(await t.mta(), 'connect')).verdict).toBe('continue');
    calls.length = 0;
    await mta.envfrom('<a@one.test>');
    await mta.abort();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    expect((await mta.data()).verdict).toBe('reject');
    await mta.quit();
    await until('close', () => calls.includes('B close'));
    expect(calls).toEqual(['B envfrom', 'B abort', 'B envfrom', 'B envrcpt', 'B data', 'A close', 'B close']);
  });

  it('accept with actions keeps them, and the message of that member takes no more', async () => {
    const kept: Message[] = [];
    class Accepting extends Milter {
      override envfrom() {
        this.message.addHeader('X-Accepted', 'yes');
        kept.push(this.message);
        return 'accept' as const;
      }
    }
    class Adding extends Milter {
      override eom() {
        expect(() => kept[0]?.addHeader('X-Late', 'no')).toThrow(/has ended/);
        expect(kept[0]?.signal.aborted).toBe(true);
        expect(this.message.signal.aborted).toBe(false);
        this.message.addHeader('X-Added', 'yes');
      }
    }
    await using t = await serving(compose(Accepting, Adding));
    const { message, verdict } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(verdict).toBe('continue');
    expect(message.headers.slice(4).map(({ name }) => name)).toEqual(['X-Accepted', 'X-Added']);
    expect(t.log).toEqual([]);
  });

  it.each([true, false])('skip removes that member from the body alone (early: %s)', async (early) => {
    const calls: string[] = [];
    const when = early ? (['body'] as const) : [];
    const skipping = member('A', calls, { body: 'skip' }, when);
    await using t = await serving(compose(skipping, member('B', calls, {}, when)));
    const mta = await t.mta();
    await playUpTo(mta, 'eoh');
    expect((await mta.body('one')).verdict).toBe('continue');
    expect((await mta.body('two')).verdict).toBe('continue');
    await mta.eom();
    expect(calls.slice(calls.indexOf('A body'))).toEqual(['A body', 'B body', 'B body', 'A eom', 'B eom']);
  });

  it('skip by all of them is passed on', async () => {
    const calls: string[] = [];
    await using t = await serving(
      compose(member('A', calls, { body: 'skip' }), member('B', calls, { body: 'skip' })),
    );
    const mta = await t.mta();
    await playUpTo(mta, 'eoh');
    expect((await mta.body('one')).verdict).toBe('skip');
    await mta.eom();
    expect(calls.slice(calls.indexOf('A body'))).toEqual(['A body', 'B body', 'A eom', 'B eom']);
  });
});

describe('a member that fails', () => {
  it('has its own onError, loses its own actions of that call, and harms nobody', async () => {
    class Failing extends Milter {
      static override readonly onError = 'continue';
      override envfrom() {
        this.message.addHeader('X-Failing', 'kept');
      }
      override eom(): never {
        this.message.addHeader('X-Failing', 'dropped');
        throw new Error('broken');
      }
    }
    class Fine extends Milter {
      override eom() {
        this.message.addHeader('X-Fine', 'kept');
      }
    }
    for (const filter of [compose(Failing, Fine), compose(Fine, Failing)]) {
      await using t = await serving(filter, { onError: 'reject' });
      const { message, verdict } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
      expect(verdict).toBe('continue');
      expect(
        message.headers
          .slice(4)
          .map(({ name, value }) => `${name} ${value}`)
          .toSorted(),
      ).toEqual(['X-Failing kept', 'X-Fine kept']);
      expect(t.log).toMatchObject([{ fields: { filter: 'Failing', stage: 'eom' } }]);
    }
  });

  it('without one of its own has the server’s', async () => {
    class Failing extends Milter {
      override eom(): never {
        throw new Error('broken');
      }
    }
    class Fine extends Milter {
      override eom() {}
    }
    await using t = await serving(compose(Failing, Fine), { onError: 'reject' });
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('reject');
  });

  it('with onError accept steps out of the message alone', async () => {
    const calls: string[] = [];
    class Failing extends Milter {
      static override readonly onError = 'accept';
      override envrcpt(): never {
        throw new Error('broken');
      }
      override eom() {
        calls.push('failing eom');
      }
    }
    await using t = await serving(compose(Failing, member('B', calls)));
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(calls).toContain('B eom');
    expect(calls).not.toContain('failing eom');
  });
});

describe('the wishes of members', () => {
  it('a stage is early for all if one wants it so', async () => {
    const calls: string[] = [];
    await using t = await serving(
      compose(
        member('A', calls, {}, []),
        member('B', calls, {}, ['header']),
        member('C', calls, {}, ['eoh']),
      ),
    );
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    const at = (stage: string): string[] => calls.filter((call) => call.endsWith(stage));
    expect([at('header'), at('eoh'), at('body')]).toEqual([
      ['A header', 'B header', 'C header'],
      ['A eoh', 'B eoh', 'C eoh'],
      [],
    ]);
    await mta.eom();
    expect(at('body')).toEqual(['A body', 'B body', 'C body']);
  });

  it('the body is sent if one wants it', async () => {
    const lengths: number[] = [];
    class Bodiless extends Milter {
      static override readonly body = 'none';
      override header(_header: Header) {}
    }
    class Reading extends Milter {
      override eom() {
        lengths.push(this.message.body.length);
      }
    }
    await using t = await serving(compose(Bodiless, Reading));
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    await using none = await serving(compose(Bodiless, Bodiless));
    expect((await playUpTo(await none.mta(), 'body')).verdict).toBe('none');
    expect(lengths).toEqual([12]);
  });
});
