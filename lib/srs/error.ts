/** What this room throws. */

/** Why an address could not be signed, rewritten or taken back. */
export type SrsFault =
  /** It carries no signature of the kind asked for, or one that is cut short or garbled. */
  | 'form'
  /** The signature is not by one of our secrets: forged, or of another machine. */
  | 'hash'
  /** Signed too long ago, or in the future of this clock. */
  | 'expired'
  /** Longer than an address may be (RFC 5321 section 4.5.3.1.3). */
  | 'length';

/** An address that cannot be signed, rewritten or taken back. */
export class SrsError extends Error {
  /** `SrsError`, whichever copy of the package made it. */
  override readonly name: string = 'SrsError';
  /** Test this, never `message`. */
  readonly fault: SrsFault;

  constructor(fault: SrsFault, message: string) {
    super(message);
    this.fault = fault;
  }
}
