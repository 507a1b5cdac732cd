/**
 * Every error this package makes itself. Test `error.code`, never `error.message`.
 * Wrong arguments, options of other functions included, are TypeErrors that carry a `code` too; everything else is a
 * MilterError.
 */

/** Every `code` of a {@link MilterError}. The words are API: they are added to, never renamed. */
export type MilterErrorCode =
  /** The socket spec cannot be used: malformed, or the system refused it. */
  | 'ERR_MILTER_SOCKET'
  /** Somebody else already listens at that address. */
  | 'ERR_MILTER_ADDRESS_IN_USE'
  /** libmilter is missing, too old, or this addon cannot be loaded. */
  | 'ERR_MILTER_LIBRARY'
  /** An option of `serve`, `close`, `fakeSession` or the command is unknown or has an impossible value. */
  | 'ERR_MILTER_OPTION'
  /** The filter's configuration has faults; the error lists them. */
  | 'ERR_MILTER_CONFIG'
  /** What should be a Milter class is none, or its module cannot be imported. */
  | 'ERR_MILTER_FILTER'
  /** The MTA did not grant this action during negotiation. */
  | 'ERR_MILTER_NOT_GRANTED'
  /** `this.message` was read while no message is under way. */
  | 'ERR_MILTER_NO_MESSAGE'
  /** An action on a message that has ended. */
  | 'ERR_MILTER_MESSAGE_ENDED'
  /** The body is not whole here, so it can be neither read nor replaced. */
  | 'ERR_MILTER_BODY_INCOMPLETE'
  /** One filter changes the body in two ways: by replaceBody and by edits of the tree of parts. */
  | 'ERR_MILTER_BODY_CONFLICT'
  /** The server, or the connection to it, is closed or closing. */
  | 'ERR_MILTER_CLOSED'
  /** The system refuses what a server needs, such as another thread. */
  | 'ERR_MILTER_RESOURCE'
  /** This platform or this build of libmilter cannot do that. */
  | 'ERR_MILTER_UNSUPPORTED'
  /** A handler threw, rejected or answered with something that is no verdict. */
  | 'ERR_MILTER_HANDLER'
  /** A handler did not answer within its deadline. */
  | 'ERR_MILTER_DEADLINE'
  /** A message is to be unlearned of which it is not known, or no more, what it taught. */
  | 'ERR_MILTER_NOT_TRAINED'
  /** What a filter remembers cannot be read or written. */
  | 'ERR_MILTER_STORE'
  /** The other side of a connection does not speak the milter protocol. */
  | 'ERR_MILTER_PROTOCOL';

/** What this package throws, and what it logs when a handler fails. `cause` keeps what was underneath. */
export class MilterError extends Error {
  /** `MilterError`, whichever copy of the package made it. */
  override readonly name: string = 'MilterError';
  /** Which of the documented faults this is. */
  readonly code: MilterErrorCode;

  constructor(code: MilterErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A TypeError for a wrong argument, with the code by which a program can tell it. */
export function wrongArgument(message: string, code = 'ERR_MILTER_ARGUMENT'): TypeError & { code: string } {
  return Object.assign(new TypeError(message), { code });
}
