import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { Asker } from '../../../../lib/filter/modules/callout/asker.ts';
import { mailSink } from '../../../helpers/mail-sink.ts';
import { smtpServer } from '../../../helpers/smtp-server.ts';
import { unusedPort } from '../../../helpers/wait.ts';

const errand = (more: { readonly message?: Buffer; readonly signal?: AbortSignal } = {}) => ({
  sender: '<ann@far.example>',
  helo: 'mx.test',
  message: undefined,
  handing: async () => {},
  signal: AbortSignal.timeout(20_000),
  ...more,
});

/** Servers at these ports, in this order. */
function servers(...ports: readonly number[]) {
  const asker = new Asker((address) => connect(ports[Number(address.split('.')[3])] ?? 0, '127.0.0.1'));
  const all = ports.map((_, i) => ({ name: `mx${i}.far.example`, addresses: [`203.0.113.${i}`] }));
  return { asker, all };
}

it('goes on to the next server where one is away, busy or no mail server, but not where one has answered', async () => {
  await using busy = await smtpServer((line) => (line === '' ? '421 busy' : undefined));
  await using nonsense = await smtpServer((line) => (line.startsWith('EHLO') ? 'EHLO yourself' : undefined));
  await using later = await smtpServer((line) => (line.startsWith('RCPT') ? '450 4.2.1 later' : undefined));
  await using good = await smtpServer();
  const { asker, all } = servers(await unusedPort(), busy.port, nonsense.port, later.port, good.port);
  expect(await asker.ask(all, errand())).toMatchObject({
    verdict: 'unknown',
    why: 'mx3.far.example: 450 later',
  });
  expect(good.commands).toEqual([]);
});

it('says what the trouble was with the last one', async () => {
  await using busy = await smtpServer((line) => (line === '' ? '554 go away' : undefined));
  const { asker, all } = servers(busy.port);
  expect(await asker.ask(all, errand())).toMatchObject({
    verdict: 'unreachable',
    why: 'mx0.far.example: it answers greeting with 554 go away',
  });
});

it.each([
  ['is no evidence when it was only asked', undefined, 'unknown'],
  ['is when it was told', Buffer.from('x\r\n'), 'bad'],
] as const)('a refusal of MAIL %s', async (_, message, verdict) => {
  await using server = await smtpServer((line) => (line.startsWith('MAIL') ? '550 not you' : undefined));
  const { asker, all } = servers(server.port);
  const more = message === undefined ? {} : { message };
  expect((await asker.ask(all, errand(more))).verdict).toBe(verdict);
});

it('does not hand a message to a second server when the first may have it', async () => {
  await using first = await mailSink((stage) => (stage === 'end' ? 'hang up' : undefined));
  await using second = await mailSink();
  const { asker, all } = servers(first.port, second.port);
  const outcome = await asker.ask(all, errand({ message: Buffer.from('x\r\n') }));
  expect(outcome.verdict).toBe('unreachable');
  expect(second.mails).toEqual([]);
});

it('asks again without TLS where the server offers what it cannot do', async () => {
  await using server = await smtpServer((line) => {
    if (line.startsWith('EHLO')) return '250-far.example\r\n250 STARTTLS';
    return line === 'STARTTLS' ? '220 go on\r\nthis is no TLS' : undefined;
  });
  const { asker, all } = servers(server.port);
  expect((await asker.ask(all, errand())).verdict).toBe('good');
  expect(server.commands.filter((line) => line.startsWith('EHLO'))).toHaveLength(2);
  expect(server.commands.filter((line) => line === 'STARTTLS')).toHaveLength(1);
});

it('has two conversations with a server at once, whatever domains it has', async () => {
  const { promise, resolve } = Promise.withResolvers<string>();
  await using server = await smtpServer((line) => (line.startsWith('RCPT') ? promise : undefined));
  await using other = await smtpServer();
  const { asker, all } = servers(server.port, other.port);
  const [first] = all;
  if (first === undefined) throw new Error('no server');
  const two = [asker.ask([first], errand()), asker.ask([{ ...first, name: 'mx.other.example' }], errand())];
  expect(await asker.ask([first], errand())).toMatchObject({
    verdict: 'unreachable',
    why: 'mx0.far.example: too many are asked at the moment',
  });
  expect(await asker.ask(all, errand())).toMatchObject({ verdict: 'good', why: 'mx1.far.example: 250 ok' });
  resolve('250 ok');
  expect((await Promise.all(two)).map(({ verdict }) => verdict)).toEqual(['good', 'good']);
  expect(server.clients.most).toBe(2);
  expect((await asker.ask([first], errand())).verdict).toBe('good');
});

it('ends when its time is up, at whichever server', async () => {
  await using hanging = await smtpServer(() => new Promise(() => {}));
  await using good = await smtpServer();
  const { asker, all } = servers(hanging.port, good.port);
  const signal = AbortSignal.timeout(200);
  expect((await asker.ask(all, errand({ signal }))).verdict).toBe('unreachable');
  expect(good.commands).toEqual([]);
});
