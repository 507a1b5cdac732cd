/** `milter user`, as an administrator runs it, and what `milter check` says of the accounts. */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { runUser } from '../../../lib/cli/user.ts';
import { readAccounts } from '../../../lib/filter/http/accounts.ts';
import { PasswordChecks } from '../../../lib/filter/http/passwords.ts';
import { type Finished, MAIN, milter } from '../../helpers/cli.ts';
import { temporaryDirectory } from '../../helpers/directory.ts';
import { until } from '../../helpers/wait.ts';

/** Nobody waits for name servers that are not there. */
const DNS = '[dns]\ntimeout = "50ms"\n';
const HTTP = '[http]\nlisten = "127.0.0.1:8895"\naccounts = "file:accounts"\n';

async function place(more = HTTP) {
  const directory = await temporaryDirectory();
  const config = join(directory.path, 'milter.toml');
  writeFileSync(
    config,
    `socket = "inet:8894@127.0.0.1"\ndata = "${directory.path}/data"\n${DNS}${more}[[module]]\nuse = "helo"\naddress = "quarantine"\n`,
  );
  const accounts = join(directory.path, 'accounts');
  return {
    config,
    accounts,
    folder: directory.path,
    user: async (args: readonly string[], input = ''): Promise<Finished> =>
      await milter(['user', ...args, '--config', config], input),
    password: async (name: string, password: string): Promise<boolean> =>
      await new PasswordChecks().isRight(
        password,
        (await readAccounts(accounts)).accounts.get(name)?.password,
      ),
    [Symbol.asyncDispose]: async () => await directory[Symbol.asyncDispose](),
  };
}

describe('milter user', () => {
  it('adds, lists, changes and removes accounts', async () => {
    await using at = await place();
    expect(await at.user(['list'])).toMatchObject({ status: 0, out: 'There is no account.\n' });
    const added = await at.user(
      ['add', 'Bob', '--address', 'bob@Example.com,info@example.com'],
      'bobs secret\n',
    );
    expect(added).toEqual({ status: 0, out: 'added bob  bob@example.com,info@example.com\n', err: '' });
    expect(statSync(at.accounts).mode & 0o777).toBe(0o600);
    expect(readFileSync(at.accounts, 'utf8')).not.toContain('bobs secret');
    expect(readdirSync(at.folder).filter((name) => name.startsWith('.'))).toEqual([]);
    expect(await at.password('bob', 'bobs secret')).toBe(true);
    await at.user(['add', 'root', '--admin'], 'roots secret');
    // What it is already stays its password.
    expect((await at.user(['add', 'bob', '--address', 'example.com'])).out).toBe(
      'changed bob  example.com\n',
    );
    expect(await at.password('bob', 'bobs secret')).toBe(true);
    expect((await at.user(['list'])).out).toBe('bob  example.com\nroot  (admin)\n');
    expect((await at.user(['passwd', 'bob'], 'another secret\n')).out).toBe('bob has a new password\n');
    expect(await at.password('bob', 'bobs secret')).toBe(false);
    expect((await at.user(['remove', 'bob'])).out).toBe('removed bob\n');
    expect((await at.user(['list'])).out).toBe('root  (admin)\n');
  });

  it('asks twice on a terminal, and shows nothing of what is typed', async () => {
    await using at = await place();
    const command = `${process.execPath} ${MAIN} user add bob --address bob@example.com --config ${at.config}`;
    const child = spawn('script', ['-qfec', command, '/dev/null'], { stdio: 'pipe' });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    await until('the question', () => out.includes('Password for bob: '));
    child.stdin.write('bobs secrex\x7ft\r');
    await until('the second question', () => out.includes('Once more: '));
    child.stdin.write('bobs secret\r');
    await until('the end', () => out.includes('added bob'));
    expect(out).not.toContain('secre');
    expect(await at.password('bob', 'bobs secret')).toBe(true);
  });

  it.each([
    [['add'], 'add needs a NAME'],
    [['add', 'bob'], 'say whose mail it is'],
    [['add', 'bob@example.com'], '--address bob@example.com'],
    [['add', 'a b', '--admin'], 'NAME: must be letters'],
    [['add', 'bob', '--address', 'a b'], '--address: "a b" has a blank in it'],
    [['list', 'bob'], 'list takes no NAME'],
    [['remove', 'bob', '--admin'], '--address and --admin go with add'],
    [['ad', 'bob'], 'add'],
    [['remove', 'bob'], 'has no account "bob"'],
  ])('refuses %j', async (args, why) => {
    await using at = await place();
    const silent = { stdout: new PassThrough(), stderr: new PassThrough() };
    await expect(runUser([...args, '--config', at.config], silent)).rejects.toThrow(why);
    expect(existsSync(at.accounts)).toBe(false);
  });

  it('refuses short passwords, and files that are none', async () => {
    await using at = await place();
    expect((await at.user(['add', 'bob', '--admin'], 'short\n')).err).toContain('8 characters at least');
    expect((await at.user(['add', 'bob', '--admin'])).err).toContain(
      'there is no password on standard input',
    );
    writeFileSync(at.accounts, 'rubbish\n');
    const { status, err } = await at.user(['add', 'bob', '--admin'], 'long enough\n');
    expect({ status, err }).toEqual({
      status: 1,
      err: `milter user: ${at.accounts}: line 1 is not "NAME ROLE ADDRESSES PASSWORD"\n`,
    });
    expect(readFileSync(at.accounts, 'utf8')).toBe('rubbish\n');
  });

  it('says what is missing in the configuration', async () => {
    await using at = await place('');
    expect((await at.user(['list'])).err).toContain(
      '[http] names no accounts; write accounts = "file:accounts"',
    );
  });
});

describe('milter check', () => {
  const warnings = async (config: string): Promise<string> => (await milter(['check', config])).out;

  it('warns of a page that nobody can sign in to, or that others can read', async () => {
    await using at = await place();
    expect(await warnings(at.config)).toContain(
      'http.accounts: nobody can sign in to the page yet: run `milter user add NAME`',
    );
    await at.user(['add', 'bob', '--address', 'bob@example.com'], 'bobs secret');
    const now = await warnings(at.config);
    expect(now).not.toContain('nobody can sign in');
    expect(now).toContain('http.accounts: has no --admin');
    chmodSync(at.accounts, 0o644);
    expect(await warnings(at.config)).toContain('has mode 0644: others may read it; chmod 600');
    writeFileSync(at.accounts, 'rubbish\n');
    expect(await warnings(at.config)).toContain('line 1 is not "NAME ROLE');
    const { status } = await milter(['check', at.config]);
    expect(status).toBe(1);
  });

  it('warns of a page without accounts, beyond this machine, or with nothing to review', async () => {
    await using at = await place('[http]\nlisten = "0.0.0.0:8895"\n');
    const shown = await warnings(at.config);
    expect(shown).toContain('http.accounts: names no file, so nobody can sign in to the page');
    expect(shown).toContain('http.listen: is not on this machine alone, and it speaks no TLS');
    expect(shown).not.toContain('nothing to review');
    mkdirSync(join(at.folder, 'other'));
    const other = join(at.folder, 'other/milter.toml');
    writeFileSync(
      other,
      `socket = "inet:8894@127.0.0.1"\ndata = "${at.folder}/data"\n${DNS}${HTTP}[[module]]\nuse = "helo"\n`,
    );
    expect(await warnings(other)).toContain('http.review: no module holds anything in the quarantine');
  });
});
