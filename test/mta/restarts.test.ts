import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { temporaryDirectory } from '../helpers/directory.ts';
import { Mail, MTAS } from '../helpers/filtered.ts';
import { describeWith } from '../helpers/requirements.ts';
import { SmtpClient } from '../helpers/smtp.ts';
import { until, unusedPort } from '../helpers/wait.ts';

const CLIENTS = 8;
const RESTARTS = 8;
const PROGRAM = join(import.meta.dirname, '../helpers/stamping-filter.ts');

/** The filter, one process after another at the same socket. */
class Filter implements AsyncDisposable {
  /** What each process writes into the mails. */
  readonly stamps: string[] = [];
  readonly #socket: string;
  #process: ChildProcess | undefined;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** Starts a process, and waits until it listens. */
  async start(): Promise<void> {
    this.#process = fork(PROGRAM, [this.#socket], { execArgv: [] });
    this.stamps.push(String(this.#process.pid));
    await once(this.#process, 'message');
  }

  /** Ends the process, and waits until it is gone. SIGTERM it takes as the wish to close in good order. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const running = this.#process;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
    const exit = once(running, 'exit');
    running.kill(signal);
    expect(await exit).toEqual(signal === 'SIGTERM' ? [0, null] : [null, 'SIGKILL']);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end('SIGKILL');
  }
}

/** Messages that clients bring to an MTA again and again until it takes them. */
class Mailbag {
  /** How many the MTA has taken. */
  taken = 0;
  /** How often one was refused, or the connection lost. */
  refused = 0;
  readonly #port: number;
  readonly #count: number;
  #begun = 0;

  constructor(port: number, count: number) {
    this.#port = port;
    this.#count = count;
  }

  /** One client, which keeps its connection as long as all goes well. */
  async deliver(): Promise<void> {
    let client: SmtpClient | undefined;
    while (this.#begun < this.#count) {
      const id = this.#begun++;
      await until(`message ${id} to be taken`, async () => {
        try {
          client ??= await SmtpClient.open(this.#port);
          const { end } = await client.send({
            sender: 'ann@one.test',
            recipients: ['bob@test.invalid'],
            message: `Subject: ${id}\r\n\r\nbody\r\n`,
          });
          if (end?.code === 250) return true;
        } catch {
          // The connection was lost: like a refusal.
        }
        this.refused++;
        await client?.[Symbol.asyncDispose]();
        client = undefined;
        return false;
      });
      this.taken++;
    }
    await client?.[Symbol.asyncDispose]();
  }
}

for (const [name, start] of MTAS) {
  describeWith([name], name, () => {
    // Sendmail takes far longer for each.
    const count = name === 'postfix' ? 1_000 : 200;

    it(`delivers each of ${count} messages once while the filter is killed and restarted`, {
      timeout: 90_000,
    }, async () => {
      await using directory = await temporaryDirectory();
      // Sendmail finds unix sockets below /tmp unsafe.
      const unix = name === 'postfix';
      const socket = unix ? `unix:${directory.path}/milter` : `inet:${await unusedPort()}@127.0.0.1`;
      await using filter = new Filter(socket);
      await filter.start();
      await using mta = await start(socket);
      const bag = new Mailbag(mta.port, count);
      const clients = Promise.all(Array.from({ length: CLIENTS }, () => bag.deliver()));

      for (let restart = 1; restart <= RESTARTS; restart++) {
        await until('more messages to be taken', () => bag.taken >= (restart * count) / (RESTARTS + 1));
        await filter.end(restart % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
        await filter.start();
      }
      await clients;

      await mta.settled();
      const mails = (await mta.delivered(0)).map((text) => new Mail(text));
      const subjects = mails.map((mail) => Number(mail.get('Subject'))).sort((a, b) => a - b);
      expect(subjects).toEqual(Array.from({ length: count }, (_, id) => id));
      const seen = mails.map((mail) => mail.all('X-Stamp').join());
      expect([...new Set(seen)].sort()).toEqual(filter.stamps.toSorted());
      expect(bag.refused).toBeGreaterThan(0);
    });
  });
}
