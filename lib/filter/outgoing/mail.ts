/** What leaves, and what can come of it. */

/** A message for one recipient. */
export interface OutgoingMail {
  /** In angle brackets; `<>` for the null sender. */
  readonly sender: string;
  /** In angle brackets. */
  readonly recipient: string;
  /** Lines end in CRLF. */
  readonly message: Buffer;
}

/**
 * It was not taken, and why. `later`: perhaps another time. `never`: not as it is. `unknown`: the mail server had all of it, and did
 * not say what became of it.
 */
export class OutgoingError extends Error {
  override readonly name: string = 'OutgoingError';
  readonly outcome: 'later' | 'never' | 'unknown';
  /** Whoever is to take it is away, or takes nothing now: it would be the same with any other mail. */
  readonly isAway: boolean;

  constructor(
    outcome: OutgoingError['outcome'],
    message: string,
    { isAway = false, ...options }: ErrorOptions & { readonly isAway?: boolean } = {},
  ) {
    super(message, options);
    this.outcome = outcome;
    this.isAway = isAway;
  }
}

/**
 * Called once, when the mail server has all but the end of the message: from then on it may deliver it. Where it rejects the
 * message is not sent.
 */
export type Handing = () => Promise<void>;
