import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Header, type Message, Milter } from '../../lib/index.ts';
import { type FilteredMta, MTAS, startFiltered } from '../helpers/filtered.ts';
import { type Postfix, startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';

for (const [name, start] of MTAS) {
  describeWith([name], `a filter under ${name}`, () => {
    let t: FilteredMta;
    beforeAll(async () => {
      t = await startFiltered(start);
    });
    afterAll(() => t[Symbol.asyncDispose]());

    it('hears all of a message, the late stages before eom', async () => {
      const heard: string[] = [];
      t.use(
        class extends Milter {
          override async connect({ address }: { readonly address: string | undefined }): Promise<void> {
            heard.push(`connect ${address}`);
          }
          override async helo(helo: string): Promise<void> {
            heard.push(`helo ${helo}`);
          }
          override async envfrom(sender: string): Promise<void> {
            heard.push(`envfrom ${sender}`);
          }
          override async envrcpt(recipient: string): Promise<void> {
            heard.push(`envrcpt ${recipient}`);
          }
          override async data(): Promise<void> {
            heard.push('data');
          }
          override async header({ name, value }: Header): Promise<void> {
            if (name === 'Subject') heard.push(`header ${value}`);
          }
          override async eoh(): Promise<void> {
            heard.push('eoh');
          }
          override async body(chunk: Buffer): Promise<void> {
            heard.push(`body ${chunk.length}`);
          }
          override async eom(): Promise<void> {
            heard.push(`eom ${this.message.body.length} ${this.message.queueId?.length !== 0}`);
          }
          override async close(): Promise<void> {
            heard.push('close');
          }
        },
      );
      const body = `${'x'.repeat(70)}\r\n`.repeat(1_000);
      await t.send({ headers: ['Subject: late'], body });
      await t.filter.idle();
      expect(heard).toEqual([
        'connect 127.0.0.1',
        'helo client.test',
        'envfrom <ann@one.test>',
        'envrcpt <bob@test.invalid>',
        'data',
        'header late',
        'eoh',
        'body 65535',
        `body ${72_000 - 65_535}`,
        'eom 72000 true',
        'close',
      ]);
    });

    it('adds a recipient in envfrom and accepts at once, which is a Bcc in one line', async () => {
      t.use(
        class extends Milter {
          override envfrom() {
            this.message.addRcpt('archive@test.invalid');
            return 'accept' as const;
          }
        },
      );
      const { mails } = await t.send();
      expect(mails.map((mail) => mail.get('Delivered-To')).sort()).toEqual([
        'archive@test.invalid',
        'bob@test.invalid',
      ]);
    });

    it('has a message of its own for each of one SMTP session, also after RSET', async () => {
      const messages: Message[] = [];
      const ends: string[] = [];
      t.use(
        class extends Milter {
          override envfrom(sender: string): void {
            messages.push(this.message);
            if (sender === '<first@one.test>') this.message.addHeader('X-Of', 'first');
          }
          override eom(): void {
            const { sender, recipients, headers } = this.message;
            ends.push(
              `eom ${sender} to ${recipients.map(({ address }) => address)}, ${headers.get('X-No')?.value}`,
            );
            this.message.addHeader('X-Of', 'last');
          }
          override abort(): void {
            ends.push(`abort ${this.message.sender}`);
          }
        },
      );
      await using client = await SmtpClient.open(t.mta.port);
      await client.command('MAIL FROM:<first@one.test>');
      await client.command('RCPT TO:<bob@test.invalid>');
      expect(await client.command('RSET')).toMatchObject({ code: 250 });
      for (const number of [1, 2]) {
        const id = `Message-Id: <session.${number}.${process.pid}@one.test>`;
        const message = `${id}\r\nX-No: ${number}\r\n\r\nx\r\n`;
        const submission = {
          sender: `${number}@one.test`,
          recipients: [`to${number}@test.invalid`],
          message,
        };
        expect((await client.send(submission)).end).toMatchObject({ code: 250 });
        const [mail] = await t.mailsWith(id);
        expect(mail?.all('X-Of')).toEqual(['last']);
      }
      expect(ends).toEqual([
        'abort <first@one.test>',
        'eom <1@one.test> to <to1@test.invalid>, 1',
        'eom <2@one.test> to <to2@test.invalid>, 2',
      ]);
      expect(new Set(messages).size).toBe(3);
      expect(messages.map(({ signal }) => signal.aborted)).toEqual([true, false, false]);
    });

    it('hears of a client that leaves in the middle of a message', async () => {
      const gone = Promise.withResolvers<void>();
      const ends: string[] = [];
      t.use(
        class extends Milter {
          override envfrom(): void {
            this.message.signal.addEventListener('abort', () => ends.push('signal'));
          }
          override abort(): void {
            ends.push('abort');
          }
          override close(): void {
            ends.push('close');
            gone.resolve();
          }
        },
      );
      const client = await SmtpClient.open(t.mta.port);
      await client.command('MAIL FROM:<ann@one.test>');
      await client[Symbol.asyncDispose]();
      await gone.promise;
      expect(ends).toEqual(['signal', 'abort', 'close']);
    });
  });
}

describeWith(['postfix'], 'a filter of local mail under postfix', () => {
  let t: FilteredMta<Postfix>;
  beforeAll(async () => {
    t = await startFiltered((milter) => startPostfix({ milters: [milter] }));
  });
  afterAll(() => t[Symbol.asyncDispose]());

  it('changes it like any other', async () => {
    const heard: string[] = [];
    t.use(
      class extends Milter {
        override envfrom(sender: string): void {
          const { hostname, address, port } = this.session.client;
          heard.push(
            `${hostname} ${address} ${port}`,
            sender,
            `queue id ${this.message.queueId !== undefined}`,
          );
        }
        override envrcpt(recipient: string): void {
          heard.push(recipient);
          this.message.addRcpt('eve@test.invalid');
          this.message.addHeader('X-Local', 'yes');
        }
      },
    );
    await t.mta.submit('ann@test.invalid', ['bob@test.invalid'], 'Subject: local\n\nhello\n');
    const mails = await t.mailsWith('Subject: local');
    expect(mails.map((mail) => [mail.get('Delivered-To'), mail.get('X-Local')]).sort()).toEqual([
      ['bob@test.invalid', 'yes'],
      ['eve@test.invalid', 'yes'],
    ]);
    expect(heard).toEqual([
      'localhost 127.0.0.1 0',
      '<ann@test.invalid>',
      'queue id true',
      '<bob@test.invalid>',
    ]);
  });
});

describeWith(['postfix'], 'a filter that is slower than postfix has patience', () => {
  it('keeps it waiting by progress until it is done', async () => {
    await using t = await startFiltered((milter) =>
      startPostfix({ milters: [milter], main: ['milter_content_timeout = 7s'] }),
    );
    t.use(
      class extends Milter {
        override async eom(): Promise<void> {
          await setTimeout(9_000);
          this.message.addHeader('X-Slow', 'yes');
        }
      },
    );
    const { mails } = await t.send();
    expect(mails.map((mail) => mail.get('X-Slow'))).toEqual(['yes']);
  });
});
