import { describe, expect, it } from 'vitest';
import { type CloseOptions, Milter, type MilterError } from '../../lib/index.ts';
import { connectMta, type MessageResult } from '../../lib/testing/index.ts';
import { ENVELOPE, gate, MESSAGE, serving } from '../helpers/server.ts';
import { until } from '../helpers/wait.ts';

class Marking extends Milter {
  override async eom() {
    await new Promise((resolve) => setImmediate(resolve));
    this.message.addHeader('X-Marked', 'yes');
  }
}

/** Whether a client still gets through to this address. */
async function answers(address: string): Promise<boolean> {
  try {
    const mta = await connectMta(address, { timeout: 2_000 });
    await mta.close();
    return true;
  } catch {
    return false;
  }
}

describe('close()', () => {
  it('of a server that nobody ever called', async () => {
    await using t = await serving(Marking);
    await t.server.close();
    expect(await answers(t.server.address)).toBe(false);
    expect(t.server.stats().sessions.created).toBe(0);
  });

  it('ends idle connections at once, having told the filter', async () => {
    let closed = 0;
    class Counting extends Marking {
      override envfrom() {}
      override close() {
        closed++;
      }
    }
    await using t = await serving(Counting);
    const fresh = await t.mta();
    const greeted = await t.mta();
    await greeted.helo('one.test');
    const used = await t.mta();
    await used.sendMessage(MESSAGE, ENVELOPE);
    await t.server.close();
    await expect(fresh.envfrom('<x>')).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    await expect(used.envfrom('<x>')).rejects.toMatchObject({ code: 'ERR_MILTER_CLOSED' });
    await until('close of each', () => closed === 3);
  });

  it('lets a running message finish, and refuses new connections meanwhile', async () => {
    const [entered, hold] = [gate(), gate()];
    class Slow extends Milter {
      override async envrcpt() {
        entered.open();
        await hold.opened;
      }
      override eom() {
        this.message.addHeader('X-Marked', 'yes');
      }
    }
    await using t = await serving(Slow);
    const result = (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    await entered.opened;
    let closed = false;
    const closing = t.server.close().then(() => {
      closed = true;
    });
    await until('new connections to be refused', async () => !(await answers(t.server.address)));
    expect(closed).toBe(false);
    hold.open();
    expect(await result).toMatchObject({ verdict: 'continue' });
    expect((await result).message.headers.at(-1)?.name).toBe('X-Marked');
    await closing;
  });

  it('at its deadline answers with tempfail what is still running', async () => {
    const [entered, hold] = [gate(), gate()];
    class Hanging extends Milter {
      override async eom() {
        entered.open();
        await hold.opened;
      }
    }
    await using t = await serving(Hanging);
    const mta = await t.mta();
    const result = mta.sendMessage(MESSAGE, ENVELOPE);
    await entered.opened;
    await t.server.close({ deadline: 100 });
    expect((await result).verdict).toBe('tempfail');
    hold.open();
  });

  it('does not wait for a client that never goes on with its message', async () => {
    await using t = await serving(Marking);
    const mta = await t.mta();
    await mta.envfrom('<a@one.test>');
    await mta.envrcpt('<b@two.test>');
    await t.server.close({ deadline: 100 });
    await expect(
      mta
        .data()
        .then(() => mta.eoh())
        .then(() => mta.eom()),
    ).rejects.toMatchObject({
      code: expect.stringMatching(/ERR_MILTER_/),
    });
  });

  it.each([0, 50])('with a deadline of %i ms under load loses no verdict', async (deadline) => {
    await using t = await serving(Marking);
    const results: MessageResult[] = [];
    const errors: unknown[] = [];
    const mtas = await Promise.all(Array.from({ length: 12 }, () => t.mta()));
    const load = mtas.map(async (mta) => {
      try {
        for (;;) results.push(await mta.sendMessage(MESSAGE, ENVELOPE));
      } catch (error) {
        errors.push((error as MilterError).code);
      }
    });
    await until('some messages', () => results.length > 50);
    await t.server.close({ deadline });
    await Promise.all(load);
    // A connection ends between two messages or with a tempfail, and what was accepted was also changed.
    expect(errors).toEqual(errors.map(() => 'ERR_MILTER_CLOSED'));
    const accepted = results.filter(({ verdict }) => verdict === 'continue');
    expect(accepted.every(({ message }) => message.headers.at(-1)?.name === 'X-Marked')).toBe(true);
    expect(results.every(({ verdict }) => verdict === 'continue' || verdict === 'tempfail')).toBe(true);
    const { messages } = t.server.stats();
    expect(messages.freed).toBe(messages.created);
  });

  it('under load with time to finish loses no message at all', async () => {
    await using t = await serving(Marking);
    let sent = 0;
    let done = 0;
    const mtas = await Promise.all(Array.from({ length: 8 }, () => t.mta()));
    const load = mtas.map(async (mta) => {
      try {
        for (;;) {
          await mta.envfrom('<a@one.test>');
          await mta.envrcpt('<b@two.test>');
          await mta.data();
          await mta.eoh();
          sent++;
          const { verdict, actions } = await mta.eom();
          if (verdict === 'continue' && actions.length === 1) done++;
        }
      } catch {
        // Closed between two messages.
      }
    });
    await until('some messages', () => done > 50);
    await t.server.close({ deadline: 10_000 });
    await Promise.all(load);
    expect(done).toBe(t.server.stats().tickets.created);
    expect(sent - done).toBeLessThanOrEqual(8);
  });

  it('may be called twice, at once and later', async () => {
    await using t = await serving(Marking);
    await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
    await Promise.all([t.server.close(), t.server.close({ deadline: 10 })]);
    await t.server.close();
    await t.server[Symbol.asyncDispose]();
  });

  it('takes no nonsense for an option', async () => {
    await using t = await serving(Marking);
    for (const deadline of [-1, 1.5, Number.NaN, 2 ** 40]) {
      await expect(t.server.close({ deadline })).rejects.toMatchObject({ code: 'ERR_MILTER_OPTION' });
    }
    const misspelt = t.server.close({ deadlin: 5 } as CloseOptions);
    await expect(misspelt).rejects.toMatchObject({
      code: 'ERR_MILTER_OPTION',
      message: 'unknown close option "deadlin"; did you mean "deadline"?',
    });
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
  });
});
