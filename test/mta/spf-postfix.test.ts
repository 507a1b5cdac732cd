/** examples/spf.ts under a real Postfix, which XCLIENT tells of clients elsewhere, with the zone in a real nsd. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import Spf from '../../examples/spf.ts';
import { createResolver, type Resolver } from '../../lib/dns/index.ts';
import { parseReceivedSpf, type ReceivedSpf } from '../../lib/spf/index.ts';
import { type FilteredMta, type Mail, startFiltered } from '../helpers/filtered.ts';
import { type Nsd, startNsd } from '../helpers/nsd.ts';
import { startPostfix } from '../helpers/postfix.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';

const ZONE = `$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
strict TXT "v=spf1 mx ip6:2001:db8::/32 -all exp=why.mail.example"
strict MX 10 mx
mx A 192.0.2.1
why TXT "%{i} is 100%% not of %{d}"
hostile TXT "v=spf1 -all exp=words.mail.example"
words TXT "sorry\\013\\010250 2.0.0 Ok: queued\\013\\010 \\195\\169"
soft TXT "v=spf1 ~all"
outside TXT "v=spf1 include:elsewhere.test -all"
broken TXT "v=spf1 ip4:192.0.2 -all"
helo TXT "v=spf1 a -all"
helo A 192.0.2.7
`;

describeWith(['postfix', 'nsd'], 'a client of a Postfix that checks SPF', () => {
  let nsd: Nsd;
  let t: FilteredMta;
  beforeAll(async () => {
    nsd = await startNsd('mail.example', ZONE);
    const dns = createResolver({ servers: [nsd.spec] });
    t = await startFiltered((milter) => startPostfix({ milters: [milter], main: ['inet_protocols = all'] }));
    t.use(
      class extends Spf {
        protected override readonly resolver: Resolver = dns;
      },
    );
  });
  afterAll(async () => {
    await t[Symbol.asyncDispose]();
    await nsd[Symbol.asyncDispose]();
  });

  /** An SMTP session as if from this address. */
  async function clientAt(address: string, helo = 'client.test'): Promise<SmtpClient> {
    const client = await SmtpClient.open(t.mta.port);
    expect(await client.command(`XCLIENT ADDR=${address} NAME=[UNAVAILABLE]`)).toMatchObject({ code: 220 });
    expect(await client.command(`EHLO ${helo}`)).toMatchObject({ code: 250 });
    return client;
  }

  let sent = 0;
  /** Sends a message to its end, and gives it as it was delivered. */
  async function delivered(client: SmtpClient, sender: string): Promise<Mail | undefined> {
    const id = `Message-Id: <spf.${++sent}.${process.pid}@one.test>`;
    const message = `${id}\r\nFrom: ann@one.test\r\n\r\ntext\r\n`;
    const { end } = await client.send({ sender, recipients: ['bob@test.invalid'], message });
    expect(end).toMatchObject({ code: 250 });
    return (await t.mailsWith(id))[0];
  }

  /** What a delivered message says of SPF. */
  function received(mail: Mail | undefined): ReceivedSpf | undefined {
    const [field = '', ...others] = mail?.all('Received-SPF') ?? [];
    expect(others).toEqual([]);
    return parseReceivedSpf(field);
  }

  it('is refused with 5.7.23 and the words of the sender’s domain', async () => {
    await using client = await clientAt('192.0.2.99');
    expect(await client.command('MAIL FROM:<ann@strict.mail.example>')).toEqual({
      code: 550,
      enhanced: '5.7.23',
      lines: ['SPF: strict.mail.example says: 192.0.2.99 is 100% not of strict.mail.example'],
    });
    // Nothing of that sticks to the session.
    expect(received(await delivered(client, 'ann@soft.mail.example'))?.result).toBe('softfail');
  });

  it('reads hostile words as one line', async () => {
    await using client = await clientAt('192.0.2.99');
    expect(await client.command('MAIL FROM:<ann@hostile.mail.example>')).toEqual({
      code: 550,
      enhanced: '5.7.23',
      lines: [expect.stringMatching(/^SPF: hostile\.mail\.example says: [\x20-\x7e]+$/)],
    });
    expect(await client.command('NOOP')).toMatchObject({ code: 250, lines: ['Ok'] });
  });

  it('is asked to come again while DNS does not answer', async () => {
    await using client = await clientAt('192.0.2.1');
    // The name server refuses to speak of what is included there.
    expect(await client.command('MAIL FROM:<ann@outside.mail.example>')).toEqual({
      code: 451,
      enhanced: '4.4.3',
      lines: ['SPF: no answer from DNS for outside.mail.example'],
    });
  });

  it('has its message delivered with Received-SPF above what Postfix writes', async () => {
    await using client = await clientAt('192.0.2.1');
    const mail = await delivered(client, 'ann@strict.mail.example');
    expect(mail?.head).toMatch(/^Received-SPF: pass .*\nReceived: from client\.test/m);
    const field = received(mail);
    expect(Object.fromEntries(field?.values ?? [])).toEqual({
      'client-ip': '192.0.2.1',
      'envelope-from': 'ann@strict.mail.example',
      helo: 'client.test',
      receiver: 'mx.test.invalid',
      identity: 'mailfrom',
      mechanism: 'mx',
    });
  });

  it.each([
    ['softfail', 'soft'],
    ['permerror', 'broken'],
    ['none', 'nowhere'],
  ])('has its message delivered with %s', async (result, name) => {
    await using client = await clientAt('192.0.2.1');
    expect(received(await delivered(client, `ann@${name}.mail.example`))?.result).toBe(result);
  });

  it('is known by its IPv6 address', async () => {
    await using client = await clientAt('IPV6:2001:db8::25');
    const field = received(await delivered(client, 'ann@strict.mail.example'));
    expect([field?.result, field?.values.get('client-ip')]).toEqual(['pass', '2001:db8::25']);
    await using other = await clientAt('IPV6:2001:db9::25');
    expect(await other.command('MAIL FROM:<ann@strict.mail.example>')).toMatchObject({ enhanced: '5.7.23' });
  });

  it('answers with its HELO name for a bounce', async () => {
    await using client = await clientAt('192.0.2.7', 'helo.mail.example');
    const field = received(await delivered(client, ''));
    expect([field?.result, field?.values.get('identity')]).toEqual(['pass', 'helo']);
    await using other = await clientAt('192.0.2.8', 'helo.mail.example');
    expect(await other.command('MAIL FROM:<>')).toMatchObject({ code: 550, enhanced: '5.7.23' });
  });
});
