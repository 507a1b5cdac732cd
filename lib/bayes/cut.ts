/** What is looked at of a large message. */

/** Bytes of a message: more is not looked at. */
const MOST = 4 << 20;

/** A message within bounds: of a larger one the first three quarters of what is looked at, and the last. */
export function cutToSize(message: Uint8Array): Uint8Array {
  if (message.length <= MOST) return message;
  const last = MOST / 4;
  return Buffer.concat([message.subarray(0, MOST - last), message.subarray(-last)]);
}
