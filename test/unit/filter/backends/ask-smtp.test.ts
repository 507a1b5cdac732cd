import { describe, expect, it } from 'vitest';
import { askSmtp } from '../../../../lib/filter/backends/ask-smtp.ts';
import { SmtpTrouble } from '../../../../lib/filter/backends/smtp-conversation.ts';
import { smtpServer } from '../../../helpers/smtp-server.ts';
import { unusedPort } from '../../../helpers/wait.ts';

const question = { helo: 'mx.test', sender: '<>', recipient: '<b@example.com>' };

async function ask(
  answers: Readonly<Record<string, string>>,
  more: Partial<Parameters<typeof askSmtp>[1]> = {},
) {
  await using server = await smtpServer((command) => answers[command.split(/[ :]/)[0] ?? '']);
  const signal = more.signal ?? AbortSignal.timeout(20_000);
  const asked = await askSmtp(
    { host: '127.0.0.1', port: server.port },
    { ...question, ...more, signal },
  ).catch((error: unknown) => error);
  return { asked, commands: server.commands };
}

describe('a mail server that is asked', () => {
  it('hears MAIL and RCPT, and no DATA', async () => {
    const { asked, commands } = await ask({ RCPT: '250 2.1.5 fine' });
    expect(asked).toEqual({ code: 250, enhanced: '2.1.5', text: 'fine' });
    expect(commands.slice(0, 3)).toEqual(['EHLO mx.test', 'MAIL FROM:<>', 'RCPT TO:<b@example.com>']);
    expect(commands).not.toContain('DATA');
  });

  it.each([
    ['550 5.1.1 no such user', { code: 550, enhanced: '5.1.1', text: 'no such user' }],
    ['550-5.1.1 no\r\n550 5.1.1 such user', { code: 550, enhanced: '5.1.1', text: 'no such user' }],
    ['450', { code: 450, enhanced: null, text: '' }],
    ['550 5.1.1', { code: 550, enhanced: '5.1.1', text: '' }],
    ['550 %{user} 100% sure', { code: 550, enhanced: null, text: '%{user} 100% sure' }],
  ])('is quoted: %j', async (RCPT, answer) => {
    expect((await ask({ RCPT })).asked).toEqual(answer);
  });

  it('is greeted in the old way where it does not know EHLO', async () => {
    const { asked, commands } = await ask({ EHLO: '502 what?' });
    expect(asked).toMatchObject({ code: 250 });
    expect(commands[1]).toBe('HELO mx.test');
  });

  it('is told of SMTPUTF8 where it must be', async () => {
    const recipient = '<jürgen@example.com>';
    const { commands } = await ask({ EHLO: '250-hop\r\n250 SMTPUTF8' }, { recipient });
    expect(commands.slice(1, 3)).toEqual(['MAIL FROM:<> SMTPUTF8', 'RCPT TO:<jürgen@example.com>']);
    expect((await ask({}, { recipient })).asked).toEqual(new SmtpTrouble('it does not know SMTPUTF8'));
  });

  it.each([
    ['', '554 go away', 'it answers greeting with 554 go away'],
    ['EHLO', '421 busy', 'it answers EHLO with 421 busy'],
    ['MAIL', '550 not you', 'it answers MAIL with 550 not you'],
    ['RCPT', 'HTTP/1.1 400 Bad Request', 'it does not speak SMTP'],
    ['RCPT', Array(200).fill('250-more').join('\r\n'), 'it does not speak SMTP'],
    ['RCPT', 'x'.repeat(300_000), 'it talks without end'],
  ])('has trouble at %j with %.20s', async (command, answer, message) => {
    expect((await ask({ [command]: answer })).asked).toEqual(new SmtpTrouble(message));
  });

  it('is not asked about what could be a command of its own', async () => {
    const { asked, commands } = await ask({}, { recipient: '<a\r\nDATA>' });
    expect(asked).toBeInstanceOf(SmtpTrouble);
    expect(commands).toEqual([]);
  });

  it('is waited for so long and no longer', async () => {
    await using server = await smtpServer(() => new Promise(() => {}));
    const end = new AbortController();
    const asked = askSmtp({ host: '127.0.0.1', port: server.port }, { ...question, signal: end.signal });
    end.abort();
    await expect(asked).rejects.toEqual(new SmtpTrouble('it took too long'));
  });

  it('may be away', async () => {
    const port = await unusedPort();
    const signal = AbortSignal.timeout(20_000);
    const asked = askSmtp({ host: '127.0.0.1', port }, { ...question, signal });
    await expect(asked).rejects.toThrow(/ECONNREFUSED/);
  });
});
