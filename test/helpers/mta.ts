/** What the MTAs for tests have in common. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from './wait.ts';

/** A running MTA that delivers all mail for `test.invalid` into one mail box. */
export interface Mta extends AsyncDisposable {
  /** Where on 127.0.0.1 it takes mail by SMTP. */
  readonly port: number;
  /** The mails delivered so far, in no order, as soon as there are `count`. */
  delivered(count: number): Promise<readonly string[]>;
  /** Resolves when no mail waits for delivery any more: held ones do not count. */
  settled(): Promise<void>;
  /** The mails in quarantine. */
  held(): Promise<readonly HeldMail[]>;
  /** Submits a message as a program on the machine does, by the MTA's sendmail command. An empty sender is the null one. */
  submit(sender: string, recipients: readonly string[], message: string): Promise<void>;
  /** Resolves as soon as it has logged this: it answers first and logs then. */
  logged(what: string | RegExp): Promise<void>;
}

/** A mail in quarantine. */
export interface HeldMail {
  readonly sender: string;
  /** Why; Postfix does not keep it. */
  readonly reason: string | undefined;
}

/** Starts a server in the foreground and waits until it is `ready`, which must not cost it a connection. */
export async function startServer(
  program: string,
  args: readonly string[],
  ready: () => Promise<boolean>,
  env: NodeJS.ProcessEnv = process.env,
): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output += text));
  await until(`${program} to be ready`, async () => {
    if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}: ${output}`);
    return await ready();
  });
  return child;
}

/** Ends a server that `startServer` started, by the process that its pid file names, and waits until it is gone. */
export async function stopServer(child: ChildProcess, pidFile: string): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  process.kill(Number.parseInt(await readFile(pidFile, 'utf8'), 10));
  await exit;
}

/** Resolves as soon as a log has this in it. @throws Error with the log, when it does not come */
export async function untilLogged(file: string, what: string | RegExp): Promise<void> {
  const log = (): Promise<string> => readFile(file, 'utf8').catch(() => '');
  const has = (text: string): boolean => (typeof what === 'string' ? text.includes(what) : what.test(text));
  try {
    await until(`${what} in the log`, async () => has(await log()));
  } catch (error) {
    throw new Error(`${file} has: ${await log()}`, { cause: error });
  }
}

/** The files of a directory, as text with one character a byte, as soon as there are `count`. */
export async function readMails(directory: string, count: number): Promise<readonly string[]> {
  const names = await until(`${count} mails in ${directory}`, async () => {
    const found = await readdir(directory).catch(() => []);
    return found.length >= count && found;
  });
  return await Promise.all(names.map((name) => readFile(join(directory, name), 'latin1')));
}
