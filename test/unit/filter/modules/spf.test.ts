import { describe, expect, it } from 'vitest';
import type { Answer, RecordType, Resolver } from '../../../../lib/dns/index.ts';
import { FilterConfigError } from '../../../../lib/filter/index.ts';
import { parseReceivedSpf } from '../../../../lib/spf/index.ts';
import { fakeSession, MemoryResolver } from '../../../../lib/testing/index.ts';
import { type TestMail, testFilter } from '../../../helpers/filter.ts';

const spf = (options = ''): string => `[[module]]\nuse = "spf"\n${options}\n`;
const networks = (options: string): string => `[[module]]\nuse = "networks"\n${options}\n`;

const zone = {
  'pass.example': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] },
  'fail.example': { TXT: ['v=spf1 -all'] },
  'told.example': { TXT: ['v=spf1 -all exp=why.told.example'] },
  'why.told.example': { TXT: ['%{i} is not ours'] },
  'soft.example': { TXT: ['v=spf1 ~all'] },
  'neutral.example': { TXT: ['v=spf1 ?all'] },
  'none.example': { A: ['192.0.2.99'] },
  'broken.example': { TXT: ['v=spf1 nonsense -all'] },
  'slow.example': 'timeout',
  'mail.example.org': { A: ['192.0.2.7'] },
  'guessed.example': { A: ['192.0.2.8'] },
  'few.example._spf.delegate.example': { TXT: ['v=spf1 -all'] },
  'forwarder.example': { TXT: ['v=spf1 ip4:192.0.2.7 -all'] },
} as const;

const results = {
  pass: 'pass.example',
  fail: 'fail.example',
  softfail: 'soft.example',
  neutral: 'neutral.example',
  none: 'none.example',
  permerror: 'broken.example',
  temperror: 'slow.example',
} as const;

async function send(config: string, mail: TestMail = {}) {
  await using filter = await testFilter(config, { zone });
  const result = await filter.send(mail);
  const record = await filter.last();
  return {
    ...result,
    answer: result.recipients[0]?.verdict === 'continue' ? result.verdict : result.recipients[0]?.verdict,
    reply: result.recipients[0]?.reply ?? result.reply,
    findings: record?.findings.map(({ name, action }) => `${name} ${action}`) ?? [],
    notes: record?.findings.map(({ note }) => note) ?? [],
  };
}
const from = (domain: string): TestMail => ({ sender: `a@${domain}` });

describe('each result', () => {
  it.each([
    ['pass', 'continue'],
    ['fail', 'reject'],
    ['softfail', 'continue'],
    ['neutral', 'continue'],
    ['none', 'continue'],
    ['permerror', 'continue'],
    ['temperror', 'tempfail'],
  ] as const)('%s does what is written, else %s', async (result, otherwise) => {
    const plain = await send(spf(), from(results[result]));
    expect(plain.findings).toEqual([`spf-${result} ${otherwise}`]);
    expect(plain.answer).toBe(otherwise);
    const other = otherwise === 'reject' ? 'tempfail' : 'reject';
    expect((await send(spf(`${result} = "${other}"`), from(results[result]))).answer).toBe(other);
  });

  it('has a reply that tells whom, why and what to do', async () => {
    const fail = await send(spf(), from('fail.example'));
    expect(fail.reply).toMatchObject({ code: 550, enhanced: '5.7.23' });
    expect(fail.reply?.lines[0]).toMatch(
      /fail\.example does not let 192\.0\.2\.7 send its mail\. .*\(SRS\) \[ref/,
    );
    const told = await send(spf(), from('told.example'));
    expect(told.reply?.lines[0]).toContain('(it says: 192.0.2.7 is not ours)');
    const slow = await send(spf(), from('slow.example'));
    expect(slow.reply).toMatchObject({ code: 451, enhanced: '4.4.3' });
    expect(slow.reply?.lines[0]).toMatch(/slow\.example.* 192\.0\.2\.7 /);
    const broken = await send(spf('permerror = "reject"'), from('broken.example'));
    expect(broken.reply).toMatchObject({ code: 550, enhanced: '5.7.24' });
    expect(broken.reply?.lines[0]).toContain('nonsense');
  });

  it('of the null sender is that of the HELO name', async () => {
    const { findings, reply } = await send(spf(), {
      sender: '<>',
      helo: 'fail.example',
      hostname: 'x.example',
    });
    expect(findings).toEqual(['spf-helo-fail reject', 'spf-fail reject']);
    expect(reply?.lines[0]).toContain('fail.example');
    const mail = { sender: '<>', helo: 'fail.example', hostname: 'x.example' };
    expect((await send(spf('fail = "continue"'), mail)).reply?.lines[0]).toContain('HELO name fail.example');
    expect((await send(spf('fail = "continue"\nhelo_fail = "continue"'), mail)).answer).toBe('continue');
    expect((await send(spf('accept_fail = ["fail.example"]'), mail)).answer).toBe('continue');
  });
});

it('the HELO name’s record is asked besides', async () => {
  const mail = { ...from('pass.example'), helo: 'fail.example', hostname: 'x.example' };
  const { findings, reply } = await send(spf(), mail);
  expect(findings).toEqual(['spf-helo-fail reject', 'spf-pass continue']);
  expect(reply?.lines[0]).toContain('HELO name fail.example does not let 192.0.2.7');
  expect((await send(spf('helo_fail = "continue"'), mail)).answer).toBe('continue');
});

describe('with signatures verified', () => {
  const signed = (aligned: boolean): string => `[[module]]\nuse = "./signed.ts"\naligned = ${aligned}\n`;

  it('what would be refused waits for the end', async () => {
    const { recipients, verdict, reply } = await send(spf() + signed(false), from('fail.example'));
    expect(recipients[0]?.verdict).toBe('continue');
    expect(verdict).toBe('reject');
    expect(reply).toMatchObject({ enhanced: '5.7.23' });
  });

  it('and is void where one passes in alignment', async () => {
    const { answer, findings } = await send(spf() + signed(true), from('fail.example'));
    expect(answer).toBe('continue');
    expect(findings).toEqual([]);
  });

  it('unless dkim_saves is off', async () => {
    const config = spf('dkim_saves = false') + signed(true);
    expect((await send(config, from('fail.example'))).recipients[0]?.verdict).toBe('reject');
  });

  it('and nothing of one message waits for the next', async () => {
    await using filter = await testFilter(spf() + signed(false), { zone });
    await using mta = fakeSession(filter.Filter);
    await mta.connect('mail.example.org', { address: '192.0.2.7' });
    await mta.helo('mail.example.org');
    await mta.envfrom('<a@fail.example>');
    await mta.envrcpt('<b@example.com>');
    await mta.abort();
    const { verdict } = await mta.sendMessage('Subject: x\n\n', {
      sender: 'a@pass.example',
      recipients: ['b@example.com'],
    });
    expect(verdict).toBe('continue');
  });
});

describe('three strikes', () => {
  const strikes = spf('three_strikes = "reject"');
  const stranger = { hostname: 'unknown', helo: 'x.invalid' };

  it('are neither PTR, nor HELO, nor SPF', async () => {
    const { findings, reply } = await send(strikes, { ...from('none.example'), ...stranger });
    expect(findings).toEqual(['spf-none continue', 'spf-three-strikes reject']);
    expect(reply?.lines[0]).toContain('192.0.2.7');
  });

  it.each<[string, TestMail]>([
    ['SPF', { ...from('pass.example'), ...stranger }],
    ['PTR', { ...from('none.example'), ...stranger, hostname: 'mail.example.org' }],
    ['HELO', { ...from('none.example'), ...stranger, helo: 'mail.example.org' }],
    ['HELO by its record', { ...from('none.example'), ...stranger, helo: 'pass.example' }],
  ])('are not complete with a valid %s', async (_, mail) => {
    expect((await send(strikes, mail)).answer).toBe('continue');
  });

  it('are complete with the name of a dial-up line', async () => {
    const mail = { ...from('none.example'), ...stranger, hostname: 'adsl-192-0-2-7.example.net' };
    expect((await send(strikes, mail)).answer).toBe('reject');
  });

  it('are not counted where nobody could say', async () => {
    const macros = { '{client_resolve}': 'TEMP' };
    expect((await send(strikes, { ...from('none.example'), ...stranger, macros })).answer).toBe('continue');
  });

  it('do nothing unless told', async () => {
    expect((await send(spf(), { ...from('none.example'), ...stranger })).answer).toBe('continue');
  });
});

it('best_guess spares a domain without a record whose own servers send', async () => {
  const mail = { ...from('guessed.example'), address: '192.0.2.8', hostname: 'unknown', helo: 'x.invalid' };
  const config = 'none = "reject"\nthree_strikes = "reject"';
  expect((await send(spf(config), mail)).answer).toBe('reject');
  const guessed = await send(spf(`${config}\nbest_guess = true`), mail);
  expect(guessed.findings).toEqual(['spf-none continue']);
  expect(guessed.notes).toEqual(['best_guess: pass']);
  const elsewhere = { ...mail, address: '198.51.100.1' };
  expect((await send(spf(`${config}\nbest_guess = true`), elsewhere)).answer).toBe('reject');
});

it('delegate has records for those who publish none', async () => {
  expect((await send(spf(), from('few.example'))).findings).toEqual(['spf-none continue']);
  const { findings } = await send(spf('delegate = "delegate.example"'), from('few.example'));
  expect(findings).toEqual(['spf-fail reject']);
});

describe('exceptions', () => {
  it('accept_fail and accept_softfail', async () => {
    const fail = await send(spf('accept_fail = ["fail.example"]'), from('fail.example'));
    expect([fail.findings, fail.notes]).toEqual([['spf-fail continue'], ['accept_fail']]);
    const soft = 'softfail = "reject"\naccept_softfail = ["a@soft.example"]';
    expect((await send(spf(soft), from('soft.example'))).answer).toBe('continue');
    expect((await send(spf(soft), { sender: 'b@soft.example' })).answer).toBe('reject');
    expect((await send(spf('accept_softfail = ["fail.example"]'), from('fail.example'))).answer).toBe(
      'reject',
    );
  });

  it('reject_neutral', async () => {
    const neutral = spf('reject_neutral = [".example"]');
    expect((await send(neutral, from('neutral.example'))).answer).toBe('reject');
    expect((await send(neutral, from('soft.example'))).answer).toBe('reject');
    expect((await send(neutral, from('none.example'))).answer).toBe('continue');
    const both = 'reject_neutral = [".example"]\naccept_softfail = ["soft.example"]';
    expect((await send(spf(both), from('soft.example'))).answer).toBe('continue');
  });

  it('reject_noptr', async () => {
    const noptr = spf('reject_noptr = true');
    const { answer, findings } = await send(noptr, { ...from('none.example'), hostname: 'unknown' });
    expect(answer).toBe('reject');
    expect(findings).toContain('spf-reject-noptr reject');
    expect((await send(noptr, from('none.example'))).answer).toBe('continue');
    expect((await send(noptr, { ...from('soft.example'), hostname: 'unknown' })).answer).toBe('continue');
    expect((await send(spf(), { ...from('none.example'), hostname: 'unknown' })).answer).toBe('continue');
  });

  it('forwarders', async () => {
    const trusting = spf('forwarders = ["forwarder.example"]');
    const { answer, notes } = await send(trusting, from('fail.example'));
    expect([answer, notes]).toEqual(['continue', ['forwarded by forwarder.example']]);
    expect((await send(trusting, { ...from('fail.example'), address: '192.0.2.8' })).answer).toBe('reject');
    const ours = networks('domains = ["fail.example"]');
    expect((await send(ours + trusting, from('fail.example'))).answer).toBe('continue');
  });
});

describe('Received-SPF', () => {
  it('is written above all headers', async () => {
    const { message } = await send(spf(), from('soft.example'));
    expect(message.headers[0]?.name).toBe('Received-SPF');
    const header = parseReceivedSpf(message.headers[0]?.value ?? '');
    expect(header?.result).toBe('softfail');
    expect(header?.values.get('receiver')).toBe('mx.example.com');
    expect(header?.values.get('client-ip')).toBe('192.0.2.7');
  });

  it('is not where received_spf is off, or the module only watches', async () => {
    for (const config of [spf('received_spf = false'), spf('mode = "observe"')]) {
      const { message } = await send(config, from('soft.example'));
      expect(message.headers.map(({ name }) => name)).not.toContain('Received-SPF');
    }
  });
});

describe('whose mail is judged', () => {
  it('is that of internal clients, too, with internal_policy', async () => {
    const inside = networks('internal = ["192.0.2.0/24"]');
    expect((await send(inside + spf(), from('fail.example'))).findings).toEqual([]);
    const policy = inside + spf('internal_policy = true');
    expect((await send(policy, from('fail.example'))).answer).toBe('reject');
    const user = { ...from('fail.example'), macros: { '{auth_authen}': 'ann' } };
    expect((await send(policy, user)).findings).toEqual([]);
    expect((await send(policy, { ...from('fail.example'), address: '198.51.100.1' })).answer).toBe('reject');
  });

  it('is the client behind a relay, at the end', async () => {
    const relay = networks('relays = ["198.51.100.1"]\nrelayed = "discard"');
    const eml = 'Received: from mail.example.org (mail.example.org [192.0.2.7]) by relay\nSubject: x\n\n';
    const mail = { address: '198.51.100.1', hostname: 'relay.example.net', eml };
    expect((await send(relay + spf(), { ...mail, ...from('fail.example') })).answer).toBe('discard');
    const { findings, message } = await send(relay + spf(), { ...mail, ...from('pass.example') });
    expect(findings).toEqual(['spf-pass continue']);
    expect(parseReceivedSpf(message.headers[0]?.value ?? '')?.values.get('client-ip')).toBe('192.0.2.7');
  });

  it('with our own sender, for a while, where DNS does not answer', async () => {
    const config = networks('domains = ["slow.example"]') + spf('temperror = "continue"');
    const { answer, findings } = await send(config, from('slow.example'));
    expect(answer).toBe('tempfail');
    expect(findings).toEqual(['networks-external-as-ours tempfail', 'spf-temperror continue']);
  });

  it('with our own sender, where it passes', async () => {
    const config = networks('domains = ["pass.example"]') + spf();
    expect((await send(config, from('pass.example'))).answer).toBe('continue');
    expect((await send(config, { ...from('pass.example'), address: '192.0.2.8' })).answer).toBe('reject');
    const eml = 'From: a@pass.example\n\nhello\n';
    expect((await send(config, { ...from('pass.example'), eml })).findings).toEqual(['spf-pass continue']);
    expect((await send(config, { ...from('none.example'), eml })).findings).toContain(
      'networks-from-as-ours tag',
    );
  });
});

it('finds nothing of one message in the next, however late DNS is', async () => {
  const memory = new MemoryResolver(zone);
  const held = Promise.withResolvers<void>();
  const resolver: Resolver = {
    resolve: async <T extends RecordType>(name: string, type: T): Promise<Answer<T>> => {
      if (name === 'fail.example') await held.promise;
      return memory.resolve(name, type);
    },
  };
  await using filter = await testFilter(spf(), { resolver });
  await using mta = fakeSession(filter.Filter);
  await mta.connect('mail.example.org', { address: '192.0.2.7' });
  await mta.helo('mail.example.org');
  await mta.envfrom('<a@fail.example>');
  await mta.abort();
  await mta.envfrom('<a@pass.example>');
  held.resolve();
  expect((await mta.envrcpt('<b@example.com>')).verdict).toBe('continue');
  await mta.data();
  await mta.eom();
  expect((await filter.last())?.findings.map(({ name }) => name)).toEqual(['spf-pass']);
});

it('is asked when DNS never answers, and gives up in time', async () => {
  const resolver: Resolver = { resolve: () => new Promise(() => {}) };
  await using filter = await testFilter(spf(), { resolver });
  const { recipients } = await filter.send();
  expect(recipients[0]?.reply).toMatchObject({ code: 451, enhanced: '4.4.3' });
});

it.each([
  ['softfail = "callout"', 'needs a [[module]] with use = "callout"'],
  ['three_strikes = "callout"', 'needs a [[module]] with use = "callout"'],
  ['fail = "callout"', 'fail: must be an action'],
  ['forwarders = ["exa mple"]', 'forwarders[0]: "exa mple" is no domain'],
  ['delegate = "a b"', 'delegate: must be a domain'],
  ['when = ["incoming"]', 'when[0]'],
  ['best_gues = true', 'did you mean "best_guess"?'],
])('refuses %s', async (options, message) => {
  const opened = testFilter(spf(options));
  await expect(opened).rejects.toThrow(FilterConfigError);
  await expect(opened).rejects.toThrow(message);
});
