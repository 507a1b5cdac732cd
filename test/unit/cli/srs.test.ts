/** The command `milter srs`. */
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { runSrs } from '../../../lib/cli/srs.ts';
import { createBatv, createSes, createSrs } from '../../../lib/srs/index.ts';
import { configured } from '../../helpers/configured.ts';

const OLD = 'the old secret';
const NEW = 'the new secret';
const DAY = 86_400_000;

function config(options = 'domain = "srs.example.com"\nsecrets = "env:SRS_TEST"\nmax_age = "10d"'): string {
  process.env['SRS_TEST'] = `${NEW}\n${OLD}`;
  return configured(`[[module]]\nuse = "srs"\n${options}`);
}

async function srs(...args: string[]): Promise<{ status: number; out: string; err: string }> {
  const written = { out: '', err: '' };
  const to = (name: 'out' | 'err') =>
    new Writable({
      write(chunk: Buffer, _, done) {
        written[name] += chunk.toString();
        done();
      },
    });
  const status = await runSrs(args, { stdout: to('out'), stderr: to('err') });
  return { status, ...written };
}

const fiveDaysAgo = (): number => Date.now() - 5 * DAY;

describe('reverse', () => {
  it('says what an address is, how old, and by which secret', async () => {
    const address = createSrs({ secrets: [OLD], now: fiveDaysAgo }).forward(
      'mouse@orig.example',
      'srs.example.com',
    );
    expect(await srs('reverse', address.replace('SRS0', 'srs0'), '--config', config())).toEqual({
      status: 0,
      out: `address  mouse@orig.example
kind     SRS0: rewritten to be sent on
hash     right, by secret 2 of 2
age      5 days, of 10 allowed
`,
      err: '',
    });
  });

  it.each([
    [
      'SRS1',
      () => createSrs({ secrets: [NEW] }).forward('SRS0=a=b=c.example=d@first.example', 'srs.example.com'),
      'SRS1: rewritten by a second forwarder',
    ],
    [
      'a signed one',
      () => createSrs({ secrets: [NEW] }).sign('a@example.com'),
      'SRS0: signed for its own domain',
    ],
    [
      'SES',
      () => createSes({ secrets: [NEW], expiration: 10 }).sign('a@example.com'),
      'SES: signed for one message',
    ],
    [
      'BATV',
      () => createBatv({ secrets: [NEW], maxAge: 10, now: fiveDaysAgo }).sign('a@example.com'),
      'BATV: signed for a day',
    ],
  ])('knows %s', async (_, make, kind) => {
    const { status, out } = await srs('reverse', make(), '--config', config());
    expect(status).toBe(0);
    expect(out).toContain(`kind     ${kind}`);
    expect(out).toContain('hash     right, by secret 1 of 2');
    if (kind.startsWith('BATV')) expect(out).toContain('age      5 days, of 10 allowed');
  });

  it('knows signatures whose kind does not last as long as max_age', async () => {
    const long = () => config('secrets = "env:SRS_TEST"\nmax_age = "1022d"');
    const batv = createBatv({ secrets: [NEW], maxAge: 900, now: fiveDaysAgo }).sign('a@example.com');
    expect(await srs('reverse', batv, '--config', long())).toMatchObject({
      status: 0,
      out: expect.stringContaining('age      5 days, of 900 allowed'),
    });
    const ses = createSes({ secrets: [NEW], expiration: 1000 }).sign('a@example.com');
    expect(await srs('reverse', ses, '--config', long())).toMatchObject({ status: 0, err: '' });
  });

  it('says why an address is not right', async () => {
    const forged = createSrs({ secrets: ['another secret'] }).forward(
      'mouse@orig.example',
      'srs.example.com',
    );
    expect(await srs('reverse', forged, '--config', config())).toMatchObject({
      status: 1,
      out: expect.stringContaining('hash     not by any of the 2 secrets, or too short'),
      err: 'milter srs: the hash of this SRS address is not ours\n',
    });
    const old = createSrs({ secrets: [NEW], now: () => Date.now() - 11 * DAY }).forward(
      'a@b.example',
      'srs.example.com',
    );
    expect((await srs('reverse', old, '--config', config())).err).toContain('signed 11 days ago');
    expect(await srs('reverse', 'a@b.example', '--config', config())).toEqual({
      status: 1,
      out: '',
      err: 'milter srs: this is no SRS address\n',
    });
    const json = await srs('reverse', old, '--json', '--config', config());
    expect(JSON.parse(json.out)).toMatchObject({ address: 'a@b.example', fault: 'expired' });
  });

  it('shows what could steer a terminal as escapes', async () => {
    const { out } = await srs(
      'reverse',
      'SRS0=AAAA=2W=example.com=\u009b1m@srs.example.com',
      '--config',
      config(),
    );
    expect(out).not.toContain('\u009b');
  });
});

describe('forward', () => {
  it('rewrites', async () => {
    const { status, out } = await srs('forward', 'mouse@orig.example', '--config', config());
    expect(status).toBe(0);
    expect(out).toMatch(/^address {2}SRS0=.{8}=..=orig\.example=mouse@srs\.example\.com\n$/);
  });

  it('needs an address, and a domain', async () => {
    expect((await srs('forward', 'mouse', '--config', config())).status).toBe(1);
    await expect(
      srs('forward', 'a@b.example', '--config', config('secrets = "env:SRS_TEST"')),
    ).rejects.toThrow('has no domain');
  });
});

it.each([[], ['forward'], ['reverse', 'a', 'b'], ['backward', 'a@b.example']])(
  'refuses %j',
  async (...args) => {
    await expect(srs(...args.flat())).rejects.toThrow('expected forward ADDRESS or reverse ADDRESS');
  },
);

it('needs secrets', async () => {
  await expect(srs('reverse', 'a@b.example', '--config', config(''))).rejects.toThrow(
    'no module "srs" with secrets',
  );
});
