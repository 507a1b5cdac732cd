// Refuses recipients that are not known. Reject and tempfail concern one recipient: the others still get the message.
import { Milter, parseAddress, reject, tempfail } from 'libmilter';

const known = new Set(['alice@example.com', 'bob@example.com']);
const moving = new Set(['carol@example.com']);

export default class RecipientGate extends Milter {
  override async envrcpt(recipient: string) {
    const address = parseAddress(recipient).address.toLowerCase();
    if (moving.has(address)) return tempfail(450, '4.2.1', 'This mailbox is moving, try again later');
    if (!known.has(address)) return reject(550, '5.1.1', 'No such user here');
    return 'continue';
  }
}
