/** How large a message is, in bytes as they travel. */
import type { Message } from '../../index.ts';

/** The header section with its line ends. */
export function headerSize({ headers }: Message): number {
  let size = 0;
  // Fields come folded with LF alone: one byte more for each line.
  for (const { name, raw } of headers) size += name.length + raw.length + lines(raw) + 3;
  return size;
}

/**
 * The whole message. Where not all of its body was kept, what the client declared (RFC 1870); undefined where it declared
 * nothing.
 */
export function messageSize(message: Message): number | undefined {
  const declared = message.senderParameters
    .map((parameter) => /^SIZE=(\d{1,15})$/i.exec(parameter)?.[1])
    .find((size) => size !== undefined);
  if (!message.bodyComplete) return declared === undefined ? undefined : Number(declared);
  return headerSize(message) + 2 + message.body.length;
}

function lines(bytes: Buffer): number {
  let count = 0;
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) count++;
  return count;
}
