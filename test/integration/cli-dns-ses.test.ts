/** `milter dns` and signatures of senders: those that the filter made, and that bounces used up, as its store has it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createResolver } from '../../lib/dns/index.ts';
import type { StoreUrl } from '../../lib/filter/config/schema.ts';
import { checkHost } from '../../lib/spf/index.ts';
import { createSes } from '../../lib/srs/index.ts';
import { milter, RunningMilter } from '../helpers/cli.ts';
import { folderWith } from '../helpers/configured.ts';
import { type TestFilter, testFilter } from '../helpers/filter.ts';
import { startRedis } from '../helpers/redis.ts';
import { isMissing } from '../helpers/requirements.ts';
import { sharedStores } from '../helpers/store-place.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const SECRET = 'the secret of these tests';
const MODULES = `[[module]]
use = "networks"
internal = ["10.0.0.0/8"]
domains = ["example.org"]
[[module]]
use = "srs"
secrets = "${SECRET}"
[[module]]
use = "bounces"
sign = "ses"
domains = ["example.org"]
`;

function urlOf(store: StoreUrl): string {
  return store.kind === 'sqlite' ? `sqlite:${store.path}` : store.kind === 'redis' ? store.url : 'memory:';
}

/** A filter that signs, and the configuration of a name server for it. */
async function signing(store: string) {
  const port = await unusedPort();
  const folder = folderWith({});
  const file = join(folder, 'milter.toml');
  const write = (url: string): void =>
    writeFileSync(
      file,
      `socket = "fd:3"\ndata = "data"\n[log]\nformat = "json"\n[store]\nurl = "${url}"\n[dns_server]\n` +
        `listen = "127.0.0.1:${port}"\nzone = "rhs.example.org"\nses = true\nname_servers = ["ns.example.net"]\n${MODULES}`,
    );
  write(store);
  const resolver = createResolver({ servers: [`127.0.0.1:${port}`], tries: 1 });
  return {
    file,
    write,
    /** What other sites are told of a sender. */
    async ask(sender: string): Promise<string> {
      const name = sender.replace('@', '._ses.');
      return (await resolver.resolve(`${name}.rhs.example.org`, 'A')).status;
    },
    /** What their SPF makes of it, for a client that is none of ours. */
    async spf(sender: string): Promise<string> {
      const record = 'v=spf1 exists:%{l}._ses.%{d}.rhs.example.org -all';
      return (await checkHost({ ip: '192.0.2.7', sender, record, resolver })).result;
    },
  };
}

/** As whom a message of ours leaves. */
async function signed(
  filter: TestFilter,
  recipients: readonly string[] = ['b@far.example'],
): Promise<string> {
  const mail = { sender: 'ann@example.org', recipients, address: '10.0.0.5' };
  return (await filter.send(mail)).message.sender.slice(1, -1);
}

async function bounce(filter: TestFilter, recipient: string, times: number): Promise<void> {
  for (let i = 0; i < times; i++) await filter.send({ sender: '', recipients: [recipient] });
}

// A cluster is a matter of the store, whose own tests have it.
const stores = sharedStores.filter(({ name }) => name !== 'Redis Cluster');

describe.each(stores)('milter dns, beside a filter with its store in $name', ({ place }) => {
  it('knows the signatures of its senders until their bounces have used them up', async () => {
    await using there = await place();
    const store = urlOf(there.url);
    const { file, ask, spf } = await signing(store);
    await using running = new RunningMilter([file], {}, 'dns');
    await running.address();
    // Of a store that is not there yet it makes none.
    expect(await ask(createSes({ secrets: [SECRET], expiration: 21 }).sign('jo@example.org'))).toBe('ok');

    await using filter = await testFilter(MODULES, { store });
    const [one, two] = [await signed(filter), await signed(filter, ['b@far.example', 'c@far.example'])];
    expect(one).toMatch(/^SES=[\w-]+=ann@example\.org$/);
    const test = async (sender: string) => (await milter(['dns', '--test', sender, file])).out;
    expect([await ask(one), await ask(two)]).toEqual(['ok', 'ok']);
    expect([await spf(one), await spf('ann@example.org')]).toEqual(['pass', 'fail']);
    for (const sender of [one, two]) await bounce(filter, sender, 2);
    expect([await ask(one), await ask(two)]).toEqual(['ok', 'ok']);
    expect(await test(one)).toBe(`${one} is signed by us\n`);
    for (const sender of [one, two]) await bounce(filter, sender, 1);
    // Counted when the MTA has been answered.
    await until('the bounces of one to be counted', async () => (await ask(one)) === 'nxdomain');
    expect(await ask(two)).toBe('ok');
    expect([await spf(one), await spf(two)]).toEqual(['fail', 'pass']);
    // However it is written: DNS knows no case.
    expect(await ask(one.toLowerCase())).toBe('nxdomain');
    expect(await test(one)).toBe(`${one} carries no good signature of ours, or one that is used up\n`);
    await bounce(filter, two, 3);
    await until('those of the other to be counted', async () => (await ask(two)) === 'nxdomain');
    expect(await ask(await signed(filter))).toBe('ok');
  });
});

describe('milter dns, whose store is away', () => {
  const ours = createSes({ secrets: [SECRET], expiration: 21 }).sign('ann@example.org');
  const forged = ours.replace('ann', 'jim');

  it.skipIf(isMissing(['redis'], 'a store that goes away'))(
    'says that it does not know of ours, and knows again when it is back',
    async () => {
      await using redis = await startRedis();
      const { file, write, ask, spf } = await signing(redis.url.url);
      await using running = new RunningMilter([file], {}, 'dns');
      await running.address();
      expect([await ask(ours), await ask(forged)]).toEqual(['ok', 'nxdomain']);
      await redis.stop();
      expect([await ask(ours), await ask(ours), await ask(forged)]).toEqual([
        'servfail',
        'servfail',
        'nxdomain',
      ]);
      expect([await spf(ours), await spf(forged)]).toEqual(['temperror', 'fail']);
      expect(running.err.match(/nobody knows which signatures are used up/g)).toHaveLength(1);
      const test = await milter(['dns', '--test', ours, file]);
      expect(test).toMatchObject({ status: 1, out: '', err: expect.stringContaining('is away') });
      await redis.start();
      await until('the store to be back', async () => (await ask(ours)) === 'ok');
      expect(running.err).toContain('the store answers again');

      // Another store, taken with the rest of the configuration.
      await using other = await startRedis();
      write(other.url.url);
      running.child.kill('SIGHUP');
      await redis.stop();
      await until('the other store', async () => (await ask(ours)) === 'ok');
      running.child.kill('SIGTERM');
      expect(await running.status()).toBe(0);
    },
  );

  it('goes by the signature alone where the store is memory, and milter check says so', async () => {
    const { file, ask } = await signing('memory:');
    await using running = new RunningMilter([file], {}, 'dns');
    await running.address();
    expect([await ask(ours), await ask(forged), await ask('ann@example.org')]).toEqual([
      'ok',
      'nxdomain',
      'nodata',
    ]);
    expect((await milter(['check', file])).out).toContain(
      'dns_server.ses: nobody sees which signatures are used up while store.url is "memory:"',
    );
  });
});
