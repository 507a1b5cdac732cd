import { describe, expect, it } from 'vitest';
import { type Header, Milter, reject, SMFIP } from '../../lib/index.ts';
import type { WireConnection } from '../../lib/testing/index.ts';
import { codeOf, ENVELOPE, MESSAGE, playUpTo, serving } from '../helpers/server.ts';

/** Everything up to DATA. */
async function upToData(mta: WireConnection): Promise<void> {
  await mta.envfrom('<ann@one.test>');
  await mta.envrcpt('<bob@two.test>');
  await mta.data();
}

/** A class that notes when its content handlers are called, and with what. */
function noting(events: string[], early: readonly ('header' | 'eoh' | 'body')[] = []): typeof Milter {
  class Noting extends Milter {
    static override readonly early = early;
    override header({ name }: Header) {
      events.push(`header ${name}`);
    }
    override eoh() {
      events.push('eoh');
    }
    override body(chunk: Buffer) {
      events.push(`body ${chunk.length}`);
    }
    override eom() {
      events.push('eom');
    }
  }
  return Noting;
}

describe('header, eoh and body handlers', () => {
  it('run at the end of the message, in wire order, before eom', async () => {
    const events: string[] = [];
    await using t = await serving(noting(events));
    const mta = await t.mta();
    await upToData(mta);
    await mta.header('A', '1');
    await mta.header('B', '2');
    await mta.eoh();
    await mta.body('x'.repeat(65_535));
    await mta.body('y'.repeat(10));
    // Another connection is served, and still nothing has been heard of this one.
    await (await t.mta()).sendMessage('Z: z\r\n\r\nbody', ENVELOPE);
    expect(events).toEqual(['header Z', 'eoh', 'body 4', 'eom']);
    events.length = 0;
    await mta.eom();
    expect(events).toEqual(['header A', 'header B', 'eoh', 'body 65535', 'body 10', 'eom']);
  });

  it('run only if the end is reached', async () => {
    const events: string[] = [];
    await using t = await serving(noting(events));
    const mta = await t.mta();
    await upToData(mta);
    await mta.header('A', '1');
    await mta.eoh();
    await mta.body('x');
    await mta.abort();
    await mta.quit();
    await t.idle();
    expect(events).toEqual([]);
  });

  it('run without eom being overridden', async () => {
    const events: string[] = [];
    class HeaderOnly extends Milter {
      override header({ name }: Header) {
        events.push(name);
      }
    }
    await using t = await serving(HeaderOnly);
    expect((await (await t.mta()).sendMessage(MESSAGE, ENVELOPE)).verdict).toBe('continue');
    expect(events).toEqual(['Subject', 'X-Old', 'X-Old', 'X-Old']);
  });

  it.each(['header', 'eoh', 'body'] as const)(
    'late, %s can refuse the message, and nothing after it runs',
    async (stage) => {
      const events: string[] = [];
      class Refusing extends noting(events) {}
      Object.defineProperty(Refusing.prototype, stage, {
        value: () => reject(550, '5.7.1', `no, says ${stage}`),
      });
      await using t = await serving(Refusing);
      const result = await (await t.mta()).sendMessage(MESSAGE, ENVELOPE);
      expect(result).toMatchObject({
        verdict: 'reject',
        stage: 'eom',
        reply: { lines: [`no, says ${stage}`] },
      });
      const all = ['header', 'eoh', 'body', 'eom'];
      const before = all.slice(0, all.indexOf(stage));
      expect(new Set(events.map((event) => event.split(' ')[0]))).toEqual(new Set(before));
    },
  );

  it.each(['header', 'eoh', 'body'] as const)(
    'early, %s runs when it comes, with all that came before',
    async (stage) => {
      const events: string[] = [];
      class Early extends noting(events, [stage]) {}
      await using t = await serving(Early);
      const mta = await t.mta();
      await upToData(mta);
      await mta.header('A', '1');
      await mta.header('B', '2');
      if (stage === 'header') expect(events).toEqual(['header A', 'header B']);
      await mta.eoh();
      if (stage === 'eoh') expect(events.at(-1)).toBe('eoh');
      await mta.body('x');
      if (stage === 'body') expect(events.at(-1)).toBe('body 1');
      await mta.eom();
      expect(events.filter((event) => event.startsWith(stage))).toHaveLength(stage === 'header' ? 2 : 1);
      expect(events.toSorted()).toEqual(['body 1', 'eoh', 'eom', 'header A', 'header B']);
      expect(events.at(-1)).toBe('eom');
    },
  );

  it('early, the verdict goes to the MTA at once', async () => {
    class Early extends Milter {
      static override readonly early = ['header', 'body'] as const;
      override header({ name }: Header) {
        return name === 'X-Bad' ? 'reject' : undefined;
      }
      override body() {
        return 'tempfail' as const;
      }
    }
    await using t = await serving(Early);
    const mta = await t.mta();
    await upToData(mta);
    expect((await mta.header('Good', '1')).verdict).toBe('continue');
    expect((await mta.header('X-Bad', '1')).verdict).toBe('reject');
    await upToData(mta);
    await mta.eoh();
    expect((await mta.body('x')).verdict).toBe('tempfail');
  });

  it('early, see the message grow', async () => {
    const seen: unknown[] = [];
    class Growing extends Milter {
      static override readonly early = ['header', 'eoh', 'body'] as const;
      override header() {
        seen.push(this.message.headers.length);
      }
      override eoh() {
        seen.push([...this.message.headers].map(({ name }) => name));
      }
      override body() {
        seen.push(this.message.body.toString());
      }
    }
    await using t = await serving(Growing);
    const mta = await t.mta();
    await upToData(mta);
    await mta.header('A', '1');
    await mta.header('B', '2');
    await mta.eoh();
    await mta.body('one ');
    await mta.body('two');
    await mta.eom();
    expect(seen).toEqual([1, 2, ['A', 'B'], 'one ', 'one two']);
  });
});

describe('skip', () => {
  /** Skips at the second chunk. */
  function skipping(seen: unknown[], early: boolean): typeof Milter {
    class Skipping extends Milter {
      static override readonly early = early ? (['body'] as const) : [];
      #chunks = 0;
      override envfrom() {
        this.#chunks = 0;
      }
      override body(chunk: Buffer) {
        seen.push(chunk.length);
        return ++this.#chunks === 2 ? 'skip' : undefined;
      }
      override eom() {
        const { message } = this;
        seen.push(
          message.bodyComplete,
          codeOf(() => message.body),
          codeOf(() => message.replaceBody('x')),
        );
      }
    }
    return Skipping;
  }
  const CHUNKS = ['a', 'bb', 'ccc', 'dddd'];

  it('late: no more chunks are delivered, and the body is whole all the same', async () => {
    const seen: unknown[] = [];
    await using t = await serving(skipping(seen, false));
    const mta = await t.mta();
    for (let message = 0; message < 2; message++) {
      await upToData(mta);
      await mta.eoh();
      for (const chunk of CHUNKS) expect((await mta.body(chunk)).verdict).toBe('continue');
      expect(await mta.eom()).toMatchObject({ verdict: 'continue', actions: [{ body: Buffer.from('x') }] });
    }
    expect(seen).toEqual([1, 2, true, undefined, undefined, 1, 2, true, undefined, undefined]);
  });

  it('early: the MTA sends no more, and a body that is not whole can neither be read nor replaced', async () => {
    const seen: unknown[] = [];
    await using t = await serving(skipping(seen, true));
    const mta = await t.mta();
    for (let message = 0; message < 2; message++) {
      await upToData(mta);
      await mta.eoh();
      const verdicts = [];
      for (const chunk of CHUNKS) verdicts.push((await mta.body(chunk)).verdict);
      expect(verdicts).toEqual(['continue', 'skip', 'skip', 'skip']);
      expect(await mta.eom()).toMatchObject({ verdict: 'continue', actions: [] });
    }
    const incomplete = 'ERR_MILTER_BODY_INCOMPLETE';
    expect(seen).toEqual([1, 2, false, incomplete, incomplete, 1, 2, false, incomplete, incomplete]);
  });

  it('early, from an MTA that did not grant it: answered continue, and the handler is not called again', async () => {
    const seen: unknown[] = [];
    await using t = await serving(skipping(seen, true));
    const mta = await t.mta({ steps: 0x1fffff & ~SMFIP.SKIP });
    for (let message = 0; message < 2; message++) {
      await upToData(mta);
      await mta.eoh();
      const verdicts = [];
      for (const chunk of CHUNKS) verdicts.push((await mta.body(chunk)).verdict);
      expect(verdicts).toEqual(['continue', 'continue', 'continue', 'continue']);
      await mta.eom();
    }
    // The body came all the same, and is whole.
    expect(seen).toEqual([1, 2, true, undefined, undefined, 1, 2, true, undefined, undefined]);
  });
});

describe('the instance', () => {
  it('sees late verdicts and recorded stages alike when only eom is overridden', async () => {
    let seen: unknown;
    class OnlyEom extends Milter {
      override eom() {
        const { sender, senderParameters, recipients, headers, body } = this.message;
        seen = { sender, senderParameters, recipients, headers: headers.length, body: body.toString() };
      }
    }
    await using t = await serving(OnlyEom);
    const mta = await t.mta();
    await mta.envfrom('<ann@one.test>', ['SIZE=3']);
    await mta.envrcpt('<bob@two.test>', ['NOTIFY=NEVER']);
    await mta.data();
    await mta.header('A', 'b');
    await mta.eoh();
    await mta.body('abc');
    await mta.eom();
    expect(seen).toEqual({
      sender: '<ann@one.test>',
      senderParameters: ['SIZE=3'],
      recipients: [{ address: '<bob@two.test>', parameters: ['NOTIFY=NEVER'] }],
      headers: 1,
      body: 'abc',
    });
    // And no message left over: a port that was only probed is none either.
    expect((await playUpTo(await t.mta(), 'helo')).verdict).toBe('continue');
  });
});
