/** examples/spf.ts on the real libmilter, with DNS in memory. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import Spf from '../../examples/spf.ts';
import type { Resolver } from '../../lib/dns/index.ts';
import { parseReceivedSpf, type ReceivedSpf } from '../../lib/spf/index.ts';
import { MemoryResolver, type MessageResult, type SendOptions } from '../../lib/testing/index.ts';
import { gate, serving, type TestServer } from '../helpers/server.ts';

const dns = new MemoryResolver({
  'example.com': { TXT: ['v=spf1 ip4:192.0.2.1 ip6:2001:db8::/64 ip4:192.0.2.20 ?ip4:192.0.2.30 ~all'] },
  'strict.example': { TXT: ['v=spf1 ip4:192.0.2.1 -all exp=why.strict.example'] },
  'why.strict.example': { TXT: ['%{i} is 100%% not of %{d}'] },
  'mute.example': { TXT: ['v=spf1 -all'] },
  'slow.example': { TXT: 'timeout' },
  'broken.example': { TXT: ['v=spf1 ip4:192.0.2 -all'] },
  'hello.example': { TXT: ['v=spf1 a -all'], A: ['192.0.2.7'] },
});
const MESSAGE = 'Received: from elsewhere\r\nSubject: hello\r\n\r\ntext\r\n';

class Tested extends Spf {
  protected override readonly resolver = dns;
}

let filter: TestServer;
beforeAll(async () => {
  filter = await serving(Tested);
});
afterAll(() => filter[Symbol.asyncDispose]());

/** Sends a message on a connection of its own, from a client about which nothing is special. */
async function send(options: Partial<SendOptions>): Promise<MessageResult> {
  await using mta = await filter.mta();
  return await mta.sendMessage(MESSAGE, {
    client: { address: '192.0.2.1', hostname: 'client.test' },
    helo: 'client.test',
    sender: '<user@example.com>',
    recipients: ['<bob@two.test>'],
    macros: { j: 'mx.test' },
    ...options,
  });
}

/** What the message says of SPF, which must stand above everything else in it. */
function received({ verdict, message }: MessageResult): ReceivedSpf | undefined {
  expect(verdict).toBe('continue');
  expect(message.headers.map(({ name }) => name)).toEqual(['Received-SPF', 'Received', 'Subject']);
  return parseReceivedSpf(message.headers[0]?.value ?? '');
}

const from = (address: string): Partial<SendOptions> => ({ client: { address, hostname: 'client.test' } });

describe('a filter that checks SPF', () => {
  it.each([
    ['pass', 'user@example.com', '192.0.2.1'],
    ['softfail', 'user@example.com', '192.0.2.99'],
    ['neutral', 'user@example.com', '192.0.2.30'],
    ['none', 'user@nothing.example', '192.0.2.1'],
    ['none', 'user@localhost', '192.0.2.1'],
    ['permerror', 'user@broken.example', '192.0.2.1'],
  ])(
    'lets a message with %s go on and writes that above all headers (%s at %s)',
    async (result, sender, ip) => {
      const header = received(await send({ ...from(ip), sender }));
      expect(header?.result).toBe(result);
      expect(Object.fromEntries(header?.values ?? [])).toMatchObject({
        'client-ip': ip,
        'envelope-from': sender,
        helo: 'client.test',
        receiver: 'mx.test',
        identity: 'mailfrom',
      });
    },
  );

  it('says in Received-SPF what is wrong with a record', async () => {
    const header = received(await send({ sender: 'user@broken.example' }));
    expect(header?.values.get('problem')).toContain('ip4:192.0.2');
  });

  it('refuses a fail at MAIL with the words of the sender’s domain', async () => {
    expect(await send({ ...from('192.0.2.99'), sender: '<user@strict.example>' })).toMatchObject({
      verdict: 'reject',
      stage: 'envfrom',
      reply: {
        code: 550,
        enhanced: '5.7.23',
        lines: ['SPF: strict.example says: 192.0.2.99 is 100% not of strict.example'],
      },
    });
  });

  it('refuses a fail without an explanation with words of its own', async () => {
    const { reply } = await send({ sender: 'user@mute.example' });
    expect(reply?.lines).toEqual(['SPF: mute.example says: this client may not send its mail']);
  });

  it('has a message sent again whose domain’s DNS is silent', async () => {
    expect(await send({ sender: 'user@slow.example' })).toMatchObject({
      verdict: 'tempfail',
      stage: 'envfrom',
      reply: { code: 451, enhanced: '4.4.3', lines: ['SPF: no answer from DNS for slow.example'] },
    });
  });

  it('checks the HELO name of a bounce', async () => {
    const bounce = { sender: '<>', helo: 'hello.example' };
    const header = received(await send({ ...bounce, ...from('192.0.2.7') }));
    expect(header?.result).toBe('pass');
    expect(header?.values.get('identity')).toBe('helo');
    expect(header?.values.has('envelope-from')).toBe(false);
    expect(await send({ ...bounce, ...from('192.0.2.8') })).toMatchObject({ reply: { enhanced: '5.7.23' } });
  });

  it.each([
    ['pass', '2001:db8::25', '2001:db8::25'],
    ['softfail', '2001:db8:1::25', '2001:db8:1::25'],
    ['pass', '::ffff:192.0.2.1', expect.stringMatching(/192\.0\.2\.1$|c000:201$/)],
  ])('gives %s to a client on IPv6 (%s)', async (result, address, ip) => {
    const header = received(await send(from(address)));
    expect(header).toMatchObject({ result });
    expect(header?.values.get('client-ip')).toEqual(ip);
  });

  it.each([
    ['at a unix socket', { address: '/run/mail.sock' }],
    ['of which the MTA knows no address', { family: 'unknown' as const }],
  ])('has nothing to say of a client %s', async (_, client) => {
    const header = received(await send({ client, sender: 'user@mute.example' }));
    expect(header?.result).toBe('none');
    expect(header?.values.has('client-ip')).toBe(false);
  });

  it('lets users of the site send from anywhere', async () => {
    const { verdict, message } = await send({
      sender: 'user@mute.example',
      macros: { '{auth_authen}': 'user' },
    });
    expect(verdict).toBe('continue');
    expect(message.headers).toHaveLength(2);
  });

  it('judges each message of a connection by itself', async () => {
    await using mta = await filter.mta();
    const envelope = { ...from('192.0.2.1'), helo: 'client.test', recipients: ['<bob@two.test>'] };
    const results = [];
    for (const domain of [
      'mute.example',
      'example.com',
      'slow.example',
      'nothing.example',
      'strict.example',
    ]) {
      const { verdict, message } = await mta.sendMessage(MESSAGE, { ...envelope, sender: `user@${domain}` });
      const fields = message.headers.filter(({ name }) => name === 'Received-SPF');
      results.push([verdict, ...fields.map(({ value }) => parseReceivedSpf(value)?.result)]);
    }
    expect(results).toEqual([
      ['reject'],
      ['continue', 'pass'],
      ['tempfail'],
      ['continue', 'none'],
      ['continue', 'pass'],
    ]);
  });
});

it('stops asking when the MTA hangs up', async () => {
  const asked = gate();
  const stopped = gate();
  class Waiting extends Spf {
    protected override readonly resolver: Resolver = {
      resolve: (_name, _type, options) => {
        options?.signal?.addEventListener('abort', () => stopped.open());
        asked.open();
        return new Promise(() => {});
      },
    };
  }
  await using t = await serving(Waiting);
  const mta = await t.mta();
  await mta.connect('client.test', { address: '192.0.2.1' });
  const answer = mta.envfrom('<user@example.com>').catch(() => undefined);
  await asked.opened;
  await mta.close();
  await Promise.all([stopped.opened, answer]);
  await t.idle();
});

describe('a hostile sender', () => {
  /** The reply to a sender whose domain explains itself so, and whose HELO name is another text of his choice. */
  async function refusal(explanation: string | Buffer, helo = 'client.test') {
    dns.set('hostile.example', { TXT: ['v=spf1 -all exp=why.hostile.example'] });
    dns.set('why.hostile.example', { TXT: [explanation] });
    const { verdict, reply } = await send({ sender: 'user@hostile.example', helo });
    expect(verdict).toBe('reject');
    return reply;
  }

  it.each([
    ['line ends', 'sorry\r\n250 2.0.0 Ok: queued\r\n\r\nQUIT\r\n'],
    ['other control characters', 'a\u0000b\u0007c\u001b[2Jd\u007fe'],
    ['bytes that are no ASCII', Buffer.from([0x61, 0x80, 0xff, 0xc3, 0xa9, 0x62])],
    ['printf’s formats', '%%s%%n%%d%%%% %%{i} %%100s'],
    ['a format that is no macro', '%s %n'],
    ['escapes of SMTP', '.\\r\\n250-ok'],
    ['nothing', ''],
    ['very much', 'explain '.repeat(500)],
    ['one endless word', 'x'.repeat(4000)],
    ['a macro that grows', '%{l}%{s}%{o}%{d}%{h}'.repeat(100)],
  ])('is refused with one plain reply when he explains with %s', async (_, explanation) => {
    const reply = await refusal(explanation);
    expect(reply).toMatchObject({ code: 550, enhanced: '5.7.23' });
    const [line = '', ...others] = reply?.lines ?? [];
    expect(others).toEqual([]);
    expect(line).toMatch(/^SPF: hostile\.example says: [\x20-\x7e]{1,400}$/);
  });

  it('gets back what he wrote where it is plain', async () => {
    expect((await refusal('100%% %%s %%n %%{i}'))?.lines).toEqual([
      'SPF: hostile.example says: 100% %s %n %{i}',
    ]);
  });

  it('gets no line of his own out of a HELO name either', async () => {
    const reply = await refusal('%{h}', 'a\r\n250 ok\u00e9\udcff');
    expect(reply?.lines).toHaveLength(1);
    expect(reply?.lines[0]).toMatch(/^[\x20-\x7e]+$/);
  });

  it.each([
    ['sender', { sender: '<"pass) client-ip=192.0.2.1; x=(\r\nReceived-SPF: pass"@example.com>' }],
    ['HELO name', { helo: '"; identity=helo\r\n\r\nbody; x="\\' }],
    ['sender of bytes', { sender: '<\udcff\udc80é@example.com>' }],
  ])('forges nothing in Received-SPF by a %s', async (_, options) => {
    const result = await send({ ...from('192.0.2.99'), ...options });
    const value = result.message.headers[0]?.value ?? '';
    expect(value).toMatch(/^softfail [\x20-\x7e]+$/);
    const header = received(result);
    expect(header?.values.get('client-ip')).toBe('192.0.2.99');
    expect(header?.values.get('identity')).toBe('mailfrom');
  });

  it('cannot make Received-SPF a line longer than mail may have', async () => {
    const sender = `${'u"'.repeat(32)}@long.example`;
    // Of a domain that is too long, what is on its left goes (RFC 7208 section 7.3).
    const name = `${'u.'.repeat(300)}long.example`.slice(-252);
    dns.set(name.replace(/^\./, ''), { A: ['127.0.0.2'] });
    dns.set('long.example', { TXT: [`v=spf1 exists:${'u.'.repeat(300)}%{d} -all`] });
    const result = await send({ sender, helo: `${'h'.repeat(63)}.`.repeat(4) });
    expect(received(result)?.result).toBe('pass');
    const [header] = result.message.headers;
    for (const line of `Received-SPF:${header?.raw}`.split('\n')) expect(line.length).toBeLessThan(998);
  });
});
