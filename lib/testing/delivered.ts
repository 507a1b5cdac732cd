/** What an MTA makes of a filter's changes: Postfix's rules. */
import { inBrackets } from '../address.ts';
import type { Action } from '../protocol/exchange.ts';
import type { DeliveredMessage } from './connection.ts';
import { type MessageContent, writeEml } from './eml.ts';

interface Envelope {
  readonly sender: string;
  readonly recipients: readonly string[];
}

/** The message after `actions`, each of which sees what those before it left. */
export function deliver(
  { headers: received, body: receivedBody }: MessageContent,
  envelope: Envelope,
  actions: readonly Action[],
): DeliveredMessage {
  const headers = [...received];
  const recipients = new Set(envelope.recipients);
  let { sender } = envelope;
  let body = receivedBody;
  let quarantine: string | undefined;
  for (const action of actions) {
    switch (action.type) {
      case 'addHeader':
        headers.push(action.header);
        break;
      case 'insertHeader':
        headers.splice(action.index, 0, action.header);
        break;
      case 'changeHeader': {
        // Counted anew each time, so a deletion renumbers what follows; 0 counts as 1, as in Sendmail.
        const name = action.name.toLowerCase();
        const places = headers.flatMap((header, place) =>
          header.name.toLowerCase() === name ? [place] : [],
        );
        const place = places[Math.max(action.occurrence, 1) - 1];
        const replacement = action.header === null ? [] : [action.header];
        headers.splice(place ?? headers.length, place === undefined ? 0 : 1, ...replacement);
        break;
      }
      case 'changeFrom':
        sender = inBrackets(action.address);
        break;
      case 'addRcpt':
        recipients.add(inBrackets(action.address));
        break;
      case 'deleteRcpt':
        recipients.delete(inBrackets(action.address));
        break;
      case 'replaceBody':
        body = action.body;
        break;
      case 'quarantine':
        quarantine = action.reason;
        break;
    }
  }
  return {
    sender,
    recipients: [...recipients],
    headers,
    body,
    ...(quarantine !== undefined && { quarantine }),
    toBytes: () => writeEml({ headers, body }),
  };
}
