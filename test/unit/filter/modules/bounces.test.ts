import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { StoreError } from '../../../../lib/filter/index.ts';
import { MemoryBackend } from '../../../../lib/filter/store/memory.ts';
import { createBatv, createSes, createSrs } from '../../../../lib/srs/index.ts';
import { faultsOf, type TestMail, testFilter } from '../../../helpers/filter.ts';

const DAY = 86_400_000;
const NOW = 1_577_836_860_000;
const SECRET = 'the secret of these tests';
const SIGNERS = {
  srs: createSrs({ secrets: [SECRET], now: () => NOW }),
  ses: createSes({ secrets: [SECRET], expiration: 21, now: () => NOW }),
  batv: createBatv({ secrets: [SECRET], maxAge: 21, now: () => NOW }),
};
const WAYS = ['srs', 'ses', 'batv'] as const;

const modules = (options: string, srs = ''): string => `[[module]]
use = "networks"
internal = ["10.0.0.0/8"]
domains = ["ours.example"]
[[module]]
use = "srs"
secrets = "${SECRET}"
${srs}
[[module]]
use = "bounces"
domains = ["ours.example"]
${options}`;

async function bouncesFilter(
  options = 'sign = "srs"',
  { now = (): number => NOW, srs = '', more = '', store = 'memory:' } = {},
) {
  return await testFilter(`${modules(options, srs)}\n${more}`, { now, store });
}

type Filter = Awaited<ReturnType<typeof bouncesFilter>>;

const OUT: TestMail = { sender: 'ann@ours.example', recipients: ['b@far.example'], address: '10.0.0.5' };

async function senderOf(filter: Filter, mail: TestMail = {}): Promise<string> {
  return (await filter.send({ ...OUT, ...mail })).message.sender.slice(1, -1);
}

/** What becomes of mail to a recipient: who gets it, or what is said. */
async function bounce(filter: Filter, recipient: string, mail: TestMail = {}): Promise<string> {
  const { recipients, message, reply } = await filter.send({ sender: '', recipients: [recipient], ...mail });
  const said = recipients[0]?.reply ?? reply;
  return said === undefined
    ? message.recipients.join()
    : `${said.code} ${said.enhanced} ${said.lines.join(' ')}`;
}

async function foundIn(filter: Filter): Promise<readonly string[]> {
  return (await filter.last())?.findings.map(({ name }) => name) ?? [];
}

describe('signs', () => {
  it.each([
    ['srs', /^SRS0=.{8}=2W==ann@ours\.example$/],
    ['ses', /^SES=[\w-]+=ann@ours\.example$/],
    ['batv', /^prvs=0\d{3}[0-9a-f]{6}=ann@ours\.example$/],
  ] as const)('by %s, what our users send out', async (way, form) => {
    await using filter = await bouncesFilter(`sign = "${way}"`);
    const sender = await senderOf(filter);
    expect(sender).toMatch(form);
    const check = way === 'srs' ? SIGNERS.srs.reverse(sender) : SIGNERS[way].verify(sender);
    expect(check).toBe('ann@ours.example');
    // From elsewhere, but logged in.
    expect(await senderOf(filter, { address: '192.0.2.7', macros: { '{auth_authen}': 'ann' } })).toMatch(
      form,
    );
  });

  it('each message anew with SES, all of a day alike with the others', async () => {
    for (const way of WAYS) {
      await using filter = await bouncesFilter(`sign = "${way}"`);
      const [one, other] = [await senderOf(filter), await senderOf(filter)];
      expect(one === other).toBe(way !== 'ses');
    }
  });

  it.each<[string, TestMail]>([
    ['mail that stays here', { recipients: ['b@ours.example'] }],
    ['a sender of another domain', { sender: 'ann@other.example' }],
    ['a bounce', { sender: '' }],
    ['a user of this machine', { sender: 'root' }],
    ['what is signed already', { sender: SIGNERS.batv.sign('ann@ours.example') }],
  ])('not %s', async (_, mail) => {
    await using filter = await bouncesFilter('sign = "batv"', { more: '' });
    expect(await senderOf(filter, mail)).toBe(mail.sender ?? 'ann@ours.example');
  });

  it('nobody from outside, and nobody when it is off or only watches', async () => {
    await using filter = await bouncesFilter('sign = "batv"');
    expect(await senderOf(filter, { sender: 'a@far.example', address: '192.0.2.7' })).toBe('a@far.example');
    for (const options of ['sign = "off"', '', 'sign = "batv"\nmode = "observe"']) {
      await using other = await bouncesFilter(options);
      expect(await senderOf(other)).toBe('ann@ours.example');
    }
  });

  it('leaves and tells of a sender that would become too long', async () => {
    await using filter = await testFilter(
      modules('sign = "ses"').replaceAll('ours.example', `${`${'d'.repeat(60)}.`.repeat(3)}example`),
      { now: () => NOW },
    );
    const sender = `${'u'.repeat(60)}@${`${'d'.repeat(60)}.`.repeat(3)}example`;
    expect(await senderOf(filter, { sender })).toBe(sender);
    expect(filter.logger.lines.map(({ message }) => message)).toContainEqual(
      expect.stringContaining('a sender cannot be signed, and stays'),
    );
  });
});

describe('a bounce to a signed address', () => {
  it.each(WAYS)('goes home, by %s, whichever signs now', async (way) => {
    const signed = SIGNERS[way].sign('ann@ours.example');
    for (const now of ['off', ...WAYS]) {
      await using filter = await bouncesFilter(`sign = "${now}"\nunsigned = "reject"`);
      expect(await bounce(filter, signed)).toBe('<ann@ours.example>');
      // Programs that answer to the return address as somebody.
      expect(await bounce(filter, signed, { sender: 'vacation@far.example' })).toBe('<ann@ours.example>');
      // The MTA's own news, which comes from this machine.
      expect(await bounce(filter, signed, { address: '10.0.0.5' })).toBe('<ann@ours.example>');
    }
  });

  it.each(WAYS)('is refused if it is forged or too old, by %s', async (way) => {
    const signed = SIGNERS[way].sign('ann@ours.example');
    await using filter = await bouncesFilter();
    expect(await bounce(filter, signed.replace('ann', 'bob'))).toMatch(
      /^550 5\.1\.1 No mail was sent from this address: /,
    );
    expect(await bounce(filter, signed.replace('ann', 'bob'), { sender: 'a@far.example' })).toMatch(
      /^550 5\.1\.1 /,
    );
    await using later = await bouncesFilter('sign = "srs"', { now: () => NOW + 25 * DAY });
    // Of SES the date is not told when it is so old.
    expect(await bounce(later, signed)).toMatch(
      way === 'ses' ? /^550 5\.1\.1 / : /^550 5\.1\.1 This return address is good no longer: /,
    );
  });

  it('of another domain is none of our business', async () => {
    await using filter = await bouncesFilter();
    const foreign = SIGNERS.batv.sign('ann@far.example');
    expect(await bounce(filter, foreign)).toBe(`<${foreign}>`);
  });

  it('is judged by whom it is for', async () => {
    const more = '[[module]]\nuse = "recipients"\nusers = ["ann@ours.example"]\ncomplete = ["ours.example"]';
    await using filter = await bouncesFilter('sign = "batv"', { more });
    expect(await bounce(filter, SIGNERS.batv.sign('ann@ours.example'))).toBe('<ann@ours.example>');
    expect(await bounce(filter, SIGNERS.batv.sign('bob@ours.example'))).toMatch(/^550 5\.1\.1 There is no /);
    expect(await bounce(filter, SIGNERS.batv.sign('ann@ours.example').replace('ann', 'bob'))).toMatch(
      /^550 5\.1\.1 No mail was sent from this address/,
    );
  });

  it('in the domain of module srs is taken home by that, once', async () => {
    await using filter = await bouncesFilter('sign = "srs"', { srs: 'domain = "ours.example"' });
    expect(await bounce(filter, SIGNERS.srs.sign('ann@ours.example'))).toBe('<ann@ours.example>');
  });

  it('is only watched in observe mode', async () => {
    await using filter = await bouncesFilter('sign = "batv"\nmode = "observe"');
    const signed = SIGNERS.batv.sign('ann@ours.example');
    expect(await bounce(filter, signed)).toBe(`<${signed}>`);
    expect(await bounce(filter, signed.replace('ann', 'bob'))).toBe(`<${signed.replace('ann', 'bob')}>`);
    expect(await foundIn(filter)).toEqual(['bounces-forged']);
  });
});

describe('SES', () => {
  it('brings three bounces for each recipient, and no more', async () => {
    await using filter = await bouncesFilter('sign = "ses"');
    const sender = await senderOf(filter, { recipients: ['b@far.example', 'c@far.example'] });
    for (let n = 0; n < 6; n++) expect(await bounce(filter, sender)).toBe('<ann@ours.example>');
    expect(await bounce(filter, sender)).toMatch(
      /^550 5\.1\.1 This return address has brought all the bounces/,
    );
    // Another spelling of it is the same one; another message's is not.
    expect(
      await bounce(
        filter,
        sender.replace(/SES=([^=]+)/, (tag) => tag.toLowerCase()),
      ),
    ).toMatch(/^550 /);
    expect(await bounce(filter, await senderOf(filter))).toBe('<ann@ours.example>');
  });

  it('is known whatever the MTAs on its way made of the case', async () => {
    await using filter = await bouncesFilter('sign = "ses"');
    const sender = await senderOf(filter, { sender: 'Ann.Smith@ours.example' });
    for (const changed of [sender, sender.toLowerCase(), sender.toUpperCase()])
      expect((await bounce(filter, changed)).toLowerCase()).toBe('<ann.smith@ours.example>');
  });

  it('does not count bounces that were refused', async () => {
    const more = '[[module]]\nuse = "headers"\nsubject_words = ["viagra"]\nwords_action = "reject"';
    await using filter = await bouncesFilter('sign = "ses"', { more });
    const sender = await senderOf(filter);
    const eml = 'From: MAILER-DAEMON@far.example\nSubject: viagra\n\nx\n';
    for (let n = 0; n < 5; n++) expect(await bounce(filter, sender, { eml })).toMatch(/^5/);
    expect(await bounce(filter, sender)).toBe('<ann@ours.example>');
  });

  it('is tempfailed while the store is away', async () => {
    await using filter = await bouncesFilter('sign = "ses"');
    const sender = await senderOf(filter);
    const away = vi.spyOn(MemoryBackend.prototype, 'ask').mockRejectedValue(new StoreError('away'));
    onTestFinished(() => away.mockRestore());
    expect(await bounce(filter, sender)).toMatch(/^451 4\.3\.0 /);
    // The others need no store.
    expect(await bounce(filter, SIGNERS.batv.sign('ann@ours.example'))).toBe('<ann@ours.example>');
    away.mockRestore();
    expect(await bounce(filter, sender)).toBe('<ann@ours.example>');
  });
});

describe('a bounce without a signature', () => {
  const report = (action: string, type = 'delivery-status') => `From: MAILER-DAEMON@far.example
Subject: about your mail
Auto-Submitted: auto-replied
Content-Type: multipart/report; report-type=${type}; boundary="b"

--b

text
--b
Content-Type: message/${type}

Reporting-MTA: dns; far.example

Final-Recipient: rfc822; x@far.example
Action: ${action}

--b--
`;
  const qmail =
    'From: MAILER-DAEMON@far.example\nSubject: failure notice\n\nHi. This is the qmail-send program.\n';
  const vacation = 'From: bob@far.example\nSubject: away\nAuto-Submitted: auto-replied\n\nI am away.\n';

  it('has points, unless told otherwise', async () => {
    await using filter = await bouncesFilter('sign = "batv"', { more: '[[module]]\nuse = "score"' });
    expect(await bounce(filter, 'ann@ours.example', { eml: report('failed') })).toBe('<ann@ours.example>');
    expect((await filter.last())?.findings).toMatchObject([{ name: 'bounces-unsigned' }]);
    const { message } = await filter.send({
      sender: '',
      recipients: ['ann@ours.example'],
      eml: report('failed'),
    });
    expect(message.headers.find(({ name }) => name === 'X-Spam-Score')?.value).toMatch(/^3/);
  });

  it.each([
    ['a report', report('failed')],
    [
      'a report of which one part failed',
      report('delayed\n\nFinal-Recipient: rfc822; y@far.example\nAction: failed'),
    ],
    ['a report in no form', qmail],
    [
      'a report of Exim',
      qmail.replace('Subject', 'X-Failed-Recipients: x@far.example\nAuto-Submitted: auto-replied\nSubject'),
    ],
    ['an empty message', 'Subject: x\n\n'],
  ])('may be refused: %s', async (_, eml) => {
    await using filter = await bouncesFilter('sign = "batv"\nunsigned = "reject"');
    expect(await bounce(filter, 'ann@ours.example', { eml })).toMatch(
      /^550 5\.7\.1 The message that you return was not sent by us/,
    );
  });

  it.each([
    ['an answer', vacation],
    ['an old answer', 'From: b@far.example\nX-Autoreply: yes\n\naway\n'],
    ['an answer of a list', 'From: b@far.example\nPrecedence: auto_reply\n\naway\n'],
    ['a receipt', report('displayed', 'disposition-notification')],
    ['the news of a delay', report('delayed')],
  ])('is spared: %s', async (_, eml) => {
    await using filter = await bouncesFilter('sign = "batv"\nunsigned = "reject"');
    expect(await bounce(filter, 'ann@ours.example', { eml })).toBe('<ann@ours.example>');
  });

  it.each<[string, string, TestMail]>([
    ['to others', 'x@other.example', {}],
    ['of a machine of ours', 'ann@ours.example', { address: '10.0.0.5' }],
    ['which is no bounce', 'ann@ours.example', { sender: 'a@far.example' }],
    ['while nobody is signed', 'ann@ours.example', {}],
  ])('is none: %s', async (what, recipient, mail) => {
    const sign = what.startsWith('while') ? 'off' : 'batv';
    await using filter = await bouncesFilter(`sign = "${sign}"\nunsigned = "reject"`);
    expect(await bounce(filter, recipient, { eml: report('failed'), ...mail })).toBe(`<${recipient}>`);
  });

  it('can be excused by the postmaster', async () => {
    await using filter = await bouncesFilter(
      'sign = "batv"\nunsigned = "reject"\nmatch = { not_to = ["ann@ours.example"] }',
    );
    expect(await bounce(filter, 'ann@ours.example', { eml: qmail })).toBe('<ann@ours.example>');
    expect(await bounce(filter, 'bob@ours.example', { eml: qmail })).toMatch(/^550 /);
  });
});

describe('refuses', () => {
  it('to sign without secrets', async () => {
    const [fault] = await faultsOf('[[module]]\nuse = "bounces"\nsign = "ses"');
    expect(fault?.message).toBe('needs a [[module]] with use = "srs", whose secrets sign');
    const [other] = await faultsOf('[[module]]\nuse = "srs"\n[[module]]\nuse = "bounces"\nsign = "ses"');
    expect(other?.message).toContain('signs with the secrets of module "srs", which has none');
    expect(other?.key).toBe('use');
  });

  it.each([
    ['sign = "dkim"', 'sign'],
    ['domains = ["a b"]', 'domains'],
    ['unsigned = "refuse"', 'unsigned'],
  ])('%s', async (options, key) => {
    const [fault] = await faultsOf(`[[module]]\nuse = "bounces"\n${options}`);
    expect(fault?.key).toContain(key);
  });
});
