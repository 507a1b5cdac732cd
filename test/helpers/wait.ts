/** Waiting in tests: for a condition, never for a time. */
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

/** A TCP port of 127.0.0.1 on which nobody listens now. */
export async function unusedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('a TCP server without a port');
  return address.port;
}
