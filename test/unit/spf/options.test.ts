/** What goes beyond RFC 7208: lax mode, best guess, local policy, delegation, records of one's own, the trace. */
import { describe, expect, it } from 'vitest';
import type { TraceStep } from '../../../lib/spf/index.ts';
import { bestGuess } from '../../../lib/spf/index.ts';
import { MemoryResolver } from '../../../lib/testing/resolver.ts';
import { check, checkRecord } from '../../helpers/spf.ts';

describe('lax mode', () => {
  it.each([
    ['v=spf1 ipv4:192.0.2.1 -all', 'pass'],
    ['v=spf1 ip:192.0.2.0/24 -all', 'pass'],
    ['v=spf1 192.0.2.1 -all', 'pass'],
    ['v=spf1 a:192.0.2.1 -all', 'pass'],
    ['v=spf1 ip4:192.0.2.1, -all', 'pass'],
    ['v=spf1 ipv6:2001:db8::1 -all', 'fail'],
    ['v=spf1 mx -all.', 'fail'],
    ['v=spf1 nonsense ?all', 'neutral'],
    ['v=spf1 include:none.example.com ~all', 'softfail'],
    ['v=spf1 redirect=none.example.com', 'neutral'],
    ['v=spf1 a:1.invalid a:2.invalid a:3.invalid ~all', 'softfail'],
  ])('says of %s that it is a permerror and meant %s', async (record, meant) => {
    const { result, problem, ...rest } = await checkRecord(record, {}, { lax: true });
    expect(result).toBe('permerror');
    expect(problem).toBeTruthy();
    expect(rest).toMatchObject({ meant });
    expect(await checkRecord(record)).toMatchObject({ result: 'permerror', problem, meant: undefined });
  });

  it('leaves a good record alone', async () => {
    expect(await checkRecord('v=spf1 -all', {}, { lax: true })).toMatchObject({
      result: 'fail',
      meant: undefined,
    });
  });

  it('goes to four times the limits, not further', async () => {
    const zone = { 'x.example.com': { A: ['10.0.0.1'] } };
    const record = (n: number): string => `v=spf1 ${'a:x.example.com '.repeat(n)}~all`;
    expect(await checkRecord(record(40), zone, { lax: true })).toMatchObject({
      result: 'permerror',
      meant: 'softfail',
    });
    expect(await checkRecord(record(41), zone, { lax: true })).toMatchObject({
      result: 'permerror',
      meant: 'permerror',
    });
  });
});

describe('best guess', () => {
  const zone = { 'example.com': { A: ['192.0.2.99'] } };
  const options = { sender: 'user@example.com', helo: 'x', resolver: new MemoryResolver(zone) };

  it('supposes that neighbours of the domain send its mail', async () => {
    expect(await bestGuess({ ...options, ip: '192.0.2.1' })).toMatchObject({
      result: 'pass',
      mechanism: 'a/24',
    });
    expect(await bestGuess({ ...options, ip: '10.0.0.1' })).toMatchObject({ result: 'neutral' });
  });

  it('is neutral where it runs into a limit', async () => {
    expect(await bestGuess({ ...options, sender: 'user@none.example', ip: '10.0.0.1' })).toMatchObject({
      result: 'neutral',
    });
  });

  it('takes another supposition', async () => {
    expect(await bestGuess({ ...options, ip: '192.0.2.1' }, 'v=spf1 a -all')).toMatchObject({
      result: 'fail',
    });
  });
});

describe('local policy', () => {
  it('decides about clients that the record would refuse, in the first record only', async () => {
    const localPolicy = 'ip4:192.0.2.1';
    expect(await checkRecord('v=spf1 mx -all', {}, { localPolicy })).toMatchObject({
      result: 'pass',
      mechanism: 'ip4:192.0.2.1',
      record: 'v=spf1 mx -all',
    });
    expect(await checkRecord('v=spf1 -all', {}, { localPolicy })).toMatchObject({ result: 'fail' });
    const zone = { 'inc.example.com': { TXT: ['v=spf1 mx -all'] } };
    expect(
      await checkRecord('v=spf1 include:inc.example.com -all', zone, { localPolicy: 'ip4:10.0.0.1' }),
    ).toMatchObject({
      result: 'fail',
    });
  });
});

describe('delegation', () => {
  const delegate = 'trust.example.org';
  const zone = { 'example.com._spf.trust.example.org': { TXT: ['v=spf1 ip4:192.0.2.1 -all'] } };

  it('finds a record for a domain without one', async () => {
    expect(await check(zone)).toMatchObject({ result: 'none' });
    expect(await check(zone, { delegate })).toMatchObject({ result: 'pass', domain: 'example.com' });
  });

  it('is not asked where the domain has a record, or cannot be asked', async () => {
    expect(await checkRecord('v=spf1 -all', zone, { delegate })).toMatchObject({ result: 'fail' });
    expect(await check({ ...zone, 'example.com': 'timeout' }, { delegate })).toMatchObject({
      result: 'temperror',
    });
  });
});

it('a record of one\u2019s own takes the place of the one in DNS', async () => {
  const resolver = new MemoryResolver({ 'example.com': { A: ['192.0.2.1'] } });
  expect(await check({}, { resolver, record: 'v=spf1 a -all' })).toMatchObject({
    result: 'pass',
    record: 'v=spf1 a -all',
  });
  expect(resolver.queries).toEqual([{ name: 'example.com', type: 'A' }]);
});

it('the trace tells each step as it happens', async () => {
  const steps: TraceStep[] = [];
  const zone = {
    'inc.example.com': { TXT: ['v=spf1 a:x.example.com ~all'] },
    'x.example.com': { A: ['192.0.2.1'] },
  };
  await checkRecord('v=spf1 include:inc.example.com -all', zone, { trace: (step) => steps.push(step) });
  const told = steps.map((step) => {
    const what = { record: 'domain', term: 'term', query: 'name', match: 'term' }[
      step.step
    ] as keyof TraceStep;
    return `${step.depth} ${step.step} ${step[what]}`;
  });
  expect(told).toEqual([
    '0 query example.com',
    '0 record example.com',
    '0 term include:inc.example.com',
    '1 query inc.example.com',
    '1 record inc.example.com',
    '1 term a:x.example.com',
    '1 query x.example.com',
    '1 match a:x.example.com',
    '0 match include:inc.example.com',
  ]);
});
