import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { defang, parseMessage } from '../../lib/mime/index.ts';
import { mails } from './mime-cases.ts';

const python = '/usr/bin/python3';
const havePymilter =
  spawnSync(python, ['-c', 'import mime; mime.zipnames'], { stdio: 'ignore' }).status === 0;
if (!havePymilter) console.warn(`skipped: ${python} has no mime module of pymilter (Debian: python3-milter)`);

const fixtures = join(import.meta.dirname, '../fixtures/mime');

/** What pymilter said of one mail. */
interface Statement {
  readonly file: string;
  readonly names: readonly string[];
  readonly modified: boolean;
  readonly identical: boolean | null;
  readonly error: string | null;
}

interface Mail {
  readonly name: string;
  readonly bytes: Buffer;
}

const folder = mkdtempSync(join(tmpdir(), 'mime-'));
afterAll(() => rmSync(folder, { recursive: true }));

function askPymilter(list: readonly Mail[]): readonly Statement[] {
  const paths = list.map(({ bytes }, i) => {
    const path = join(folder, String(i));
    writeFileSync(path, bytes);
    return path;
  });
  const script = join(import.meta.dirname, 'mime-pymilter.py');
  const answers = execFileSync(python, ['-W', 'ignore', script], {
    input: `${paths.join('\n')}\n`,
    maxBuffer: 1 << 26,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  return answers
    .toString()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Statement);
}

const own: readonly Mail[] = readdirSync(fixtures)
  .filter((name) => name.endsWith('.eml'))
  .map((name) => ({ name: basename(name, '.eml'), bytes: readFileSync(join(fixtures, name)) }));

/** Where we find poison and pymilter does not, and why ours is the better answer. */
const improvements: Readonly<Record<string, string>> = {
  'charset-name': 'pymilter raises on RFC 2231 names; we decode them',
  'encoded-name': 'pymilter compares the encoded word; we compare the name that the reader sees',
  'html-latin1': 'pymilter raises on HTML that is not UTF-8; we clean it',
  'inside-message': 'pymilter follows the declared boundary to nothing; we find the one in use',
  'missing-boundary': 'pymilter sees no parts without a boundary; we find the one in use',
};

describe.skipIf(!havePymilter)('held against pymilter', () => {
  it('the same samples are poisonous, but for what it misses', async () => {
    const statements = askPymilter(own);
    const ours = await Promise.all(
      own.map(async ({ bytes }) => (await defang(parseMessage(bytes))).modified),
    );
    const different = own.filter((_, i) => statements[i]?.modified !== ours[i]).map(({ name }) => name);
    expect(different.toSorted()).toEqual(Object.keys(improvements).toSorted());
    expect(different.filter((name) => !ours[own.findIndex((mail) => mail.name === name)])).toEqual([]);
  });

  it('every mail of other projects that it defangs we defang, and every file name it finds we find', async () => {
    const list = mails();
    const missed: string[] = [];
    for (const [i, { names, modified }] of askPymilter(list).entries()) {
      const mail = list[i];
      if (!mail) continue;
      const message = parseMessage(mail.bytes);
      const ourNames = new Set([...message.parts()].flatMap((part) => part.names));
      // It lists the values of all parameters; those with an extension may be names.
      for (const name of names.filter(
        (value) => /^[\x20-\x7e]+\.\w{2,4}$/.test(value) && !value.includes('=?'),
      )) {
        if (ourNames.has(name) || isParameter(message.toBytes(), name)) continue;
        missed.push(`${mail.name}: ${name}`);
      }
      if (modified && !(await defang(message)).modified) missed.push(`${mail.name} is not defanged`);
    }
    expect(missed).toEqual([]);
  });

  it('it changes or refuses mails that nobody edited; we do neither', () => {
    const list = mails();
    const statements = askPymilter(list);
    const spoilt = statements.filter(({ identical, error }) => identical !== true || error !== null);
    expect(spoilt.length).toBeGreaterThan(0);
    expect(list.filter(({ bytes }) => !parseMessage(bytes).toBytes().equals(bytes))).toEqual([]);
  });
});

/** Whether a value belongs to a parameter that is never a file name, a boundary for instance. */
function isParameter(bytes: Buffer, value: string): boolean {
  const at = bytes.indexOf(value, 0, 'latin1');
  return /(?:boundary|start|type|charset|id|server|site)\*?="?<?$/i.test(
    bytes.toString('latin1', Math.max(0, at - 30), at),
  );
}
