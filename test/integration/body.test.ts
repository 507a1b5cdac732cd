import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Milter, SMFIP } from '../../lib/index.ts';
import type { WireConnection } from '../../lib/testing/index.ts';
import { codeOf, ENVELOPE, serving } from '../helpers/server.ts';

const digest = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** Bytes that repeat in no power of two, so that a chunk lost or swapped shows. */
function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let i = 0; i < length; i++) bytes[i] = (i % 251) ^ ((i / 251) & 0xff);
  return bytes;
}

async function sendBody(mta: WireConnection, body: Buffer): Promise<string> {
  await mta.envfrom('<ann@one.test>');
  await mta.envrcpt('<bob@two.test>');
  await mta.data();
  await mta.header('Subject', 'large');
  await mta.eoh();
  await mta.body(body);
  return (await mta.eom()).verdict;
}

describe('message.body', () => {
  it.each([
    ['late, without a body handler', false, false],
    ['late, with a body handler', true, false],
    ['early', true, true],
  ])('is whole with 30 MB, %s', async (_, handled, early) => {
    const seen: unknown[] = [];
    let chunks = 0;
    class Large extends Milter {
      static override readonly early = early ? (['body'] as const) : [];
      override eom() {
        const { body, bodyComplete } = this.message;
        seen.push([bodyComplete, body.length, digest(body)]);
      }
    }
    if (handled) {
      const value = (chunk: Buffer) => {
        chunks += chunk.length;
      };
      Object.defineProperty(Large.prototype, 'body', { value });
    }
    await using t = await serving(Large);
    const mta = await t.mta();
    const body = pattern(30_000_000);
    expect(await sendBody(mta, body)).toBe('continue');
    expect(await sendBody(mta, Buffer.from('small'))).toBe('continue');
    expect(seen).toEqual([
      [true, 30_000_000, digest(body)],
      [true, 5, digest(Buffer.from('small'))],
    ]);
    expect(chunks).toBe(handled ? 30_000_005 : 0);
  });

  it.each([false, true])(
    'is incomplete beyond maxBody, and then neither read nor replaced (early: %s)',
    async (early) => {
      const seen: unknown[] = [];
      class Limited extends Milter {
        static override readonly early = early ? (['body'] as const) : [];
        override body() {}
        override eom() {
          const { message } = this;
          const code = codeOf(() => message.body);
          seen.push([
            message.bodyComplete,
            code ?? message.body.length,
            codeOf(() => message.replaceBody('x')),
          ]);
          message.addHeader('X-Still', 'works');
        }
      }
      await using t = await serving(Limited, { maxBody: 100_000 });
      const mta = await t.mta();
      for (const size of [100_000, 100_001, 1_000_000, 10])
        expect(await sendBody(mta, pattern(size))).toBe('continue');
      const refused = 'ERR_MILTER_BODY_INCOMPLETE';
      expect(seen).toEqual([
        [true, 100_000, undefined],
        [false, refused, refused],
        [false, refused, refused],
        [true, 10, undefined],
      ]);
    },
  );

  it('is each connection’s own, when many end at once', async () => {
    const mixed: string[] = [];
    class Checking extends Milter {
      override async eom() {
        const { body, headers, sender } = this.message;
        await new Promise((resolve) => setImmediate(resolve));
        if (headers.get('Subject')?.value !== 'large' || `<${digest(body)}>` !== sender) mixed.push(sender);
        this.message.replaceBody(body);
      }
    }
    await using t = await serving(Checking);
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const mta = await t.mta();
        for (let round = 0; round < 3; round++) {
          const body = pattern(100_000 * (i % 5) + 1000 * round + i + 1).fill(i, 0, 1);
          const sender = `<${digest(body)}>`;
          await mta.envfrom(sender);
          await mta.envrcpt('<b@two.test>');
          await mta.data();
          await mta.header('Subject', 'large');
          await mta.eoh();
          await mta.body(body);
          const { actions } = await mta.eom();
          const [replaced] = actions;
          if (replaced?.type !== 'replaceBody' || `<${digest(replaced.body)}>` !== sender)
            mixed.push(`back ${sender}`);
        }
      }),
    );
    expect(mixed).toEqual([]);
  });

  it('may be kept from the beginning of the next message to its end', async () => {
    const bodies: Buffer[] = [];
    class Keeping extends Milter {
      override eom() {
        bodies.push(this.message.body);
      }
    }
    await using t = await serving(Keeping);
    const mta = await t.mta();
    const sent = [pattern(200_000), pattern(200_001).reverse(), pattern(10)];
    for (const body of sent) await sendBody(mta, body);
    expect(bodies.map(digest)).toEqual(sent.map(digest));
  });

  it('is empty where none was sent', async () => {
    const seen: unknown[] = [];
    class Empty extends Milter {
      override eom() {
        seen.push(this.message.body.length, this.message.bodyComplete);
      }
    }
    await using t = await serving(Empty);
    await (await t.mta()).sendMessage('A: b\r\n\r\n', ENVELOPE);
    expect(seen).toEqual([0, true]);
  });

  it('keeps NUL, bare CR and LF, and every byte', async () => {
    let seen: Buffer | undefined;
    class Bytes extends Milter {
      override eom() {
        seen = this.message.body;
        this.message.replaceBody(this.message.body);
      }
    }
    await using t = await serving(Bytes);
    const mta = await t.mta();
    const body = Buffer.from(Array.from({ length: 512 }, (_, i) => i & 0xff));
    await mta.envfrom('<ann@one.test>');
    await mta.envrcpt('<bob@two.test>');
    await mta.data();
    await mta.eoh();
    await mta.body(body);
    const { actions } = await mta.eom();
    expect(seen?.equals(body)).toBe(true);
    expect(actions).toMatchObject([{ type: 'replaceBody', body }]);
  });
});

describe("static body = 'none'", () => {
  it('is not even sent', async () => {
    class Bodiless extends Milter {
      static override readonly body = 'none';
      override eom() {
        this.message.addHeader('X-Subject', this.message.headers.get('subject')?.value ?? '');
      }
    }
    await using t = await serving(Bodiless);
    const mta = await t.mta();
    expect((await mta.sendMessage('Subject: s\r\n\r\nbody', ENVELOPE)).message.headers.at(-1)?.value).toBe(
      's',
    );
    await mta.envfrom('<ann@one.test>');
    await mta.envrcpt('<bob@two.test>');
    await mta.data();
    await mta.eoh();
    expect((await mta.body('text')).verdict).toBe('none');
    await mta.eom();
  });

  it('is honoured where an MTA sends it all the same', async () => {
    const seen: unknown[] = [];
    class Bodiless extends Milter {
      static override readonly body = 'none';
      override body() {
        seen.push('called');
      }
      override eom() {
        seen.push(this.message.body.length);
      }
    }
    await using t = await serving(Bodiless);
    const mta = await t.mta({ steps: SMFIP.NOHELO });
    expect(await sendBody(mta, pattern(1000))).toBe('continue');
    expect(seen).toEqual([0]);
  });
});
