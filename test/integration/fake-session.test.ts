import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Filter, Milter, parseAddress, reject, serve } from '../../lib/index.ts';
import { connectMta, fakeSession, type WireConnection } from '../../lib/testing/index.ts';
import { until } from '../helpers/wait.ts';

/** The same filter over libmilter and in a fake session must be told the same and answer the same. */
async function inBoth(filter: Filter, play: (mta: WireConnection) => Promise<unknown>): Promise<unknown[]> {
  const folder = mkdtempSync(join(tmpdir(), 'milter-fake-'));
  const server = await serve(filter, { socket: `unix:${join(folder, 's')}`, deadlines: { envfrom: 200 } });
  const results: unknown[] = [];
  for (const mta of [
    await connectMta(server.address),
    fakeSession(filter, { deadlines: { envfrom: 200 } }),
  ]) {
    results.push({ negotiated: mta.negotiated, played: await play(mta) });
    await mta.close();
  }
  await server.close();
  rmSync(folder, { recursive: true });
  return results;
}

const eml = 'Subject: one\r\nX-Odd: \r\nSubject: two\r\n\r\nline\r\n.dot\r\n';

describe('a fake session', () => {
  it('ends with QUIT, and the filter hears of either end', async () => {
    const closed: string[] = [];
    class Listening extends Milter {
      override close(): void {
        closed.push(String(this.session.id));
      }
    }
    const quitting = fakeSession(Listening, { timeout: 5_000 });
    await quitting.quit();
    const leaving = fakeSession(Listening);
    await leaving.close();
    await until('both sessions to be over', () => closed.length === 2);
  });

  it('takes fields of any length', async () => {
    await using mta = fakeSession(
      class extends Milter {
        override eom() {
          return reject(550, '5.6.0', String(this.message.headers.get('Long')?.value.length));
        }
      },
    );
    const { reply } = await mta.sendMessage(`Long: ${'x'.repeat(300_000)}\r\n\r\n`, {
      sender: 'a@example.org',
      recipients: ['b@example.com'],
    });
    expect(reply?.lines).toEqual(['300000']);
  });
});

class Everything extends Milter {
  static override readonly macros = { eom: ['{odd}'] };
  heard: string[] = [];
  override connect(): void {
    this.heard.push(`connect ${JSON.stringify(this.session.client)}`);
  }
  override helo(name: string): void {
    this.heard.push(`helo ${name}`);
  }
  override envfrom(sender: string, parameters: readonly string[]): void {
    this.heard.push(`envfrom ${sender} ${parameters} ${this.session.macro('i')}`);
    this.message.addRcpt('bcc@example.com');
  }
  override envrcpt(recipient: string) {
    this.heard.push(`envrcpt ${recipient} ${this.session.macro('rcpt_addr')}`);
    return recipient.includes('bad') ? reject(550, '5.1.1', '100% no', 'really') : undefined;
  }
  override header({ name, value }: { name: string; value: string }): void {
    this.heard.push(`header ${name}=${value}`);
  }
  override body(chunk: Buffer): void {
    this.heard.push(`body ${chunk.length}`);
  }
  override eom(): void {
    this.heard.push(`eom ${this.message.body.length} ${this.session.macro('{odd}')} ${this.message.queueId}`);
    this.message.addHeader('X-Log', this.heard.join(';').slice(0, 900));
    this.message.changeHeader('Subject', 1, null);
    this.message.changeHeader('subject', 2, 'changed');
    this.message.replaceBody('');
    this.message.quarantine('why not');
    this.heard = [];
  }
  override abort(): void {
    this.heard.push(`abort ${this.message.sender}`);
  }
}

describe('fakeSession', () => {
  it('tells a filter what libmilter tells it, and passes on what libmilter passes on', async () => {
    const [real, fake] = await inBoth(Everything, async (mta) => {
      const macros = { i: 'Q1', '{odd}': 'value', '{rcpt_addr}': 'someone' };
      const options = { sender: '<a@example.com>', recipients: ['<b@example.com>', '<bad@example.com>'] };
      const first = await mta.sendMessage(eml, { ...options, macros });
      await mta.envfrom('<gone@example.com>');
      await mta.abort();
      const second = await mta.sendMessage(eml, { ...options, macros: {} });
      return [first, second].map(({ message, ...rest }) => ({
        ...rest,
        bytes: message.toBytes().toString(),
      }));
    });
    expect(fake).toEqual(real);
    expect(JSON.stringify(real)).toContain('abort <gone@example.com>');
  });

  it('answers as libmilter does when a handler overruns its deadline', async () => {
    class Slow extends Milter {
      override envfrom(): Promise<undefined> {
        return new Promise(() => {});
      }
    }
    const [real, fake] = await inBoth(Slow, async (mta) => [
      await mta.envfrom('<a@example.com>'),
      await mta.envfrom('<b@example.com>'),
    ]);
    expect(fake).toEqual(real);
  });

  it('accepts before the end of the message without losing what was recorded', async () => {
    class Early extends Milter {
      override envfrom(): 'accept' {
        this.message.addHeader('X-Early', 'yes');
        return 'accept';
      }
      override eom(): 'reject' {
        return 'reject';
      }
    }
    const [real, fake] = await inBoth(Early, async (mta) => {
      const { verdict, stage, message } = await mta.sendMessage(eml, {
        sender: '<a@b>',
        recipients: ['<c@d>'],
      });
      return { verdict, stage, bytes: message.toBytes().toString() };
    });
    expect(fake).toEqual(real);
    expect(JSON.stringify(real)).toContain('X-Early');
  });

  it('tells of a local submission in angle brackets', async () => {
    class Local extends Milter {
      #heard: string[] = [];
      override envfrom(sender: string) {
        this.#heard = [this.session.client.hostname, this.session.helo, sender];
      }
      override envrcpt(recipient: string) {
        this.#heard.push(recipient);
        if (parseAddress(recipient).local === 'eve') this.message.deleteRcpt(parseAddress(recipient).address);
      }
      override eom() {
        const { sender, recipients } = this.message;
        this.#heard.push(sender, ...recipients.map(({ address }) => address));
        this.message.addHeader('X-Heard', this.#heard.join(' '));
      }
    }
    const [real, fake] = await inBoth(Local, async (mta) => {
      const results: unknown[] = [];
      for (const sender of ['boss@one.test', '<>']) {
        const recipients = ['bob@two.test', '<eve@Two.test>'];
        const { message } = await mta.sendMessage(eml, { sender, recipients, local: true });
        results.push([message.headers.at(-1)?.value, message.recipients]);
      }
      return results;
    });
    expect(fake).toEqual(real);
    const recipients = '<bob@two.test> <eve@Two.test>';
    expect(real).toMatchObject({
      played: [
        [
          `localhost localhost <boss@one.test> ${recipients} <boss@one.test> ${recipients}`,
          ['<bob@two.test>'],
        ],
        [`localhost localhost <> ${recipients} <> ${recipients}`, ['<bob@two.test>']],
      ],
    });
  });
});
