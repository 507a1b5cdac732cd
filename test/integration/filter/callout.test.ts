/** Module callout on the real libmilter, and what `milter check` and `milter try` make of it. */
import { connect } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openFilter } from '../../../lib/filter/index.ts';
import { MemoryResolver } from '../../../lib/testing/index.ts';
import { milter } from '../../helpers/cli.ts';
import { configured, folderWith } from '../../helpers/configured.ts';
import { keepingLogger } from '../../helpers/filter.ts';
import { scriptedServer } from '../../helpers/scripted-server.ts';
import { serving } from '../../helpers/server.ts';
import { smtpServer } from '../../helpers/smtp-server.ts';

const MODULES = '[[module]]\nuse = "spf"\nsoftfail = "callout"\n[[module]]\nuse = "callout"\n';

it('asks one server after the other within its deadline, while other mail goes on', async () => {
  const order: string[] = [];
  await using hanging = await scriptedServer(() => {});
  await using nonsense = await smtpServer((line) => (line === '' ? 'HTTP/1.1 400' : undefined));
  await using sound = await smtpServer((line) => (line.startsWith('RCPT') ? '550 5.1.1 no' : undefined));
  const ports: Readonly<Record<string, number>> = {
    '203.0.113.1': nonsense.port,
    '203.0.113.2': sound.port,
    '203.0.113.3': hanging.port,
  };
  const filter = await openFilter(
    `socket = "inet:0@127.0.0.1"\n[store]\nurl = "memory:"\n${MODULES}verify = "asked"\ndeadline = "2s"`,
    {
      logger: keepingLogger(),
      resolver: new MemoryResolver({
        'good.example': { TXT: ['v=spf1 +all'] },
        'two.example': {
          TXT: ['v=spf1 ~all'],
          MX: [
            { preference: 20, exchange: 'b.example' },
            { preference: 10, exchange: 'a.example' },
          ],
        },
        'a.example': { A: ['203.0.113.1'] },
        'b.example': { A: ['203.0.113.2'] },
        'slow.example': { TXT: ['v=spf1 ~all'], A: ['203.0.113.3'] },
      }),
      dial: (address) => {
        order.push(address);
        return connect(ports[address] ?? 0, '127.0.0.1');
      },
    },
  );
  try {
    await using server = await serving(filter.Filter);
    const send = async (sender: string) => {
      const mta = await server.mta();
      const result = await mta.sendMessage('Subject: x\n\nx\n', {
        client: { hostname: 'client.example', address: '192.0.2.99' },
        helo: 'client.example',
        sender,
        recipients: ['bob@ours.example'],
      });
      await mta.quit();
      return result.reply?.lines.join(' ');
    };
    const slow = send('ann@slow.example');
    expect(await send('ann@good.example')).toBeUndefined();
    expect(await send('ann@two.example')).toMatch(
      /their mail server refuses to hear of it: b\.example: 550 no/,
    );
    expect(order.filter((address) => address !== '203.0.113.3')).toEqual(['203.0.113.1', '203.0.113.2']);
    expect(await slow).toMatch(/could not ask their mail server: slow\.example: it took too long/);
  } finally {
    await filter.close();
  }
});

it('is warned of by `milter check`', async () => {
  const check = async (modules: string) => {
    const { status, out, err } = await milter(['check', configured(modules)]);
    return { status, text: out + err };
  };
  const sound = await check(`${MODULES}verify = "asked"`);
  expect(sound.status).toBe(0);
  expect(sound.text).not.toMatch(/callout: (?:dsn|rate|cache)/);
  const harmful = await check(
    `${MODULES}dsn = "asked"\nrate = { messages = 1000, per = "1m" }\ncache_good = "1h"\ncache_bad = "2h"`,
  );
  for (const warning of [
    'dsn = "asked" writes to people whose address was forged',
    'rate allows more than six a minute',
    'cache_good is less than a day',
    'cache_bad is longer than cache_good',
    'use = "srs", by whose secrets bounces of explanations are known',
  ]) {
    expect(harmful.text).toContain(warning);
  }
  const idle = await check(MODULES);
  expect(idle.status).not.toBe(0);
  expect(idle.text).toContain('module "callout" asks nobody');
  expect((await check('[[module]]\nuse = "callout"\n')).text).toContain('it asks nobody');
});

it('connects nowhere when a message is only tried', async () => {
  const folder = folderWith({
    'mail.eml': 'Subject: x\n\nx\n',
    access: 'From:far.invalid CALLOUT\n',
    'milter.toml': `socket = "inet:0@127.0.0.1"\ndata = "data"\n[[module]]\nuse = "access"\nmap = "file:access"\n[[module]]\nuse = "callout"\nverify = "asked"\n`,
  });
  const file = join(folder, 'milter.toml');
  const mail = join(folder, 'mail.eml');
  const tried = await milter([
    'try',
    '--config',
    file,
    '--client',
    '192.0.2.7',
    '--from',
    'ann@far.invalid',
    mail,
  ]);
  expect(tried.out).toContain('callout-not-asked');
  expect(tried.status).toBe(0);
});
