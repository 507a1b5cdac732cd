/** `milter run FILE.toml` with threads: one configuration, one store, one page, and several threads that serve. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectMta, type MessageResult, type WireConnection } from '../../../lib/testing/index.ts';
import { milter, RunningMilter } from '../../helpers/cli.ts';
import { probeDirectory } from '../../helpers/filter.ts';
import { until, unusedPort } from '../../helpers/wait.ts';

/** Finds something where the subject says so, and ends its thread where that says so. */
const MODULE = `
import { Milter } from 'libmilter';
import { defineModule, kinds, z } from 'libmilter/filter';
export default defineModule({
  name: 'subjects',
  options: z.strictObject({ action: kinds.action('reject').describe('What follows') }),
  findings: { bad: { about: 'message', text: 'a bad subject', reply: 'bad' } },
  setup: ({ options, services }) =>
    class extends Milter {
      override eom() {
        const subject = this.message.headers.get('Subject')?.value ?? '';
        if (subject === 'exit') process.exit(3);
        services.log.warn({ subject }, 'a subject was read');
        if (subject === 'bad') services.found(this, 'bad', options.action);
      }
    },
});`;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'milter-team-'));
  writeFileSync(join(folder, 'subjects.ts'), MODULE);
});
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
async function configured(
  engine: string,
): Promise<{ file: string; port: number; write(more?: string): void }> {
  const file = join(folder, `team-${++files}.toml`);
  const port = await unusedPort();
  const write = (more = ''): void =>
    writeFileSync(
      file,
      `socket = ["inet:0@127.0.0.1", "unix:${folder}/team-${files}.sock"]
engine = "${engine}"
threads = 2
data = "${folder}/data-${files}"
http.listen = "127.0.0.1:${port}"
[log]
format = "json"
[[module]]
use = "./subjects.ts"
${more}`,
    );
  write();
  return { file, port, write };
}

let ids = 0;
async function send(mta: WireConnection, subject: string): Promise<MessageResult> {
  return await mta.sendMessage(`Subject: ${subject}\n\nHi.\n`, {
    client: { address: '192.0.2.7', hostname: 'mail.example.org' },
    helo: 'mail.example.org',
    sender: 'a@example.org',
    recipients: ['b@example.com'],
    macros: { i: `Q${++ids}` },
  });
}

/** The verdicts on one message over each of so many connections at once. */
async function sendOver(address: string, connections: number, subject: string): Promise<string[]> {
  const mtas = await Promise.all(Array.from({ length: connections }, () => connectMta(address)));
  const verdicts = await Promise.all(mtas.map(async (mta) => (await send(mta, subject)).verdict));
  await Promise.all(mtas.map((mta) => mta.quit()));
  return verdicts;
}

function linesOf({ err }: RunningMilter): { message: string; thread?: number }[] {
  const lines = err.split('\n').slice(0, -1);
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
}

function threadsThat(running: RunningMilter, message: string): number[] {
  const said = linesOf(running).filter((line) => line.message.includes(message));
  return [...new Set(said.map(({ thread }) => thread ?? 0))].sort();
}

async function metric(port: number, line: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  const found = text.split('\n').find((one) => one.startsWith(`${line} `));
  return Number(found?.split(' ')[1] ?? 0);
}

describe.each(['libmilter', 'js'])('a configuration in two threads under the engine %s', (engine) => {
  it('is served by both, counted and remembered in one place, and replaced in both', async () => {
    const { file, port, write } = await configured(engine);
    await using running = new RunningMilter([file]);
    const address = await running.address();
    expect(await sendOver(address, 6, 'bad')).toEqual(Array(6).fill('reject'));
    await until('both threads to log', () => threadsThat(running, 'a subject was read').length === 2);
    expect(threadsThat(running, 'a subject was read')).toEqual([1, 2]);
    await until(
      'all to be counted',
      async () => (await metric(port, 'milter_verdicts_total{verdict="reject"}')) === 6,
    );
    await until('the history', async () => {
      const { out } = await milter(['why', '--config', file, '--from', 'a@example.org', '--json']);
      return out !== '' && (JSON.parse(out) as unknown[]).length === 6;
    });

    write('mode = "observe"\n');
    running.child.kill('SIGHUP');
    await until('all to have it', () => threadsThat(running, 'is in force').length === 3);
    expect(await sendOver(address, 6, 'bad')).toEqual(Array(6).fill('continue'));
    write('mod = "off"\n');
    running.child.kill('SIGHUP');
    await until('the refusal', () => threadsThat(running, 'was not taken').length === 1);
    expect(await sendOver(address, 6, 'bad')).toEqual(Array(6).fill('continue'));

    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('holds mail of both threads in one quarantine, and lets what is released from there pass in both', async () => {
    const { file, write } = await configured(engine);
    const sent = join(folder, `sent-${files}`);
    mkdirSync(sent);
    const sendmail = join(folder, `sendmail-${files}`);
    writeFileSync(sendmail, `#!/bin/sh\nexec cat > "${sent}/$$"\n`, { mode: 0o755 });
    write(
      `[[module]]\nuse = "${probeDirectory}/probe.ts"\nmessage = "quarantine"\n[outgoing]\nsendmail = "${sendmail}"\n`,
    );
    await using running = new RunningMilter([file]);
    const address = await running.address();
    const subjects = ['one', 'two', 'three', 'four', 'five', 'six'];
    const mtas = await Promise.all(subjects.map(() => connectMta(address)));
    const held = await Promise.all(mtas.map(async (mta, i) => await send(mta, subjects[i] ?? '')));
    expect(held.map(({ verdict }) => verdict)).toEqual(Array(6).fill('discard'));
    await until('both threads to log', () => threadsThat(running, 'a subject was read').length === 2);
    const { out } = await milter(['quarantine', 'list', '--config', file, '--json']);
    expect((JSON.parse(out) as { subject: string }[]).map(({ subject }) => subject).toSorted()).toEqual(
      subjects.toSorted(),
    );
    const released = await milter(['quarantine', 'release', '--owner', 'b@example.com', '--config', file]);
    expect(released).toMatchObject({ status: 0, err: '' });
    const mails = readdirSync(sent).map((name) => readFileSync(join(sent, name), 'latin1'));
    const back = await Promise.all(
      mtas.map(async (mta, i) => {
        return await mta.sendMessage(mails[i] ?? '', {
          client: { address: '192.0.2.7', hostname: 'mail.example.org' },
          helo: 'mail.example.org',
          sender: 'a@example.org',
          recipients: ['b@example.com'],
        });
      }),
    );
    expect(back.map(({ verdict }) => verdict)).toEqual(Array(6).fill('continue'));
    await Promise.all(mtas.map((mta) => mta.quit()));
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('goes on when a thread dies', async () => {
    const { file } = await configured(engine);
    await using running = new RunningMilter([file]);
    const address = await running.address();
    const mta = await connectMta(address);
    expect(await send(mta, 'exit')).toMatchObject({ verdict: 'tempfail', reply: { code: 421 } });
    await mta.quit();
    expect(await sendOver(address, 4, 'bad')).toEqual(Array(4).fill('reject'));
    await until('both to serve again', async () => {
      await sendOver(address, 4, 'good');
      return (
        linesOf(running).filter(
          ({ message }) =>
            message ===
            'a thread died: what waited for it was told to come again, and another takes its place',
        ).length === 1
      );
    });
    running.child.kill('SIGTERM');
    expect(await running.status()).toBe(0);
  });

  it('tells once what hinders it', async () => {
    const { file, write } = await configured(engine);
    write('acton = "reject"\n');
    const { status, err } = await milter(['run', file]);
    expect(status).toBe(1);
    expect(err.match(/acton/g)).toHaveLength(1);
  });
});
