/** What lies under a session: a connection to an MTA. */
export interface Line {
  /** Whether it is a TCP connection, where a kernel may delay its acknowledgements. */
  readonly isTcp: boolean;
  /** Whether it keeps the process alive by itself, as long as the server is to. */
  readonly holdsProcess: boolean;
  /** Sends a frame soon, with those that follow. */
  send(frame: Buffer): void;
  /** Sends actions soon. `lost` is called if they cannot be sent. */
  sendActions(frames: readonly Buffer[], lost: () => void): void;
  /** An answer came that was waited for: it is to be sent, and there may be more to handle. */
  goOn(): void;
  /** Lets what is to be sent out, and ends the connection. */
  hangUp(): void;
}
