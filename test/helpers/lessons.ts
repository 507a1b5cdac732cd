/** Mail that a statistical filter learns quickly: the same words again and again, in other company. */

/** A message of a kind. */
export function lesson(kind: 'spam' | 'ham', n: number): string {
  const words =
    kind === 'spam'
      ? 'cheap pills casino winner lottery viagra million dollars unsubscribe click offer'
      : 'meeting minutes project garden compiler patch review kernel lecture library tuesday';
  const subject = kind === 'spam' ? 'You are a winner' : 'Minutes of the meeting';
  return `From: ${kind}${n}@far.example\r\nTo: ann@example.com\r\nSubject: ${subject} ${n}\r\nMessage-ID: <${kind}${n}@far.example>\r\nDate: Thu, 26 Nov 2026 10:0${n % 10}:00 +0000\r\n\r\n${words} number${n} ${words
    .split(' ')
    .toReversed()
    .join(' ')}\r\n`;
}

/** So many of a kind, as an mbox. */
export function lessons(kind: 'spam' | 'ham', count: number): string {
  return Array.from({ length: count }, (_, n) => `From x\n${lesson(kind, n)}\n`).join('');
}

/** A message with these forwarded as attachments. */
export function forwarded(...messages: readonly string[]): string {
  const parts = messages.map((one) => `--b\r\nContent-Type: message/rfc822\r\n\r\n${one}\r\n`).join('');
  return `From: ann@example.com\r\nSubject: Fwd\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n${parts}--b--\r\n`;
}
