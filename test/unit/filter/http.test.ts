/** The parts of the web page that need no server. */
import { describe, expect, it } from 'vitest';
import { accountAddresses, accountName, parseAccounts } from '../../../lib/filter/http/accounts.ts';
import { download } from '../../../lib/filter/http/answer.ts';
import { Attempts } from '../../../lib/filter/http/attempts.ts';
import { masked } from '../../../lib/filter/http/configuration-page.ts';
import { html, mailText, visible } from '../../../lib/filter/http/html.ts';
import { safeName } from '../../../lib/filter/http/message-content.ts';
import { hashPassword, isPasswordHash, PasswordChecks } from '../../../lib/filter/http/passwords.ts';
import { Sessions } from '../../../lib/filter/http/sessions.ts';
import { parseMessage } from '../../../lib/mime/index.ts';

const CHEAP = { work: 1, block: 1, times: 1 };

describe('markup', () => {
  it('takes every value for text', () => {
    const hostile = `"><script>alert('1')</script>&\``;
    expect(html`<a title="${hostile}">${hostile}</a>`.toString()).toBe(
      '<a title="&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&#96;">&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&#96;</a>',
    );
    expect(html`${[html`<b>`, '<', undefined, false, 0]}`.toString()).toBe('<b>&lt;0');
  });

  it('shows what cannot be seen', () => {
    expect(visible('a\0b\u202egpj.exe\u200b\ud800\r\nc\td\x1b[31m')).toBe('a␀b␣gpj.exe␣\ufffd\nc\td␛[31m');
    expect(mailText(' a\n b ').toString()).toBe('<bdi>a b</bdi>');
    expect(mailText(' ', 'none').toString()).toBe('<span class="none">none</span>');
  });
});

describe('accounts', () => {
  const hash = `scrypt:1:1:1:${'A'.repeat(22)}:${'B'.repeat(43)}`;

  it('are read from lines', () => {
    const accounts = parseAccounts(
      `# comment\n\nbob user bob@example.com,.example.net ${hash}\nRoot admin - ${hash}\n`,
    );
    expect([...accounts.keys()]).toEqual(['bob', 'root']);
    expect(accounts.get('bob')?.owned.has('x@sub.example.net')).toBe(true);
    expect(accounts.get('bob')?.owned.has('x@example.com')).toBe(false);
    expect(accounts.get('root')).toMatchObject({ isAdmin: true, addresses: [] });
  });

  it.each([
    ['bob user bob@example.com', 'line 1 is not "NAME ROLE ADDRESSES PASSWORD"'],
    [`bob user - ${hash} x`, 'line 1 is not'],
    [`bob boss - ${hash}`, 'line 1 has a role that is neither'],
    ['bob user - secret', 'line 1 has a password that `milter user` did not make'],
    [`bob user - ${hash.replace(':1:', ':31:')}`, 'has a password'],
    [`bob user file:/etc/passwd ${hash}`, 'files cannot be named here'],
    [`bob user a@b..c ${hash}`, 'line 1 is damaged'],
    [`bob user - ${hash}\nBOB admin - ${hash}`, 'line 2 is damaged: names bob a second time'],
  ])('are refused as %s', (text, why) => {
    expect(() => parseAccounts(text)).toThrow(why);
  });

  it('have names and addresses that compare', () => {
    expect(accountName('Bob@Example.COM')).toBe('bob@example.com');
    for (const bad of ['', ' ', 'a b', '../x', 'a:b', '-a', 'a\n', 'x'.repeat(129)])
      expect(() => accountName(bad), bad).toThrow('must be letters');
    expect(accountAddresses(' A@example.com, ,b@example.com')).toEqual(['a@example.com', 'b@example.com']);
  });
});

describe('passwords', () => {
  it('are kept so that only they fit', async () => {
    const hash = await hashPassword('pässword', CHEAP);
    expect(isPasswordHash(hash)).toBe(true);
    const checks = new PasswordChecks();
    // Typed in pieces, as some keyboards do.
    expect(await checks.isRight('pa\u0308ssword', hash)).toBe(true);
    expect(await checks.isRight('password', hash)).toBe(false);
    expect(await checks.isRight('', undefined)).toBe(false);
    expect(await hashPassword('pässword', CHEAP)).not.toBe(hash);
  });

  it('are looked at two at a time, and no more wait than can be served', async () => {
    const checks = new PasswordChecks();
    const hash = await hashPassword('x', CHEAP);
    const outcomes = await Promise.allSettled(Array.from({ length: 40 }, () => checks.isRight('x', hash)));
    expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(8);
    expect(await checks.isRight('x', hash)).toBe(true);
  });
});

describe('the name that an attachment is saved under', () => {
  it.each([
    ['report.pdf', 'report.pdf'],
    ['../../etc/passwd', 'passwd'],
    ['C:\\\\Windows\\\\run.exe', 'run.exe.held'],
    ['.bashrc', 'bashrc'],
    ['...', 'part-7'],
    ['a\u0000.exe', 'a_.exe.held'],
    ['pic\u202egpj.exe', 'pic_gpj.exe.held'],
    ['x.html', 'x.html.held'],
    [`${'\u{1f600}'.repeat(99)}x`, `\ufffd${'\u{1f600}'.repeat(49)}x`],
    ['', 'part-7'],
  ])('%j is %j', async (name, safe) => {
    const encoded = encodeURIComponent(name).replace(/'/g, '%27');
    const { root } = parseMessage(
      Buffer.from(`Content-Disposition: attachment; filename*=utf-8''${encoded}\r\n\r\nx`),
    );
    const given = safeName(root, 7);
    expect(given).toBe(safe);
    expect(() => download(given, Buffer.alloc(0))).not.toThrow();
  });
});

describe('what is remembered', () => {
  const account = { name: 'bob', isAdmin: false, addresses: [], password: 'x' };

  it('of sessions is bounded, for one and for all', async () => {
    const sessions = new Sessions(() => 0, { idle: 1, whole: 1, ofOneAccount: 2, inAll: 3 });
    const find = async () => account;
    const [first = '', second = '', third = ''] = [1, 2, 3].map(() => sessions.begin(account));
    expect(await sessions.find(first, find)).toBeUndefined();
    expect(await sessions.find(second, find)).toMatchObject({ account: 'bob' });
    for (let i = 0; i < 10; i++) sessions.begin({ ...account, name: `user${i}` });
    expect(sessions.size).toBe(3);
    expect(await sessions.find(third, find)).toBeUndefined();
  });

  it('of failures is bounded', () => {
    const attempts = new Attempts(() => 0, { ofAccount: 2, ofAddress: 1_000, window: 10, most: 50 });
    for (let i = 0; i < 1_000; i++) attempts.begin(`192.0.2.${i}`, `user${i}`);
    expect(attempts.begin('192.0.2.1', 'user999')).toBe(0);
    expect(attempts.begin('192.0.2.1', 'user999')).toBe(10);
    expect(attempts.begin('192.0.2.1', 'user1')).toBe(0);
  });
});

it('secrets in URLs are not shown', () => {
  expect(masked('"redis://user:p4ss@db:6379/0" and http://x/?a=1&token=abc&b=2')).toBe(
    '"redis://(secret)@db:6379/0" and http://x/?a=1&token=(secret)&b=2',
  );
  expect(masked('"https://postmaster.example.org/{finding}"')).toBe(
    '"https://postmaster.example.org/{finding}"',
  );
});
