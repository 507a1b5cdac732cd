import { connect, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { askFarSmtp } from '../../../lib/filter/backends/ask-smtp.ts';
import { SmtpTrouble, TlsTrouble } from '../../../lib/filter/backends/smtp-conversation.ts';
import { makeCertificate } from '../../helpers/certificates.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { fc } from '../../helpers/fuzz.ts';
import { mailSink } from '../../helpers/mail-sink.ts';
import { scriptedServer } from '../../helpers/scripted-server.ts';
import { smtpServer } from '../../helpers/smtp-server.ts';

const question = {
  helo: 'mx.test',
  sender: '<>',
  recipient: '<b@example.com>',
  tls: 'far.test' as string | undefined,
  wait: 20_000,
};

async function connected(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return socket;
}

async function ask(port: number, more: Partial<Parameters<typeof askFarSmtp>[1]> = {}) {
  const signal = more.signal ?? AbortSignal.timeout(20_000);
  return await askFarSmtp(await connected(port), { ...question, ...more, signal });
}

describe('a message for a server elsewhere', () => {
  it('arrives as it is, dots and all', async () => {
    await using sink = await mailSink();
    const message = Buffer.from('Subject: x\r\n\r\n.\r\n..a\r\n.QUIT\r\nno end');
    const order: string[] = [];
    const handing = async (): Promise<void> => void order.push(`handing, ${sink.mails.length} taken`);
    expect(await ask(sink.port, { message, handing })).toMatchObject({
      command: 'message',
      answer: { code: 250, text: 'taken' },
    });
    expect(sink.mails[0]?.message).toBe(`${message.toString()}\r\n`);
    expect(order).toEqual(['handing, 0 taken']);
  });

  it('is not sent where it may not be handed over', async () => {
    await using sink = await mailSink();
    const handing = async (): Promise<void> => {
      throw new Error('not now');
    };
    await expect(ask(sink.port, { message: Buffer.from('x\r\n'), handing })).rejects.toThrow('not now');
    expect(sink.mails).toEqual([]);
  });

  it.each([
    ['MAIL', '550 no'],
    ['RCPT', '450 later'],
    ['DATA', '554 no'],
    ['DATA', '250 what?'],
  ] as const)('is refused at %s', async (command, reply) => {
    await using server = await smtpServer((line) => (line.startsWith(command) ? reply : undefined));
    const outcome = await ask(server.port, { message: Buffer.from('x\r\n') });
    expect(outcome).toMatchObject({ command, answer: { code: Number(reply.slice(0, 3)) } });
  });

  it('in other letters needs SMTPUTF8', async () => {
    await using server = await smtpServer();
    const message = Buffer.from('To: jürgen@example.com\r\n');
    await expect(ask(server.port, { message })).rejects.toEqual(new SmtpTrouble('it does not know SMTPUTF8'));
  });
});

describe('TLS', () => {
  /** What was said within TLS, which begins as `script` says. */
  async function tlsServer(upgrade: (socket: Socket, serve: (socket: Socket) => void) => void) {
    const heard: string[] = [];
    const serve = (socket: Socket): void => {
      socket.on('error', () => {});
      socket.on('data', (bytes: Buffer) => {
        const line = bytes.toString().trim();
        heard.push(line);
        if (line === 'STARTTLS') upgrade(socket, serve);
        else if (line.startsWith('EHLO')) socket.write('250-far.test\r\n250 STARTTLS\r\n');
        else socket.write('250 ok\r\n');
      });
    };
    const server = await scriptedServer((socket) => {
      socket.removeAllListeners('data');
      socket.write('220 far.test\r\n');
      (socket as Socket & { readableEncoding: unknown }).setEncoding('utf8');
      serve(socket);
    });
    return { server, heard };
  }

  it('is begun where it is offered, whoever signed the certificate', async () => {
    await using directory = await temporaryDirectory();
    const { cert, key } = await makeCertificate(directory.path, 'other.test');
    const { server, heard } = await tlsServer((socket, serve) => {
      socket.removeAllListeners('data');
      socket.write('220 go on\r\n');
      serve(new TLSSocket(socket, { isServer: true, cert, key }));
    });
    await using _ = server;
    expect(await ask(server.port)).toMatchObject({ command: 'RCPT', answer: { code: 250 } });
    expect(heard.slice(0, 5)).toEqual([
      'EHLO mx.test',
      'STARTTLS',
      'EHLO mx.test',
      'MAIL FROM:<>',
      'RCPT TO:<b@example.com>',
    ]);
    expect((await ask(server.port, { tls: undefined })).answer.code).toBe(250);
    expect(heard.slice(-4)).not.toContain('STARTTLS');
  });

  it.each<[string, (socket: Socket) => void]>([
    ['is refused', (socket) => socket.write('454 not now\r\n')],
    ['is nonsense', (socket) => socket.write('220 go on\r\n250 injected\r\n')],
    [
      'is no TLS',
      (socket) => socket.write('220 go on\r\n').valueOf() && setImmediate(() => socket.write('hello')),
    ],
    ['ends at once', (socket) => socket.write('220 go on\r\n', () => socket.destroy())],
  ])('%s', async (_, upgrade) => {
    const { server } = await tlsServer((socket) => {
      socket.removeAllListeners('data');
      upgrade(socket);
    });
    await using __ = server;
    await expect(ask(server.port)).rejects.toBeInstanceOf(TlsTrouble);
  });

  it('that never comes is waited for so long', async () => {
    const { server } = await tlsServer((socket) => {
      socket.removeAllListeners('data');
      socket.write('220 go on\r\n');
    });
    await using _ = server;
    await expect(ask(server.port, { wait: 200 })).rejects.toEqual(new TlsTrouble('it took too long'));
  });
});

describe('a hostile server', () => {
  it('that calls itself by our name is none', async () => {
    await using server = await smtpServer((line) =>
      line.startsWith('EHLO') ? '250 MX.test hello' : undefined,
    );
    await expect(ask(server.port)).rejects.toEqual(new SmtpTrouble('it calls itself by our name'));
  });

  it('that drips is waited for so long for each reply', async () => {
    await using server = await scriptedServer((socket) => {
      const timer = setInterval(() => socket.writable && socket.write('220-wait\r\n'), 20);
      socket.once('close', () => clearInterval(timer));
    });
    await expect(ask(server.port, { wait: 200 })).rejects.toEqual(new SmtpTrouble('it took too long'));
  });

  it('that drips is heard so long in all', async () => {
    await using server = await scriptedServer(() => {});
    const signal = AbortSignal.timeout(200);
    await expect(ask(server.port, { signal })).rejects.toEqual(new SmtpTrouble('it took too long'));
    await expect(ask(server.port, { signal })).rejects.toEqual(new SmtpTrouble('it took too long'));
  });

  it('says nothing that could be more than a line of ours', async () => {
    await using server = await smtpServer((line) =>
      line.startsWith('RCPT') ? '550-\u001b[2Jno\u0000\r\n550 %{user}\u0085' : undefined,
    );
    const { answer } = await ask(server.port);
    expect(answer.text).toMatch(/^[ -~]*$/);
    expect(answer.text).toContain('?[2Jno? %{user}');
  });

  it('whatever it says, is an answer or trouble', async () => {
    const line = fc.oneof(
      fc.constantFrom(
        '220 hi',
        '250-a',
        '250 ok',
        '250 STARTTLS',
        '354 go',
        '421 no',
        '550 5.1.1 x',
        '',
        '\u0000',
        '2',
        '250x',
      ),
      fc.string({ maxLength: 60 }),
    );
    const talk = fc.array(fc.tuple(line, fc.constantFrom('\r\n', '\n', '\r', '')), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(talk, async (lines) => {
        await using server = await scriptedServer((socket) => {
          socket.end(lines.map((parts) => parts.join('')).join(''));
        });
        const outcome = await ask(server.port, { message: Buffer.from('x\r\n') }).catch(
          (error: unknown) => error,
        );
        if (outcome instanceof Error) expect(outcome).toBeInstanceOf(SmtpTrouble);
        else expect(outcome).toMatchObject({ answer: { text: expect.stringMatching(/^[ -~]*$/) } });
      }),
      { numRuns: 100 },
    );
  });
});
