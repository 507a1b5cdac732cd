import { describe, expect, it } from 'vitest';
import { Milter, reject, type Tempfail, tempfail } from '../../lib/index.ts';
import type { Stage, StageReply } from '../../lib/testing/index.ts';
import { PLAYED_STAGES, playUpTo, serving } from '../helpers/server.ts';

/** The words that each stage may answer with. */
const LEGAL: Readonly<Record<Stage, readonly string[]>> = {
  connect: ['continue', 'accept', 'reject', 'tempfail'],
  helo: ['continue', 'accept', 'reject', 'tempfail'],
  unknown: ['continue', 'reject', 'tempfail'],
  envfrom: ['continue', 'accept', 'reject', 'discard', 'tempfail'],
  envrcpt: ['continue', 'accept', 'reject', 'discard', 'tempfail'],
  data: ['continue', 'accept', 'reject', 'discard', 'tempfail'],
  header: ['continue', 'accept', 'reject', 'discard', 'tempfail'],
  eoh: ['continue', 'accept', 'reject', 'discard', 'tempfail'],
  body: ['continue', 'accept', 'reject', 'discard', 'tempfail', 'skip'],
  eom: ['continue', 'accept', 'reject', 'discard', 'tempfail'],
};
const WORDS = ['continue', 'accept', 'reject', 'discard', 'tempfail', 'skip'] as const;

/** A filter whose `stage` answers with whatever `answer` holds at that time, at once and not late. */
function answering(stage: Stage, answer: { now: unknown }): typeof Milter {
  class Answering extends Milter {
    static override readonly early = ['header', 'eoh', 'body'] as const;
  }
  // The types would not let a handler answer with nonsense.
  Object.defineProperty(Answering.prototype, stage, { value: () => answer.now });
  return Answering;
}

describe('a verdict reaches the MTA', () => {
  it.each(PLAYED_STAGES)('from %s, every word that is legal there and no other', async (stage) => {
    const answer: { now: unknown } = { now: undefined };
    await using t = await serving(answering(stage, answer));
    const heard: Record<string, string> = {};
    for (const word of WORDS) {
      answer.now = word;
      const mta = await t.mta();
      heard[word] = (await playUpTo(mta, stage)).verdict;
      await mta.close();
    }
    const expected = WORDS.map((word) => [word, LEGAL[stage].includes(word) ? word : 'tempfail']);
    expect(heard).toEqual(Object.fromEntries(expected));
    expect(t.server.stats().failures).toBe(WORDS.length - LEGAL[stage].length);
  });

  it.each(PLAYED_STAGES)('from %s, refusals with their reply', async (stage) => {
    const answer: { now: unknown } = { now: undefined };
    await using t = await serving(answering(stage, answer));
    const replies: unknown[] = [];
    for (const reply of [reject(554, '5.7.1', 'No, %s', 'never'), tempfail(450, null, 'Later')]) {
      answer.now = reply;
      const mta = await t.mta();
      replies.push(await playUpTo(mta, stage));
      await mta.close();
    }
    expect(replies).toMatchObject([
      { verdict: 'reject', reply: { code: 554, enhanced: '5.7.1', lines: ['No, %s', 'never'] } },
      { verdict: 'tempfail', reply: { code: 450, lines: ['Later'] } },
    ]);
  });

  it.each(PLAYED_STAGES)('from %s, also as a promise, and nothing means continue', async (stage) => {
    const answer: { now: unknown } = { now: Promise.resolve('reject') };
    await using t = await serving(answering(stage, answer));
    const refused = await t.mta();
    expect((await playUpTo(refused, stage)).verdict).toBe('reject');
    await refused.close();
    for (const nothing of [undefined, Promise.resolve(undefined)]) {
      answer.now = nothing;
      const mta = await t.mta();
      expect((await playUpTo(mta, stage)).verdict).toBe('continue');
      await mta.close();
    }
    expect(t.server.stats().failures).toBe(0);
  });

  it('and a thenable of one’s own is waited for like a promise', async () => {
    // biome-ignore lint/suspicious/noThenProperty: a promise of another make is what this is about.
    const answer = { now: { then: (resolve: (word: string) => void) => setImmediate(resolve, 'discard') } };
    await using t = await serving(answering('data', answer));
    expect(await playUpTo(await t.mta(), 'data')).toEqual({ verdict: 'discard' });
  });
});

describe('the reply', () => {
  async function replyOf(verdict: Tempfail | ReturnType<typeof reject>): Promise<StageReply['reply']> {
    class Refusing extends Milter {
      override envfrom() {
        return verdict;
      }
    }
    await using t = await serving(Refusing);
    const mta = await t.mta();
    return (await mta.envfrom('<ann@one.test>')).reply;
  }

  it('keeps every percent sign', async () => {
    const lines = ['100%', '%s %d %n', '%%', 'a%%%b'];
    expect(await replyOf(reject(550, '5.7.1', ...lines))).toEqual({ code: 550, enhanced: '5.7.1', lines });
  });

  it('has up to 32 lines', async () => {
    const lines = Array.from({ length: 32 }, (_, i) => `line ${i + 1}`);
    expect(await replyOf(tempfail(451, '4.7.1', ...lines))).toEqual({ code: 451, enhanced: '4.7.1', lines });
  });

  it('breaks a line that is too long at a space, losing nothing', async () => {
    const text = Array.from({ length: 300 }, (_, i) => `word${i}%`).join(' ');
    const reply = await replyOf(reject(550, '5.7.1', text));
    expect(reply?.lines.join(' ')).toBe(text);
    expect(reply?.lines.every((line) => Buffer.byteLength(line.replaceAll('%', '%%')) <= 500)).toBe(true);
  });

  it('may hold UTF-8 and bytes that are none', async () => {
    expect((await replyOf(reject(550, '5.7.1', 'grüße \udcff')))?.lines).toEqual(['grüße \udcff']);
  });

  it('has an empty line where one was given', async () => {
    expect((await replyOf(reject(550, '5.7.1', 'first', '', 'third')))?.lines).toEqual([
      'first',
      '',
      'third',
    ]);
  });

  it('never sticks to the connection: a later bare reject has none', async () => {
    const answers = [
      reject(550, '5.1.1', 'no such user'),
      'reject',
      tempfail(450, null, 'soon'),
      'tempfail',
    ] as const;
    class Fickle extends Milter {
      #asked = 0;
      override envrcpt() {
        return answers[this.#asked++];
      }
    }
    await using t = await serving(Fickle);
    const mta = await t.mta();
    const replies: StageReply[] = [];
    for (let message = 0; message < 2; message++) {
      await mta.envfrom('<ann@one.test>');
      replies.push(await mta.envrcpt('<b@two.test>'), await mta.envrcpt('<c@two.test>'));
      await mta.abort();
    }
    expect(replies.map(({ verdict, reply }) => [verdict, reply?.lines])).toEqual([
      ['reject', ['no such user']],
      ['reject', undefined],
      ['tempfail', ['soon']],
      ['tempfail', undefined],
    ]);
  });
});

describe('a refusal in envrcpt', () => {
  it('concerns this recipient alone', async () => {
    const seen: string[][] = [];
    class Choosy extends Milter {
      override envrcpt(recipient: string) {
        if (recipient.includes('bad')) return reject(550, '5.1.1', 'unknown');
        if (recipient.includes('slow')) return 'tempfail';
        return undefined;
      }
      override eom() {
        seen.push(
          this.message.recipients.map(({ address, parameters }) => [address, ...parameters].join(' ')),
        );
      }
    }
    await using t = await serving(Choosy);
    const mta = await t.mta();
    await mta.envfrom('<ann@one.test>');
    const verdicts = [];
    for (const name of ['bad1', 'good1', 'slow', 'bad2', 'good2']) {
      verdicts.push((await mta.envrcpt(`<${name}@two.test>`, ['NOTIFY=NEVER'])).verdict);
    }
    expect(verdicts).toEqual(['reject', 'continue', 'tempfail', 'reject', 'continue']);
    expect((await mta.eom()).verdict).toBe('continue');
    expect(seen).toEqual([['<good1@two.test> NOTIFY=NEVER', '<good2@two.test> NOTIFY=NEVER']]);
  });

  it.each(['accept', 'discard'] as const)('but %s ends the message', async (word) => {
    const stages: string[] = [];
    class Ending extends Milter {
      override envrcpt() {
        stages.push('envrcpt');
        return word;
      }
      override data() {
        stages.push('data');
      }
      override eom() {
        stages.push('eom');
      }
    }
    await using t = await serving(Ending);
    const mta = await t.mta();
    await mta.envfrom('<ann@one.test>');
    expect((await mta.envrcpt('<b@two.test>')).verdict).toBe(word);
    if (word === 'discard') {
      // An MTA that goes on all the same hears it again, and the filter nothing. After accept libmilter is deaf.
      expect((await mta.envrcpt('<c@two.test>')).verdict).toBe(word);
      expect((await mta.data()).verdict).toBe(word);
    }
    await mta.close();
    await t.idle();
    expect(stages).toEqual(['envrcpt']);
  });
});

describe('discard', () => {
  it('drops the actions and ends the message, and the next one is served', async () => {
    class Once extends Milter {
      #first = true;
      override eom() {
        this.message.addHeader('X-Seen', 'yes');
        const verdict = this.#first ? 'discard' : undefined;
        this.#first = false;
        return verdict;
      }
    }
    await using t = await serving(Once);
    const mta = await t.mta();
    expect(
      await mta.sendMessage('A: b\r\n\r\n', { sender: '<a@one.test>', recipients: ['<b@two.test>'] }),
    ).toMatchObject({
      verdict: 'discard',
    });
    const second = await mta.sendMessage('A: b\r\n\r\n', {
      sender: '<a@one.test>',
      recipients: ['<b@two.test>'],
    });
    expect(second.message.headers.map(({ name }) => name)).toEqual(['A', 'X-Seen']);
  });
});
