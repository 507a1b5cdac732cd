/** Waiting in tests: for a condition, never for a time. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Resolves with what `probe` finds as soon as that is neither undefined nor false; looks every 10 ms.
 * @throws Error naming `what` when nothing is found within `deadline` milliseconds
 */
export async function until<T>(
  what: string,
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  deadline = 20_000,
): Promise<T> {
  const end = Date.now() + deadline;
  for (;;) {
    const found = await probe();
    if (found !== undefined && found !== false) return found;
    if (Date.now() > end) throw new Error(`waited ${deadline} ms in vain for ${what}`);
    await pause(10);
  }
}

/**
 * A TCP port of 127.0.0.1 on which nobody listens now. Drawn below those that the kernel gives away by itself
 * (ip_local_port_range), as another test's server or connection could get it before it is used.
 */
export async function unusedPort(): Promise<number> {
  for (;;) {
    const port = randomInt(10_000, 32_000);
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
