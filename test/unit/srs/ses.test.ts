import { describe, expect, it } from 'vitest';
import { createBatv, createSes, SrsError } from '../../../lib/srs/index.ts';
import { fc } from '../../helpers/fuzz.ts';

const DAY = 86_400_000;
/** 2005-06-14 12:02:09 UTC. */
const NOW = 1_118_750_529_000;

function faultOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof SrsError) return error.fault;
    throw error;
  }
  return 'none';
}

function sesAt(now: number, secrets: readonly string[] = ['shhhh!']) {
  return createSes({ secrets, expiration: 8, now: () => now });
}

const SIGNED = 'SES=EYGRY96-WQIB91RSD=mickey@Mouse.com';
const FIXED = 'SES=YI70XK0U1FK6KAPWBO4OG=mickey@Mouse.com';

describe('SES', () => {
  it('signs as pysrs does', () => {
    const ses = sesAt(NOW);
    expect(ses.sign('mickey@Mouse.com')).toBe(SIGNED);
    expect(ses.sign('mickey@Mouse.com')).not.toBe(SIGNED);
    expect(ses.sign('mickey@Mouse.com', 12_345_678)).toBe(FIXED);
    expect(ses.sign('<>')).toBe('');
  });

  it('knows its signatures again, whatever became of their case', () => {
    expect(sesAt(NOW).verify(SIGNED)).toBe('mickey@Mouse.com');
    expect(sesAt(NOW).verify(SIGNED.replace(/^[^@]*=/, (tag) => tag.toLowerCase()))).toBe('mickey@Mouse.com');
    expect(sesAt(NOW).verify(SIGNED.replace('Mouse', 'mouse'))).toBe('mickey@mouse.com');
    expect(sesAt(NOW, ['new', 'shhhh!']).inspect(SIGNED)).toMatchObject({
      address: 'mickey@Mouse.com',
      id: 1n,
      secret: 1,
      signedAt: NOW - (NOW % (DAY / 4)),
    });
  });

  it('lets them expire', () => {
    expect(sesAt(NOW + 7.75 * DAY).verify(SIGNED)).toBe('mickey@Mouse.com');
    expect(faultOf(() => sesAt(NOW + 8 * DAY).verify(SIGNED))).toBe('expired');
    expect(faultOf(() => sesAt(NOW + 16 * DAY).verify(SIGNED))).toBe('hash');
    expect(faultOf(() => sesAt(NOW - DAY).verify(SIGNED))).toBe('hash');
    expect(sesAt(NOW + 1000 * DAY).verify(FIXED)).toBe('mickey@Mouse.com');
  });

  it('checks the hash of a fixed signature too', () => {
    expect(faultOf(() => sesAt(NOW, ['another']).verify(FIXED))).toBe('hash');
    expect(faultOf(() => sesAt(NOW).verify(FIXED.replace('mickey', 'evil')))).toBe('hash');
    const forged = createSes({ secrets: ['guessed'] }).sign('evil@Mouse.com', 1);
    expect(faultOf(() => createSes({ secrets: ['shhhh!'] }).verify(forged))).toBe('hash');
  });

  it('is for one address', () => {
    expect(faultOf(() => sesAt(NOW).verify(SIGNED.replace('mickey', 'minnie')))).toBe('hash');
    expect(faultOf(() => sesAt(NOW).verify(SIGNED.replace('Mouse', 'Cat')))).toBe('hash');
    expect(faultOf(() => sesAt(NOW, ['another']).verify(SIGNED))).toBe('hash');
  });

  it.each([
    'mickey@Mouse.com',
    'SES=@Mouse.com',
    'SES==mickey@Mouse.com',
    'SES=ABC=@Mouse.com',
    'SES=A.B=c@Mouse.com',
  ])('refuses %s', (address) => {
    expect(faultOf(() => sesAt(NOW).verify(address))).toBe('form');
  });

  it('names a signature the same however it is written', () => {
    const [, sign = ''] = SIGNED.split('=');
    const ses = sesAt(NOW);
    const { signature } = ses.inspect(SIGNED);
    expect(ses.inspect(SIGNED.replace(sign, `AA${sign.toLowerCase()}`)).signature).toBe(signature);
    expect(ses.inspect(ses.sign('mickey@Mouse.com')).signature).not.toBe(
      ses.inspect(ses.sign('mickey@Mouse.com')).signature,
    );
  });

  it('takes numbers of others, and no wrong ones', () => {
    const random = createSes({ secrets: ['shhhh!'], id: () => 2 ** 40 });
    expect(random.inspect(random.sign('a@example.com')).id).toBe(2n ** 40n);
    expect(() => createSes({ secrets: ['a'], id: () => 0 }).sign('a@example.com')).toThrow(TypeError);
  });

  it('refuses any text with an SrsError, and nothing else', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\w-]{1,45}$/), fc.string({ unit: 'binary' }), (sign, user) => {
        expect(faultOf(() => sesAt(NOW).verify(`SES=${sign}=${user}@example.com`))).not.toBe('none');
      }),
    );
  });

  it.each([
    [{}, 'secrets'],
    [{ secrets: [''] }, 'secrets'],
    [{ secrets: ['a'], expiraton: 3 }, 'did you mean "expiration"'],
    [{ secrets: ['a'], expiration: 0 }, 'expiration'],
  ])('refuses the options %j', (options, named) => {
    expect(() => createSes(options as never)).toThrow(TypeError);
    expect(() => createSes(options as never)).toThrow(named);
  });
});

describe('BATV', () => {
  const batvAt = (now: number, secrets: readonly string[] = ['shhhh!']) =>
    createBatv({ secrets, now: () => now });
  /** Signed on day 12948, so good until 955. */
  const TAGGED = batvAt(NOW).sign('user@example.com');

  it('tags an address until a week later', () => {
    expect(TAGGED).toBe('prvs=095518804e=user@example.com');
    expect(batvAt(NOW + DAY / 4).sign('user@example.com')).toBe(TAGGED);
    expect(batvAt(NOW).sign('<>')).toBe('');
  });

  it('knows its tags again, whatever became of their case', () => {
    expect(batvAt(NOW).verify(TAGGED)).toBe('user@example.com');
    expect(batvAt(NOW).verify(TAGGED.toUpperCase())).toBe('USER@EXAMPLE.COM');
    expect(batvAt(NOW, ['new', 'shhhh!']).inspect(TAGGED)).toMatchObject({ secret: 1, left: 7 });
  });

  it('lets them expire', () => {
    expect(batvAt(NOW + 7 * DAY).verify(TAGGED)).toBe('user@example.com');
    expect(faultOf(() => batvAt(NOW + 8 * DAY).verify(TAGGED))).toBe('expired');
    expect(faultOf(() => batvAt(NOW - DAY).verify(TAGGED))).toBe('expired');
  });

  it('refuses what is forged', () => {
    expect(faultOf(() => batvAt(NOW).verify(TAGGED.replace('user', 'other')))).toBe('hash');
    expect(faultOf(() => batvAt(NOW).verify(TAGGED.replace('0955', '0956')))).toBe('hash');
    expect(faultOf(() => batvAt(NOW, ['another']).verify(TAGGED))).toBe('hash');
    for (const address of ['user@example.com', 'prvs=user@example.com', 'prvs=0955=user@example.com'])
      expect(faultOf(() => batvAt(NOW).verify(address))).toBe('form');
  });

  it.each([
    [{}, 'secrets'],
    [{ secrets: ['a'], maxage: 3 }, 'did you mean "maxAge"'],
    [{ secrets: ['a'], maxAge: 1000 }, 'maxAge'],
  ])('refuses the options %j', (options, named) => {
    expect(() => createBatv(options as never)).toThrow(TypeError);
    expect(() => createBatv(options as never)).toThrow(named);
  });
});
