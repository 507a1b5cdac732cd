/** Bounds of time for what a module asks of others. */

/** Runs what heeds a signal, which fires after so many milliseconds. */
export async function within<T>(
  milliseconds: number,
  run: (signal: AbortSignal) => T | Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), milliseconds);
  try {
    return await run(controller.signal);
  } finally {
    clearTimeout(timer);
  }
}
