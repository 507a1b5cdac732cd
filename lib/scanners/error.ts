/** What can go wrong with a scanner. Whatever it is, nothing is known of the message then. */

/**
 * `down`: it cannot be reached. `late`: it did not answer in time. `cut-off`: it hung up, while a message was being sent or
 * before it had answered. `too-big`: it does not take so much. `refused`: it said that it failed, or will not.
 * `nonsense`: it said what it should not. `cancelled`: whoever asked does not want to know any more.
 */
export type ScannerFault = 'down' | 'late' | 'cut-off' | 'too-big' | 'refused' | 'nonsense' | 'cancelled';

/** A scanner gave no verdict. */
export class ScannerError extends Error {
  override readonly name: string = 'ScannerError';
  readonly fault: ScannerFault;

  constructor(fault: ScannerFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.fault = fault;
  }
}

/**
 * Whether an error says that the next message would wait in vain. What the scanner says no to, or hangs up on, says nothing of
 * the next one: where it is gone altogether, that one finds it `down`.
 */
export function isDown(error: unknown): boolean {
  return !(error instanceof ScannerError) || error.fault === 'down' || error.fault === 'late';
}

/** What an aborted signal means. */
export function abortFault(scanner: string, signal: AbortSignal): ScannerError {
  const { reason } = signal;
  const isLate = reason instanceof Error && reason.name === 'TimeoutError';
  return isLate
    ? new ScannerError('late', `${scanner} did not answer in time`, { cause: reason })
    : new ScannerError('cancelled', `${scanner} was not waited for`, { cause: reason });
}

/** What `asked` comes to, but no later than `signal` fires. */
export async function unlessAborted<T>(scanner: string, signal: AbortSignal, asked: Promise<T>): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(abortFault(scanner, signal));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([asked, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** Text from a scanner as it may stand in an error: on one line, and not for ever. */
export function shownReply(text: string): string {
  const plain = text.slice(0, 201).replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?');
  return `"${plain.length > 200 ? `${plain.slice(0, 200)}…` : plain}"`;
}
