import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { pairKey } from '../../../../lib/filter/index.ts';
import { attempt, read, type Seen, write } from '../../../../lib/filter/modules/greylist/states.ts';
import { temporaryDirectory } from '../../../helpers/directory.ts';
import { faultsOf, type TestFilter, type TestMail, testFilter } from '../../../helpers/filter.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const greylist = (options = ''): string => `[[module]]\nuse = "greylist"\n${options}\n`;
const spf = (result: string): string => `[[module]]\nuse = "./spf-says.ts"\nresult = "${result}"\n`;
const probe = (options: string): string => `[[module]]\nuse = "./probe.ts"\n${options}\n`;

/** A filter whose clock stands still but when it is told to pass. */
async function opened(config = greylist()) {
  let now = Date.UTC(2026, 0, 1);
  const filter = await testFilter(config, { now: () => now });
  return {
    ...filter,
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
    /** What is said at the first recipient, or at the end. */
    told: async (mail: TestMail = {}) => await told(filter, mail),
  };
}

async function told(filter: TestFilter, mail: TestMail): Promise<string> {
  const { recipients, verdict, reply } = await filter.send(mail);
  const said = recipients[0]?.reply ?? reply;
  return said === undefined ? verdict : `${said.code} ${said.enhanced}`;
}

const wait = '451 4.7.1';
const go = 'continue';

describe('a triple', () => {
  const times = { delay: 5 * MINUTE, expire: 4 * HOUR, retain: 36 * DAY };
  const played = (...moments: number[]): readonly number[] => {
    let seen: Seen | undefined;
    return moments.map((now) => {
      seen = read(write(attempt(seen, now, times)));
      return seen?.count ?? Number.NaN;
    });
  };

  it.each([
    [
      'waits for the delay and five seconds',
      [0, 5 * MINUTE, 5 * MINUTE + 4_999, 5 * MINUTE + 5_000],
      [0, 0, 0, 1],
    ],
    ['is counted from then on', [0, 15 * MINUTE, 15 * MINUTE, 5 * HOUR, 5 * DAY], [0, 1, 2, 3, 4]],
    ['begins anew when it comes too late', [0, 4 * HOUR, 4 * HOUR + 6 * MINUTE], [0, 0, 1]],
    ['may come to the last moment', [0, 4 * HOUR - 1], [0, 1]],
    ['is kept for the days after its last mail', [0, HOUR, 36 * DAY + HOUR], [0, 1, 2]],
    ['is forgotten after that', [0, HOUR, 36 * DAY + HOUR + 1, 37 * DAY], [0, 1, 0, 0]],
    ['begins anew when the clock is set back while it waits', [DAY, HOUR, HOUR + 6 * MINUTE], [0, 0, 1]],
    ['that was let through stays so when the clock is set back', [DAY, DAY + HOUR, 0, HOUR], [0, 1, 1, 1]],
    ['does not wait longer for trying often', [0, MINUTE, 2 * MINUTE, 6 * MINUTE], [0, 0, 0, 1]],
  ])('%s', (_, moments, counts) => {
    expect(played(...moments)).toEqual(counts);
  });

  it('that cannot be read is a new one', () => {
    for (const text of [undefined, '', 'x', '1 2', '1 2 3 4', '-1 2 3', '1.5 2 3']) {
      expect(read(text)).toBeUndefined();
    }
  });
});

describe('greylist', () => {
  it('lets a sender wait once, and says for how long', async () => {
    await using filter = await opened();
    const { recipients } = await filter.send();
    expect(recipients[0]?.reply?.lines[0]).toMatch(
      /^We have not met: please try again in 6 minutes, .* \[ref /,
    );
    filter.pass(5 * MINUTE);
    expect(await filter.told()).toBe(wait);
    filter.pass(MINUTE);
    expect(await filter.told()).toBe(go);
    expect(await filter.told()).toBe(go);
    expect(await filter.told({ recipients: ['other@example.com'] })).toBe(wait);
    expect(await filter.told({ sender: 'other@example.org' })).toBe(wait);
  });

  it.each([
    ['delay = "1m"', MINUTE + 5_000, go],
    ['delay = "1h"', HOUR, wait],
    ['expire = "10m"', 10 * MINUTE, wait],
    ['expire = "10m"', 9 * MINUTE, go],
  ])('goes by its options: %s', async (options, later, expected) => {
    await using filter = await opened(greylist(options));
    await filter.told();
    filter.pass(later);
    expect(await filter.told()).toBe(expected);
  });

  it('forgets after `retain`', async () => {
    await using filter = await opened(greylist('retain = "2d"\nafter = 0'));
    const attempts = [0, HOUR, 2 * DAY, 2 * DAY + 1];
    const all: string[] = [];
    for (const passed of attempts) {
      filter.pass(passed);
      all.push(await filter.told());
    }
    expect(all).toEqual([wait, go, go, wait]);
  });

  it.each([
    ['', '192.0.2.99', go],
    ['', '192.0.3.7', wait],
    ['v4_prefix = 32', '192.0.2.99', wait],
    ['v4_prefix = 16', '192.0.3.7', go],
    ['', '2001:db8::99', wait],
  ])('takes machines of one network for one: %j, %s', async (options, address, expected) => {
    await using filter = await opened(greylist(options));
    await filter.told();
    filter.pass(HOUR);
    expect(await filter.told({ address })).toBe(expected);
  });

  it.each([
    ['', go],
    ['v6_prefix = 128', wait],
  ])('does so in IPv6: %j', async (options, expected) => {
    await using filter = await opened(greylist(options));
    await filter.told({ address: '2001:db8:0:1::7' });
    filter.pass(HOUR);
    expect(await filter.told({ address: '2001:db8:0:1:ffff::' })).toBe(expected);
    expect(await filter.told({ address: '2001:db8:0:2::7' })).toBe(wait);
  });

  it('knows a domain by its name where SPF does', async () => {
    await using filter = await opened(`${greylist('spare = []')}${spf('pass')}`);
    await filter.told();
    filter.pass(HOUR);
    expect(await filter.told({ address: '203.0.113.9' })).toBe(go);
  });

  it.each([
    ['internal', '[[module]]\nuse = "networks"\n', { address: '127.0.0.1' }],
    ['authenticated', '', { macros: { '{auth_authen}': 'ann' } }],
    ['behind a relay', '[[module]]\nuse = "networks"\nrelays = ["192.0.2.0/24"]\n', {}],
  ])('does not concern who is %s', async (_, config, mail) => {
    await using filter = await opened(config + greylist());
    expect(await filter.told(mail)).toBe(go);
  });

  it('asks senders of bounces at the end of the message', async () => {
    await using filter = await opened();
    const mail = { sender: '' };
    const { recipients, verdict, reply } = await filter.send(mail);
    expect(recipients[0]?.verdict).toBe('continue');
    expect({ verdict, reply }).toMatchObject({
      verdict: 'tempfail',
      reply: { code: 451, enhanced: '4.7.1' },
    });
    filter.pass(HOUR);
    expect(await filter.told(mail)).toBe(go);
  });

  it.each([
    probe('recipient = "reject"\nrecipients = ["b@example.com"]\nmatch = { client = ["192.0.2.7"] }'),
    probe('recipient = "discard"\nrecipients = ["b@example.com"]\nmatch = { client = ["192.0.2.7"] }'),
    probe('sender = "reject"\nmatch = { client = ["192.0.2.7"] }'),
    '[[module]]\nuse = "ratelimit"\nlimits = [{ key = "sender", messages = 1, per = "1m" }]\n',
  ])('records no recipient whom others refuse, wherever it stands in the file: %j', async (other) => {
    await using filter = await opened(greylist() + other);
    if (other.includes('ratelimit')) {
      // The limit is reached by a message that another network may send.
      await filter.told({ address: '203.0.113.1' });
      filter.pass(6 * MINUTE);
      expect(await filter.told({ address: '203.0.113.1' })).toBe(go);
    }
    await filter.told();
    filter.pass(HOUR);
    expect(await filter.told({ address: '192.0.2.8' })).toBe(wait);
    filter.pass(HOUR);
    expect(await filter.told({ address: '192.0.2.8' })).toBe(go);
  });

  it('records no bounce that others refuse at its end', async () => {
    const score = '[[module]]\nuse = "score"\nreject_from = 2\n';
    const other = probe('message = "score 2"\nmatch = { client = ["192.0.2.7"] }');
    await using filter = await opened(greylist() + score + other);
    expect(await filter.told({ sender: '' })).toBe('550 5.7.1');
    filter.pass(HOUR);
    expect(await filter.told({ sender: '', address: '192.0.2.8' })).toBe(wait);
  });

  it('does not delay those who are exempt', async () => {
    const config = `${greylist()}[[module]]\nuse = "recipients"\n`;
    await using filter = await opened(config);
    expect(await filter.told({ recipients: ['postmaster@example.com'] })).toBe(go);
  });

  it('in observe mode finds, and lets go', async () => {
    await using filter = await opened(greylist('mode = "observe"'));
    expect(await filter.told()).toBe(go);
    expect((await filter.last())?.findings).toMatchObject([{ name: 'greylist-delay', observed: true }]);
  });
});

describe('several machines that share a store', () => {
  it('make one triple of what comes to them at once', async () => {
    await using directory = await temporaryDirectory();
    const store = `sqlite:${join(directory.path, 'milter.db')}`;
    let now = Date.UTC(2026, 0, 1);
    const clock = { store, now: () => now };
    await using one = await testFilter(greylist('after = 0'), clock);
    await using other = await testFilter(greylist('after = 0'), clock);
    const all = async (count: number): Promise<readonly string[]> =>
      await Promise.all(Array.from({ length: count }, (_, i) => told(i % 2 === 0 ? one : other, {})));
    expect(new Set(await all(8))).toEqual(new Set([wait]));
    now += 5 * MINUTE + 5_000;
    expect(new Set(await all(8))).toEqual(new Set([go]));
    const key = `greylist/triple/192.0.2.0/24/${pairKey('<a@example.org>', '<b@example.com>')}`;
    expect(read(await one.store.get(key))).toMatchObject({ count: 8 });
  });
});

describe('who need not wait', () => {
  it.each([
    [spf('pass'), '', go],
    [spf('softfail'), '', wait],
    [spf('pass'), 'spare = ["known"]', wait],
    [probe('sender = "score -1"'), '', go],
    [probe('sender = "score -0.9"'), '', wait],
    [probe('sender = "score 2"'), 'spare = ["score <= 2.5"]', go],
    [probe('sender = "score -5"'), 'spare = []', wait],
    [probe('sender = "accept"'), '', go],
  ])('%j, %j: %s', async (config, options, expected) => {
    await using filter = await opened(greylist(options) + config);
    expect(await filter.told()).toBe(expected);
  });

  it('is a network that has delivered so often', async () => {
    await using filter = await opened(greylist('after = 2\nretain = "10d"'));
    const stranger = (i: number): TestMail => ({ sender: `s${i}@example.org` });
    for (let i = 0; i < 3; i++) expect(await filter.told(stranger(i))).toBe(wait);
    filter.pass(HOUR);
    expect(await filter.told(stranger(0))).toBe(go);
    expect(await filter.told(stranger(9))).toBe(wait);
    expect(await filter.told(stranger(1))).toBe(go);
    expect(await filter.told(stranger(10))).toBe(go);
    expect(await filter.told({ ...stranger(11), address: '203.0.113.1' })).toBe(wait);
    filter.pass(9 * DAY);
    expect(await filter.told(stranger(12))).toBe(go);
    filter.pass(9 * DAY);
    expect(await filter.told(stranger(13))).toBe(go);
    filter.pass(11 * DAY);
    expect(await filter.told(stranger(14))).toBe(wait);
  });

  it('is no network whose mail is refused in the end', async () => {
    await using filter = await opened(greylist('after = 1') + probe('message = "reject"'));
    await filter.told();
    filter.pass(HOUR);
    expect(await filter.told()).toBe('554 5.6.0');
    expect(await filter.told({ sender: 'other@example.org' })).toBe(wait);
  });

  it('is none at all where `after` is 0', async () => {
    await using filter = await opened(greylist('after = 0'));
    for (let i = 0; i < 10; i++) {
      await filter.told({ sender: `s${i}@example.org` });
      filter.pass(6 * MINUTE);
      expect(await filter.told({ sender: `s${i}@example.org` })).toBe(go);
    }
    expect(await filter.told({ sender: 'last@example.org' })).toBe(wait);
  });
});

describe('many connections', () => {
  it('may bring the same triple at the same moment', async () => {
    await using filter = await opened();
    const together = async () => new Set(await Promise.all(Array.from({ length: 64 }, () => filter.told())));
    expect(await together()).toEqual(new Set([wait]));
    filter.pass(5 * MINUTE + 4_999);
    expect(await together()).toEqual(new Set([wait]));
    filter.pass(1);
    expect(await together()).toEqual(new Set([go]));
    expect(await together()).toEqual(new Set([go]));
    expect(filter.logger.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});

describe('options that are wrong', () => {
  it.each([
    ['delay = "5"', 'delay', /must be a duration/],
    ['delay = "4h"', 'expire', /at least a minute more than delay/],
    ['v4_prefix = 33', 'v4_prefix', /./],
    ['spare = ["knwon"]', 'spare[0]', /did you mean "known"/],
    ['spare = ["score < 1"]', 'spare[0]', /"score <= N"/],
    ['after = -1', 'after', /./],
  ])('%s', async (options, key, message) => {
    expect(await faultsOf(greylist(options))).toEqual([
      expect.objectContaining({ key, message: expect.stringMatching(message) }),
    ]);
  });
});
