import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ListFiles } from '../../../../lib/filter/config/lists/files.ts';
import { readWith } from '../../../../lib/filter/config/reading.ts';
import { kinds, type z } from '../../../../lib/filter/index.ts';
import { quickest } from '../../../helpers/quickest.ts';

const directory = mkdtempSync(join(tmpdir(), 'libmilter-'));
afterAll(() => rmSync(directory, { recursive: true }));
writeFileSync(join(directory, 'warning'), 'A part %{name} was removed.\n');
writeFileSync(join(directory, 'keys'), '# first signs\nnew \n\nold\n');
writeFileSync(join(directory, 'token'), 's3cret\n');

function surroundings() {
  const environment = { TOKEN: 'from the environment', EMPTY: '', CREDENTIALS_DIRECTORY: directory };
  return {
    directory,
    data: '/var/lib/milter',
    environment,
    files: new ListFiles(),
    ours: { has: () => false },
  };
}

function read<Out>(kind: z.ZodType<Out>, value: unknown): Out {
  return readWith(surroundings(), () => kind.parse(value));
}

function faultOf(kind: z.ZodType, value: unknown): string | undefined {
  return readWith(surroundings(), () => kind.safeParse(value)).error?.issues[0]?.message;
}

const MUST_DURATION = 'must be a duration such as "300ms", "8s", "5m", "6h" or "36d"';

describe('a duration', () => {
  it.each([
    ['300ms', 300],
    ['8s', 8_000],
    ['5m', 300_000],
    ['6h', 21_600_000],
    ['36d', 3_110_400_000],
    ['0s', 0],
  ])('%s is %d ms', (text, milliseconds) => expect(read(kinds.duration(), text)).toBe(milliseconds));

  it.each(['5', '5 m', '-5m', '1.5h', '5M', '5min', '1h30m', 'm', '', ' 5m', '5m\n', '99999999d', '1e3s'])(
    'is not %j',
    (text) => expect(faultOf(kinds.duration(), text)).toBe(`${MUST_DURATION}, got ${JSON.stringify(text)}`),
  );

  it('is a text, and must be given where there is no default', () => {
    expect(faultOf(kinds.duration('5m'), 300)).toBe(`${MUST_DURATION}, got 300`);
    expect(faultOf(kinds.duration(), undefined)).toBe(`is missing; it ${MUST_DURATION}`);
    expect(read(kinds.duration('5m'), undefined)).toBe(300_000);
  });
});

describe('a size', () => {
  it.each([
    ['180kB', 180_000],
    ['64MiB', 67_108_864],
    ['1KiB', 1_024],
    ['20MB', 20_000_000],
    ['10GiB', 10_737_418_240],
    ['2TB', 2e12],
    ['100B', 100],
  ])('%s is %d bytes', (text, bytes) => expect(read(kinds.size(), text)).toBe(bytes));

  it.each(['64', '64 MiB', '64M', '64mb', '64Kb', '-1kB', '1.5MB', 'kB', '99999999TiB', '64KB'])(
    'is not %j',
    (text) => {
      expect(faultOf(kinds.size(), text)).toBe(
        `must be a size such as "180kB" or "64MiB" (kB = 1000, KiB = 1024), got ${JSON.stringify(text)}`,
      );
    },
  );
});

describe('an action', () => {
  it.each([
    ['continue', { word: 'continue' }],
    ['accept', { word: 'accept' }],
    ['score 5', { word: 'score', points: 5 }],
    ['score -3', { word: 'score', points: -3 }],
    ['score 0.5', { word: 'score', points: 0.5 }],
    ['score +2.25', { word: 'score', points: 2.25 }],
    ['defang', { word: 'defang' }],
  ])('%s', (text, action) => expect(read(kinds.action('tag', ['defang']), text)).toEqual(action));

  it('that is misspelt names the nearest', () => {
    const words = '"continue" "reject" "tempfail" "discard" "hold" "quarantine" "tag" "accept" "score N"';
    expect(faultOf(kinds.action(), 'rejct')).toBe(
      `must be an action, ${words}, got "rejct"; did you mean "reject"?`,
    );
    expect(faultOf(kinds.action('tag', ['defang']), 'defnag')).toMatch(/; did you mean "defang"\?$/);
  });

  it.each([
    'defang',
    'Reject',
    'score',
    'score five',
    'score 1e9',
    'score NaN',
    'score 12345678',
    ' reject',
    'score  5',
    '',
  ])('is not %j', (text) => expect(faultOf(kinds.action(), text)).toMatch(/^must be an action, /));
});

describe('a template', () => {
  const fill = (text: string, values: Readonly<Record<string, string>> = {}): string =>
    read(kinds.template(undefined, ['reason']), text).fill((name) => values[name]);

  it('is filled', () => {
    const values = { user: 'a', domain: 'b.example', reason: '%{user}' };
    expect(fill('copy-%{user}@%{domain}: %{reason}%{reason}', values)).toBe(
      'copy-a@b.example: %{user}%{user}',
    );
    expect(fill('100% of %%{user} and %%', values)).toBe('100% of %{user} and %%');
    expect(fill('[%{queue}]')).toBe('[]');
    expect(fill('')).toBe('');
  });

  it('may be in a file', () =>
    expect(fill('file:warning', { name: 'x.exe' })).toBe('A part x.exe was removed.\n'));

  it.each([
    ['%{usr}', 'has "%{usr}", which is not known here; did you mean "%{user}"?'],
    ['%{zzzzzz}', /^has "%{zzzzzz}", which is not known here; there are user domain /],
    ['a %{user', 'has "%{user" without a closing brace'],
    ['%{}', /^has "%{}", which is not known here/],
    ['%{a\nb}', /^has "%{a\\nb}", which/],
    ['file:nothing', /^cannot be read: ENOENT/],
  ])('%s is refused', (text, message) => expect(faultOf(kinds.template(), text)).toMatch(message));

  it('knows more variables only where it is told them', () => {
    expect(faultOf(kinds.template(), '%{saved}')).toMatch(/not known here/);
    expect(read(kinds.template('', ['saved']), '%{saved} %{user}').variables).toEqual(['saved', 'user']);
  });
});

describe('a secret', () => {
  it.each([
    ['plain', 'plain'],
    ['env:TOKEN', 'from the environment'],
    ['credential:token', 's3cret'],
    ['file:token', 's3cret'],
  ])('%s', (text, secret) => expect(read(kinds.secret(), text)).toBe(secret));

  it.each([
    ['env:NOTHING', 'names the environment variable "NOTHING", which is not set'],
    ['env:', /is not set/],
    ['credential:../token', 'has "../token", which is no credential\'s name'],
    ['credential:nothing', /^cannot be read/],
    ['file:nothing', /^cannot be read/],
  ])('%s is refused', (text, message) => expect(faultOf(kinds.secret(), text)).toMatch(message));

  it('needs systemd for a credential', () => {
    const without = { ...surroundings(), environment: {} };
    const message = readWith(without, () => kinds.secret().safeParse('credential:token')).error?.issues[0]
      ?.message;
    expect(message).toBe('names a credential, but systemd gave none (LoadCredential=)');
  });

  it('may be several, one a line', () => {
    expect(read(kinds.secrets(''), 'file:keys').all).toEqual(['new', 'old']);
    expect(read(kinds.secrets(''), 'env:TOKEN').all).toEqual(['from the environment']);
    expect(read(kinds.secrets(''), undefined).all).toEqual([]);
  });

  it('has a least length, and is not shown', () => {
    expect(faultOf(kinds.secrets('', 8), 's3cret')).toBe(
      'a secret of 6 characters can be guessed: 8 are the least; make one with: openssl rand -base64 24',
    );
    const message = faultOf(kinds.secrets('', 8), 'file:keys');
    expect(message).toMatch(/has faults$/);
    expect(faultOf(kinds.secrets(''), 'env:EMPTY')).toMatch(/^holds no secret/);
  });
});

describe('where something is', () => {
  it('stored things are below `data`, given ones beside the configuration', () => {
    expect(read(kinds.storedPath('quarantine/'), undefined)).toBe('/var/lib/milter/quarantine');
    expect(read(kinds.storedPath(), '/srv/q')).toBe('/srv/q');
    expect(read(kinds.givenPath(), 'file:accounts')).toBe(join(directory, 'accounts'));
    expect(read(kinds.givenPath(), '../x')).toBe(join(directory, '../x'));
    expect(read(kinds.givenPath(''), undefined)).toBeUndefined();
    expect(faultOf(kinds.givenPath(), 'file:')).toMatch(/^must be a path/);
    expect(faultOf(kinds.storedPath(), 'a\0b')).toBe('holds a NUL');
  });

  it.each([
    ['127.0.0.1:8895', { host: '127.0.0.1', port: 8895 }],
    ['tcp:mail.internal:25', { host: 'mail.internal', port: 25 }],
    ['[::1]:80', { host: '::1', port: 80 }],
    ['unix:/run/x.sock', { path: '/run/x.sock' }],
    ['', undefined],
  ])('the service %j', (text, endpoint) => expect(read(kinds.endpoint(), text)).toEqual(endpoint));

  it.each(['127.0.0.1', ':25', 'x:0', 'x:65536', '::1:80', 'unix:x', 'http://x:1', 'x:25 ', 'a b:1'])(
    'is no service: %j',
    (text) => expect(faultOf(kinds.endpoint(), text)).toMatch(/^must be an address such as/),
  );
});

describe('other kinds', () => {
  it.each([
    ['07:00', 420],
    ['23:59', 1439],
    ['00:00', 0],
    ['', undefined],
  ])('time of day %j', (text, minutes) => expect(read(kinds.timeOfDay(), text)).toBe(minutes));

  it.each(['7:00', '24:00', '07:60', '07:00:00', 'noon'])('no time of day: %j', (text) => {
    expect(faultOf(kinds.timeOfDay(), text)).toMatch(/^must be a time of day such as "07:00", got /);
  });

  it('domain and address', () => {
    expect(read(kinds.domain(), 'Bücher.Example')).toBe('xn--bcher-kva.example');
    expect(read(kinds.domain(''), undefined)).toBeUndefined();
    expect(read(kinds.address(), 'postmaster@example.org')).toBe('postmaster@example.org');
    for (const text of ['a b', 'a..b', '192.0.2.1'])
      expect(faultOf(kinds.domain(), text)).toMatch(/^must be a domain/);
    for (const text of ['x', '@x', 'a@', 'a@b, c@d', '<a@b>']) {
      expect(faultOf(kinds.address(), text)).toMatch(/^must be an address/);
    }
  });

  it('a URL', () => {
    expect(read(kinds.url(), 'http://127.0.0.1:11333')?.port).toBe('11333');
    expect(read(kinds.url(''), undefined)).toBeUndefined();
    for (const text of ['127.0.0.1:80', 'http://', 'ftp://x', 'http://a b']) {
      expect(faultOf(kinds.url(), text)).toMatch(/^must be a URL such as/);
    }
  });

  it('words, also from a file', () => {
    const list = read(kinds.words(), ['one', 'file:keys']);
    expect(list.sets().map((set) => [...set])).toEqual([['one'], ['new', 'old']]);
    expect([list.has('old'), list.has('Old'), list.empty]).toEqual([true, false, false]);
    expect(read(kinds.words(['x']), undefined).has('x')).toBe(true);
  });

  it('extensions, without case and dot', () => {
    const list = read(kinds.extensions(), ['EXE', '.scr', '*.ｊｓ']);
    expect(list.sets().map((set) => [...set])).toEqual([['exe', 'scr', 'js']]);
    expect(['exe', 'js', 'txt'].map((extension) => list.has(extension))).toEqual([true, true, false]);
    expect(() => read(kinds.extensions(), ['tar.gz'])).toThrow('is no extension');
  });

  it('globs, without case and without end', () => {
    const list = read(kinds.globs(), ['*Bulk*Mailer?', 'exact']);
    expect(
      ['the bulk of mailer2', 'EXACT', 'exact ', 'bulkmailer'].map((text) => list.matches(text)),
    ).toEqual([true, true, false, false]);
    expect(read(kinds.globs(), undefined).empty).toBe(true);
  });
});

describe('a header field of our own', () => {
  it.each([undefined, '', 'X-Mine'])('may be %j', (name) => {
    expect(read(kinds.ownHeader('X-Usual'), name)).toBe(name ?? 'X-Usual');
  });

  it.each(['Subject', 'RECEIVED', 'Content-Type', 'List-Id', 'X Mine', 'X:'])('is not %j', (name) => {
    expect(faultOf(kinds.ownHeader(''), name)).toContain('must be the name of a header field');
  });
});

describe('a regular expression', () => {
  it('tests and replaces', () => {
    const spam = read(kinds.pattern(), '^\\[SPAM\\] (.*)$');
    expect(spam.test('[SPAM] cheap')).toBe(true);
    expect(spam.replace('[SPAM] cheap', '$1!')).toBe('cheap!');
    expect(read(kinds.pattern(), 'ä+').replace('bäääb', 'a')).toBe('bab');
  });

  it.each([
    ['(', /^has a regular expression that cannot be used: missing closing \)/],
    ['(?=a)', /cannot be used: invalid or unsupported Perl syntax/],
    ['(a)\\1', /cannot be used: invalid escape sequence/],
    ['((a{100}){100}){100}', /cannot be used: invalid repeat count/],
    ['a'.repeat(2_000), 'has a regular expression of more than 1000 characters'],
  ])('%s is refused', (text, message) => expect(faultOf(kinds.pattern(), text)).toMatch(message));

  it('cannot run away', async () => {
    const time = async (source: string, length: number): Promise<number> => {
      const pattern = read(kinds.pattern(), source);
      return await quickest(10, () => pattern.test('x'.repeat(length)));
    };
    // Twice the text takes twice the time, not its square or worse.
    for (const evil of ['(x+x+)+y', '(x|x)*y', '(.*x){12}y']) {
      expect(await time(evil, 20_000)).toBeLessThan(Math.max(await time(evil, 5_000), 0.1) * 12);
    }
  });
});
