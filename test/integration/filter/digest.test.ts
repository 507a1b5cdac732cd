/** What the filter tells by itself once a day: owners of what is held for them, an administrator of what went wrong. */
import { describe, expect, it } from 'vitest';
import { type DigestParts, sendDigests } from '../../../lib/filter/quarantine/digest.ts';
import { openStore } from '../../../lib/filter/store/open.ts';
import { Alert } from '../../../lib/filter/watch/alert.ts';
import { Daily, lastTime } from '../../../lib/filter/watch/daily.ts';
import { MetricsRegistry } from '../../../lib/filter/watch/metrics.ts';
import { parseMessage } from '../../../lib/mime/index.ts';
import { keepingLogger, type TestFilter, testFilter } from '../../helpers/filter.ts';
import { type MailSink, mailSink, type SinkAnswer } from '../../helpers/mail-sink.ts';

const HOLD = '[[module]]\nuse = "./probe.ts"\nmessage = "quarantine"\n';
const OURS = '[[module]]\nuse = "networks"\ndomains = ["example.com"]\n';
const PAGE = '[http]\nlisten = "127.0.0.1:8895"\nurl = "https://q.example.com"\naccounts = "accounts"\n';
const idle = async (): Promise<void> => {};

interface Setting extends AsyncDisposable {
  readonly filter: TestFilter;
  readonly sink: MailSink;
  readonly clock: { at: number };
  /** Sends what was held since the last time. */
  digest(): Promise<void>;
}

async function setting(modules = OURS + HOLD, answer?: SinkAnswer, top = PAGE): Promise<Setting> {
  const sink = await mailSink(answer);
  const clock = { at: Date.UTC(2026, 10, 26, 12) };
  const filter = await testFilter(modules, {
    top: `${top}[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\nfrom = "postmaster@example.com"\n${top.includes('[quarantine]') ? '' : '[quarantine]\ndigest = "07:00"\n'}`,
    now: () => clock.at,
  });
  const parts: DigestParts = {
    ...filter.quarantine,
    store: filter.store.part('digest'),
    settings: filter.config.settings,
    log: filter.logger,
    metrics: filter.metrics,
    now: () => clock.at,
    isOurs: () => (modules.includes('networks') ? (address) => address.endsWith('@example.com') : undefined),
  };
  let since = 0;
  return {
    filter,
    sink,
    clock,
    digest: async () => {
      const until = ++clock.at;
      await sendDigests(parts, since, until, idle);
      since = until;
    },
    [Symbol.asyncDispose]: async () => {
      await filter[Symbol.asyncDispose]();
      await sink[Symbol.asyncDispose]();
    },
  };
}

function partsOf(message: string): {
  readonly header: (name: string) => string;
  readonly text: string;
  readonly html: string;
} {
  const { root } = parseMessage(Buffer.from(message, 'latin1'));
  const [text, html] = root.children.map((part) => part.text() ?? '');
  return {
    header: (name) => root.headers.get(name)?.value.trim() ?? '',
    text: text ?? root.text() ?? '',
    html: html ?? '',
  };
}

describe('the digest', () => {
  it('tells each owner in one mail what is new, why, and where to go', async () => {
    await using all = await setting();
    const { filter, sink, digest } = all;
    await filter.send({
      eml: 'From: Ann <a@example.org>\nSubject: one\n\nx\n',
      recipients: ['b@example.com', 'c@example.com'],
    });
    await filter.send({ eml: 'From: Ann <a@example.org>\nSubject: two\n\nx\n' });
    await digest();
    expect(sink.mails.map(({ sender, recipients }) => [sender, ...recipients])).toEqual([
      ['', 'b@example.com'],
      ['', 'c@example.com'],
    ]);
    const { header, text, html } = partsOf(sink.mails[0]?.message ?? '');
    expect(header('Auto-Submitted')).toBe('auto-generated');
    expect(header('From')).toBe('postmaster@example.com');
    expect(header('To')).toBe('b@example.com');
    expect(header('Subject')).toBe('2 messages are held for you');
    for (const body of [text, html]) {
      expect(body).toContain('one');
      expect(body).toContain('two');
      expect(body).toContain('a message');
      expect(body).toMatch(/https:\/\/q\.example\.com\/link\/[\da-f]{32}\.release\.[\da-f]{32}/);
      expect(body).toMatch(/https:\/\/q\.example\.com\/link\/[\da-f]{32}\.delete\.[\da-f]{32}/);
    }
    // Nothing is loaded from anywhere.
    expect(html).not.toMatch(/src=|url\(|<script|<img|<link/i);
    await digest();
    expect(sink.mails).toHaveLength(2);
    expect(filter.metrics.read('quarantine_digests_total').get('')).toBe(2);
  });

  it.each([
    ['1h', '1 hour'],
    ['36h', '36 hours'],
    ['1d', '1 day'],
    ['30d', '30 days'],
  ])('says that what is kept for %s goes after %s', async (keep, text) => {
    await using all = await setting(OURS + HOLD, undefined, `${PAGE}[quarantine]\nkeep = "${keep}"\n`);
    await all.filter.send();
    await all.digest();
    expect(partsOf(all.sink.mails[0]?.message ?? '').text).toContain(`is deleted after ${text}.`);
  });

  it('is mail that this filter does not hold', async () => {
    await using all = await setting();
    const { filter, sink, digest } = all;
    await filter.send();
    await digest();
    const back = await filter.send({ sender: '<>', eml: sink.mails[0]?.message ?? '' });
    expect(back.verdict).toBe('continue');
    expect(back.message.headers.some(({ name }) => name === 'X-Milter-Released')).toBe(false);
    // Whoever has one cannot send it to another.
    expect(
      (await filter.send({ sender: '<>', eml: sink.mails[0]?.message ?? '', recipients: ['c@example.com'] }))
        .verdict,
    ).toBe('discard');
  });

  it('is told to nobody twice since another’s mailbox is full', async () => {
    let isFull = true;
    await using all = await setting(OURS + HOLD, (stage, { recipients }) =>
      isFull && stage === 'rcpt' && recipients.includes('c@example.com') ? '452 mailbox full' : undefined,
    );
    const { filter, sink, clock, digest } = all;
    const subjects = (): readonly string[] =>
      sink.mails.map(({ recipients, message }) => {
        const said = /^Subject: (.*)$/gm.exec(partsOf(message).text)?.[1];
        return `${recipients[0]}: ${partsOf(message).header('Subject')}: ${said}`;
      });
    await filter.send({ eml: 'Subject: one\n\nx\n', recipients: ['b@example.com', 'c@example.com'] });
    await expect(digest()).rejects.toThrow('mailbox full');
    expect(subjects()).toEqual(['b@example.com: 1 message is held for you: one']);
    // What is not finished goes on the next day.
    for (let day = 0; day < 5; day++) {
      clock.at += 86_400_000;
      await expect(digest()).rejects.toThrow('mailbox full');
    }
    expect(sink.mails).toHaveLength(1);
    await filter.send({ eml: 'Subject: two\n\nx\n' });
    await expect(digest()).rejects.toThrow('mailbox full');
    expect(subjects().slice(1)).toEqual(['b@example.com: 1 message is held for you: two']);
    isFull = false;
    await digest();
    expect(subjects().slice(2)).toEqual(['c@example.com: 1 message is held for you: one']);
  });

  it('reaches everybody else, however many mailboxes are full', async () => {
    await using all = await setting(OURS + HOLD, (stage, { recipients }) =>
      stage === 'rcpt' && recipients[0]?.startsWith('full') === true ? '452 mailbox full' : undefined,
    );
    const { filter, sink, clock, digest } = all;
    await filter.send();
    for (let n = 0; n < 12; n++) {
      clock.at++;
      await filter.send({ recipients: [`full${n}@example.com`] });
    }
    await expect(digest()).rejects.toThrow('mailbox full');
    expect(sink.mails.flatMap(({ recipients }) => recipients)).toEqual(['b@example.com']);
  });

  it('asks a mail server that is away once', async () => {
    await using all = await setting();
    const { filter, sink, digest } = all;
    await filter.send({ recipients: ['b@example.com', 'c@example.com', 'd@example.com'] });
    await sink[Symbol.asyncDispose]();
    await expect(digest()).rejects.toThrow('ECONNREFUSED');
    expect(filter.metrics.read('quarantine_digest_failures_total').get('')).toBe(1);
  });

  it('shows hostile text as text', async () => {
    await using all = await setting();
    const { filter, sink, digest } = all;
    const hostile = '"><script>alert(1)</script>\u202egnp.exe';
    const word = `=?utf-8?b?${Buffer.from(hostile).toString('base64')}?=`;
    await filter.send({ eml: `From: ${word} <a@example.org>\nSubject: ${word}\n\nx\n` });
    await filter.send({ eml: `From: a@example.org\nSubject: =?utf-8?q?x=0D=0ABcc:_evil@evil.test?=\n\nx\n` });
    await digest();
    const { header, text, html } = partsOf(sink.mails[0]?.message ?? '');
    expect(html).not.toContain('<script');
    expect(html + text).not.toContain('\u202e');
    expect(text).not.toMatch(/^Bcc:/m);
    expect(header('Bcc')).toBe('');
  });

  it('goes to nobody outside, and has no links without a page', async () => {
    await using all = await setting(OURS + HOLD, undefined, '');
    const { filter, sink, digest } = all;
    await filter.send({ recipients: ['x@stranger.test', 'b@example.com'] });
    await digest();
    expect(sink.mails.flatMap(({ recipients }) => recipients)).toEqual(['b@example.com']);
    const { text, html } = partsOf(sink.mails[0]?.message ?? '');
    expect(text + html).not.toContain('http');
    expect(text).toContain('ask your postmaster');
  });

  it('has no link to release what only an administrator may', async () => {
    await using all = await setting(`${OURS}[[module]]\nuse = "./dangerous.ts"\n`);
    await all.filter.send();
    await all.digest();
    const { text } = partsOf(all.sink.mails[0]?.message ?? '');
    expect(text).toContain('.delete.');
    expect(text).not.toContain('.release.');
  });

  it('tells no one twice, and those who could not be told later', async () => {
    let refuse = true;
    await using all = await setting(OURS + HOLD, (stage, { recipients }) =>
      refuse && stage === 'rcpt' && recipients[0] === 'b@example.com' ? '451 not now' : undefined,
    );
    const { filter, sink, clock } = all;
    await filter.send({ recipients: ['b@example.com', 'c@example.com'] });
    const parts = {
      ...filter.quarantine,
      store: filter.store.part('digest'),
      settings: filter.config.settings,
      log: filter.logger,
      metrics: filter.metrics,
      now: () => clock.at,
      isOurs: () => undefined,
    };
    await expect(sendDigests(parts, 0, clock.at + 1, idle)).rejects.toThrow('not now');
    refuse = false;
    await sendDigests(parts, 0, clock.at + 1, idle);
    expect(sink.mails.flatMap(({ recipients }) => recipients)).toEqual(['c@example.com', 'b@example.com']);
  });
});

describe('daily work', () => {
  const at = (day: number, hour: number, minute = 0): number =>
    new Date(2026, 10, day, hour, minute).getTime();

  it('is done once by all who share a store, at its time or after it', async () => {
    const store = await openStore({ kind: 'memory' }, { now: () => now, log: keepingLogger() });
    let now = at(1, 12);
    const done: [number, number][] = [];
    let fails = false;
    let tries = 0;
    const work = {
      name: 'digest',
      minute: 7 * 60,
      work: async (since: number, until: number): Promise<void> => {
        tries = fails ? tries + 1 : 0;
        if (fails) throw new Error('as asked');
        done.push([since, until]);
      },
    };
    const metrics = new MetricsRegistry();
    const make = (): Daily => new Daily(work, { store, log: keepingLogger(), metrics, now: () => now });
    let all = [make(), make(), make()];
    const tick = async (): Promise<void> => {
      await Promise.all(all.map((one) => one.tick()));
    };
    await tick();
    await tick();
    // Nothing was missed.
    expect(done).toEqual([]);
    now = at(2, 6, 59);
    await tick();
    expect(done).toEqual([]);
    now = at(2, 7);
    await tick();
    await tick();
    expect(done).toEqual([[at(1, 7), at(2, 7)]]);
    expect(metrics.read('daily_digest_timestamp_seconds').get('')).toBe(at(2, 7) / 1_000);
    // All were down for two days, and come back in the evening.
    now = at(4, 20);
    all = [make(), make()];
    await tick();
    await tick();
    expect(done.slice(1)).toEqual([[at(2, 7), at(4, 20)]]);
    now = at(5, 7);
    fails = true;
    await tick();
    now += 60_000;
    fails = false;
    await tick();
    expect(done).toHaveLength(2);
    now += 5 * 60_000;
    await tick();
    // For the same time.
    expect(done.slice(2)).toEqual([[at(4, 20), at(5, 7)]]);
    // What fails all day is not tried all the time.
    fails = true;
    for (now = at(6, 7); now < at(7, 7); now += 60_000) await tick();
    expect(tries).toBeGreaterThan(20);
    expect(tries).toBeLessThan(40);
    await store.close();
  });

  it('is taken over from one that died', async () => {
    let now = at(1, 12);
    const store = await openStore({ kind: 'memory' }, { now: () => now, log: keepingLogger() });
    const done: number[] = [];
    const parts = { store, log: keepingLogger(), metrics: new MetricsRegistry(), now: () => now };
    const dying = new Daily({ name: 'x', minute: 0, work: () => new Promise(() => {}) }, parts);
    const living = new Daily(
      { name: 'x', minute: 0, work: async (_, until) => void done.push(until) },
      parts,
    );
    await dying.tick();
    now = at(2, 0);
    void dying.tick();
    await living.tick();
    await living.tick();
    now = at(2, 0, 16);
    await living.tick();
    expect(done).toEqual([at(2, 0)]);
    await store.close();
  });

  it('goes on the next day where the clock was a year ahead, and is set back', async () => {
    let now = at(1, 12);
    const store = await openStore({ kind: 'memory' }, { now: () => now, log: keepingLogger() });
    const done: (readonly [since: number, until: number])[] = [];
    const work = async (since: number, until: number): Promise<void> => void done.push([since, until]);
    const daily = new Daily(
      { name: 'x', minute: 420, work },
      { store, log: keepingLogger(), metrics: new MetricsRegistry(), now: () => now },
    );
    await daily.tick();
    now += 365 * 86_400_000;
    await daily.tick();
    now = at(2, 12);
    await daily.tick();
    expect(done).toHaveLength(1);
    now = at(3, 7);
    await daily.tick();
    await daily.tick();
    expect(done.slice(1)).toEqual([[at(2, 7), at(3, 7)]]);
    // A few minutes are no reason to do it again.
    now = at(3, 6, 58);
    await daily.tick();
    now = at(3, 7);
    await daily.tick();
    expect(done).toHaveLength(2);
    await store.close();
  });

  it('knows when it was last time', () => {
    expect(lastTime(at(2, 7), 420)).toBe(at(2, 7));
    expect(lastTime(at(2, 7) - 1, 420)).toBe(at(1, 7));
    expect(lastTime(at(1, 0), 1)).toBe(new Date(2026, 9, 31, 0, 1).getTime());
  });

  it('comes once a day, also where clocks are put forward or back', () => {
    const zone = process.env['TZ'];
    process.env['TZ'] = 'Europe/Berlin';
    try {
      // In 2026 there is no 02:30 on 29 March, and there are two on 25 October.
      for (const [month, day] of [
        [2, 29],
        [9, 25],
      ] as const) {
        const times = new Set<number>();
        const end = new Date(2026, month, day + 2).getTime();
        for (let now = new Date(2026, month, day - 1).getTime(); now < end; now += 5 * 60_000)
          times.add(lastTime(now, 150));
        // Of the evening before, and of each of three days.
        expect([...times].map((time) => new Date(time).getDate())).toEqual([day - 2, day - 1, day, day + 1]);
      }
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });
});

describe('the alert', () => {
  it('tells once what went wrong on all machines, and nothing where nothing did', async () => {
    const now = Date.UTC(2026, 10, 26);
    const store = await openStore({ kind: 'memory' }, { now: () => now, log: keepingLogger() });
    const log = keepingLogger();
    const one = new Alert(store.part('alert'), 'mx1', () => now);
    const two = new Alert(store.part('alert'), 'mx2', () => now);
    const mails: { subject: string; text: string }[] = [];
    const tell = (): Promise<void> => one.tell('root@example.com', async (mail) => void mails.push(mail));
    await tell();
    expect(mails).toEqual([]);
    for (let n = 0; n < 3; n++)
      one.watching(log).error({ module: 'spf', domain: 'a\nb' }, `module spf failed: ${n}`);
    one.watching(log).info({}, 'all is well');
    two.watching(log).warn({}, 'the quarantine is 81 % full');
    await two.flush();
    await expect(one.tell('root@example.com', () => Promise.reject(new Error('no mail')))).rejects.toThrow();
    await tell();
    expect(mails).toHaveLength(1);
    expect(mails[0]?.subject).toBe('Mail filter: 3 errors, 1 warnings');
    expect(mails[0]?.text).toMatch(
      /ERROR: spf: module spf failed: 2\n {4}on mx1, 3 times, .*\n {4}domain="a\\nb"/,
    );
    expect(mails[0]?.text).toContain('warning: the quarantine is 81 % full\n    on mx2, once');
    expect(log.lines).toHaveLength(5);
    await tell();
    expect(mails).toHaveLength(1);
    for (let n = 0; n < 1_000; n++) one.watching(log).error({}, `${'x'.repeat(n)} failed`);
    await tell();
    expect(mails[1]?.text.split('\n\n').length).toBeLessThan(60);
    await store.close();
  });

  it('hears of what a filter logs', async () => {
    await using sink = await mailSink();
    await using filter = await testFilter('[[module]]\nuse = "./probe.ts"\nthrows = "eom"\n', {
      top: `[outgoing]\nsmtp = "127.0.0.1:${sink.port}"\nalert = "root@example.com"\n`,
    });
    await filter.send();
    await filter.close();
    const stored = [];
    for await (const [, value] of filter.store.part('alert').scan('')) stored.push(JSON.parse(value));
    expect(stored).toMatchObject([{ level: 'error', module: 'probe', count: 1 }]);
  });
});
