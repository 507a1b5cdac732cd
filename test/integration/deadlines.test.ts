import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import {
  compose,
  type Header,
  type Message,
  Milter,
  type MilterError,
  type OnError,
} from '../../lib/index.ts';
import type { Stage } from '../../lib/testing/index.ts';
import { codeOf, ENVELOPE, gate, MESSAGE, PLAYED_STAGES, playUpTo, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

/** Every stage may take that long, in milliseconds. */
function allStages(deadline: number): Record<Stage, number> {
  return Object.fromEntries(PLAYED_STAGES.map((stage) => [stage, deadline])) as Record<Stage, number>;
}
const DEADLINES = { deadlines: allStages(150) };

/** A filter that hangs in `stage` until the gate opens. */
function hangingIn(stage: Stage, hold: Promise<unknown>, onError: OnError): typeof Milter {
  class Hanging extends Milter {
    static override readonly early = ['header', 'eoh', 'body'] as const;
    static override readonly onError = onError;
  }
  Object.defineProperty(Hanging.prototype, stage, { value: () => hold });
  return Hanging;
}

describe('a handler that overruns its deadline', () => {
  // Each waits for nothing but its deadlines.
  it.concurrent.each(PLAYED_STAGES)(
    'in %s is answered with the onError verdict, and reported',
    async (stage) => {
      const heard: Record<string, unknown> = {};
      for (const onError of ['tempfail', 'reject', 'accept', 'continue'] as const) {
        const hold = gate();
        await using t = await serving(hangingIn(stage, hold.opened, onError), DEADLINES);
        const mta = await t.mta();
        const { verdict, reply } = await playUpTo(mta, stage);
        heard[onError] = [verdict, reply?.code];
        expect(t.server.stats()).toMatchObject({ deadlines: 1, failures: 0 });
        expect(t.log).toMatchObject([{ level: 'error', fields: { stage, code: 'ERR_MILTER_DEADLINE' } }]);
        hold.open();
      }
      expect(heard).toEqual({
        tempfail: ['tempfail', 451],
        reject: ['reject', 554],
        accept: [stage === 'unknown' ? 'continue' : 'accept', undefined],
        continue: ['continue', undefined],
      });
    },
  );

  it('goes on with its own message while the next one comes, and can do it no harm', async () => {
    const calls: string[] = [];
    const hold = gate();
    const seen: unknown[] = [];
    let kept: Message | undefined;
    class Slow extends Milter {
      override async envrcpt() {
        calls.push(`envrcpt of ${this.message.sender}`);
        if (calls.length > 1) return undefined;
        kept = this.message;
        const { signal } = this.message;
        this.message.addHeader('X-Dropped', 'by the overrun');
        await hold.opened;
        const before = kept;
        seen.push(
          this.message === before,
          this.message.sender,
          signal.aborted,
          (signal.reason as MilterError).code,
        );
        seen.push(codeOf(() => this.message.addHeader('X-Late', 'v')));
        return 'reject';
      }
      override data() {
        calls.push('data');
      }
      override eom() {
        calls.push(`eom of ${this.message.sender}`);
      }
      override abort() {
        calls.push(`abort of ${this.message.sender}`);
      }
    }
    await using t = await serving(Slow, { ...DEADLINES, onError: 'tempfail' });
    const mta = await t.mta();
    await mta.envfrom('<first>');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('tempfail');
    await mta.abort();
    // The second message: answered with the policy, and the instance hears nothing.
    expect((await mta.envfrom('<second>')).verdict).toBe('continue');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('tempfail');
    await mta.abort();
    expect(calls).toEqual(['envrcpt of <first>']);
    hold.open();
    await until('the handler to come back', () => seen.length === 5);
    expect(seen).toEqual([true, '<first>', true, 'ERR_MILTER_DEADLINE', 'ERR_MILTER_MESSAGE_ENDED']);
    // The third message is served as if nothing had been.
    expect(await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: '<third>' })).toMatchObject({
      verdict: 'continue',
      message: { headers: { length: 4 } },
    });
    expect(calls.slice(1)).toEqual(['envrcpt of <third>', 'data', 'eom of <third>']);
  });

  it('and comes back in the middle of the next message is not called for the rest of that one', async () => {
    const calls: string[] = [];
    const hold = gate();
    class Slow extends Milter {
      override async envfrom(sender: string) {
        calls.push(`envfrom ${sender}`);
        if (sender === '<first>') await hold.opened;
        calls.push(`back ${sender}`);
      }
      override envrcpt() {
        calls.push('envrcpt');
      }
      override eom() {
        calls.push('eom');
      }
    }
    await using t = await serving(Slow, { ...DEADLINES, onError: 'continue' });
    const mta = await t.mta();
    await mta.envfrom('<first>');
    await mta.abort();
    expect((await mta.envfrom('<second>')).verdict).toBe('continue');
    hold.open();
    await until('the handler to come back', () => calls.includes('back <first>'));
    // It missed how that message began.
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('continue');
    await mta.data();
    await mta.eoh();
    expect((await mta.eom()).verdict).toBe('continue');
    await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: '<third>' });
    expect(calls).toEqual([
      'envfrom <first>',
      'back <first>',
      'envfrom <third>',
      'back <third>',
      'envrcpt',
      'eom',
    ]);
  });

  it('in a stage of the connection keeps the instance from every later one', async () => {
    const hold = gate();
    const calls: string[] = [];
    class Hanging extends Milter {
      override helo(name: string) {
        calls.push(`helo ${name}`);
        return name === 'first.test' ? hold.opened : undefined;
      }
      override unknown(command: string) {
        calls.push(command);
      }
      override envfrom(sender: string) {
        calls.push(sender);
      }
    }
    await using t = await serving(Hanging, DEADLINES);
    const mta = await t.mta();
    const answers = [await mta.helo('first.test'), await mta.unknown('VRFY'), await mta.helo('second.test')];
    answers.push(await mta.envfrom('<a@one.test>'));
    expect(answers.map(({ verdict }) => verdict)).toEqual(['tempfail', 'tempfail', 'tempfail', 'tempfail']);
    expect(calls).toEqual(['helo first.test']);
    hold.open();
    await until('the handler to be back', async () => (await mta.helo('third.test')).verdict === 'continue');
    expect(calls).toEqual(['helo first.test', 'helo third.test']);
  });

  it('in abort() holds up its own connection only, and that until the next deadline', async () => {
    const hold = gate();
    const calls: string[] = [];
    class Hanging extends Milter {
      override envfrom(sender: string) {
        calls.push(sender);
      }
      override abort() {
        return hold.opened;
      }
    }
    await using t = await serving(Hanging, DEADLINES);
    const mta = await t.mta();
    await mta.envfrom('<first>');
    await mta.abort();
    expect((await mta.envfrom('<second>')).verdict).toBe('tempfail');
    expect((await mta.envfrom('<third>')).verdict).toBe('tempfail');
    expect((await (await t.mta()).envfrom('<other>')).verdict).toBe('continue');
    expect(t.log).toMatchObject([{ fields: { stage: 'abort', code: 'ERR_MILTER_DEADLINE' } }]);
    hold.open();
    await until('abort() to be back', async () => (await mta.envfrom('<fourth>')).verdict === 'continue');
    expect([...new Set(calls)]).toEqual(['<first>', '<other>', '<fourth>']);
  });

  it('in close() holds up nobody, not even the end of the server', async () => {
    class Hanging extends Milter {
      override envfrom() {}
      override close() {
        return new Promise<void>(() => {});
      }
    }
    await using t = await serving(Hanging, DEADLINES);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.quit();
    await t.idle();
    expect((await (await t.mta()).envfrom('<b@one.test>')).verdict).toBe('continue');
  });

  it('in negotiate() has the connection closed', async () => {
    class Hanging extends Milter {
      override negotiate() {
        return new Promise<void>(() => {});
      }
    }
    await using t = await serving(Hanging, DEADLINES);
    await expect(t.mta()).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    await until('the report', () => t.server.stats().deadlines === 1);
    expect(t.log).toMatchObject([{ fields: { stage: 'negotiate', code: 'ERR_MILTER_DEADLINE' } }]);
  });

  it('harms no other connection', async () => {
    const hold = gate();
    class Selective extends Milter {
      override envfrom(sender: string) {
        return sender === '<hang>' ? hold.opened : undefined;
      }
    }
    await using t = await serving(Selective, { deadlines: { envfrom: 400 } });
    const hanging = (await t.mta()).envfrom('<hang>');
    const other = await t.mta();
    for (let i = 0; i < 20; i++) {
      expect((await other.envfrom('<a@one.test>')).verdict).toBe('continue');
      await other.abort();
    }
    expect((await hanging).verdict).toBe('tempfail');
    hold.open();
  });

  it('and then throws is nobody’s unhandled rejection, also when the connection has ended by then', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown): unknown => unhandled.push(reason);
    process.on('unhandledRejection', note);
    const closed: string[] = [];
    class Failing extends Milter {
      override async envfrom() {
        await new Promise((resolve) => this.message.signal.addEventListener('abort', resolve));
        await pause(50);
        throw new Error('too late');
      }
      override close() {
        closed.push('close');
        throw new Error('and so is this');
      }
    }
    await using t = await serving(Failing, { deadlines: { envfrom: 100 } });
    const mta = await t.mta();
    expect((await mta.envfrom('<a@one.test>')).verdict).toBe('tempfail');
    await mta.close();
    // The handler still owned the instance: its clean-up comes when it has come back.
    await until('close', () => closed.length === 1);
    await until('the failure of close() to be logged', () => t.log.length === 2);
    await pause(0);
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
    expect(t.log.map(({ fields }) => [fields.stage, fields.code])).toEqual([
      ['envfrom', 'ERR_MILTER_DEADLINE'],
      ['close', 'ERR_MILTER_HANDLER'],
    ]);
  });

  it('is answered also when the event loop itself stood still', async () => {
    class Blocking extends Milter {
      override envfrom() {
        const end = performance.now() + 400;
        while (performance.now() < end);
      }
    }
    await using t = await serving(Blocking, { deadlines: { envfrom: 100 } });
    expect((await (await t.mta()).envfrom('<a@one.test>')).verdict).toBe('tempfail');
    await until('the report', () => t.server.stats().deadlines === 1);
  });
});

describe('an overrun at the end of the message', () => {
  it.each(['accept', 'continue'] as const)(
    'keeps what earlier calls recorded, with onError %s',
    async (onError) => {
      const hold = gate();
      class Batch extends Milter {
        static override readonly onError = onError;
        override envrcpt() {
          this.message.addHeader('X-Envrcpt', 'kept');
        }
        override header({ name }: Header) {
          if (name === 'Subject')
            this.message.addHeader('X-Header', 'kept, though it came with the same batch');
        }
        override async eom() {
          this.message.addHeader('X-Eom', 'dropped');
          await hold.opened;
        }
      }
      await using t = await serving(Batch, DEADLINES);
      const result = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
      expect(result.verdict).toBe(onError);
      expect(result.message.headers.map(({ name }) => name).slice(4)).toEqual(['X-Envrcpt', 'X-Header']);
      expect(t.server.stats().deadlines).toBe(1);
      hold.open();
    },
  );

  it('of a late handler ends the batch', async () => {
    const calls: string[] = [];
    const hold = gate();
    class Late extends Milter {
      override async header({ value }: Header) {
        calls.push(value);
        if (value === 'one') await hold.opened;
      }
      override eom() {
        calls.push('eom');
      }
    }
    await using t = await serving(Late, DEADLINES);
    const mta = await t.mta();
    expect(await mta.sendMessage(MESSAGE, ENVELOPE)).toMatchObject({ verdict: 'tempfail', stage: 'eom' });
    hold.open();
    await until('the handler to be back', async () => {
      calls.length = 0;
      return (await mta.sendMessage('A: b\r\n\r\n', ENVELOPE)).verdict === 'continue';
    });
    expect(calls).toEqual(['b', 'eom']);
  });
});

describe('the signal', () => {
  it('fires on every end of a message but a successful eom', async () => {
    const fired: Record<string, string | undefined> = {};
    const messages: [string, Message][] = [];
    class Watching extends Milter {
      override envfrom(sender: string) {
        messages.push([sender, this.message]);
        this.message.signal.addEventListener('abort', () => {
          fired[sender] = (this.#of(sender).signal.reason as MilterError).code;
        });
        return sender === '<accept>' ? 'accept' : undefined;
      }
      override envrcpt() {
        return this.message.sender === '<discard>' ? 'discard' : undefined;
      }
      override eom() {
        if (this.message.sender === '<reject>') return 'reject';
        return this.message.sender === '<accepted>' ? 'accept' : undefined;
      }
      #of(sender: string): Message {
        const found = messages.find(([name]) => name === sender);
        if (found === undefined) throw new Error(sender);
        return found[1];
      }
    }
    await using t = await serving(Watching);
    const mta = await t.mta();
    for (const sender of ['<fine>', '<accept>', '<discard>', '<reject>', '<accepted>']) {
      await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender });
    }
    await mta.envfrom('<rset>');
    await mta.abort();
    await mta.envfrom('<mail>');
    await mta.envfrom('<helo>');
    await mta.helo('again.test');
    await mta.envfrom('<quit>');
    await mta.quit();
    const lost = await t.mta();
    await lost.envfrom('<lost>');
    await lost.close();
    await t.idle();
    await until('the last one', () => fired['<lost>'] !== undefined);
    const ended = 'ERR_MILTER_MESSAGE_ENDED';
    expect(fired).toEqual({
      '<accept>': ended,
      '<discard>': ended,
      '<reject>': ended,
      '<rset>': ended,
      '<mail>': ended,
      '<helo>': ended,
      '<quit>': ended,
      '<lost>': ended,
    });
  });

  it.each(['inet:0@127.0.0.1', 'inet6:0@::1', `unix:${join(tmpdir(), `milter-${process.pid}.sock`)}`])(
    'fires during a handler when the MTA hangs up, and the handler may still answer: %s',
    async (socket) => {
      const entered = gate();
      const reasons: unknown[] = [];
      class Waiting extends Milter {
        override async envrcpt() {
          const { signal } = this.message;
          entered.open();
          await new Promise((resolve) => signal.addEventListener('abort', resolve));
          reasons.push((signal.reason as MilterError).code);
        }
      }
      await using t = await serving(Waiting, { socket });
      const mta = await t.mta();
      await mta.envfrom('<a@one.test>');
      const lost = mta.envrcpt('<b@two.test>').catch((error: MilterError) => error.code);
      await entered.opened;
      await mta.close();
      expect(await lost).toBe('ERR_MILTER_CLOSED');
      await t.idle();
      expect(reasons).toEqual(['ERR_MILTER_CLOSED']);
      expect(t.server.stats()).toMatchObject({ failures: 0, deadlines: 0 });
    },
  );

  it('fires during a handler when the server shuts down', async () => {
    const entered = gate();
    const reasons: unknown[] = [];
    class Waiting extends Milter {
      override async eom() {
        const { signal } = this.message;
        entered.open();
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        reasons.push((signal.reason as MilterError).code);
      }
    }
    await using t = await serving(Waiting);
    const result = (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    await entered.opened;
    await t.server.close({ deadline: 50 });
    expect((await result).verdict).toBe('tempfail');
    await until('the handler', () => reasons.length === 1);
    expect(reasons).toEqual(['ERR_MILTER_CLOSED']);
  });

  it('has fired already when it is read for the first time after the end', async () => {
    let kept: Message | undefined;
    class Keeping extends Milter {
      override envfrom() {
        kept = this.message;
        return 'reject' as const;
      }
    }
    await using t = await serving(Keeping);
    await (await t.mta()).envfrom('<a@one.test>');
    await until('the end', () => kept?.signal.aborted);
  });
});

describe('the signal of a message whose actions cannot be sent', () => {
  it('fires at once', async () => {
    let signal: AbortSignal | undefined;
    class Replacing extends Milter {
      override eom() {
        signal = this.message.signal;
        // More than the connection holds: libmilter still writes when the MTA goes, which is after the answer.
        this.message.replaceBody(Buffer.alloc(20_000_000, 'x'));
        setImmediate(() => void mta.close());
      }
    }
    await using t = await serving(Replacing);
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    const answer = mta.eom().catch(() => 'gone');
    await until('the signal', () => signal?.aborted);
    expect(signal?.reason).toMatchObject({
      code: 'ERR_MILTER_CLOSED',
      message: expect.stringContaining('an action could not be sent'),
    });
    expect(await answer).toBe('gone');
    expect(t.log).toMatchObject([{ level: 'warn', message: expect.stringContaining('could not be sent') }]);
  });
});

describe('progress', () => {
  it('is not sent for an eom that answers soon', async () => {
    class Quick extends Milter {
      override async eom() {
        await pause(20);
        this.message.replaceBody('x'.repeat(200_000));
      }
    }
    await using t = await serving(Quick);
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    expect((await mta.eom()).progress).toBe(0);
  });

  it('is sent every 5 s while eom is pending, and never within the replay', async () => {
    const sent = gate();
    class Slow extends Milter {
      override async eom() {
        await sent.opened;
        this.message.replaceBody(Buffer.alloc(1_000_000, 'x'));
      }
    }
    await using t = await serving(Slow);
    const mta = await t.mta();
    await playUpTo(mta, 'body');
    const pending = mta.eom();
    // The only wait for time in this suite: that long is promised.
    await pause(5_500);
    sent.open();
    expect(await pending).toMatchObject({
      progress: 1,
      actions: [{ type: 'replaceBody', contiguous: true }],
    });
  });
});

describe('in a composed filter, a member that hangs', () => {
  it.each([true, false])(
    'gets its own onError, and those after and before it work (hanging last: %s)',
    async (last) => {
      const hold = gate();
      class Hanging extends Milter {
        static override readonly onError = 'continue';
        override async eom() {
          this.message.addHeader('X-Hanging', 'dropped');
          await hold.opened;
        }
      }
      class Fine extends Milter {
        static override readonly onError = 'tempfail';
        override eom() {
          this.message.addHeader('X-Fine', 'kept');
        }
      }
      await using t = await serving(last ? compose(Fine, Hanging) : compose(Hanging, Fine), DEADLINES);
      const mta = await t.mta();
      const result = await mta.sendMessage(MESSAGE, ENVELOPE);
      expect(result.verdict).toBe('continue');
      expect(result.message.headers.map(({ name }) => name).slice(4)).toEqual(['X-Fine']);
      expect(t.log).toMatchObject([
        { fields: { filter: 'Hanging', stage: 'eom', code: 'ERR_MILTER_DEADLINE' } },
      ]);
      expect(t.server.stats().deadlines).toBe(1);
      hold.open();
    },
  );

  it('many times in one batch leaves the members behind it their turn', async () => {
    const hold = gate();
    class Dawdling extends Milter {
      static override readonly onError = 'continue';
      override async header() {
        await pause(40);
      }
    }
    class Fine extends Milter {
      override eom() {
        this.message.addHeader('X-Fine', 'kept');
      }
    }
    await using t = await serving(compose(Dawdling, Fine), { deadlines: allStages(400) });
    const headers = Array.from({ length: 30 }, (_, i) => `H: ${i}\r\n`).join('');
    const result = await (await t.mta()).sendMessage(`${headers}\r\n`, ENVELOPE);
    expect(result.verdict).toBe('continue');
    expect(result.message.headers.at(-1)?.name).toBe('X-Fine');
    expect(t.log).toMatchObject([{ fields: { filter: 'Dawdling', code: 'ERR_MILTER_DEADLINE' } }]);
    hold.open();
  });
});

/** Holds the event loop for twice the deadline. */
function block(): void {
  const end = performance.now() + 300;
  while (performance.now() < end);
}

describe('an answer that comes when its deadline has passed, where messages go on', () => {
  it('has its actions made all the same, with the next answer', async () => {
    class Blocking extends Milter {
      static override readonly onError = 'continue';
      override envfrom() {
        this.message.addHeader('X-Blocking', 'kept');
        block();
      }
      override eom() {}
    }
    await using t = await serving(Blocking, DEADLINES);
    const { message, verdict } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(verdict).toBe('continue');
    expect(message.headers.at(-1)?.name).toBe('X-Blocking');
    expect(t.log).toMatchObject([{ fields: { code: 'ERR_MILTER_DEADLINE', filter: undefined } }]);
  });

  it('leaves members that were not asked out of the message, and in again at the next', async () => {
    const calls: string[] = [];
    class Blocking extends Milter {
      static override readonly onError = 'continue';
      override envfrom(sender: string) {
        if (sender !== '<blocking>') return undefined;
        block();
        return new Promise<undefined>((done) => setImmediate(done, undefined));
      }
    }
    class Behind extends Milter {
      static override readonly onError = 'continue';
      override envfrom(sender: string) {
        calls.push(`envfrom ${sender}`);
      }
      override envrcpt() {
        calls.push('envrcpt');
      }
      override eom() {
        calls.push('eom');
      }
    }
    await using t = await serving(compose(Blocking, Behind), DEADLINES);
    const mta = await t.mta();
    await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: '<blocking>' });
    expect(calls).toEqual([]);
    await mta.sendMessage(MESSAGE, { ...ENVELOPE, sender: '<next>' });
    expect(calls).toEqual(['envfrom <next>', 'envrcpt', 'eom']);
  });

  it('leaves out all that were not asked because it waited behind an earlier handler', async () => {
    const calls: string[] = [];
    const hold = gate();
    class Hanging extends Milter {
      static override readonly onError = 'continue';
      override envfrom() {}
      override abort() {
        return hold.opened;
      }
    }
    class Behind extends Milter {
      static override readonly onError = 'continue';
      override envfrom(sender: string) {
        calls.push(`envfrom ${sender}`);
      }
      override envrcpt() {
        calls.push('envrcpt');
      }
    }
    await using t = await serving(compose(Hanging, Behind), DEADLINES);
    const mta = await t.mta();
    await mta.envfrom('<first>');
    await mta.abort();
    expect((await mta.envfrom('<second>')).verdict).toBe('continue');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe('continue');
    expect(calls).toEqual(['envfrom <first>']);
    hold.open();
  });
});

describe('static deadlines', () => {
  it('of a filter alone are kept for it by the libmilter side', async () => {
    class Hasty extends Milter {
      static override readonly deadlines = { eom: 50 };
      override eom() {
        return new Promise<undefined>(() => {});
      }
    }
    await using t = await serving(Hasty);
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('tempfail');
    expect(t.log).toMatchObject([{ fields: { filter: 'Hasty', code: 'ERR_MILTER_DEADLINE' } }]);
  });

  it('of a late handler end it alone', async () => {
    class Hasty extends Milter {
      static override readonly deadlines = { header: 50 };
      static override readonly onError = 'continue';
      override header() {
        return new Promise<undefined>(() => {});
      }
    }
    await using t = await serving(Hasty);
    const { verdict } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(verdict).toBe('continue');
    expect(t.log).toMatchObject([{ fields: { stage: 'header', code: 'ERR_MILTER_DEADLINE' } }]);
  });

  it('let nineteen hanging members leave the twentieth its turn', async () => {
    class Hanging extends Milter {
      static override readonly deadlines = { eom: 20 };
      static override readonly onError = 'continue';
      override eom() {
        return new Promise<undefined>(() => {});
      }
    }
    class Fine extends Milter {
      override eom() {
        this.message.addHeader('X-Fine', 'kept');
      }
    }
    await using t = await serving(compose(...Array.from({ length: 19 }, () => Hanging), Fine));
    const { message } = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    expect(message.headers.at(-1)?.name).toBe('X-Fine');
    expect(t.server.stats().deadlines).toBe(19);
  });
});
