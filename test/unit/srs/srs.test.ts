import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createSrs, SrsError, type SrsOptions } from '../../../lib/srs/index.ts';
import { fc } from '../../helpers/fuzz.ts';

interface Vector {
  readonly call: 'forward' | 'reverse';
  readonly now: number;
  readonly options: SrsOptions;
  readonly arguments: [string, string];
  /** null: refused. */
  readonly gives: string | null;
}

const vectors = JSON.parse(
  readFileSync(join(import.meta.dirname, '../../fixtures/srs/mail-srs.json'), 'utf8'),
) as readonly Vector[];

const DAY = 86_400_000;
/** 2020-01-01 00:01:00 UTC, the day 2W. */
const NOW = 1_577_836_860_000;

function srsAt(now: number, options: Partial<SrsOptions> = {}) {
  return createSrs({ secrets: ['tops3cr3t'], hashLength: 4, now: () => now, ...options });
}

const srs = srsAt(NOW);
const REWRITTEN = 'SRS0=vmyz=2W=otherdomain.com=test@example.com';

/** Why a call is refused. */
function faultOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof SrsError) return error.fault;
    throw error;
  }
  return 'none';
}

describe("what Perl's Mail::SRS 0.31 says", () => {
  it.each(vectors)('$call of $arguments', ({ call, now, options, arguments: given, gives }) => {
    const tried = createSrs({ ...options, now: () => now });
    const ask = () => tried[call](...given);
    if (gives === null) expect(faultOf(ask)).not.toBe('none');
    else expect(ask()).toBe(gives);
  });
});

describe('what pysrs says', () => {
  const pysrs = createSrs({ secrets: ['shhhh!'], now: () => 1_118_750_529_000 });

  it('of an address and its forwarders, with the hash of 8 characters that is the default', () => {
    const first = pysrs.forward('mouse@disney.com', 'mydomain.com');
    expect(first).toBe('SRS0=vFLqYpgg=UU=disney.com=mouse@mydomain.com');
    const second = pysrs.forward(first, 'third.com');
    expect(second).toBe('SRS1=bMKZvGtc=mydomain.com==vFLqYpgg=UU=disney.com=mouse@third.com');
    expect(pysrs.forward(second, 'fourth.com')).toBe(second.replace('third', 'fourth'));
  });

  it('of a signed address, whose host is its own', () => {
    expect(pysrs.sign('mouse@disney.com')).toBe('SRS0=vFLqYpgg=UU==mouse@disney.com');
    expect(pysrs.reverse('SRS0=vFLqYpgg=UU==mouse@disney.com')).toBe('mouse@disney.com');
    expect(pysrs.reverse(pysrs.sign('mouse@ORIG.com'))).toBe('mouse@ORIG.com');
    expect(pysrs.reverse(pysrs.sign('mouse@ORIG.com').toLowerCase())).toBe('mouse@orig.com');
    expect(faultOf(() => pysrs.reverse('SRS0=vFLqYpgg=UU==mouse@elsewhere.com'))).toBe('hash');
  });
});

describe('what the tests of postsrsd ask', () => {
  const postsrsd = srsAt(NOW, { maxAge: 180 });

  it.each([
    ['SRS0=XjO9=2V=otherdomain.com=test@example.com', 'test@otherdomain.com'],
    ['SRS1=JIBX=thirddomain.com==opaque+string@example.com', 'SRS0=opaque+string@thirddomain.com'],
    ['srs0=xjo9=2v=otherdomain.com=test@example.com', 'test@otherdomain.com'],
    ['SRS0=XJO9=2V=OTHERDOMAIN.COM=TEST@EXAMPLE.COM', 'TEST@OTHERDOMAIN.COM'],
  ])('%s is %s', (address, original) => {
    expect(postsrsd.reverse(address)).toBe(original);
  });

  it.each([
    ['test@example.com', 'form'],
    ['SRS0=te87=T7=otherdomain.com=test@example.com', 'expired'],
    ['SRS0=VcIb=7N=otherdomain.com=test@example.com', 'expired'],
    ['SRS0=FAKE=2V=otherdomain.com=test@example.com', 'hash'],
    ['SRS0=@example.com', 'form'],
    ['SRS0=XjO9@example.com', 'form'],
    ['SRS0=XjO9=2V@example.com', 'form'],
    ['SRS0=XjO9=2V=otherdomain.com@example.com', 'form'],
  ])('%s is refused: %s', (address, fault) => {
    expect(faultOf(() => postsrsd.reverse(address))).toBe(fault);
  });
});

describe('forward', () => {
  it('leaves the null sender alone', () => {
    expect([srs.forward('', 'example.com'), srs.forward('<>', 'example.com'), srs.sign('<>')]).toEqual([
      '',
      '',
      '',
    ]);
  });

  it('takes angle brackets, and gives none', () => {
    expect(srs.forward('<test@otherdomain.com>', 'example.com')).toBe(REWRITTEN);
    expect(srs.reverse(`<${REWRITTEN}>`)).toBe('test@otherdomain.com');
  });

  it.each(['foo', 'foo@', '@example.org', 'a@b=c.example', 'a\u0000b@example.org', '"a\nb"@example.org'])(
    'refuses %j',
    (address) => {
      expect(faultOf(() => srs.forward(address, 'example.com'))).toBe('form');
    },
  );

  it.each(['SRS0=@example.org', 'SRS0+@example.org', 'SRS1=@example.org'])(
    'takes the empty %s for a name as others are, which can be taken back',
    (address) => {
      expect(srs.reverse(srs.forward(address, 'example.com'))).toBe(address);
    },
  );

  it('refuses a domain that is none', () => {
    expect(faultOf(() => srs.forward('a@example.org', ''))).toBe('form');
    expect(faultOf(() => srs.forward('a@example.org', 'a b'))).toBe('form');
  });

  it('rewrites a user whose name only looks like SRS1', () => {
    const rewritten = srs.forward('srs1-team@example.org', 'example.com');
    expect(rewritten).toMatch(/^SRS0=.{4}=2W=example\.org=srs1-team@example\.com$/);
    expect(srs.reverse(rewritten)).toBe('srs1-team@example.org');
  });

  it('keeps quotes outside', () => {
    const rewritten = srs.forward('"a \\"b\\"@c"@example.org', 'example.com');
    expect(rewritten).toMatch(/^"SRS0=.{4}=2W=example\.org=a \\"b\\"@c"@example\.com$/);
    expect(srs.reverse(rewritten)).toBe('"a \\"b\\"@c"@example.org');
    // A quoted word that needs no quotes is the same address, and some MTA takes them off.
    expect(srs.forward('"test"@otherdomain.com', 'example.com')).toBe(REWRITTEN);
    expect(srs.reverse(`"${REWRITTEN.replace('@', '"@')}`)).toBe('test@otherdomain.com');
  });

  it('goes beyond 64 octets of local part, but not beyond what SMTP takes for an address', () => {
    const long = `${'u'.repeat(60)}@${'d'.repeat(50)}.example`;
    expect(srs.reverse(srs.forward(long, 'example.com'))).toBe(long);
    const most = `${'u'.repeat(64)}@${`${'d'.repeat(60)}.`.repeat(2)}example`;
    expect(srs.forward(most, 'example.com').length).toBeLessThan(254);
    expect(faultOf(() => srs.forward(most, `${'e'.repeat(60)}.example`))).toBe('length');
    expect(faultOf(() => srs.reverse(`SRS0=${'a'.repeat(5000)}@example.com`))).toBe('length');
  });
});

describe('reverse', () => {
  it('wants a hash, and one as long as is asked for', () => {
    const strict = srsAt(NOW, { hashLength: 8 });
    expect(faultOf(() => strict.reverse('SRS0==2W=otherdomain.com=test@example.com'))).toBe('hash');
    expect(faultOf(() => strict.reverse(REWRITTEN))).toBe('hash');
    expect(srsAt(NOW, { hashLength: 8, hashMin: 4 }).reverse(REWRITTEN)).toBe('test@otherdomain.com');
    expect(faultOf(() => srs.reverse(`SRS0=${'A'.repeat(40)}=2W=otherdomain.com=test@example.com`))).toBe(
      'hash',
    );
  });

  it('knows the alphabet without a slash', () => {
    // Its hash is e/ne.
    expect(srs.reverse('SRS0=e_ne=2W=example.com=test@example.com')).toBe('test@example.com');
    expect(srs.reverse('srs0=E_NE=2w=example.com=test@example.com')).toBe('test@example.com');
  });

  it('refuses an SRS1 address whose doubled separator somebody folded', () => {
    expect(faultOf(() => srs.reverse('SRS1=JIBX=thirddomain.com=opaque+string@example.com'))).toBe('form');
  });

  it('says which secret it was, and when', () => {
    const rotated = srsAt(NOW + 3 * DAY, { secrets: ['new', 'tops3cr3t'] });
    expect(rotated.inspect(REWRITTEN)).toMatchObject({
      kind: 'SRS0',
      secret: 1,
      age: 3,
      smashed: false,
      signed: false,
    });
    expect(rotated.inspect(REWRITTEN.replace('vmyz', 'VMYZ'))).toMatchObject({ secret: 1, smashed: true });
    expect(rotated.inspect(REWRITTEN.replace('vmyz', 'aaaa'))).toMatchObject({ secret: undefined, age: 3 });
    expect(rotated.inspect(srs.sign('a@example.org'))).toMatchObject({
      signed: true,
      address: 'a@example.org',
    });
  });

  it('says so when a clock is wrong', () => {
    expect(() => srsAt(NOW - 2 * DAY).reverse(REWRITTEN)).toThrow('2 days ahead of this clock');
    expect(() => srsAt(NOW + 30 * DAY).reverse(REWRITTEN)).toThrow('30 days ago; it is good for 21 days');
  });

  it('counts days on beyond 1024', () => {
    const later = srsAt(NOW + 1020 * DAY);
    const rewritten = later.forward('a@example.org', 'example.com');
    expect(srsAt(NOW + 1030 * DAY).reverse(rewritten)).toBe('a@example.org');
    expect(faultOf(() => srsAt(NOW + 1042 * DAY).reverse(rewritten))).toBe('expired');
  });

  it('takes back whatever was rewritten, and nothing that was touched', () => {
    const local = fc.oneof(
      fc.stringMatching(/^[\w!#$%&'*+/=?^`{|}~-]{1,20}$/),
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
        .map((text) => `"${text.replace(/["\\\p{Cc}]/gu, '\\"')}"`),
    );
    const domain = fc.stringMatching(/^[a-zA-Z0-9-]{1,20}\.[a-z]{2,6}$/);
    fc.assert(
      fc.property(local, domain, fc.constantFrom('=', '+', '-'), (user, host, separator) => {
        const tried = srsAt(NOW, { separator, hashLength: 8 });
        const original = tried.forward(`${user}@${host}`, host);
        const first = tried.forward(original, 'forwarder.example');
        const second = tried.forward(first, 'second.example');
        const back = tried.reverse(first);
        expect(tried.forward(back, 'forwarder.example')).toBe(first);
        if (second.includes('SRS1')) expect(tried.reverse(second).toLowerCase()).toBe(first.toLowerCase());
        const touched = first.replace(/(?<=SRS[01][-+=].{3})./, (letter) => (/x/i.test(letter) ? 'y' : 'x'));
        expect(faultOf(() => tried.reverse(touched))).toMatch(/hash|form/);
      }),
    );
  });

  it('refuses any text with an SrsError, and nothing else', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('', 'SRS0', 'SRS1', 'srs0='),
        fc.string({ unit: 'binary' }),
        (tag, text) => {
          expect(faultOf(() => srs.reverse(`${tag}${text}@example.com`))).not.toBe('none');
        },
      ),
    );
  });
});

it.each([
  [{}, 'secrets'],
  [{ secrets: [] }, 'secrets'],
  [{ secrets: [''] }, 'secrets'],
  [{ secrets: 'text' }, 'secrets'],
  [{ secrets: ['a'], maxage: 1 }, 'did you mean "maxAge"'],
  [{ secrets: ['a'], maxAge: 1023 }, 'maxAge'],
  [{ secrets: ['a'], hashLength: 28 }, 'hashLength'],
  [{ secrets: ['a'], hashMin: 0 }, 'hashMin'],
  [{ secrets: ['a'], hashMin: 9 }, 'must not be above hashLength, which is 8'],
  [{ secrets: ['a'], separator: '_' }, 'separator'],
  [{ secrets: ['a'], now: 5 }, 'now'],
])('createSrs refuses %j', (options, named) => {
  expect(() => createSrs(options as never)).toThrow(TypeError);
  expect(() => createSrs(options as never)).toThrow(named);
});
